"""The shell line that a job begins with: it finds the Python that the cluster's Ray runs in.

A job's line runs with the PATH of the machine, where ``python`` may be another one, or none. The process that starts it
has Ray's library mapped, which stands in the environment that is meant.
"""

from __future__ import annotations

from typing import Final

_LINE: Final = (
    r"""library='s|.* \(/.*\)/lib/python[0-9.]*/site-packages/ray/_raylet\.so$|\1|p'; """
    r"""root=$(sed -n "$library" /proc/$PPID/maps | head -n 1); """
    r"""python=$root/bin/python; [ -x "$python" ] || python=python3; """
    r"""exec "$python" -m orchestrator.cli.job"""
)


def entrypoint(sweep: str) -> str:
    """Return the line; it begins with what it does, since Ray's dashboard shows the beginning."""
    return f": scalaw run {sweep}; {_LINE}"
