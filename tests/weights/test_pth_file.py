"""PyTorch's .pth files, of both forms: read without PyTorch, from files that it wrote (see make_fixtures)."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minicnn import weights
from minicnn.errors import WeightsError
from tests.weights.pickles import ORDERED_DICT, PROTOCOL, integer, state, storage, tensor, text, write_zip
from tests.weights.samples import FIXTURES, assert_same, odd_state, small_state

FORMS = {"zip": "PyTorch", "legacy": "PyTorch (before 1.6)"}
both_forms = pytest.mark.parametrize("form", FORMS)


@both_forms
def test_a_state_dict_that_pytorch_wrote(form: str) -> None:
    found = weights.read_state_file(FIXTURES / f"small-{form}.pth")
    assert_same(found.arrays, small_state())
    assert list(found.arrays) == list(small_state())
    assert found.format == FORMS[form]


@both_forms
def test_every_element_type(form: str) -> None:
    assert_same(weights.read(FIXTURES / f"odd-{form}.pth"), odd_state())


@both_forms
def test_strides_offsets_shared_storages_and_bfloat16(form: str) -> None:
    base = np.arange(24, dtype=np.float32)
    expected = {
        "whole": base,
        "transposed": base.reshape(4, 6).T.copy(),
        "sliced": base.reshape(2, 3, 4)[:, 1:, ::2].copy(),
        "offset": base[5:9],
        "channels_last": base.reshape(1, 2, 3, 4),
        # 1e-40 is below bfloat16's last digit; the nearest is 71 of its smallest steps, 2^-133.
        "bfloat16": np.array([1.0, -2.5, 3.140625, np.inf, round(1e-40 * 2.0**133) * 2.0**-133], np.float32),
    }
    arrays = weights.read(FIXTURES / f"windows-{form}.pth")
    assert_same(arrays, expected)
    arrays["whole"][...] = 0
    assert arrays["offset"].all(), "each array has memory of its own"


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_pickle_protocols(protocol: int) -> None:
    assert_same(weights.read(FIXTURES / f"small-protocol{protocol}.pth"), small_state())


def test_the_state_dict_of_a_checkpoint() -> None:
    assert_same(weights.read(FIXTURES / "checkpoint.pth"), small_state())


def test_an_archive_that_was_packed_again(tmp_path: Path) -> None:
    """Compressed, and without the folder."""
    with zipfile.ZipFile(FIXTURES / "small-zip.pth") as old:
        for method, folder in ((zipfile.ZIP_DEFLATED, "small-zip/"), (zipfile.ZIP_STORED, "")):
            with zipfile.ZipFile(tmp_path / "w.pth", "w", method) as new:
                for name in old.namelist():
                    new.writestr(folder + name.partition("/")[2], old.read(name))
            assert_same(weights.read(tmp_path / "w.pth"), small_state())


def test_a_big_endian_file(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "w.pth", state(("w", tensor())), byteorder=b"big", data__0=struct.pack(">6f", *range(6))
    )
    assert_same(weights.read(path), {"w": np.arange(6, dtype=np.float32).reshape(2, 3)})


def crooked(*items: tuple[str, bytes]) -> bytes:
    return state(*items)


@pytest.mark.parametrize(
    ("pickled", "members", "message"),
    [
        (state(("w", tensor(stride=(4, 1)))), {}, "reaches beyond its storage of 6 elements"),
        (state(("w", tensor(offset=1))), {}, "reaches beyond its storage"),
        (state(("w", tensor(offset=-1))), {}, "offset is not a number of elements"),
        (state(("w", tensor(stride=(-3, 1)))), {}, "strides are not 2 integers"),
        (state(("w", tensor(stride=(3,)))), {}, "strides are not 2 integers"),
        (state(("w", tensor(stride=(1, 1)))), {}, r"repeats elements .*call \.contiguous\(\)"),
        (state(("w", tensor(shape=(-2, 3)))), {}, "not made of sizes"),
        (state(("w", tensor(stored=b"N"))), {}, "not made of a storage"),
        (state(("w", tensor(stored=storage(size=7)))), {}, "takes 28 bytes, its member has 24"),
        (state(("w", tensor(stored=storage(size=-6)))), {}, "size is no number of elements"),
        (state(("w", tensor(stored=storage(kind="DoubleStorage")))), {}, "takes 48 bytes, its member has 24"),
        (state(("w", tensor(stored=storage(key="../version")))), {}, "is missing"),
        (state(("w", tensor(stored=storage(key="1")))), {}, "its member 'archive/data/1' is missing"),
        (state(("w", tensor(stored=storage(kind="ComplexFloatStorage")))), {}, "type torch.ComplexFloatStorage: minicnn"),
        (state(("w", tensor(stored=storage(legacy=True)))), {}, "not a storage"),
        (state(("w", tensor())), {"byteorder": b"middle"}, "byteorder is b'middle'"),
        (state(("w", tensor())), {"constants.pkl": b""}, "TorchScript program"),
        (state(("w", tensor())), {"sub__data.pkl": b""}, "2 members called data.pkl"),
        (PROTOCOL + tensor() + b".", {}, "holds a tensor, not a state dict"),
        (state(("w", tensor()), ("epoch", b"K\x03")), {}, "entry 'epoch' is a int, not a tensor"),
        (state(("a", b"}" + text("w") + tensor() + b"s")), {}, "entry 'a' is a dictionary, not a tensor"),
        (PROTOCOL + b"}" + integer(1) + tensor() + b"s.", {}, "entry '1' is a tensor, not a tensor|keys"),
        (
            state(("model", b"}" + text("w") + tensor() + b"s"), ("net", b"}" + text("w") + tensor() + b"s")),
            {},
            r"several state dicts \(model, net\)",
        ),
        (PROTOCOL + ORDERED_DICT, {}, "cut short"),
    ],
)  # fmt: skip
def test_crooked(tmp_path: Path, pickled: bytes, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weights.read(write_zip(tmp_path / "w.pth", pickled, **members))


def test_every_member_is_checked_even_those_without_numbers(tmp_path: Path) -> None:
    content = bytearray((FIXTURES / "small-zip.pth").read_bytes())
    content[content.index(b"version") + content[content.index(b"version") :].index(b"3\n")] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="version' is damaged: Bad CRC-32"):
        weights.read(tmp_path / "w.pth")


class TestLegacy:
    def change(self, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
        content = (FIXTURES / "small-legacy.pth").read_bytes()
        assert old in content
        (tmp_path / "w.pth").write_bytes(content.replace(old, new, 1))
        with pytest.raises(WeightsError, match=message):
            weights.read(tmp_path / "w.pth")

    def test_its_envelope(self, tmp_path: Path) -> None:
        self.change(tmp_path, b"M\xe9\x03.", b"M\xe8\x03.", "protocol version is not 1001")
        self.change(tmp_path, b"\x88X", b"\x89X", "big-endian machine")
        self.change(tmp_path, b"little_endian", b"little_indian", "big-endian machine, or its byte order")
        self.change(tmp_path, b"protocol_version", b"protocol-version", "description of the machine")

    def test_a_whole_model(self, tmp_path: Path) -> None:
        self.change(tmp_path, text("storage"), text("module\0"), "not a storage")
        self.change(tmp_path, text("storage"), text("module"), "whole pickled model, which is code")

    def test_storages_that_do_not_follow_as_listed(self, tmp_path: Path) -> None:
        content = (FIXTURES / "small-legacy.pth").read_bytes()
        for damaged, message in (
            (content + b"\0", "goes on for 1 bytes after its last storage"),
            (content[:-1], "cut short"),
            (content[: content.rindex(b".") + 9], "cut short"),
        ):
            (tmp_path / "w.pth").write_bytes(damaged)
            with pytest.raises(WeightsError, match=message):
                weights.read(tmp_path / "w.pth")

    def test_views_of_a_storage(self, tmp_path: Path) -> None:
        """Before PyTorch 0.4 a storage could be a part of another, described by (key, start, elements)."""
        for start, expected in ((0, [0, 1, 2]), (3, [3, 4, 5]), (4, None)):
            view = b"(" + text("v") + integer(start) + integer(3) + b"t"
            stored = storage(legacy=True).replace(b"NtQ", view + b"tQ")
            (tmp_path / "w.pth").write_bytes(legacy_file(tensor((3,), (1,), stored=stored)))
            if expected is None:
                with pytest.raises(
                    WeightsError, match="a view that reaches beyond its storage of 6 elements"
                ):
                    weights.read(tmp_path / "w.pth")
            else:
                assert_same(weights.read(tmp_path / "w.pth"), {"w": np.array(expected, np.float32)})


def legacy_file(pickled_tensor: bytes) -> bytes:
    """One tensor "w" in storage "0", of six float32."""
    head = PROTOCOL + integer(0x1950A86A20F9469CFC6C) + b"." + PROTOCOL + b"M\xe9\x03."
    machine = b"}" + text("protocol_version") + b"M\xe9\x03s" + text("little_endian") + b"\x88s."
    keys = PROTOCOL + b"]" + text("0") + b"a."
    numbers = struct.pack("<q6f", 6, *range(6))
    return head + PROTOCOL + machine + state(("w", pickled_tensor)) + keys + numbers
