"""What a job server refuses is told by what it is, not by the words for it."""

from __future__ import annotations

import json
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from orchestrator.errors import BadInput, Unreachable
from orchestrator.submission.client import JobServer

JOB = {
    "type": "SUBMISSION",
    "submission_id": "scalaw-x-1",
    "status": "RUNNING",
    "entrypoint": "python",
    "metadata": {"scalaw_sweep": "x"},
}
NO_AGENT = (500, "No available agent to submit job, please try again later.")


@pytest.fixture
def served(monkeypatch):
    """Start a server that speaks as Ray's dashboard does; a request takes the next answer, the last for ever."""
    import ray

    version = {"version": "4", "ray_version": ray.__version__, "ray_commit": "x", "session_name": "x"}
    servers = []
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def start(**answers: list[tuple[int, str]]) -> JobServer:
        queues = {method: deque(listed) for method, listed in answers.items()}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer("get")

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer("post")

            def answer(self, method: str):
                if self.path == "/api/version":
                    status, text = 200, json.dumps(version)
                else:
                    queue = queues[method]
                    status, text = queue.popleft() if len(queue) > 1 else queue[0]
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                return

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return JobServer(f"http://127.0.0.1:{servers[-1].server_address[1]}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def submitted(server: JobServer) -> str:
    return server.submit(entrypoint="python", submission_id="scalaw-x-1")


def test_a_job_that_is_not_there_is_another_thing_than_a_server_that_fails_with_404_in_its_words(served):
    with pytest.raises(BadInput, match="has no scalaw job scalaw-x-1"):
        served(get=[(404, "nothing")]).job("scalaw-x-1")
    with pytest.raises(Unreachable, match="refused: Request failed with status code 500"):
        served(get=[(500, "worker 404 gave up")]).job("scalaw-x-1")


def test_a_job_that_another_has_submitted_at_the_same_moment_is_as_good(served):
    assert (
        submitted(served(post=[(500, "Traceback: whatever Ray calls it")], get=[(200, json.dumps(JOB))]))
        == JOB["submission_id"]
    )
    with pytest.raises(Unreachable, match="the runtime environment was already broken"):
        submitted(served(post=[(500, "the runtime environment was already broken")], get=[(404, "no")]))


def test_a_cluster_without_nodes_is_waited_for_and_any_other_refusal_is_not(served):
    accepted = (200, json.dumps({"job_id": "scalaw-x-1", "submission_id": "scalaw-x-1"}))
    assert submitted(served(post=[NO_AGENT, NO_AGENT, accepted], get=[(404, "no")])) == "scalaw-x-1"
    with pytest.raises(Unreachable, match="refused: Request failed with status code 400"):
        submitted(served(post=[(400, "bad"), accepted], get=[(404, "no")]))


@pytest.mark.parametrize(("token", "said"), [(None, "wants a token"), ("ours", "refuses our token")])
def test_a_refused_token_is_told_from_a_missing_one_by_whether_it_was_sent(served, monkeypatch, token, said):
    server = served(get=[(401, "Unauthorized, in whatever words")])
    server._client._headers = {} if token is None else {"authorization": f"Bearer {token}"}
    with pytest.raises(Unreachable, match=said):
        server.job("scalaw-x-1")


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_a_token_that_is_asked_for_and_not_there_is_said_before_anything_is_sent(text, tmp_path, monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    token = tmp_path / ".ray" / "auth_token"
    if text is not None:
        token.parent.mkdir()
        token.write_text(text)
    with pytest.raises(
        Unreachable, match=rf"there is no token in {token}: set RAY_AUTH_TOKEN_PATH to a file that holds"
    ):
        JobServer("http://127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    with pytest.raises(Unreachable, match=r"RAY_AUTH_TOKEN_PATH names .*/other, where there is no token"):
        JobServer("http://127.0.0.1:1")
