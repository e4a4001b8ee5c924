"""What torch.save pickles, interpreted without Python's pickle: it builds data and can do nothing else.

A pickle is a program for a small stack machine. Python's own machine can import any module and call anything
in it, so that opening a pickle runs whatever its author wished. Restricting what it may import (by
Unpickler.find_class) still leaves its other ways into Python: calling what was imported, setting attributes,
making classes. This machine has none of them. It knows the opcodes that a state dict needs, and

- a global is looked up in the table below: names become inert marks, nothing is ever imported;
- the one opcode that calls (REDUCE) knows five functions of torch and collections by their marks, each
  done here by a few lines on data; to anything else it says no;
- BUILD, which sets attributes, is accepted on an ordered dictionary, and then ignored;
- lengths are held against what is left of the file before anything is read, steps and copied items are
  counted, and nothing is recursive: no file costs much more memory or time than its own size.

Python's documentation of each opcode: Lib/pickletools.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from minicnn.errors import WeightsError
from minicnn.weights.tensors import STORAGES, Tensor, make_tensor

MAX_STEPS = 1_000_000  # a DenseNet-201 takes 80,000
_MAX_TEXT = 1 << 20


class Mark(NamedTuple):
    """The name of a global, and no more than the name."""

    module: str
    name: str


ORDERED_DICT = Mark("collections", "OrderedDict")
_REBUILD = Mark("torch._utils", "_rebuild_tensor_v2")
_REBUILD_OLD = Mark("torch._utils", "_rebuild_tensor")
_PARAMETER = Mark("torch._utils", "_rebuild_parameter")
_SIZE = Mark("torch", "Size")
_GLOBALS = {
    ORDERED_DICT,
    _REBUILD,
    _REBUILD_OLD,
    _PARAMETER,
    _SIZE,
    *(Mark("torch", name) for name in STORAGES),
}


class Source:
    """Bytes of a file up to `end`, never asked for more than there are."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self.file, self.end = file, end
        self.position = file.tell()

    def read(self, count: int) -> bytes:
        self._check(count)
        content = self.file.read(count)
        self.position += len(content)
        if len(content) < count:
            raise WeightsError("it became shorter while it was read")
        return content

    def skip(self, count: int) -> None:
        self._check(count)
        self.position += count
        self.file.seek(self.position)

    def _check(self, count: int) -> None:
        left = self.end - self.position
        if count > left:
            raise WeightsError(
                f"it asks for {count:,} bytes at byte {self.position:,}, where {left:,} are left: it is cut short or damaged"
            )

    def unpack(self, form: str) -> Any:
        (value,) = struct.unpack(form, self.read(struct.calcsize(form)))
        return value


def interpret(source: Source, persistent: Callable[[Any], Any]) -> Any:
    """The value of the pickle that begins here, made of None, bool, int, float, str, bytes, tuple, list, dict,
    Mark and Tensor. `persistent` gives the values of PyTorch's persistent ids.

    Raises WeightsError for a pickle that is damaged, needs anything else, or takes more than MAX_STEPS.
    """
    machine = _Machine(source, persistent)
    for _ in range(MAX_STEPS):
        start = source.position
        opcode = source.read(1)
        if opcode == b".":
            return machine.result()
        step = _STEPS.get(opcode)
        if step is None:
            raise WeightsError(
                f"its pickle has the opcode {opcode!r} at byte {start:,}, which no state dict needs: it is damaged, "
                "or holds more than arrays"
            )
        try:
            step(machine)
        except (IndexError, UnicodeDecodeError):
            raise WeightsError(f"its pickle makes no sense at byte {start:,}: it is damaged") from None
    raise WeightsError(
        f"its pickle takes more than {MAX_STEPS:,} steps, many times what the largest network needs"
    )


class _Machine:
    def __init__(self, source: Source, persistent: Callable[[Any], Any]) -> None:
        self.source, self.persistent = source, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each opening mark
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def result(self) -> Any:
        if len(self.stack) != 1 or self.below:
            raise WeightsError("its pickle ends with values left over: it is damaged")
        return self.stack[0]

    # ---- the stack

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def tuple_since_mark(self) -> None:
        items = tuple(self.since_mark())
        self.stack.append(items)

    def take(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise WeightsError("its pickle puts items into what is no list and no dictionary: it is damaged")
        return self.stack[-1]

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise WeightsError(f"its pickle recalls value {index}, which it never stored: it is damaged")
        self.stack.append(self.memo[index])

    # ---- texts and numbers

    def text(self, length: int, encoding: str = "utf-8") -> None:
        self.stack.append(self.bytes(length).decode(encoding))

    def bytes(self, length: int) -> bytes:
        if not 0 <= length <= _MAX_TEXT:
            raise WeightsError(f"its pickle holds a text of {length:,} bytes, expected {_MAX_TEXT:,} at most")
        return self.source.read(length)

    def long(self) -> None:
        self.stack.append(int.from_bytes(self.source.read(self.source.unpack("B")), "little", signed=True))

    def protocol(self) -> None:
        version = self.source.unpack("B")
        if not 2 <= version <= 5:
            raise WeightsError(f"its pickle has protocol {version}, expected 2 to 5")

    def frame(self) -> None:
        if self.source.unpack("<Q") > self.source.end - self.source.position:
            raise WeightsError("its pickle has a frame that ends beyond it: it is cut short or damaged")

    # ---- lists and dictionaries

    def append(self) -> None:
        (item,) = self.take(1)
        self.top(list).append(item)

    def extend(self) -> None:
        items = self.since_mark()
        self.top(list).extend(items)

    def set_item(self) -> None:
        items = self.take(2)
        _fill(self.top(dict), items)

    def set_items(self) -> None:
        items = self.since_mark()
        _fill(self.top(dict), items)

    # ---- globals and calls

    def global_lines(self) -> None:
        self.push_global(self.line(), self.line())

    def line(self) -> str:
        characters = bytearray()
        while (character := self.source.read(1)) != b"\n":
            characters += character
            if len(characters) > 255:
                raise WeightsError("its pickle names a global by more than 255 characters: it is damaged")
        return characters.decode("utf-8")

    def push_global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise WeightsError("its pickle names a global by something that is no text: it is damaged")
        mark = Mark(module, name)
        if mark not in _GLOBALS:
            raise WeightsError(_refusal(mark))
        self.stack.append(mark)

    def reduce(self) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, Mark) or not isinstance(arguments, tuple):
            raise WeightsError("its pickle calls something that is no function: refused, nothing was run")
        self.stack.append(self.call(function, arguments))

    def call(self, function: Mark, arguments: tuple[Any, ...]) -> Any:
        if function == ORDERED_DICT and len(arguments) < 2:
            return self.ordered_dict(*arguments)
        if function == _REBUILD and len(arguments) in (6, 7):  # ..., requires_grad, hooks, metadata
            return make_tensor(*arguments[:4])
        if function == _REBUILD_OLD and len(arguments) == 4:
            return make_tensor(*arguments)
        if function == _PARAMETER and len(arguments) == 3 and isinstance(arguments[0], Tensor):
            return arguments[0]
        if function == _SIZE and len(arguments) == 1 and isinstance(arguments[0], tuple):
            return arguments[0]
        raise WeightsError(
            f"its pickle calls {function.module}.{function.name} in a way that torch.save does not: refused, nothing was run"
        )

    def ordered_dict(self, pairs: Any = ()) -> dict[Any, Any]:
        """OrderedDict() or, from Python 2, OrderedDict([[key, value], ...])."""
        if not isinstance(pairs, (list, tuple)) or not all(
            isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs
        ):
            raise WeightsError("its pickle makes a dictionary of what are no pairs: it is damaged")
        # One list of pairs, copied again and again, would grow without bound.
        self.copied += len(pairs)
        if self.copied > MAX_STEPS:
            raise WeightsError(f"its pickle copies more than {MAX_STEPS:,} items")
        made: dict[Any, Any] = {}
        _fill(made, [value for pair in pairs for value in pair])
        return made

    def set_state(self) -> None:
        """BUILD: an OrderedDict's attributes (`_metadata`, versions of layers), which we have no use for."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict):
            raise WeightsError("its pickle sets attributes of an object: refused, nothing was run")

    def persistent_id(self) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


def _fill(target: dict[Any, Any], items: list[Any] | tuple[Any, ...]) -> None:
    if len(items) % 2:
        raise WeightsError("its pickle has a key without a value: it is damaged")
    for key, value in zip(items[::2], items[1::2]):
        # Nothing else: a tuple of tuples of tuples ... is hashed by recursion, and large integers can be chosen
        # such that they all have one hash, which makes a dictionary of them take hours.
        if not isinstance(key, str) and not (isinstance(key, int) and 0 <= key < 1 << 32):
            raise WeightsError(f"its pickle has a dictionary key that is no name but {type(key).__name__}")
        if isinstance(key, str) and key in target:
            raise WeightsError(f"its pickle names {key[:80]!r} twice")
        target[key] = value


def _refusal(mark: Mark) -> str:
    name = f"{mark.module}.{mark.name}"[:120]
    if mark.module == "torch" and mark.name.endswith("Storage"):
        return f"it holds numbers of type {name}: minicnn reads {', '.join(STORAGES.values())}"
    return (
        f"its pickle asks for {name!r}, which a state dict does not need: refused, nothing was imported or run. If "
        "you trust the file, open it in PyTorch and save the arrays alone: "
        "torch.save(model.state_dict(), path), or safetensors.torch.save_file(state_dict, path)"
    )


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    # numbers and constants
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"K": lambda m: m.stack.append(m.source.unpack("B")),
    b"M": lambda m: m.stack.append(m.source.unpack("<H")),
    b"J": lambda m: m.stack.append(m.source.unpack("<i")),
    b"G": lambda m: m.stack.append(m.source.unpack(">d")),
    b"\x8a": _Machine.long,
    # texts; U and T come from Python 2
    b"X": lambda m: m.text(m.source.unpack("<I")),
    b"\x8c": lambda m: m.text(m.source.unpack("B")),
    b"\x8d": lambda m: m.text(m.source.unpack("<Q")),
    b"U": lambda m: m.text(m.source.unpack("B"), "latin-1"),
    b"T": lambda m: m.text(m.source.unpack("<i"), "latin-1"),
    b"C": lambda m: m.stack.append(m.bytes(m.source.unpack("B"))),
    b"B": lambda m: m.stack.append(m.bytes(m.source.unpack("<I"))),
    # tuples, lists, dictionaries
    b")": lambda m: m.stack.append(()),
    b"\x85": lambda m: m.stack.append(m.take(1)),
    b"\x86": lambda m: m.stack.append(m.take(2)),
    b"\x87": lambda m: m.stack.append(m.take(3)),
    b"(": _Machine.mark,
    b"t": _Machine.tuple_since_mark,
    b"]": lambda m: m.stack.append([]),
    b"a": _Machine.append,
    b"e": _Machine.extend,
    b"}": lambda m: m.stack.append({}),
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    # memory, globals, calls
    b"q": lambda m: m.remember(m.source.unpack("B")),
    b"r": lambda m: m.remember(m.source.unpack("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.recall(m.source.unpack("B")),
    b"j": lambda m: m.recall(m.source.unpack("<I")),
    b"c": _Machine.global_lines,
    b"\x93": lambda m: m.push_global(*m.take(2)),
    b"R": _Machine.reduce,
    b"b": _Machine.set_state,
    b"Q": _Machine.persistent_id,
    b"0": lambda m: m.stack.pop(),
    # the envelope
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
}
