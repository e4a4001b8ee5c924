"""What is special to batch norm: its running statistics, and when they change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import BatchNorm2d, LocalResponseNorm
from tests.support.strategies import seeds


def batches(seed, count, shape=(4, 3, 2, 2)):
    rng = np.random.default_rng(seed)
    return [rng.normal(rng.uniform(-2, 2), rng.uniform(0.5, 2), shape) for _ in range(count)]


def statistics(x):
    """Mean and unbiased variance of every channel."""
    return x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)


@given(seeds, st.sampled_from([0.1, 0.5, 1.0]), st.integers(1, 4))
def test_momentum_weighs_the_new_value_and_the_unbiased_variance_is_stored(seed, momentum, count):
    layer = BatchNorm2d(3, momentum=momentum).astype(np.float64)
    mean, var = np.zeros(3), np.ones(3)
    for x in batches(seed, count):
        layer(x)
        new_mean, new_var = statistics(x)
        mean = (1 - momentum) * mean + momentum * new_mean
        var = (1 - momentum) * var + momentum * new_var
    np.testing.assert_allclose(layer.running_mean.value, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.value, var, rtol=1e-12)
    assert layer.num_batches_tracked.value == count


@given(seeds, st.integers(1, 5))
def test_momentum_none_is_a_cumulative_average(seed, count):
    layer, xs = BatchNorm2d(3, momentum=None).astype(np.float64), batches(seed, count)
    for x in xs:
        layer(x)
    means, variances = zip(*(statistics(x) for x in xs))
    np.testing.assert_allclose(layer.running_mean.value, np.mean(means, axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var.value, np.mean(variances, axis=0), rtol=1e-12)


def test_normalisation_itself_uses_the_biased_variance(rng):
    y = BatchNorm2d(3, eps=0.0).astype(np.float64)(rng.standard_normal((4, 3, 2, 2)))
    np.testing.assert_allclose(y.var(axis=(0, 2, 3), ddof=0), 1)


def test_eval_uses_the_running_statistics_and_changes_nothing(rng):
    layer = BatchNorm2d(2, eps=0.0).eval()
    layer.running_mean.value[...] = [1, 2]
    layer.running_var.value[...] = [4, 9]
    before = layer.state_dict()
    y = layer(np.full((1, 2, 1, 1), 5, dtype=np.float32))
    np.testing.assert_allclose(y.ravel(), [2, 1])
    layer.backward(y)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_statistics_change_once_a_forward_in_training_also_under_inference(rng):
    layer, x = BatchNorm2d(3), rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    layer(x)
    layer.backward(x)
    assert layer.num_batches_tracked.value == 1
    with minicnn.inference():  # it keeps no caches, and changes no mode
        layer(x)
    assert layer.num_batches_tracked.value == 2


def test_statistics_are_written_in_place(rng):
    layer = BatchNorm2d(3)
    arrays = [buffer.value for _, buffer in layer.named_buffers()]
    layer(rng.standard_normal((4, 3, 2, 2)).astype(np.float32))
    assert all(buffer.value is array for (_, buffer), array in zip(layer.named_buffers(), arrays))


def test_a_refused_input_leaves_the_statistics(rng):
    layer = BatchNorm2d(3)
    before = layer.state_dict()
    with pytest.raises(ShapeError):
        layer(np.zeros((1, 3, 1, 1), dtype=np.float32))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_num_batches_tracked_is_int64_and_survives_astype(rng):
    layer = BatchNorm2d(3)
    layer(rng.standard_normal((4, 3, 2, 2)).astype(np.float32))
    for dtype in (np.float64, np.float32):
        layer.astype(dtype)
        tracked = layer.num_batches_tracked.value
        assert (tracked.dtype, tracked.shape, int(tracked)) == (np.int64, (), 1)
        assert layer.running_mean.value.dtype == dtype


def test_a_frozen_batch_norm_still_follows_the_batch_until_eval(rng):
    layer, x = BatchNorm2d(3).freeze(), rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    layer(x)
    assert layer.num_batches_tracked.value == 1
    layer.eval()(x)
    assert layer.num_batches_tracked.value == 1


def test_the_state_dict_is_in_torchvisions_order():
    assert list(BatchNorm2d(3).state_dict()) == [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    assert list(BatchNorm2d(3, affine=False).state_dict()) == [
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    assert list(BatchNorm2d(3, track_running_stats=False).state_dict()) == ["weight", "bias"]


def test_without_running_statistics_eval_uses_the_batch_too(rng):
    layer = BatchNorm2d(3, track_running_stats=False)
    x = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    y = layer(x)
    np.testing.assert_array_equal(layer.eval()(x), y)


def test_it_starts_as_the_identity_on_normal_data():
    state = BatchNorm2d(2).state_dict()
    assert [state[name].tolist() for name in ("weight", "bias", "running_mean", "running_var")] == [
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
    ]


def test_repr_shows_what_is_not_the_default():
    assert repr(BatchNorm2d(3)) == "BatchNorm2d(3)"
    assert repr(BatchNorm2d(3, 1e-3, None, False, False)) == (
        "BatchNorm2d(3, eps=0.001, momentum=None, affine=False, track_running_stats=False)"
    )
    assert repr(LocalResponseNorm(5, k=2.0)) == "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=2.0)"


def test_without_features_it_is_refused():
    with pytest.raises(ConfigError, match="num_features must be positive, got 0"):
        BatchNorm2d(0)


def test_the_wrong_number_of_channels_is_named_with_the_layer():
    with pytest.raises(
        ShapeError, match=r"BatchNorm2d\(3\) expects input \(N, 3, H, W\), got \(2, 4, 5, 5\)"
    ):
        BatchNorm2d(3)(np.zeros((2, 4, 5, 5), dtype=np.float32))
