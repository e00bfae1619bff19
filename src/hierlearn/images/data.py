"""CIFAR-10 and Fashion-MNIST as the official bytes, held to their SHA-256 at every load.

Both come as plain bytes, so reading them takes `np.frombuffer` and nothing else: no pickle, no
image library. Nothing is downloaded here: `python -m hierlearn data fetch` does (`fetching`).

- CIFAR-10 (Krizhevsky 2009), the binary version: records of one byte of label and 3072 of image,
  channel by channel and row by row.
- Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): IDX files of images and of labels, gzipped or not.
- `fashion_small`, in this package: the first 8192 and 2048 of them, halved to 16x16 (`fetching.
  write_subset`), as gzipped records like those of CIFAR-10. MIT licence; the notice lies beside it.
"""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from hierlearn.errors import DataMissing, check_choice


class File(NamedTuple):
    """A file as it is uncompressed: on the disk it may also be `name`.gz."""

    name: str
    n_bytes: int
    sha256: str


AGAIN = "remove it, and fetch or import the data set again"


@dataclass(frozen=True)
class Images:
    """Images and their classes, 0 to 9; `sha256` is that of the data set, as records carry it."""

    train_x: UInt8[np.ndarray, "n c h w"]
    train_y: UInt8[np.ndarray, "n"]
    test_x: UInt8[np.ndarray, "m c h w"]
    test_y: UInt8[np.ndarray, "m"]
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """What a data set is: its files, those of the test set last, and the shape of an image.

    `idx`: images and labels in a file each. `shipped`: it lies in this package.
    """

    name: str
    shape: tuple[int, int, int]
    files: tuple[File, ...]
    idx: bool = False
    shipped: bool = False
    elsewhere: tuple[str, ...] = ()
    valid: str = ""

    @cached_property
    def sha256(self) -> str:
        """The hash of the data set: of what `sha256sum FILE...` prints for its files, in order."""
        lines = "".join(f"{one.sha256}  {one.name}\n" for one in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    def places(self) -> list[Path]:
        """List the folders in which it is looked for; it is stored in the first of them."""
        if self.shipped:
            return [Path(__file__).parent / self.name]
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        own = os.environ.get("HIERLEARN_DATA")
        found = [Path(os.path.expanduser(own)) / self.name] if own else []
        return [*found, Path(cache) / "hierlearn" / self.name, *map(Path, self.elsewhere)]

    def contents(self, folder: str | os.PathLike[str] | None = None) -> list[bytes]:
        """Return the bytes of its files in the first folder that has them all, verified.

        Raises DataMissing that says what was looked for, where, what is wrong, and what to do.
        """
        places = self.places() if folder is None else [Path(folder)]
        lacking = []
        for place in places:
            paths = [stored(place, one.name) for one in self.files]
            if not (absent := [path.name for path in paths if not os.path.exists(path)]):
                return [verified(path, one) for path, one in zip(paths, self.files, strict=True)]
            lacking.append(
                f"{place} lacks {absent[0]}" + (f" and {len(absent) - 1} more" * (len(absent) > 1))
            )
        todo = (
            "it comes with this package: install that again"
            if self.shipped
            else f"valid: {self.valid}; to get it: python -m hierlearn data fetch {self.name}; "
            "what is on this machine already is taken by: python -m hierlearn data import PATH"
        )
        raise DataMissing(f"the data set {self.name} is not at hand: {'; '.join(lacking)}; {todo}")

    def missing(self) -> str:
        """Return why it cannot be used here, in one sentence; nothing where it can.

        The bytes are read once a process, unless files change.
        """
        there = [stored(place, one.name) for place in self.places() for one in self.files]
        stats = [(str(path), path.stat()) for path in there if os.path.exists(path)]
        return _missing(self, tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats))


@cache
def _missing(one: DataSet, seen: tuple[tuple[str, int, int], ...]) -> str:
    try:
        one.contents()
    except DataMissing as error:
        return str(error)
    return ""


CIFAR10 = DataSet(
    "cifar10",
    (3, 32, 32),
    tuple(
        File(f"{name}.bin", 30_730_000, sha256)
        for name, sha256 in (
            ("data_batch_1", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
            ("data_batch_2", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
            ("data_batch_3", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
            ("data_batch_4", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
            ("data_batch_5", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
            ("test_batch", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
        )
    ),
    valid="the six .bin files of its binary version",
)
FASHION = DataSet(
    "fashion_mnist",
    (1, 28, 28),
    tuple(
        File(f"{name}-ubyte", n_bytes, sha256)
        for name, n_bytes, sha256 in (
            (
                "train-images-idx3",
                47_040_016,
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            (
                "train-labels-idx1",
                60_008,
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            (
                "t10k-images-idx3",
                7_840_016,
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            (
                "t10k-labels-idx1",
                10_008,
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        )
    ),
    idx=True,
    elsewhere=("/usr/share/datasets/fashion-mnist",),
    valid="its four IDX files, gzipped or not",
)
FASHION_SMALL = DataSet(
    "fashion_small",
    (1, 16, 16),
    (
        File(
            "train.bin",
            8192 * 257,
            "120bf1da5f22c47f67c0beee2239ca4ae9d61f73c25f1e34f9445c5888e017cc",
        ),
        File(
            "test.bin",
            2048 * 257,
            "f1719cef1999f028f53f75f2d1600f4ede399be08dea6105af5851a44569a06a",
        ),
    ),
    shipped=True,
)
SETS = {one.name: one for one in (CIFAR10, FASHION, FASHION_SMALL)}


def load(name: str, folder: str | os.PathLike[str] | None = None) -> Images:
    """Return a data set of `SETS`, from `folder` or the first of its places that has it.

    Raises DataMissing where it is not there, or its bytes are not the official ones.
    """
    one = SETS[check_choice("data set", name, tuple(SETS))]
    parts = [np.frombuffer(content, np.uint8) for content in one.contents(folder)]
    if one.idx:
        pairs = [(x[16:], y[8:]) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    else:
        rows = [part.reshape(-1, 1 + int(np.prod(one.shape))) for part in parts]
        pairs = [(row[:, 1:], row[:, 0]) for row in (np.concatenate(rows[:-1]), rows[-1])]
    (train_x, train_y), (test_x, test_y) = pairs

    def shaped(x: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "n c h w"]:
        return np.ascontiguousarray(x).reshape(-1, *one.shape)

    return Images(shaped(train_x), train_y.copy(), shaped(test_x), test_y.copy(), one.sha256)


def stored(folder: Path, name: str) -> Path:
    """Return the file of this name, or the gzipped one where only that is there."""
    path, zipped = folder / name, folder / f"{name}.gz"
    return zipped if os.path.exists(zipped) and not os.path.exists(path) else path


def verified(path: Path, file: File) -> bytes:
    """Return the bytes of a file that may be gzipped; DataMissing where they are not those."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return checked(stream.read(file.n_bytes + 1), file, str(path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataMissing(f"{path} is no whole gzip file ({error}); {AGAIN}") from error
    except OSError as error:
        raise DataMissing(f"{path} cannot be read ({error.strerror}); {AGAIN}") from error


def checked(content: bytes, file: File, where: str) -> bytes:
    """Return the uncompressed content of `file`; DataMissing that says how it is not."""
    if (n := len(content)) != file.n_bytes:
        held = f"more than {file.n_bytes}" if n > file.n_bytes else str(n)
        raise DataMissing(f"{where} holds {held} bytes; valid: {file.n_bytes}; {AGAIN}")
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise DataMissing(f"{where} has the SHA-256 {found}; valid: {file.sha256}; {AGAIN}")
    return content
