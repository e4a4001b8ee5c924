"""Zip archives: what contradicts itself, claims too much or was changed is refused before it is unpacked."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile

import pytest

from minicnn.errors import WeightsError
from minicnn.weights.zip_archive import ZipArchive, sealed

MEMBERS = {"a.npy": b"first" * 20, "b/c.npy": b"", "Ü.npy": bytes(range(256))}


def opened(content: bytes) -> ZipArchive:
    return ZipArchive(io.BytesIO(content), len(content))


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def read_all(content: bytes) -> dict[str, bytes]:
    archive = opened(content)
    return {name: archive.read(name) for name in archive.members}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_members_come_back(method: int) -> None:
    assert read_all(zip_of(MEMBERS, method)) == MEMBERS
    assert read_all(zip_of({})) == {}


def test_a_sealed_archive_comes_back_and_is_always_the_same() -> None:
    content = sealed(MEMBERS.items())
    assert read_all(content) == MEMBERS
    assert content == sealed(MEMBERS.items())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"minicnn sha256 ")


def test_streamed_archives_with_sizes_after_the_data() -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    content = Stream()
    with zipfile.ZipFile(content, "w") as archive:
        with archive.open("a", "w") as member:
            member.write(b"12345")
        with archive.open(zipfile.ZipInfo("b"), "w", force_zip64=True) as member:
            member.write(b"678")
    assert read_all(content.getvalue()) == {"a": b"12345", "b": b"678"}


def test_every_single_bit_of_a_sealed_archive_counts() -> None:
    content = sealed({"a": b"1234", "b": b"5"}.items())
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            with pytest.raises(WeightsError):
                read_all(bytes(damaged))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_single_bit_of_a_foreign_archive_counts_or_changes_nothing(method: int) -> None:
    """Without a seal some bits mean nothing: which system wrote it, file permissions, the end of a bit stream."""
    members = {"a": b"12341234123412341234", "b": b"5"}
    content = zip_of(members, method)
    harmless = 0
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            try:
                assert read_all(bytes(damaged)) == members
                harmless += 1
            except WeightsError:
                pass
    # 8 bytes a member: version made by, internal and external attributes; and 3 of the streams.
    assert harmless == 2 * 8 * 8 + (0 if method == zipfile.ZIP_STORED else 3 * 8)


@pytest.mark.parametrize("extra", [b"\0", b"PK", bytes(1000), zip_of({"x": b"y"})])
def test_something_before_or_after(extra: bytes) -> None:
    with pytest.raises(WeightsError):
        read_all(extra + zip_of(MEMBERS))
    with pytest.raises(WeightsError):
        read_all(zip_of(MEMBERS) + extra)


def test_every_length_is_too_short() -> None:
    content = zip_of(MEMBERS)
    for length in range(len(content)):
        with pytest.raises(WeightsError):
            read_all(content[:length])


def test_a_name_twice() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(WeightsError, match="lists a name twice"):
        read_all(content.getvalue())


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    content = zip_of({"a.npy": bytes(100 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 200_000
    tracemalloc.start()
    with pytest.raises(WeightsError, match=r"claim 104,857,600 bytes, more than 100 times"):
        read_all(content)
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def test_a_false_size_is_refused() -> None:
    """A member that says it is small and unpacks to more, in both of its headers."""
    content = bytearray(zip_of({"a": bytes(1000)}, zipfile.ZIP_DEFLATED))
    for position in (22, content.rindex(b"PK\1\2") + 24):
        assert struct.unpack_from("<I", content, position) == (1000,)
        struct.pack_into("<I", content, position, 999)
    with pytest.raises(WeightsError, match="is damaged: Bad CRC-32"):
        read_all(bytes(content))


def test_members_that_overlap() -> None:
    """Two directory entries for one piece of data, as in a bomb that needs no compression."""
    content = bytearray(zip_of({"a": b"1234", "b": b"1234"}))
    first, second = content.index(b"PK\1\2"), content.rindex(b"PK\1\2")
    content[second : second + 47] = content[first : first + 46] + b"b"
    with pytest.raises(WeightsError, match="overlap or leave a gap"):
        read_all(bytes(content))


def test_another_compression_and_encryption() -> None:
    with pytest.raises(WeightsError, match="compressed in an unknown way"):
        read_all(zip_of(MEMBERS, zipfile.ZIP_LZMA))
    content = bytearray(zip_of({"a": b"1234"}))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(WeightsError, match="encrypted"):
        read_all(bytes(content))


def test_a_comment_that_is_no_seal() -> None:
    content = io.BytesIO(zip_of(MEMBERS))
    with zipfile.ZipFile(content, "a") as archive:
        archive.comment = b"x" * (len("minicnn sha256 ") + 64)
    with pytest.raises(WeightsError, match="a comment that is not minicnn's seal"):
        read_all(content.getvalue())


def test_a_missing_member() -> None:
    with pytest.raises(WeightsError, match="its member 'z' is missing"):
        opened(zip_of(MEMBERS)).read("z")
