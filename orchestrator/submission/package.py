"""What goes with a job: scalaw itself and the working folder, as one small archive of its own."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from orchestrator.errors import BadInput, Unreachable
from orchestrator.spec.plugins.code import PluginCode

#: Bytes of the working folder at most; what is larger belongs into a bucket, or where the cluster has it.
LIMIT_BYTES: Final = 100_000_000
MOST_FILES: Final = 20_000
#: Folders that are never sent; hidden files and folders aren't either.
EXCLUDED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "venv", "env", "build", "dist"})
#: Folders by whose names a store is known, which stays where it is.
STORE_FOLDERS: Final = frozenset({"results", "sweeps"})
#: Our own packages, which the job runs whatever is installed there.
PACKAGES: Final = ("scalaw", "orchestrator", "workers")
#: Folder of the code that its person lets run.
PLUGIN_FOLDER: Final = "scalaw-plugins"
#: File that holds the job's id.
JOB_FILE: Final = "scalaw-job-id"
#: Time of every file in the archive, so that equal content gives equal archives.
EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Package:
    """An archive that was written: where, its size, and how many files of the working folder are in it."""

    path: Path
    size_bytes: int
    files: int


def pack(
    folder: Path,
    target: Path,
    job_id: str,
    excludes: Sequence[str] = (),
    plugins: Sequence[PluginCode] = (),
    whole: Sequence[str] = (),
) -> Package:
    """Write the archive of a working folder for one job.

    The job's id is in it: Ray names archives by their content, and takes one away when a job that used it has ended, be
    it that the next one has just begun with the same.

    In a git work tree these are the files that git doesn't ignore, elsewhere all; without hidden ones, virtual
    environments, stores and what matches ``excludes`` (`fnmatch`, on the path below the folder). Plug-ins
    lie in a folder of their own, wherever they were read from. Of the folders below it that ``whole`` names, what git
    ignores is taken as well: a program's data are mostly that.

    Raises
    ------
    BadInput
        If there is no such folder.
    Unreachable
        If it holds more than `LIMIT_BYTES` or `MOST_FILES`.
    """
    if not folder.is_dir():
        raise BadInput(f"`working_dir` {folder}: there is no such folder")
    sizes = {path: (folder / path).stat().st_size for path in _files(folder, excludes, whole)}
    _check_size(folder, sizes)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(sizes):
            _add(archive, folder / path, path.as_posix())
        archive.writestr(zipfile.ZipInfo(JOB_FILE, EPOCH), job_id)
        for place, code in zip(plugin_places(plugins), plugins, strict=True):
            for name, text in code.files_at(place):
                archive.writestr(zipfile.ZipInfo(name, EPOCH), text)
        for package in PACKAGES:
            root = _home(package)
            for path in sorted(root.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    _add(archive, path, f"{package}/{path.relative_to(root).as_posix()}")
    return Package(target, target.stat().st_size, len(sizes))


def plugin_places(plugins: Sequence[PluginCode]) -> list[str]:
    """Return where in the archive each plug-in lies."""
    return [f"{PLUGIN_FOLDER}/{number}/{code.name}" for number, code in enumerate(plugins)]


def _home(package: str) -> Path:
    """Return the folder that Python itself takes a package of ours from."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).resolve().parent


def _files(folder: Path, excludes: Sequence[str], whole: Sequence[str]) -> Iterator[Path]:
    listed = _known_to_git(folder)
    found = dict.fromkeys(listed if listed is not None else _walked(folder))
    for each in whole:
        found |= dict.fromkeys(Path(each) / path for path in _walked(folder / each))
    for path in found:
        above = list(path.parents)[:-1]
        if (
            path.parts[0] in PACKAGES
            or any(_stays(part) for part in path.parts)
            or any(_whole(folder / p) for p in above)
        ):
            continue
        if not any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in excludes) and (folder / path).is_file():
            yield path


def _stays(name: str) -> bool:
    return name.startswith(".") or name in EXCLUDED_FOLDERS or name.endswith((".egg-info", ".pyc"))


def _known_to_git(folder: Path) -> list[Path] | None:
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        found = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return [Path(os.fsdecode(name)) for name in dict.fromkeys(found.split(b"\0")) if name]


@lru_cache(maxsize=MOST_FILES)
def _whole(folder: Path) -> bool:
    """Return whether a folder is a store or a virtual environment."""
    return (folder / "pyvenv.cfg").exists() or all((folder / name).is_dir() for name in STORE_FOLDERS)


def _walked(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not (_stays(name) or _whole(Path(where, name)))]
        yield from (Path(where, name).relative_to(folder) for name in files)


def _check_size(folder: Path, sizes: dict[Path, int]) -> None:
    total = sum(sizes.values())
    if total <= LIMIT_BYTES and len(sizes) <= MOST_FILES:
        return
    largest = [path for path in sorted(sizes, key=lambda path: -sizes[path])[:3] if sizes[path] > 0.01 * total]
    named = ", ".join(f"{path.as_posix()} {sizes[path] / 1e6:.0f} MB" for path in largest)
    raise Unreachable(
        f"the working folder {folder} holds {total / 1e6:,.0f} MB in {len(sizes):,} files, more than a job carries "
        f"({LIMIT_BYTES / 1e6:.0f} MB, {MOST_FILES:,} files; largest: {named}): name a smaller one with "
        "`working_dir`, or leave files out with `exclude`"
    )


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, path.read_bytes())
