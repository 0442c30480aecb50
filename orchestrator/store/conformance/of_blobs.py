"""What every implementation of ``Blobs`` promises: the seam between a store and where its bytes lie."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from orchestrator.errors import StoreReplaced
from orchestrator.store.blobs import Blobs
from orchestrator.store.identity import KEY, make_identity

#: Bytes of a blob that is larger than one part of an upload.
_LARGE = 7_000_000
_WRITERS = 8


def _keeps_the_first(blobs: Blobs) -> Iterator[str]:
    blobs.put_new("results/a", b"first")
    if blobs.put_new("results/a", b"second"):
        yield "a second put_new says that it wrote"
    if blobs.get("results/a") != b"first":
        yield "the bytes of the second put_new stay"


def _lets_one_win(blobs: Blobs) -> Iterator[str]:
    keys = [f"results/{number}" for number in range(6)]
    with ThreadPoolExecutor(_WRITERS) as threads:
        claims = {
            key: [threads.submit(blobs.put_new, key, f"{key} by {w}".encode()) for w in range(_WRITERS)] for key in keys
        }
    for key, attempts in claims.items():
        winners = [writer for writer, attempt in enumerate(attempts) if attempt.result()]
        if len(winners) > 1:  # none, where the answer to the one that wrote was lost
            yield f"{len(winners)} of {_WRITERS} put_new on {key} say that they wrote"
        if blobs.get(key) not in [f"{key} by {writer}".encode() for writer in winners or range(_WRITERS)]:
            yield f"{key} does not hold what its winner wrote"


def _replaces(blobs: Blobs) -> Iterator[str]:
    blobs.replace("sweeps/a.json", b"one")
    blobs.replace("sweeps/a.json", b"two")
    if blobs.get("sweeps/a.json") != b"two":
        yield "the older bytes stay"
    if blobs.list("sweeps") != ["sweeps/a.json"]:
        yield f"it leaves {blobs.list('sweeps')}"


def _lists(blobs: Blobs) -> Iterator[str]:
    if blobs.children() or blobs.list("results"):
        yield "the root of nothing lists something"
    for key in ("results/b", "results/a", "results/deep/er/c", "results2/d", "fits/e"):
        blobs.put_new(key, b"x")
    if (found := blobs.list("results")) != ["results/a", "results/b", "results/deep/er/c"]:
        yield f"below results/ it lists {found}"
    if blobs.list("nothing"):
        yield "a folder that is not there lists something"
    if (names := blobs.children()) != {"results", "results2", "fits"}:
        yield f"the root's children are {sorted(names)}"


def _lists_what_was_written_before(blobs: Blobs) -> Iterator[str]:
    def write(writer: int, number: int) -> str:
        key = f"results/{hashlib.sha256(bytes([writer, number])).hexdigest()}"
        blobs.put_new(key, b"x")
        return key

    with ThreadPoolExecutor(1) as thread:
        others = [thread.submit(write, 1, number) for number in range(40)]
        mine: set[str] = set()
        for number in range(20):
            mine.add(write(0, number))
            before = mine | {other.result() for other in others if other.done()}
            missed = before - set(blobs.list("results"))
            if missed:
                yield f"a listing lacks {len(missed)} of {len(before)} blobs that were written before it began"


def _moves(blobs: Blobs) -> Iterator[str]:
    blobs.put_new("results/a", b"new")
    blobs.put_new("damaged/a", b"old")
    with contextlib.suppress(FileNotFoundError):  # where the answer to the first try was lost
        blobs.move("results/a", "damaged/a")
    if blobs.get("damaged/a") != b"new":
        yield "the target keeps its bytes"
    if blobs.list("results"):
        yield "the source stays"


def _knows_what_is_missing(blobs: Blobs) -> Iterator[str]:
    blobs.put_new("results/there", b"x")
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: blobs.get("results/a"),
        "move": lambda: blobs.move("results/a", "damaged/a"),
    }
    for name, call in calls.items():
        try:
            call()
        except FileNotFoundError:
            continue
        yield f"{name} of a missing key raises no FileNotFoundError"
    if blobs.exists("results/a") or not blobs.exists("results/there"):
        yield "exists takes one for the other"


def _deletes(blobs: Blobs) -> Iterator[str]:
    blobs.put_new("results/a", b"x")
    blobs.delete("results/a")
    blobs.delete("results/a")
    if blobs.exists("results/a"):
        yield "a deleted blob is there"
    blobs.put_new("results/a", b"y")
    if blobs.get("results/a") != b"y":
        yield "the key of a deleted blob is not free"


def _takes_any_size(blobs: Blobs) -> Iterator[str]:
    for size in (0, 1, _LARGE):
        data = hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1)
        blobs.put_new(f"results/{size}", data[:size])
        blobs.replace(f"sweeps/{size}", data[:size])
        if blobs.get(f"results/{size}") != data[:size] or blobs.get(f"sweeps/{size}") != data[:size]:
            yield f"{size:,} bytes come back as others"


def _shows_whole_blobs(blobs: Blobs) -> Iterator[str]:
    bodies = [bytes([number]) * (50_000 + 400_000 * (number % 2)) for number in range(8)]
    blobs.replace("logs/a", bodies[0])
    with ThreadPoolExecutor(_WRITERS) as threads:
        reads = [threads.submit(blobs.get, "logs/a") for _ in range(8)]
        writes = [threads.submit(blobs.replace, "logs/a", body) for body in bodies]
        reads += [threads.submit(blobs.get, "logs/a") for _ in range(16)]
    for write in writes:
        write.result()
    if any(read.result() not in bodies for read in reads):
        yield "a reader sees bytes that nobody wrote as a whole"


def _refuses_another_store(blobs: Blobs) -> Iterator[str]:
    name = make_identity(blobs)
    blobs.insist_on(name)
    blobs.put_new("results/a", b"x")
    for what, other in (("another store", "0" * 32), ("a root without a store.json", name)):
        if other == name:
            blobs.delete(KEY)
        try:
            blobs.insist_on(other)
        except StoreReplaced:
            continue
        yield f"insist_on takes {what} for the store"


#: By name, what is tried on an empty root; each yields the cases in which it is broken.
BLOB_PROMISES: dict[str, Callable[[Blobs], Iterator[str]]] = {
    "put_new keeps the first bytes": _keeps_the_first,
    "of several put_new on a key one wins": _lets_one_win,
    "replace writes over and makes": _replaces,
    "a listing is sorted, deep and of its folder alone": _lists,
    "a listing has all that was written before it began": _lists_what_was_written_before,
    "move overwrites its target and leaves no source": _moves,
    "a missing key is FileNotFoundError": _knows_what_is_missing,
    "a deleted key is free, and deleting is no error": _deletes,
    "blobs of any size come back": _takes_any_size,
    "a reader sees a whole blob": _shows_whole_blobs,
    "another store is refused": _refuses_another_store,
}
