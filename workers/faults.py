"""What a worker's exception was, in the words that a row keeps and in the kind that the failure policy asks for."""

from __future__ import annotations

import errno
import re
import socket
import sys
import traceback
from typing import Final

from orchestrator.errors import StoreReplaced, Unreachable
from orchestrator.programs.exchange import BadAnswer
from orchestrator.programs.program import SourcesChanged
from workers.checkpointer import StateGone
from workers.messages import Cause, Failure
from workers.programs.failures import Hung, ProgramFailed, TaskRefused

#: Frames of the deepest exception that are told: the last ones, where it happened.
MOST_FRAMES: Final = 8
#: Longest message that a row keeps; compilers and process groups write books.
MOST_CHARACTERS: Final = 4_000
#: How CUDA, its libraries and torch's CPU allocator say that memory is lacking.
_WORDS_FOR_NO_MEMORY: Final = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
)
#: Colours and other commands to a terminal, which libraries write into their messages.
_TERMINAL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


def failure_of(error: BaseException, *, node: str | None = None) -> Failure:
    """Return what a worker answers with where a chain of stages raised."""
    return Failure(_cause(error), described(error, node=node), _stages(error))


def described(error: BaseException, *, node: str | None = None) -> str:
    """Return the last frames of the deepest exception, the node, and as the last line its type and message.

    The last line is the one that tables and queries show, so it is never empty and has no line break in it.
    """
    deepest = _deepest(error)
    frames = traceback.extract_tb(deepest.__traceback__)[-MOST_FRAMES:]
    where = "".join(traceback.format_list(frames))
    kind = type(deepest)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = " ".join(plain(str(deepest)).split())
    if isinstance(deepest, ProgramFailed) and deepest.log:
        where += f"the end of what it said:\n{plain(deepest.log)}\n"
    return f"{where}on node {node or socket.gethostname()}\n{name}: {message or 'no message'}"


def plain(text: str) -> str:
    """Return text as a file should hold it: no colours, no control characters but line breaks, not endless."""
    clean = _TERMINAL.sub("", text)
    clean = "".join(c for c in clean if c.isprintable() or c in "\n\t")
    return (
        clean
        if len(clean) <= MOST_CHARACTERS
        else f"{clean[: MOST_CHARACTERS // 2]} … {clean[-MOST_CHARACTERS // 2 :]}"
    )


def _deepest(error: BaseException) -> BaseException:
    """Return the exception at the bottom of a chain: what others only passed on."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        below = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if below is None or isinstance(error, StateGone | Unreachable | ArithmeticError):
            return error  # ours say themselves what happened
        error = below
    return error


def _cause(error: BaseException) -> Cause:
    torch = sys.modules.get("torch")  # what isn't loaded has raised nothing
    no_memory = (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)
    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in chain:
        chain.append(step)
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    for each in chain:
        if isinstance(each, StoreReplaced):
            return Cause.STORE_REPLACED
        if isinstance(each, StateGone):
            return Cause.STATE_LOST
        if isinstance(each, Unreachable):
            return Cause.STORE_UNREACHABLE
        if isinstance(each, no_memory) or _no_memory(each):
            return Cause.OUT_OF_MEMORY
        if isinstance(each, TaskRefused | BadAnswer | SourcesChanged):
            return Cause.REFUSED
        if isinstance(each, Hung):
            return Cause.STALLED
    return Cause.DIVERGED if isinstance(error, ArithmeticError) else Cause.RAISED


def _no_memory(error: BaseException) -> bool:
    """Return whether memory was lacking, where torch's allocator was not the one to notice.

    CUDA's libraries ask for workspaces of their own, and torch's CPU allocator raises nothing more special.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS_FOR_NO_MEMORY)


def _stages(error: BaseException) -> tuple[str, ...]:
    return error.stages if isinstance(error, StateGone) else ()
