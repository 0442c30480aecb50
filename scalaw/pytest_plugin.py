"""``pytest --scalaw my_model.py``: each suite that scalaw's own plug-ins pass is a test of yours.

It is known to pytest wherever scalaw is installed, and does nothing without the flag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestrator.execution.plugin_check import Check


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the flags."""
    group = parser.getgroup("scalaw")
    group.addoption(
        "--scalaw", action="append", default=[], metavar="FILE", help="Try what the scalaw plug-ins in FILE promise."
    )
    group.addoption("--scalaw-sweep", metavar="SWEEP", help="… with the data and options of this YAML.")


def pytest_collection(session: pytest.Session) -> None:
    """Look for other tests only where some are named: ``pytest --scalaw FILE`` alone runs the suites."""
    config = session.config
    if config.getoption("--scalaw") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


class Promises(pytest.Item):
    """One suite on one plug-in."""

    def __init__(self, *, check: Check, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.check = check

    def runtest(self) -> None:
        """Fail with the promises that are broken."""
        broken = self.check.run()
        if broken:
            pytest.fail("\n".join(broken), pytrace=False)

    def reportinfo(self) -> tuple[str, None, str]:
        """Return what reports call it."""
        return "scalaw", None, self.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the suites behind the tests that were found."""
    items += _suites(session, config)


def _suites(session: pytest.Session, config: pytest.Config) -> Iterator[pytest.Item]:
    files = config.getoption("--scalaw")
    if not files:
        return
    from orchestrator.errors import ScalawError
    from orchestrator.execution.plugin_check import plugin_checks

    try:
        checks = plugin_checks(files, config.getoption("--scalaw-sweep"))
    except ScalawError as refusal:
        raise pytest.UsageError(str(refusal)) from refusal
    for check in checks:
        yield Promises.from_parent(session, name=f"{check.subject}: {check.suite}", check=check)
