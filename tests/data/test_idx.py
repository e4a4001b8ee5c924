from __future__ import annotations

import contextlib
import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.data import read_idx
from minicnn.errors import DataError

ARRAYS = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, min_side=0, max_side=5))
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file-idx"


@settings(deadline=None)
@given(array=ARRAYS, compress=st.booleans())
def test_what_was_written_is_read(path, idx_bytes, array, compress):
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, 1) if compress else content)
    read = read_idx(path, md5=hashlib.md5(content).hexdigest())
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.flags.writeable


def test_a_file_byte_for_byte(path):
    """Two 1 x 2 arrays of int16: the header and big-endian elements as the format describes them."""
    path.write_bytes(bytes.fromhex("00000b03 00000002 00000001 00000002 0001 0100 ffff 8000"))
    np.testing.assert_array_equal(read_idx(path), [[[1, 256]], [[-1, -32768]]])


SIX = bytes.fromhex("00000802 00000002 00000003") + bytes(6)


@pytest.mark.parametrize("compress", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "cut short: 0 bytes"),
        (b"\0\0\x08", "cut short: 3 bytes"),
        (SIX[:9], "cut short: 9 bytes, the header for 2 dimensions has 12"),
        (SIX[:-1], "dimensions 2 x 3 take 6 bytes"),
        (SIX + b"x", "goes on after its last element: dimensions 2 x 3 take 6 bytes"),
        (b"\x89PNG" + SIX, "not an IDX file: it begins with 89 50 4e 47, expected 00 00, a type (08, 09,"),
        (b"\0\0\x0a\x01" + bytes(8), "not an IDX file: it begins with 00 00 0a 01"),
        (b"\0\0\x08\0" + bytes(8), "claims 0 dimensions, expected 1 to 32"),
        (b"\0\0\x08\xff" + bytes(2000), "claims 255 dimensions"),
        (b"\0\0\x0e\x03" + b"\xff" * 12 + bytes(8), "4294967295 x 4294967295 x 4294967295"),
        (b"\0\0\x08\x04" + bytes(4) + b"\xff" * 12, "impossible dimensions 0 x 4294967295"),
    ],
)
def test_a_defect_is_named(path, content, text, compress):
    path.write_bytes(gzip.compress(content) if compress else content)
    with pytest.raises(DataError) as error:
        read_idx(path)
    assert text in str(error.value)
    assert str(path) in str(error.value)


def test_absurd_dimensions_are_refused_before_allocation(path):
    path.write_bytes(bytes.fromhex("00000803 0000ffff 0000ffff 0000ffff") + bytes(100))
    with pytest.raises(DataError, match=r"take 281,462,092,005,375 bytes, and the file can hold 100 at most"):
        read_idx(path)


@pytest.mark.parametrize("cut", [5, 30, -1])
def test_a_truncated_gzip_file_is_named(path, cut):
    path.write_bytes(gzip.compress(SIX)[:cut])
    with pytest.raises(DataError, match="cannot be read") as error:
        read_idx(path)
    assert "copy or download it again" in str(error.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="nothing-here does not exist"):
        read_idx(tmp_path / "nothing-here")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


def test_another_md5_is_refused(path):
    path.write_bytes(SIX)
    assert read_idx(path, md5=hashlib.md5(SIX).hexdigest()).shape == (2, 3)
    with pytest.raises(DataError, match=r"not the published one: the MD5 .* expected 00ff"):
        read_idx(path, md5="00ff")


@settings(deadline=None, max_examples=200)
@given(data=st.data(), compress=st.booleans())
def test_any_bytes_give_an_array_or_a_data_error(path, data, compress):
    content = bytearray(gzip.compress(SIX) if compress else SIX)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with contextlib.suppress(DataError):
        assert isinstance(read_idx(path), np.ndarray)
