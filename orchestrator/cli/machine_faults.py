"""Faults of this machine that no verb foresaw: a disk that is full or read-only, no folder for temporary files."""

from __future__ import annotations

import errno
import tempfile
from typing import Final

#: What the system refuses for reasons that lie outside of scalaw, and the mend.
_MENDS: Final = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: "use a place that can be written",
    errno.EACCES: "use a place that can be written, or ask for the permission",
    errno.EPERM: "use a place that can be written, or ask for the permission",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "allow more open files",
    errno.EIO: "the disk is failing",
}


def machine_fault(failure: OSError) -> str | None:
    """Return what is wrong with this machine in one sentence, or ``None`` where the failure is a bug of ours."""
    try:
        tempfile.gettempdir()
    except OSError:
        return "no folder for temporary files can be written: set TMPDIR to one that can, and has room"
    mend = _MENDS.get(failure.errno or 0)
    if mend is None:
        return None
    where = f"{failure.filename}: " if failure.filename else ""
    return f"{where}{(failure.strerror or str(failure)).lower()}; {mend}"
