"""Downloads from a server of our own that is slow, cuts, lies about lengths, and sends wrong bytes."""

from __future__ import annotations

import errno
import gzip
import hashlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minicnn.data import fetch as module
from minicnn.data import locate
from minicnn.data.fetch import fetch, import_files
from minicnn.data.sources import SOURCES, IdxFile
from minicnn.errors import ConfigError, DataError

# Random bytes, which gzip cannot make smaller.
CONTENT = {f"file-{number}": random.Random(number).randbytes(20_000) for number in range(2)}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in CONTENT.items()}

Behaviour = Callable[[BaseHTTPRequestHandler, bytes, int], None]


def honest(handler: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start:])


def slow(handler, content, start):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for at in range(0, len(content), 2000):
        handler.wfile.write(content[at : at + 2000])
        handler.wfile.flush()
        time.sleep(0.005)


def cut(handler, content, start):
    """Promises all, gives at most 3,000 bytes more, and closes."""
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start : start + 3000])


def cut_once(handler, content, start):
    (honest if start else cut)(handler, content, start)


def ignores_ranges(handler, content, start):
    if handler.server.asked.count(handler.path) == 1:
        cut(handler, content, 0)
    else:
        honest(handler, content, 0)


def claims_less(handler, content, start):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) // 2))
    handler.end_headers()
    handler.wfile.write(content)


def says_no_length(handler, content, start):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content)


def wrong_bytes(handler, content, start):
    honest(handler, gzip.compress(b"something else"), 0)


def no_gzip(handler, content, start):
    honest(handler, b"<html>Please log in</html>", 0)


def missing(handler, content, start):
    handler.send_error(404)


def stalls(handler, content, start):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:100])
    handler.wfile.flush()
    time.sleep(1.0)


def endless(handler, content, start):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(2000):
        handler.wfile.write(bytes(10_000))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ranges: list[str | None] = []
        self.behaviours: dict[str, Behaviour] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server = self.server
                assert isinstance(server, Server)
                server.asked.append(self.path)
                server.ranges.append(self.headers["Range"])
                _, base, name = self.path.split("/")
                start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
                content = PACKED[name.removesuffix(".gz")]
                try:
                    if start >= len(content):
                        self.send_error(416)
                    else:
                        server.behaviours.get(base, honest)(self, content, start)
                except OSError:
                    pass  # the client has gone

            def log_message(self, *args: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """A catalogue whose mnist is on the server, at two addresses; returns where its files will be."""
    files = tuple(
        IdxFile(name, hashlib.sha256(PACKED[name]).hexdigest(), hashlib.md5(CONTENT[name]).hexdigest())
        for name in CONTENT
    )
    source = replace(
        SOURCES["mnist"], url=f"{server.url}/first/", mirrors=(f"{server.url}/second/",), files=files
    )
    monkeypatch.setitem(SOURCES, "mnist", source)
    monkeypatch.setattr(locate, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "TIMEOUT", 0.4)
    monkeypatch.setattr(module, "OFFLINE", False)
    return tmp_path / "cache" / "mnist"


def assert_whole(folder: Path) -> None:
    """All files with the right bytes, and nothing else."""
    assert {path.name: gzip.decompress(path.read_bytes()) for path in folder.iterdir()} == {
        f"{name}.gz": content for name, content in CONTENT.items()
    }


@pytest.mark.parametrize("behaviour", [honest, slow, cut_once, ignores_ranges, says_no_length])
def test_what_a_server_gives_in_the_end_is_taken(server, cache, behaviour):
    server.behaviours["first"] = behaviour
    assert fetch("mnist") == cache
    assert_whole(cache)
    assert not any("second" in path for path in server.asked)


@pytest.mark.parametrize("behaviour", [claims_less, wrong_bytes, no_gzip, missing, stalls, cut])
def test_from_a_server_that_fails_the_next_one_takes_over(server, cache, behaviour):
    server.behaviours["first"] = behaviour
    fetch("mnist", quiet=True)
    assert_whole(cache)
    assert any("second" in path for path in server.asked)


def test_a_download_that_was_cut_goes_on_where_it_stopped(server, cache):
    server.behaviours.update(first=cut, second=missing)
    with pytest.raises(DataError, match="the connection was cut after"):
        fetch("mnist")
    part = cache / ".file-0.gz.part"
    have = part.stat().st_size
    assert have > 3000, "attempts go on from each other"
    server.behaviours.clear()
    server.ranges.clear()
    fetch("mnist")
    assert server.ranges[0] == f"bytes={have}-"
    assert_whole(cache)


def test_a_part_of_another_file_is_thrown_away(server, cache):
    cache.mkdir(parents=True)
    for rubbish in (b"x" * 50, b"x" * 10**5):
        (cache / ".file-0.gz.part").write_bytes(rubbish)
        (cache / "file-0.gz").unlink(missing_ok=True)
        fetch("mnist")
        assert_whole(cache)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (wrong_bytes, r"its MD5 is \w+, expected \w+"),
        (no_gzip, "its MD5 is"),
        (claims_less, "it cannot be read"),
        (missing, "the server answers 404"),
        (stalls, "cut after .* bytes"),
    ],
)
def test_when_nobody_has_it_every_address_and_reason_is_named(server, cache, behaviour, message):
    server.behaviours.update(first=behaviour, second=behaviour)
    with pytest.raises(DataError, match=message) as error:
        fetch("mnist")
    text = str(error.value)
    assert "file-0.gz could not be fetched" in text
    assert f"{server.url}/first/file-0.gz" in text
    assert f"{server.url}/second/file-0.gz" in text
    assert SOURCES["mnist"].files[0].sha256 in text
    assert not (cache / "file-0.gz").exists(), "nothing wrong is ever left under the right name"
    assert ("what has come is kept" in text) is (cache / ".file-0.gz.part").exists()


def test_a_server_without_end_is_left(server, cache, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 100_000)
    server.behaviours.update(first=endless, second=honest)
    fetch("mnist")
    assert_whole(cache)


def test_nobody_is_there(server, cache, monkeypatch):
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], url="http://127.0.0.1:9/", mirrors=()))
    with pytest.raises(DataError, match="no connection"):
        fetch("mnist")


def test_what_is_there_is_checked_and_not_fetched_again(server, cache):
    fetch("mnist")
    server.asked.clear()
    fetch("mnist")
    assert server.asked == []
    (cache / "file-1.gz").write_bytes(b"damaged")
    fetch("mnist")
    assert server.asked == ["/first/file-1.gz"]
    assert_whole(cache)


def test_a_full_disk_keeps_what_has_come(server, cache, monkeypatch):
    copy = module._copy

    def full(answer, file, *arguments):
        file.write(answer.read1(1000))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(
        DataError, match=r"the disk is full: .*file-0\.gz could not be written; make room and fetch again"
    ):
        fetch("mnist")
    assert [path.name for path in cache.iterdir()] == [".file-0.gz.part"]
    monkeypatch.setattr(module, "_copy", copy)
    fetch("mnist")
    assert_whole(cache)


def test_an_interrupted_download_leaves_nothing_under_the_name(server, cache, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("mnist")
    assert not (cache / "file-0.gz").exists()


def test_offline_asks_nobody(server, cache, monkeypatch):
    monkeypatch.setattr(module, "OFFLINE", True)
    with pytest.raises(DataError, match=r"MINICNN_OFFLINE forbids downloads, and mnist lacks file-0\.gz"):
        fetch("mnist")
    assert server.asked == []
    assert not cache.exists()


@pytest.mark.parametrize(("value", "expected"), [("1", "True"), ("0", "False"), ("", "False")])
def test_the_environment_is_read_at_start(value, expected):
    import os

    code = "from minicnn.data import fetch; print(fetch.OFFLINE)"
    environment = {**os.environ, "MINICNN_OFFLINE": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


def test_names_that_cannot_be_fetched():
    with pytest.raises(DataError, match="unknown data set 'mnits': did you mean 'mnist'"):
        fetch("mnits")
    with pytest.raises(ConfigError, match="fashion-mnist-mini comes with minicnn"):
        fetch("fashion-mnist-mini")


class TestImport:
    @pytest.mark.parametrize("packed", [True, False])
    def test_files_are_found_below_checked_and_copied(self, cache, tmp_path, packed):
        (tmp_path / "mine" / "deep").mkdir(parents=True)
        for name in CONTENT:
            path = tmp_path / "mine" / "deep" / (name + ".gz" * packed)
            path.write_bytes(PACKED[name] if packed else CONTENT[name])
        assert import_files("mnist", tmp_path / "mine") == cache
        assert sorted(path.name for path in cache.iterdir()) == [name + ".gz" * packed for name in CONTENT]
        assert locate.find(SOURCES["mnist"]) == cache

    def test_a_full_disk_leaves_nothing_half_copied(self, cache, tmp_path, monkeypatch):
        (tmp_path / "mine").mkdir()
        for name, packed in PACKED.items():
            (tmp_path / "mine" / f"{name}.gz").write_bytes(packed)

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as broken:
            broken.setattr(module.os, "replace", full)
            with pytest.raises(DataError, match=r"the disk is full: .*; make room and import again"):
                import_files("mnist", tmp_path / "mine")
        assert list(cache.iterdir()) == []

    def test_nothing_is_copied_when_one_is_wrong(self, cache, tmp_path):
        (tmp_path / "file-0.gz").write_bytes(PACKED["file-0"])
        with pytest.raises(DataError, match=r"does not hold file-1\.gz \(or file-1\), which mnist needs"):
            import_files("mnist", tmp_path)
        (tmp_path / "file-1.gz").write_bytes(PACKED["file-0"])
        with pytest.raises(DataError, match=r"file-1\.gz is not the published one: its MD5 is"):
            import_files("mnist", tmp_path)
        assert not cache.exists()
        with pytest.raises(DataError, match="there is no file or folder"):
            import_files("mnist", tmp_path / "no")
