"""Resuming, prefetching and sharding: however the batches are made, they are the same."""

from __future__ import annotations

import gc
import json
import threading
import time
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import ArrayDataset, BalancedBatchSampler, Loader, OverSampler
from minicnn.data import transforms as T
from minicnn.errors import ConfigError, DataError
from tests.support.strategies import seeds


def pictures(n=23, seed=0):
    rng = np.random.default_rng(seed)
    return ArrayDataset(rng.integers(0, 256, (n, 1, 6, 5), dtype=np.uint8), np.arange(n) % 3)


AUGMENT = T.Compose([T.RandomHorizontalFlip(), T.RandomRotation(20), T.GaussianNoise(0.1)])
KINDS = {
    "plain": {},
    "shuffled": {"shuffle": True},
    "augmented": {"shuffle": True, "transform": AUGMENT},
    "threads": {"shuffle": True, "transform": AUGMENT, "workers": 2, "prefetch": 3},
    "sampled": {"sampler": OverSampler(np.arange(23) % 3), "transform": AUGMENT},
    "drop last": {"shuffle": True, "drop_last": True, "transform": AUGMENT},
    "second rank": {"shuffle": True, "transform": AUGMENT, "rank": 1, "world_size": 2},
}


def loader(kind="augmented", seed=0, bits=np.random.PCG64, **options):
    return Loader(pictures(), 4, rng=np.random.Generator(bits(seed)), **(KINDS[kind] | options))


def as_bytes(batches):
    return [(x.tobytes(), y.tobytes()) for x, y in batches]


@pytest.mark.parametrize("kind", KINDS)
@given(before=st.integers(0, 2), batches=st.integers(0, 8), seed=seeds)
def test_a_resumed_loader_goes_on_with_the_same_bits(kind, before, batches, seed):
    whole = loader(kind, seed)
    epochs = [as_bytes(whole) for _ in range(5)]

    interrupted = loader(kind, seed)
    for _ in range(before):
        list(interrupted)
    batches = min(batches, len(interrupted))
    epoch = iter(interrupted)
    list(islice(epoch, batches))
    state = json.loads(json.dumps(interrupted.state_dict()))  # what a checkpoint does to it
    assert state["batches"] == batches

    resumed = loader(kind, seed=12345)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert as_bytes(resumed) == epochs[before][batches:]
    assert [as_bytes(resumed) for _ in range(2)] == epochs[before + 1 : before + 3]


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_generator_can_be_resumed(bits):
    whole = loader(bits=bits)
    first, second = as_bytes(whole), as_bytes(whole)
    half = loader(bits=bits)
    list(half)
    list(islice(iter(half), 2))
    resumed = loader(seed=9, bits=bits)
    resumed.load_state_dict(json.loads(json.dumps(half.state_dict())))
    assert as_bytes(resumed) == second[2:]
    assert first != second


def test_a_batch_counts_when_it_is_handed_out_and_not_when_it_is_prepared():
    threads = loader("threads")
    assert threads.state_dict()["batches"] == 0
    seen = []
    for _ in threads:
        time.sleep(0.005)  # time enough for the threads to be ahead
        seen.append(threads.state_dict()["batches"])
    assert seen == [1, 2, 3, 4, 5, 6]


def test_between_epochs_the_count_is_zero_and_the_next_epoch_is_ahead():
    here = loader()
    list(here)
    state = here.state_dict()
    assert state["batches"] == 0
    resumed = loader(seed=3)
    resumed.load_state_dict(state)
    assert as_bytes(resumed) == as_bytes(here)


def test_the_state_is_small():
    here = loader()
    next(iter(here))
    assert len(json.dumps(here.state_dict())) < 400


def test_a_newer_iterator_is_the_one_that_counts():
    here = loader()
    old, new = iter(here), iter(here)
    next(new)
    next(old), next(old)
    assert here.state_dict()["batches"] == 1
    list(old)
    assert here.state_dict()["batches"] == 1


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "not the state of a Loader: expected rng and batches"),
        ({"rng": {}, "batches": "2"}, "not the state of a Loader"),
        (None, "not the state of a Loader"),
        ({"rng": {}, "batches": 7}, "stands after 7 batches, but an epoch of this loader has 6"),
        ({"rng": {}, "batches": 2}, "belongs to the generator None, this one is PCG64"),
        ({"rng": {"bit_generator": "MT19937"}, "batches": 2}, "belongs to the generator MT19937"),
        ({"rng": {"bit_generator": "PCG64", "state": {"state": "no"}}, "batches": 2}, "generator is damaged"),
    ],
)
def test_a_state_that_does_not_fit_is_answered(state, message):
    here = loader()
    before = here.state_dict()
    with pytest.raises(DataError, match=message):
        here.load_state_dict(state)
    assert here.state_dict() == before


# ---- threads


@given(seeds, st.integers(1, 3), st.integers(1, 5), st.sampled_from(["shuffled", "augmented", "sampled"]))
def test_any_number_of_threads_gives_the_same_bits(seed, workers, prefetch, kind):
    alone = loader(kind, seed)
    threads = loader(kind, seed, workers=workers, prefetch=prefetch)
    for _ in range(2):
        assert as_bytes(threads) == as_bytes(alone)


class Watched(ArrayDataset):
    """Remembers which samples were asked for, and by which threads."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.asked, self.threads = [], set()

    def __getitem__(self, index):
        self.asked.append(index)
        self.threads.add(threading.current_thread())
        return super().__getitem__(index)


def watched(n=40):
    return Watched(np.zeros((n, 1, 2, 2), np.uint8), np.zeros(n, np.int64))


def test_only_so_many_batches_are_prepared_ahead():
    dataset = watched()
    batches = iter(Loader(dataset, 2, workers=1, prefetch=3))
    next(batches)
    time.sleep(0.1)
    assert len(dataset.asked) <= 1 + 3
    assert threading.current_thread() not in dataset.threads


def test_the_threads_end_when_the_loop_is_left():
    before = set(threading.enumerate())
    for _ in range(5):
        for _ in Loader(watched(), 2, workers=2):
            break
    gc.collect()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


def test_an_error_in_a_thread_appears_at_its_batch():
    class Broken(Watched):
        def __getitem__(self, index):
            if 6 in index:
                raise DataError("sample 6 is broken")
            return super().__getitem__(index)

    batches = iter(
        Loader(Broken(np.zeros((20, 1, 2, 2), np.uint8), np.zeros(20, int)), 2, workers=2, prefetch=5)
    )
    for _ in range(3):
        next(batches)
    with pytest.raises(DataError, match="sample 6 is broken"):
        next(batches)


# ---- ranks


@given(n=st.integers(1, 30), world=st.integers(1, 4), drop_last=st.booleans(), size=st.integers(1, 5))
def test_the_ranks_share_an_epoch_evenly(n, world, drop_last, size):
    dataset = ArrayDataset(np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1), np.arange(n))
    if drop_last and n // world < size and n // world > 0:
        return
    parts = [
        Loader(
            dataset,
            size,
            shuffle=True,
            drop_last=drop_last,
            rng=np.random.default_rng(5),
            rank=r,
            world_size=world,
        )
        for r in range(world)
    ]
    seen = [[y.tolist() for _, y in part] for part in parts]
    assert len({len(batches) for batches in seen}) == 1
    assert [len(part) for part in parts] == [len(batches) for batches in seen]
    assert len({tuple(map(len, batches)) for batches in seen}) == 1
    flat = [label for batches in seen for batch in batches for label in batch]
    if drop_last:
        assert len(set(flat)) == len(flat)
    else:
        assert set(flat) == set(range(n))
        assert len(flat) < n + world


def test_ranks_augment_differently():
    first, second = (loader("second rank", rank=rank) for rank in (0, 1))
    assert as_bytes(first) != as_bytes(second)


# ---- arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be a whole number from 0 up, got -1"),
        ({"prefetch": 0}, "prefetch must be a whole number from 1 up, got 0"),
        ({"rank": 2, "world_size": 2}, "rank counts from 0 to world_size - 1 = 1, got 2"),
        ({"sampler": OverSampler([0, 1]), "shuffle": True}, "a sampler draws its own order"),
    ],
)
def test_arguments_that_make_no_sense_are_answered(options, message):
    with pytest.raises(ConfigError, match=message):
        Loader(pictures(), 4, **options)


def test_a_transform_works_on_raw_images_where_there_are_some():
    class Seen(T.Transform):
        def images(self, x, rng):
            self.dtype = x.dtype
            return x

    seen = Seen()
    x, _ = next(iter(Loader(pictures(), 4, transform=seen)))
    assert (seen.dtype, x.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(x, pictures()[:4][0])
    pairs = [(np.zeros((1, 2, 2), np.float32), 0)] * 8

    class Listed:
        def __len__(self):
            return len(pairs)

        def __getitem__(self, index):
            return np.stack([pairs[i][0] for i in index]), np.array([pairs[i][1] for i in index])

    next(iter(Loader(Listed(), 4, transform=seen)))
    assert seen.dtype == np.float32


def test_balanced_batches_are_balanced():
    labels = np.array([0] * 50 + [1] * 10 + [2] * 3)
    dataset = ArrayDataset(np.zeros((63, 1, 1, 1), np.float32), labels)
    for _, y in Loader(dataset, 9, sampler=BalancedBatchSampler(labels, 9), rng=np.random.default_rng(0)):
        counts = np.bincount(y, minlength=3)
        assert counts.max() - counts.min() <= 1
