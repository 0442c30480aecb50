"""A cluster whose processes speak TLS, behind a proxy that does."""

from __future__ import annotations

import http.client
import socket
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from orchestrator.store import open_store

pytestmark = pytest.mark.slow

SWEEP = (
    "name: locked\ndata: {source: simulated, examples: 1M}\nmodel: {family: simulated}\n"
    "grid: {params: [1k, 3k], data_fraction: [0.1, 1.0]}\nfit: {bootstrap: 0, laws: [product]}\n"
)
#: What a proxy does not pass on.
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@pytest.fixture
def proxy(encrypted):
    """Address of a TLS proxy before the dashboard."""
    nodes, issued = encrypted
    behind = urlsplit(nodes.url).netloc

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            there = http.client.HTTPConnection(behind, timeout=60)
            there.request(self.command, self.path, body, dict(self.headers))
            answer = there.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 (the standard library's names)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_sweep_is_submitted_followed_and_listed_over_tls(encrypted, proxy):
    nodes, _ = encrypted
    path, store = nodes.folder / "locked.yaml", nodes.folder / "store"
    path.write_text(SWEEP)
    trusted = {"REQUESTS_CA_BUNDLE": str(nodes.folder / "ca.pem")}
    sent = nodes.scalaw("submit", path, "--address", proxy, "--store", store, "--wait", **trusted)
    assert sent.returncode == 0, sent.stderr
    assert len(open_store(str(store)).results()) == 4
    context = ssl.create_default_context(cafile=str(nodes.folder / "ca.pem"))
    context.load_cert_chain(nodes.folder / "cert.pem", nodes.folder / "key.pem")
    with (
        socket.create_connection(("127.0.0.1", nodes.gcs_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secret,
    ):
        assert secret.version() == "TLSv1.3"
    assert "locked" in nodes.scalaw("list", "--address", proxy, **trusted).stdout


def test_a_certificate_that_is_not_trusted_is_refused_in_one_line(encrypted, proxy, tmp_path):
    nodes, _ = encrypted
    (tmp_path / "x.yaml").write_text(SWEEP)
    refused = nodes.scalaw("submit", tmp_path / "x.yaml", "--address", proxy, "--store", tmp_path / "none")
    assert refused.returncode == 3
    assert "its certificate isn't trusted here; set REQUESTS_CA_BUNDLE" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_plain_http_where_tls_is_spoken_is_refused_in_one_line(encrypted, proxy, tmp_path):
    nodes, _ = encrypted
    plain = proxy.replace("https:", "http:")
    refused = nodes.scalaw("list", "--address", plain)
    assert refused.returncode == 3
    assert refused.stderr.startswith(f"scalaw: {plain} is no Ray dashboard")
