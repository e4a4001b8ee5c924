from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data import ArrayDataset, Loader
from minicnn.data import loader as loader_module
from minicnn.errors import ConfigError, DataError


def numbered(n):
    """Sample i is the 1x1 image i with the label i."""
    return ArrayDataset(np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1), np.arange(n))


def labels(loader):
    return [y.tolist() for _, y in loader]


@settings(deadline=None)
@given(n=st.integers(0, 30), size=st.integers(1, 12), shuffle=st.booleans(), drop_last=st.booleans())
def test_an_epoch_holds_every_sample_once(n, size, shuffle, drop_last):
    if drop_last and 0 < n < size:
        return
    loader = Loader(numbered(n), size, shuffle=shuffle, drop_last=drop_last)
    batches = list(loader)
    assert len(batches) == len(loader) == (n // size if drop_last else -(-n // size))
    seen = []
    for x, y in batches:
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(x.ravel(), y)
        seen += y.tolist()
    assert all(len(y) == size for _, y in (batches if drop_last else batches[:-1]))
    assert len(set(seen)) == len(seen) == (n // size * size if drop_last else n)
    if not shuffle:
        assert seen == list(range(len(seen)))


PIXELS = ArrayDataset(np.random.default_rng(1).integers(0, 256, (27, 4, 4), dtype=np.uint8), np.arange(27))
each_room = pytest.mark.parametrize("room", [0, 1, 2 * 5 * 16 * 4, 1 << 30])  # for 1, 1, 2 and all batches


@each_room
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_prepared_together_are_those_prepared_one_by_one(room, drop_last, monkeypatch):
    monkeypatch.setattr(loader_module, "_TOGETHER", room)
    loader = Loader(PIXELS, 5, shuffle=True, drop_last=drop_last, rng=np.random.default_rng(2))
    order = np.random.default_rng(2).permutation(27)
    batches = list(loader)
    assert [len(y) for _, y in batches] == ([5] * 5 if drop_last else [5] * 5 + [2])
    for number, (x, y) in enumerate(batches):
        expected_x, expected_y = PIXELS[order[5 * number : 5 * number + 5]]
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)
        assert x.flags.c_contiguous
        x[...] = 7  # the batches after this one do not see it


@each_room
@pytest.mark.parametrize("done", [1, 2, 3, 6])
def test_an_epoch_goes_on_after_any_batch_of_those_prepared_together(room, done, monkeypatch):
    monkeypatch.setattr(loader_module, "_TOGETHER", room)
    loader = Loader(PIXELS, 5, shuffle=True, rng=np.random.default_rng(2))
    passing = iter(loader)
    seen = [next(passing)[1].tolist() for _ in range(done)]
    rest = Loader(PIXELS, 5, shuffle=True)
    rest.load_state_dict(loader.state_dict())
    whole = Loader(PIXELS, 5, shuffle=True, rng=np.random.default_rng(2))
    assert seen + labels(rest) == labels(whole)
    assert labels(rest) == labels(whole), "the next epoch too"


def test_every_epoch_has_an_order_of_its_own():
    loader = Loader(numbered(50), 8, shuffle=True, rng=np.random.default_rng(0))
    first, second = labels(loader), labels(loader)
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second))


def test_the_same_seed_gives_the_same_orders():
    a, b = (Loader(numbered(50), 8, shuffle=True, rng=np.random.default_rng(7)) for _ in range(2))
    assert [labels(a) for _ in range(3)] == [labels(b) for _ in range(3)]
    assert labels(Loader(numbered(50), 8, shuffle=True)) != labels(Loader(numbered(50), 8, shuffle=True))


def test_the_order_is_the_same_on_every_machine():
    loader = Loader(numbered(10), 4, shuffle=True, rng=np.random.default_rng(0))
    assert labels(loader) == [[4, 6, 2, 7], [3, 5, 9, 0], [8, 1]]


def test_two_iterators_at_once_do_not_disturb_each_other():
    dataset = numbered(20)
    loader = Loader(dataset, 5, shuffle=True, rng=np.random.default_rng(3))
    in_turn = [labels(loader), labels(loader)]
    loader = Loader(dataset, 5, shuffle=True, rng=np.random.default_rng(3))
    pairs = [(a[1].tolist(), b[1].tolist()) for a, b in zip(iter(loader), iter(loader))]
    assert [list(order) for order in zip(*pairs)] == in_turn


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    list(Loader(numbered(9), 2, shuffle=True))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_may_be_written_into(shuffle):
    dataset = numbered(10)
    for x, y in Loader(dataset, 4, shuffle=shuffle):
        x[:], y[:] = -1, -1
    np.testing.assert_array_equal(dataset.images.ravel(), np.arange(10))
    np.testing.assert_array_equal(dataset.labels, np.arange(10))


@pytest.mark.parametrize("size", [0, -3, 2.0, "64", True, None])
def test_a_senseless_batch_size_is_answered(size):
    with pytest.raises(ConfigError, match="batch_size must be a whole number from 1 up, got"):
        Loader(numbered(10), size)


def test_a_seed_in_place_of_a_generator_is_answered():
    with pytest.raises(
        ConfigError, match=r"rng must be a generator, got 0: use np.random.default_rng\(seed\)"
    ):
        Loader(numbered(10), rng=0)


def test_dropping_the_only_batch_is_answered():
    with pytest.raises(
        ConfigError, match="drop_last=True leaves no batch: 10 samples are fewer than batch_size=64"
    ):
        Loader(numbered(10), 64, drop_last=True)
    assert labels(Loader(numbered(0), 64, drop_last=True)) == []


class TestState:
    """After load_state_dict the batches go on as if the loader had never stopped."""

    def epochs(self, loader: Loader, count: int) -> list[list[list[int]]]:
        return [[y.tolist() for _, y in loader] for _ in range(count)]

    @given(st.integers(0, 5), st.integers(0, 2), st.booleans(), st.booleans())
    def test_the_same_batches_are_left(self, taken: int, epochs: int, shuffle: bool, drop_last: bool) -> None:
        def make(seed: int) -> Loader:
            options = {"shuffle": shuffle, "drop_last": drop_last, "rng": np.random.default_rng(seed)}
            return Loader(numbered(17), 4, **options)

        loader, other = make(0), make(1)
        taken = min(taken, len(loader))
        self.epochs(loader, epochs)
        batches = iter(loader)
        for _ in range(taken):
            next(batches)
        state = json.loads(json.dumps(loader.state_dict()))
        assert state["batches"] == taken
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert [y.tolist() for _, y in other] == [y.tolist() for _, y in batches]
        assert self.epochs(other, 2) == self.epochs(loader, 2)

    def test_between_two_epochs_no_batch_is_counted(self) -> None:
        loader = Loader(numbered(8), 4, shuffle=True, rng=np.random.default_rng(0))
        assert loader.state_dict()["batches"] == 0
        self.epochs(loader, 1)
        state = loader.state_dict()
        assert state["batches"] == 0
        expected = self.epochs(loader, 1)
        loader.load_state_dict(state)
        assert self.epochs(loader, 1) == expected

    def test_a_generator_whose_state_holds_arrays(self) -> None:
        def make() -> Loader:
            return Loader(numbered(9), 2, shuffle=True, rng=np.random.Generator(np.random.MT19937(3)))

        loader, other = make(), make()
        self.epochs(loader, 2)
        other.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        assert self.epochs(other, 1) == self.epochs(loader, 1)

    def test_a_state_of_longer_epochs(self) -> None:
        state = Loader(numbered(8), 4).state_dict() | {"batches": 3}
        with pytest.raises(DataError, match="after 3 batches, but an epoch of this loader has 2"):
            Loader(numbered(8), 4).load_state_dict(state)

    def test_a_state_of_another_kind_of_generator(self) -> None:
        state = Loader(numbered(8), 4, rng=np.random.Generator(np.random.Philox(1))).state_dict()
        with pytest.raises(DataError, match="belongs to the generator Philox, this one is PCG64"):
            Loader(numbered(8), 4).load_state_dict(state)
