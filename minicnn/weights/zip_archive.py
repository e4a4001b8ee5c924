"""Zip archives of weights (npz, PyTorch's .pth), checked before a member is read, and sealed when written.

A zip file says everything twice: in a header before each member, and in the directory at its end. The two must
agree, the members must lie one after the other from the first byte to the directory, and the directory
must be the last thing in the file. Thereby a flipped bit in a header is found, and a file that two
programs would read differently is refused. Declared sizes are held against the size of the file, so that a
"bomb" that unpacks to terabytes is refused too, and every member's CRC-32 is compared.

minicnn's own archives are sealed: the archive comment holds the SHA-256 of everything before it.

Source: PKWARE's APPNOTE.TXT, 6.3.10, sections 4.3 and 4.4.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import BinaryIO

from minicnn.errors import WeightsError

_LOCAL = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_SEAL = b"minicnn sha256 "
_SEAL_LENGTH = len(_SEAL) + 64
_IN_DESCRIPTOR = 0x08  # flag: CRC and sizes follow the data
_ALLOWED_FLAGS = _IN_DESCRIPTOR | 0x800 | 0x06  # 0x800: names are UTF-8; 0x06: hints of the compressor
_MAX = 0xFFFFFFFF  # "see the 64-bit field"
_CHUNK = 1 << 20
_NO_CRC = " (all CRCs are 0: save it again, without torch.serialization.set_crc32_options(False))"
# Weights hardly compress. A member of zeros may, and small ones are harmless.
_FREE_BYTES, _MAX_RATIO = 16 << 20, 100


class ZipArchive:
    """The members of an open zip file of `size` bytes. Raises WeightsError when anything contradicts itself."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        count, length = self._check_end()
        try:
            self._zip = zipfile.ZipFile(file)
        # All that a damaged directory makes the library raise, besides its own error.
        except (zipfile.BadZipFile, ValueError, KeyError, IndexError, OverflowError, struct.error, NotImplementedError,
                RuntimeError, EOFError) as error:  # fmt: skip
            raise WeightsError(f"its zip directory cannot be read: {error}") from None
        infos = self._zip.infolist()
        if count not in (len(infos), 0xFFFF):
            raise WeightsError(f"its zip directory counts {count} members and lists {len(infos)}")
        self._check_directory(len(infos), length)
        self.members = {info.filename: info for info in infos}
        if len(self.members) < len(infos):
            raise WeightsError("its zip directory lists a name twice")
        self._check_sizes(infos)
        self._check_layout(infos)
        self._unread = set(self.members)

    def size_of(self, name: str) -> int:
        """How many bytes a member has. Raises WeightsError when there is none of this name."""
        if name not in self.members:
            raise WeightsError(f"its member {name!r} is missing")
        return self.members[name].file_size

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of a member. Nothing is known about their CRC yet."""
        return self._read(name, count)

    def read(self, name: str) -> bytes:
        """A member, whole, its CRC-32 verified."""
        size = self.size_of(name)
        # One byte more than there is: only at a member's end does the library compare the CRC.
        content = self._read(name, size + 1)
        if len(content) != size:
            raise WeightsError(f"its member {name!r} has {len(content):,} bytes, expected {size:,}")
        self._unread.discard(name)
        return content

    def verify_the_rest(self) -> None:
        """Compare the CRC-32 of the members that nobody has read."""
        for name in sorted(self._unread):
            self.read(name)

    def _read(self, name: str, count: int) -> bytes:
        try:
            with self._zip.open(self.members[name]) as member:
                return member.read(count)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            ValueError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            left_out = "" if any(info.CRC for info in self.members.values()) else _NO_CRC
            raise WeightsError(f"its member {name!r} is damaged: {error}{left_out}") from None

    def _check_end(self) -> tuple[int, int]:
        """The last record stands at the very end, with no comment or with minicnn's seal.

        Returns how many members it counts and how long it says the directory is.
        """
        for comment_length in (0, _SEAL_LENGTH):
            start = self._size - _END.size - comment_length
            if start < 0:
                continue
            self._file.seek(start)
            end = self._file.read(_END.size)
            comment = self._file.read(comment_length)
            magic, disk, first_disk, here, count, directory, _, length = _END.unpack(end)
            if magic != b"PK\5\6" or length != comment_length:
                continue
            if (disk, first_disk) != (0, 0) or here != count:
                raise WeightsError("its zip directory is damaged: it claims several disks")
            if comment:
                self._check_seal(comment)
            return count, directory
        raise WeightsError(
            "the end of its zip directory is not where the file ends: it is cut short, or something was added"
        )

    def _check_seal(self, comment: bytes) -> None:
        if not comment.startswith(_SEAL):
            raise WeightsError(f"it has a comment that is not minicnn's seal: {comment[:32]!r}")
        expected = comment[len(_SEAL) :].decode("ascii", "replace")
        self._file.seek(0)
        checksum, left = hashlib.sha256(), self._size - 64
        while left and (chunk := self._file.read(min(_CHUNK, left))):
            checksum.update(chunk)
            left -= len(chunk)
        if checksum.hexdigest() != expected:
            raise WeightsError(
                f"its SHA-256 is {checksum.hexdigest()}, and its seal says {expected}: it has changed since it was written"
            )

    def _check_directory(self, count: int, length: int) -> None:
        """Its entries fill it, one after the other; the library would not notice a name that is cut off."""
        self._file.seek(self._zip.start_dir)
        position = 0
        for _ in range(count):
            entry = self._file.read(_ENTRY.size)
            if len(entry) < _ENTRY.size:
                raise WeightsError("its zip directory is cut short")
            *_, name, extra, comment, disk, _, _, _ = _ENTRY.unpack(entry)
            if disk or comment:
                raise WeightsError("its zip directory is damaged: it claims several disks, or comments")
            self._file.seek(name + extra, 1)
            position += _ENTRY.size + name + extra
        if length not in (position, _MAX):
            raise WeightsError(f"its zip directory is damaged: entries of {position:,} bytes in {length:,}")

    def _check_sizes(self, infos: Iterable[zipfile.ZipInfo]) -> None:
        for info in infos:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise WeightsError(
                    f"its member {info.filename!r} is compressed in an unknown way ({info.compress_type})"
                )
            if info.flag_bits & ~_ALLOWED_FLAGS:
                raise WeightsError(f"its member {info.filename!r} is encrypted, or its flags are damaged")
            if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
                raise WeightsError(f"its member {info.filename!r} has two different sizes")
        total = sum(info.file_size for info in infos)
        if total > _FREE_BYTES + _MAX_RATIO * self._size:
            raise WeightsError(
                f"its members claim {total:,} bytes, more than {_MAX_RATIO} times the file's {self._size:,}: "
                "no weights compress like that. If it is honest, store it without compression"
            )

    def _check_layout(self, infos: Iterable[zipfile.ZipInfo]) -> None:
        position = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset != position:
                raise WeightsError(
                    f"its member {info.filename!r} begins at byte {info.header_offset}, expected {position}: members "
                    "overlap or leave a gap"
                )
            position = self._end_of(info)
        if position != self._zip.start_dir:
            raise WeightsError(f"its zip directory begins at byte {self._zip.start_dir}, expected {position}")

    def _end_of(self, info: zipfile.ZipInfo) -> int:
        """Where a member ends, after its local header has been compared with the directory."""
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
            raise WeightsError(f"its member {info.filename!r} has no header at byte {info.header_offset}")
        _, version, flags, method, time, date, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
            header
        )
        name, extra = self._file.read(name_length), self._file.read(extra_length)
        if size == packed == _MAX or (extra[:2] == b"\1\0" and _MAX in (size, packed)):
            size, packed = struct.unpack_from("<2Q", extra.ljust(20, b"\0"), 4)
        year, month, day, hour, minute, second = info.date_time
        told = (
            name.decode("utf-8" if flags & 0x800 else "cp437", "replace"),
            version, flags, method, date, time,
        )  # fmt: skip
        expected = (
            info.orig_filename, info.reserved << 8 | info.extract_version, info.flag_bits, info.compress_type,
            (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second >> 1,
        )  # fmt: skip
        sums, expected_sums = (crc, packed, size), (info.CRC, info.compress_size, info.file_size)
        end = info.header_offset + _LOCAL.size + name_length + extra_length + info.compress_size
        if flags & _IN_DESCRIPTOR:
            sums = (0, 0, 0) if sums == (0, 0, 0) or sums == expected_sums else sums
            end += self._check_descriptor(end, info)
            expected_sums = (0, 0, 0)
        if told != expected or sums != expected_sums:
            raise WeightsError(f"the header of its member {info.filename!r} contradicts the zip directory")
        return end

    def _check_descriptor(self, start: int, info: zipfile.ZipInfo) -> int:
        """The CRC and sizes after the data: how many bytes they take, 16 or, for large files, 24."""
        self._file.seek(start)
        content = self._file.read(24)
        for form in (struct.Struct("<4s3I"), struct.Struct("<4sI2Q")):
            if len(content) >= form.size and form.unpack_from(content) == (
                b"PK\7\10",
                info.CRC,
                info.compress_size,
                info.file_size,
            ):
                return form.size
        raise WeightsError(f"what follows its member {info.filename!r} contradicts the zip directory")


def sealed(members: Iterable[tuple[str, bytes]]) -> bytes:
    """A zip file of these members, uncompressed, with minicnn's seal. The same members give the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        archive.comment = _SEAL + bytes(64)
    body = memoryview(content.getbuffer())[:-64]
    return bytes(body) + hashlib.sha256(body).hexdigest().encode()
