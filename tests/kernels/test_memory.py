"""The pool of memory: lent again when free, never while somebody looks, and no growth in a steady state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.kernels.memory import Pool, empty, pool, zeros
from minicnn.losses import CrossEntropyLoss
from minicnn.models import build
from minicnn.optim import SGD


def test_a_block_is_lent_again_when_its_last_view_is_gone() -> None:
    ours = Pool()
    array = ours.empty((4, 5))
    view = array.T[1:]
    address = array.ctypes.data
    del array
    assert ours.empty((4, 5)).ctypes.data != address
    del view
    assert ours.empty((4, 5)).ctypes.data == address
    assert ours.misses == 2


def test_arrays_are_aligned_and_of_any_dtype() -> None:
    assert empty((3, 7), np.uint8).dtype == np.uint8
    assert empty((100,)).ctypes.data % 64 == 0
    assert not zeros((3, 3)).any()
    assert empty((0, 4)).shape == (0, 4)


def test_free_memory_goes_back_to_the_system_when_other_sizes_are_wanted() -> None:
    ours = Pool()
    for size in range(1, 20):
        ours.empty((size * 100_000,))  # each is free again at once
    assert ours.total_bytes < 3 * 4 * 1_900_000


def test_sizes_that_are_wanted_again_are_kept() -> None:
    """A step that needs one size early and others late would otherwise give back and take the same memory for ever."""
    ours = Pool()

    def step() -> int:
        before = ours.misses
        for size in (100_000, 70_000, 50_000):
            held = [ours.empty((size,)) for _ in range(5)]
            del held
        return ours.misses - before

    assert [step() for _ in range(6)][-3:] == [0, 0, 0]


class Training:
    """A network in training, one step at a time."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(7)
        self.x = rng.standard_normal(shape, dtype=np.float32)
        self.labels = rng.integers(0, 10, shape[0])
        self.model = build(name, rng=np.random.default_rng(3))
        self.loss = CrossEntropyLoss()
        self.optimizer = SGD(self.model, lr=0.01, momentum=0.9)

    def step(self) -> dict[str, Any]:
        self.optimizer.zero_grad()
        logits = self.model.forward(self.x)
        loss = self.loss(logits, self.labels)
        dx = self.model.backward(self.loss.backward())
        self.optimizer.step()
        gradients = {name: parameter.grad for name, parameter in self.model.named_parameters()}
        return {"logits": logits, "loss": loss, "dx": dx, **gradients}


NETWORKS = pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5", (64, 1, 28, 28)), ("convnet3", (16, 3, 32, 32))],
    ids=["lenet5", "convnet3"],
)


@NETWORKS
def test_a_step_in_a_steady_state_takes_no_fresh_memory(name: str, shape: tuple[int, ...]) -> None:
    training = Training(name, shape)
    for _ in range(3):
        training.step()
    before = pool().misses
    for _ in range(3):
        training.step()
    assert pool().misses == before


@NETWORKS
def test_no_result_depends_on_what_a_buffer_held(name: str, shape: tuple[int, ...]) -> None:
    """Fill all free memory with NaN between steps: whoever read a stale buffer would now show it."""
    clean, poisoned = Training(name, shape), Training(name, shape)
    for _ in range(3):
        expected = {key: np.array(value) for key, value in clean.step().items()}
        for block in pool().free_blocks():
            block.view(np.uint8)[...] = 0xFF  # NaN as float32, True as bool, a wrong place as uint8
        results = poisoned.step()
        for key, value in expected.items():
            np.testing.assert_array_equal(results[key], value, err_msg=key)


@NETWORKS
def test_what_a_caller_holds_never_changes(name: str, shape: tuple[int, ...]) -> None:
    training = Training(name, shape)
    held = [training.step() for _ in range(3)]
    copies = [{key: np.array(value) for key, value in results.items()} for results in held]
    for _ in range(3):
        training.step()
    for results, copy in zip(held, copies):
        for key, value in results.items():
            np.testing.assert_array_equal(value, copy[key], err_msg=key)
