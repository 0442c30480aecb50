"""Files and lines of Python, by package, at some commits.

python benchmarks/lines.py COMMIT …
"""

from __future__ import annotations

import subprocess
import sys

from table import print_table

PACKAGES = ("scalaw", "orchestrator", "workers", "tests", "benchmarks")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


def counted(commit: str, package: str) -> list[int]:
    """Return files, lines, and lines of the longest file of a package at a commit."""
    names = [n for n in _git("ls-tree", "-r", "--name-only", commit, package).splitlines() if n.endswith(".py")]
    lines = [_git("show", f"{commit}:{name}").count("\n") for name in names]
    return [len(names), sum(lines), max(lines, default=0)]


def main(commits: list[str]) -> None:
    """Print a row for each package and commit."""
    rows = [
        [package, commit, *(f"{count:,}" for count in counted(commit, package))]
        for package in PACKAGES
        for commit in commits
    ]
    print_table(["package", "commit", "files", "lines", "longest file"], rows)


if __name__ == "__main__":
    main(sys.argv[1:] or ["HEAD"])
