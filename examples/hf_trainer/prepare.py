"""Writes data/train.bin and data/val.bin: the standard library's own Python files, byte by byte, as uint16."""

import hashlib
import sysconfig
from pathlib import Path

import numpy as np

MEGABYTES = 4

files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
# A file is held back by its name's hash, so that no text stands in both.
split = {"train": [], "val": []}
for file in files:
    held_back = hashlib.sha256(file.name.encode()).digest()[0] < 26
    split["val" if held_back else "train"].append(file.read_bytes())
folder = Path(__file__).parent / "data"
folder.mkdir(exist_ok=True)
for name, texts in split.items():
    tokens = np.frombuffer(b"\n".join(texts)[: MEGABYTES * 2**20], dtype=np.uint8).astype("<u2")
    tokens.tofile(folder / f"{name}.bin")
    print(f"data/{name}.bin: {len(tokens):,} tokens")
