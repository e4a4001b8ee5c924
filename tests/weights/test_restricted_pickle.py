"""A pickle can build arrays and nothing else: whatever it tries, nothing runs, hangs or takes memory."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn import weights
from minicnn.errors import WeightsError
from minicnn.weights import restricted_pickle
from minicnn.weights.restricted_pickle import Source, interpret
from tests.weights.pickles import ORDERED_DICT, PROTOCOL, integer, integers, state, tensor, text, write_zip


@pytest.fixture(params=["zip", "legacy"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], dict[str, np.ndarray]]:
    """Reads a .pth file with this pickle in it, of either form."""

    def read_zip(pickled: bytes) -> dict[str, np.ndarray]:
        return weights.read(write_zip(tmp_path / "w.pth", pickled))

    def read_legacy(pickled: bytes) -> dict[str, np.ndarray]:
        head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001)]
        head.append(pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2))
        (tmp_path / "w.pth").write_bytes(b"".join([*head, pickled, pickle.dumps([], 2)]))
        return weights.read(tmp_path / "w.pth")

    return {"zip": read_zip, "legacy": read_legacy}[request.param]


class Evil:
    """Pickled as a call of a function, which a plain unpickler makes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "it ran"


def touch(trap: Path) -> list[Evil]:
    """Ways to make a file by unpickling."""
    command = f'touch "{trap}"'
    return [
        Evil(os.system, command),
        Evil(eval, f"open({str(trap)!r}, 'w')"),
        Evil(exec, f"open({str(trap)!r}, 'w')"),
        Evil(builtins.open, str(trap), "w"),
        Evil(subprocess.check_call, ["touch", str(trap)]),
        Evil(os.mkdir, str(trap)),
        Evil(getattr, "text", "upper"),
        Evil(__import__, "os"),
        Evil(map, os.mkdir, [str(trap)]),
    ]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("index", range(len(touch(Path()))))
def test_calls_are_refused_and_nothing_runs(read: Callable, trap: Path, protocol: int, index: int) -> None:
    evil = touch(trap)[index]
    for value in (evil, {"w": evil}, {"state_dict": {"w": [evil]}}, {"a": Evil(dict, [("b", evil)])}):
        with pytest.raises(
            WeightsError, match=r"its pickle asks for '.*refused, nothing was imported or run"
        ):
            read(pickle.dumps(value, protocol))
    assert not trap.exists()


def test_the_traps_work() -> None:
    """What the test above rests on: a plain unpickler does run them."""
    assert pickle.loads(pickle.dumps(Evil(eval, "6 * 7"))) == 42


@pytest.mark.parametrize(
    "pickled",
    [
        b"cos\nsystem\n(X\x04\x00\x00\x00trueeR.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x04\x00\x00\x00trueo.",  # OBJ
        b"cos\nsystem\n)\x81.",  # NEWOBJ
        b"cos\nsystem\n)}\x92.",  # NEWOBJ_EX
        b"\x82\x01.",  # EXT1, a registered extension
        b"P0\n.",  # PERSID, a textual persistent id
        b"\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.",  # the same, by way of the memo
        b"c__builtin__\neval\n.",
        b"ctorch\nload\n.",
        b"ctorch.storage\n_load_from_bytes\n.",  # it unpickles
        b"ctorch._utils\n_rebuild_sparse_tensor\n.",
        b"ctorch.jit\nload\n.",
        b"ccollections\nOrderedDict.__class__\n.",
        b"\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
        b"cnumpy.core.multiarray\n_reconstruct\n.",
    ],
)
def test_opcodes_and_globals_beyond_a_state_dict(read: Callable, pickled: bytes) -> None:
    with pytest.raises(WeightsError, match=r"has the opcode|its pickle asks for"):
        read(PROTOCOL + pickled)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (ORDERED_DICT + text("x") + b"R.", "calls something that is no function"),
        (text("os.system") + b"(" + text("true") + b"tR.", "calls something that is no function"),
        (b"ctorch\nFloatStorage\n" + integers(10) + b"R.", "calls torch.FloatStorage in a way"),
        (b"ccollections\nOrderedDict\n" + integers(1, 2) + b"R.", "calls collections.OrderedDict in a way"),
        (b"ccollections\nOrderedDict\n(" + text("ab") + b"tR.", "a dictionary of what are no pairs"),
        (b"ctorch._utils\n_rebuild_parameter\n)R.", "calls torch._utils._rebuild_parameter in a way"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR.", "not made of a storage"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}" + b"b.", "sets attributes of an object"),
        (ORDERED_DICT + text("x") + b"b.", "sets attributes"),
        (b"ctorch\nFloatStorage\n" + text("x") + b"s.", "makes no sense|no list and no dictionary"),
        (b")(" + text("x") + text("y") + b"u.", "no list and no dictionary"),
        (b"}(" + text("x") + b"u.", "a key without a value"),
        (b"}" + integers(1) + b"Ns.", "a dictionary key that is no name but tuple"),
        (b"}" + integer(1 << 61) + b"Ns.", "a dictionary key that is no name but int"),
        (b"}" + text("x") + b"N" + b"s" + text("x") + b"Ns.", "names 'x' twice"),
        (b"h\x00.", "recalls value 0"),
        (b"r\xff\xff\xff\xff.", "makes no sense"),
        (b"j\xff\xff\xff\xff.", "recalls value 4294967295"),
        (b"t.", "makes no sense"),
        (b"R.", "makes no sense"),
        (b"Q.", "makes no sense"),
        (b".", "values left over"),
        (b"NN.", "values left over"),
        (b"(N.", "values left over"),
        (b"\x80\x09N.", "protocol 9"),
        (b"NQ.", "not a storage|where there can be none"),
        (b"X\xff\xff\xff\xff.", "text of 4,294,967,295 bytes"),
        (b"\x8d" + b"\xff" * 8 + b".", "text of 18,446,744,073,709,551,615 bytes"),
        (b"T\xff\xff\xff\xff.", "text of -1 bytes"),
        (b"X\x02\x00\x00\x00\xff\xff.", "makes no sense"),
        (b"X\xff\xff\x0f\x00abc.", "cut short"),
        (b"\x95" + b"\xff" * 8 + b"N.", "a frame that ends beyond it"),
        (b"c" + b"a" * 1000, "more than 255 characters"),
        (b"N.", "holds a None, not a state dict"),
        (b"K\x05.", "holds a int, not a state dict"),
        (b"].", "holds a list, not a state dict"),
        (b"}" + text("epoch") + b"K\x03s.", "entry 'epoch' is a int, not a tensor"),
        (b"}K\x01Ns.", "entry '1' is a None"),
    ],
)  # fmt: skip
def test_crooked_pickles(read: Callable, pickled: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read(PROTOCOL + pickled)


class TestBombs:
    """Small files that ask for much: refused in moments, within some megabytes."""

    def refuse(self, read: Callable, pickled: bytes, message: str, limit: int = 20 << 20) -> None:
        start = time.monotonic()
        tracemalloc.start()
        try:
            with pytest.raises(WeightsError, match=message):
                read(pickled)
            assert tracemalloc.get_traced_memory()[1] < limit
        finally:
            tracemalloc.stop()
        assert time.monotonic() - start < 60

    def test_deep_nesting(self, read: Callable) -> None:
        self.refuse(read, PROTOCOL + b"]" * 20_000 + b"a" * 19_999 + b".", "holds a list")
        self.refuse(read, PROTOCOL + b")" + b"\x85" * 20_000 + b".", "holds a tuple")
        self.refuse(read, PROTOCOL + b"(" * 20_000 + b"t" * 20_000 + b".", "holds a tuple")

    def test_a_list_that_holds_itself(self, read: Callable) -> None:
        self.refuse(read, PROTOCOL + b"]q\x00h\x00a.", "holds a list")
        self.refuse(read, PROTOCOL + b"}q\x00" + text("x") + b"h\x00s.", "is a dictionary, not a tensor")
        self.refuse(read, PROTOCOL + b"}q\x00" + text("model") + b"h\x00s.", "is a dictionary, not a tensor")

    def test_a_billion_laughs(self, read: Callable) -> None:
        """Each list holds the one before ten times: small here, as nothing is copied or printed."""
        lists = b"]q\x00"
        for level in range(1, 40):
            lists += (
                b"](" + b"h" + bytes([level - 1]) + (b"h" + bytes([level - 1])) * 9 + b"eq" + bytes([level])
            )
        self.refuse(read, PROTOCOL + lists + b"0" * 39 + b".", "holds a list")

    def test_pairs_copied_again_and_again(self, read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(restricted_pickle, "MAX_STEPS", 10_000)
        pairs = b"](" + b"".join(b"(" + text(f"k{i}") + b"Nt" for i in range(500)) + b"eq\x00"
        calls = b"ccollections\nOrderedDict\n(h\x00tR" * 100
        self.refuse(read, PROTOCOL + pairs + calls + b".", "copies more than 10,000 items")

    def test_too_many_steps(self, read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(restricted_pickle, "MAX_STEPS", 10_000)
        self.refuse(read, PROTOCOL + b"N0" * 5_001 + b"N.", "takes more than 10,000 steps")

    def test_many_names_for_one_tensor(self, tmp_path: Path) -> None:
        value = tensor() + b"q\x63"
        items = value + b"".join(text(f"w{i}") + b"h\x63" for i in range(100))
        pickled = PROTOCOL + ORDERED_DICT + b"(" + text("w") + items + b"u."
        self.refuse(
            lambda content: weights.read(write_zip(tmp_path / "w.pth", content)),
            pickled,
            "its tensors take 2,424 bytes out of storages of 24: it repeats itself without end",
        )

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (tensor((10**6, 10**6), (1000, 1)), "reaches beyond its storage of 6 elements"),
            (tensor((10**9,), (0,)), "repeats elements .*contiguous"),
            (tensor((2**62, 2**62), (0, 0)), "impossible shape"),
            (tensor((0, 2**62, 2**62), (0, 0, 0)), "impossible shape"),
            (tensor((1 << 2000,), (1,)), "impossible shape"),
            (tensor((1,) * 40, (1,) * 40), "40 dimensions"),
        ],
    )
    def test_tensors_that_are_larger_than_their_storage(
        self, tmp_path: Path, made: bytes, message: str
    ) -> None:
        self.refuse(
            lambda content: weights.read(write_zip(tmp_path / "w.pth", content)),
            state(("w", made)),
            message,
            5 << 20,
        )


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=5) | st.integers(0, 1000), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(value=plain, protocol=st.integers(2, 5))
def test_plain_data_come_out_as_pickle_would_give_them(value: Any, protocol: int) -> None:
    """The opcodes are the documented ones: checked against Python's own machine on what it wrote itself."""
    # Bytes are pickled as a call in protocol 2, which a state dict has no use for.
    pickled = pickle.dumps(value, protocol)
    assume(protocol > 2 or not (b"_codecs" in pickled or b"__builtin__\nbytes" in pickled))
    found = interpret(Source(io.BytesIO(pickled), len(pickled)), lambda saved: saved)
    assert found == pickle.loads(pickled)
    assert repr(found) == repr(pickle.loads(pickled)), "the types too: True is not 1"


def test_a_tensor_made_by_hand_is_read(tmp_path: Path) -> None:
    """The pieces above make a good file where nothing is wrong with them."""
    expected = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = write_zip(tmp_path / "w.pth", state(("w", tensor()), ("t", tensor((3, 2), (1, 3)))))
    np.testing.assert_array_equal(weights.read(path)["w"], expected)
    np.testing.assert_array_equal(weights.read(path)["t"], expected.T)
