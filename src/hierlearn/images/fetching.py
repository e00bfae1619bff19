"""Getting data sets onto this machine: nothing here is reached by an experiment or a test."""

import gzip
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hierlearn.images.data import load


def halved(images: UInt8[np.ndarray, "n 1 28 28"]) -> UInt8[np.ndarray, "n 1 16 16"]:
    """Pad images to 32x32 with zeros and take means of 2x2 pixels, halves rounded up."""
    x = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2))).astype(np.uint16)
    blocks = x.reshape(len(x), 1, 16, 2, 16, 2).sum((3, 5), dtype=np.uint16)
    return ((blocks + 2) // 4).astype(np.uint8)


def write_subset(folder: Path) -> None:
    """Write the two files of `fashion_small`, made of the first images of Fashion-MNIST."""
    full = load("fashion_mnist")
    splits = (("train", full.train_x, full.train_y, 8192), ("test", full.test_x, full.test_y, 2048))
    for name, x, y, n in splits:
        rows = np.concatenate([y[:n, None], halved(x[:n]).reshape(n, -1)], 1)
        (folder / f"{name}.bin.gz").write_bytes(gzip.compress(rows.tobytes(), 9, mtime=0))
