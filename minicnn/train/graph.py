"""A training step as one CUDA graph: launched whole, not kernel by kernel.

A small network's kernels take a few microseconds each, less than Python takes to launch them. A
graph holds the launches of forward, loss and backward, with their arguments; replaying it costs one
launch. That needs the same shapes in every step: a batch of another size, such as an epoch's last, is
computed kernel by kernel, and so is everything where a step cannot be recorded (a layer that looks at a
number on the way). The optimizer's step stays outside: its learning rate changes.

What was recorded uses the same memory in each replay. So gradients that someone holds over a step
change, unlike elsewhere: Trainer(graph=False) if that matters.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from minicnn.backend import Array
from minicnn.layers.base import Layer, backward_into
from minicnn.layers.dropout import Dropout
from minicnn.losses import Loss

WARM_UPS = 2  # steps of a shape before it is recorded: kernels are compiled, memory is in the pool
Step = Callable[[], tuple[Array, Array]]


class Recorder(Protocol):
    """What records launches: CudaRecorder, or a stand-in in tests."""

    def run(self, step: Step) -> tuple[Array, Array]:
        """Run the step as it will be recorded, in memory of its own."""

    def record(self, step: Step) -> tuple[Callable[[], None], tuple[Array, Array]]:
        """(what replays the step, its results' arrays). The step is not computed by this."""

    def counter(self) -> Any:
        """An array of one number on the device, 0."""


class _Recording(NamedTuple):
    replay: Callable[[], None]
    x: Array
    labels: Array
    results: tuple[Array, Array]  # loss, logits
    grads: list[Array | None]
    offsets: list[int]  # of the dropout layers, frozen with the launches
    later: Array  # on the device: how far the offsets have moved on since


class StepGraph:
    """Computes loss and gradients of a batch, by a recorded graph wherever it can.

    required: raise where a step cannot be recorded (graph=True); otherwise carry on without.
    """

    def __init__(self, model: Layer, loss: Loss, recorder: Recorder, required: bool = False) -> None:
        self.model, self.loss, self.recorder, self.required = model, loss, recorder, required
        self.problem: Exception | None = None  # why nothing is recorded any more
        self.replays = 0
        self._seen: dict[Any, int] = {}
        self._recordings: dict[Any, _Recording] = {}

    def __call__(self, x: Array, labels: Array) -> tuple[Array, Array]:
        """(loss, logits), with the gradients in the parameters."""
        if self.problem is not None:
            return self._compute(x, labels)
        key = self._key(x, labels)
        recording = self._recordings.get(key)
        if recording is not None and (later := self._moved_on(recording)) is not None:
            return self._replay(recording, x, labels, later)
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] <= WARM_UPS:
            return self.recorder.run(lambda: self._compute(x, labels))
        try:
            self._recordings[key] = recording = self._record(x, labels)
        except Exception as problem:
            if self.required:
                raise
            self.problem = problem
            self.model.zero_grad()
            return self._compute(x, labels)
        return self._replay(recording, x, labels, 0)

    def _compute(self, x: Array, labels: Array) -> tuple[Array, Array]:
        logits = self.model.forward(x)
        loss = self.loss.forward(logits, labels)
        backward_into(self.model, self.loss.backward(), need_dx=False)
        return loss, logits

    def _record(self, x: Array, labels: Array) -> _Recording:
        from minicnn.kernels.cuda_calls.dropout import counted

        x, labels, offsets = x.copy(), labels.copy(), self._offsets()
        later = self.recorder.counter()

        def step() -> tuple[Array, Array]:
            with counted(later):
                return self._compute(x, labels)

        self.model.zero_grad()
        try:
            replay, results = self.recorder.record(step)
        finally:
            self._set_offsets(offsets)  # recorded, not computed: no mask has been drawn
        grads = [parameter.grad if parameter.has_grad else None for parameter in self.model.parameters()]
        return _Recording(replay, x, labels, results, grads, offsets, later)

    def _replay(self, recording: _Recording, x: Array, labels: Array, later: int) -> tuple[Array, Array]:
        recording.x[...] = x
        recording.labels[...] = labels
        recording.later[...] = later
        recording.replay()
        self.replays += 1
        for parameter, grad in zip(self.model.parameters(), recording.grads):
            if grad is not None:
                parameter.grad = grad
        self._set_offsets([offset + later + 1 for offset in recording.offsets])
        return recording.results

    def _moved_on(self, recording: _Recording) -> int | None:
        """By how much every dropout's offset has grown since the recording; None if not all by the same."""
        differences = {now - then for now, then in zip(self._offsets(), recording.offsets)} or {0}
        return differences.pop() if len(differences) == 1 and min(differences) >= 0 else None

    def _key(self, x: Array, labels: Array) -> Any:
        """All that a recording has frozen: shapes, the parameters' memory, what is trained, the modes."""
        parameters = tuple((id(each.value), each.frozen) for each in self.model.parameters())
        modes = tuple(layer.training for _, layer in self.model.named_layers())
        return x.shape, x.dtype, labels.shape, labels.dtype, parameters, modes

    def _dropouts(self) -> list[Dropout]:
        return [
            layer for _, layer in self.model.named_layers() if isinstance(layer, Dropout) and layer.training
        ]

    def _offsets(self) -> list[int]:
        return [layer.offset for layer in self._dropouts()]

    def _set_offsets(self, offsets: list[int]) -> None:
        for layer, offset in zip(self._dropouts(), offsets):
            layer.offset = offset


class CudaRecorder:
    """Records by CuPy's stream capture. What a recording uses comes from a memory pool of its own."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._pool = cupy.cuda.MemoryPool()
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def run(self, step: Step) -> tuple[Array, Array]:
        """On the recording's stream and in its pool: so that the blocks are there when it is recorded."""
        self._cupy.cuda.Device().synchronize()
        with self._stream, self._cupy.cuda.using_allocator(self._pool.malloc):
            results = step()
        self._stream.synchronize()
        return results

    def record(self, step: Step) -> tuple[Callable[[], None], tuple[Array, Array]]:
        self._cupy.cuda.Device().synchronize()
        with self._stream, self._cupy.cuda.using_allocator(self._pool.malloc):
            self._stream.begin_capture()
            try:
                results = step()
            except BaseException:
                self._abandon()
                raise
            graph = self._stream.end_capture()
        return graph.launch, results

    def _abandon(self) -> None:
        """End a capture that went wrong; that it did is known already."""
        with suppress(self._cupy.cuda.runtime.CUDARuntimeError):
            self._stream.end_capture()

    def counter(self) -> Any:
        return self._cupy.zeros(1, dtype="uint64")


def step_for(model: Layer, loss: Loss, graph: bool | str) -> StepGraph | None:
    """The graph of a model's step; None on a CPU, and where none is wanted."""
    if not graph or model.device != "cuda":
        return None
    return StepGraph(model, loss, CudaRecorder(), required=graph is True)
