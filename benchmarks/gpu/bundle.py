"""Pack what a machine with a GPU and no network lacks into one folder: wheels, trimmed, in one archive.

    python benchmarks/gpu/bundle.py [--folder .gpu-bundle]

Such a machine is taken to have Python 3.12 with torch, numpy, pyarrow, scipy, rich, typer, matplotlib and pytest, and
what these need; `go.sh` says first of all what it lacks. What is packed stands in `PACKAGES`, at the versions of
constraints.txt. The project itself travels as the checkout that it is; `go.sh` runs it from there.
"""

from __future__ import annotations

import argparse
import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Packed, and needed by those that are packed.
PACKAGES = (
    "ray",
    "pydantic",
    "pydantic-core",
    "annotated-types",
    "typing-inspection",
    "obstore",
    "duckdb",
    "jsonschema",
    "jsonschema-specifications",
    "referencing",
    "rpds-py",
    "torchao",
)
#: Of Ray: what one machine with no browser and no reinforcement learning does without.
LEFT_OUT = (
    "ray/jars/",
    "ray/rllib/",
    "ray/llm/",
    "ray/serve/",
    "ray/dashboard/client/",
    "ray/core/libjemalloc.so",
    "ray/data/",
    "ray/cpp/",
)
#: Wheels of manylinux by the glibc that they ask for; pip takes each word as it stands.
PLATFORMS = ("2014", "1", "_2_17", "_2_24", "_2_27", "_2_28")
#: The archive, beside a list of what is in it.
ARCHIVE, LISTING = "site.tar.xz", "site.txt"
#: Largest archive: 64 MiB are what such a machine takes, and the checkout travels too.
MOST_BYTES = 60_000_000


def download(folder: Path, python: str) -> list[Path]:
    """Return the wheels, as the package index gives them for CPython 3.12 on x86-64."""
    platforms = [word for each in PLATFORMS for word in ("--platform", f"manylinux{each}_x86_64")]
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms]
    command += ["--python-version", "3.12", "--implementation", "cp", "--dest", str(folder)]
    subprocess.run([*command, "-c", str(ROOT / "constraints.txt"), *PACKAGES], check=True)
    return sorted(folder.glob("*.whl"))


def kept(name: str) -> bool:
    """Return whether a file of a wheel is packed."""
    return not (name.endswith((".js.map", "/RECORD", "/")) or any(name.startswith(each) for each in LEFT_OUT))


def add_wheel(archive: tarfile.TarFile, wheel: Path) -> int:
    """Add a wheel's files, run bits included, as pip would lay them out; return how many were left out."""
    left_out = 0
    with zipfile.ZipFile(wheel) as zipped:
        for info in zipped.infolist():
            name = info.filename
            if ".data/purelib/" in name or ".data/platlib/" in name:
                name = name.split("/", 2)[2]
            if not kept(name):
                left_out += 1
                continue
            member = tarfile.TarInfo(name)
            member.size, member.mode = info.file_size, 0o755 if (info.external_attr >> 16) & 0o111 else 0o644
            archive.addfile(member, io.BytesIO(zipped.read(info)))
    return left_out


def main() -> None:
    """Write the archive, its listing and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".gpu-bundle")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that are there already")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    path = options.folder / ARCHIVE
    with tempfile.TemporaryDirectory() as temporary:
        wheels = sorted(options.wheels.glob("*.whl")) if options.wheels else download(Path(temporary), sys.executable)
        filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6}]
        with lzma.open(path, "wb", filters=filters) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
            for wheel in wheels:
                add_wheel(archive, wheel)
    (options.folder / LISTING).write_text("".join(f"{wheel.name}\n" for wheel in wheels), "utf-8")
    size = path.stat().st_size
    print(f"{path}: {len(wheels)} wheels, {size / 1e6:.1f} MB")
    if size > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES / 1e6:.0f} MB: leave out more of Ray (LEFT_OUT)")


if __name__ == "__main__":
    main()
