"""Every functional pair against PyTorch: values and all gradients, over drawn configurations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn import functional as F
from tests.support.arrays import assert_close, separated
from tests.support.strategies import (
    adaptive_configs,
    as_pair,
    avg_pool_configs,
    conv_configs,
    image_shapes,
    max_pool_configs,
    seeds,
)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")]
torch = pytest.importorskip("torch")

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}  # of each array's largest magnitude
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def compare(ours, theirs, arrays, dtype, seed, constants=()):
    """Run both on the same arrays: ours gives (y, backward), theirs y; y and every gradient agree.

    arrays: name -> array or None; ours(**arrays) -> (y, dy -> gradients by name), theirs(**tensors) -> y.
    """
    tensors = {}
    for name, array in arrays.items():
        if array is None:
            tensors[name] = None
        else:
            tensors[name] = torch.tensor(
                array, requires_grad=array.dtype.kind == "f" and name not in constants
            )
    expected = theirs(**tensors)
    y, backward = ours(**arrays)
    tolerance = TOLERANCE[dtype]
    assert y.dtype == dtype
    assert_close(y, expected.detach().numpy(), tolerance, "y")
    dy = np.asarray(np.random.default_rng([seed, 1]).standard_normal(y.shape), dtype=dtype)
    expected.backward(torch.tensor(dy))
    gradients = backward(dy)
    for name, tensor in tensors.items():
        if tensor is None:
            assert gradients[name] is None
        elif tensor.requires_grad:
            assert_close(gradients[name], tensor.grad.numpy(), tolerance, f"gradient of {name}")


def pair(name, arrays, **options):
    """A functional pair in the form that compare() takes, its gradients named by the arrays."""

    def ours(**given):
        y, cache = getattr(F, f"{name}_forward")(**given, **options)

        def backward(dy):
            result = getattr(F, f"{name}_backward")(dy, cache)
            return dict(zip(arrays, result if isinstance(result, tuple) else (result,)))

        return y, backward

    return ours


@both_dtypes
@given(config=conv_configs())
def test_conv2d(dtype, config):
    arrays, options = config.arrays(dtype), config.options
    compare(
        pair("conv2d", arrays, **options),
        lambda x, weight, bias: torch.nn.functional.conv2d(x, weight, bias, **options),
        arrays,
        dtype,
        config.seed,
    )


@both_dtypes
@given(config=max_pool_configs())
def test_max_pool2d(dtype, config):
    arrays = {"x": config.x(dtype)}
    compare(
        pair("max_pool2d", arrays, kernel_size=config.kernel_size, **config.options),
        lambda x: torch.nn.functional.max_pool2d(x, config.kernel_size, **config.options),
        arrays,
        dtype,
        config.seed,
    )


@given(config=max_pool_configs())
def test_max_pool2d_with_ties(config):
    """Over 0 and 1 most windows hold several maxima: the gradient goes to the first in both."""
    x = np.random.default_rng(config.seed).integers(0, 2, config.x_shape).astype(np.float64)
    arrays = {"x": x}
    compare(
        pair("max_pool2d", arrays, kernel_size=config.kernel_size, **config.options),
        lambda x: torch.nn.functional.max_pool2d(x, config.kernel_size, **config.options),
        arrays,
        np.float64,
        config.seed,
    )


@both_dtypes
@given(config=avg_pool_configs())
def test_avg_pool2d(dtype, config):
    arrays = {"x": config.x(dtype)}
    compare(
        pair("avg_pool2d", arrays, kernel_size=config.kernel_size, **config.options),
        lambda x: torch.nn.functional.avg_pool2d(x, config.kernel_size, **config.options),
        arrays,
        dtype,
        config.seed,
    )


@both_dtypes
@given(config=adaptive_configs())
def test_adaptive_avg_pool2d(dtype, config):
    arrays = {"x": config.x(dtype)}
    compare(
        pair("adaptive_avg_pool2d", arrays, output_size=config.kernel_size),
        lambda x: torch.nn.functional.adaptive_avg_pool2d(x, as_pair(config.kernel_size)),
        arrays,
        dtype,
        config.seed,
    )


ACTIVATIONS = [
    ("relu", {}),
    ("leaky_relu", {"negative_slope": 0.2}),
    ("elu", {"alpha": 1.7}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("sigmoid", {}),
    ("tanh", {}),
]


@both_dtypes
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=lambda part: str(part))
@given(shape=image_shapes, seed=seeds)
def test_activations(name, options, dtype, shape, seed):
    x = 3 * np.random.default_rng(seed).standard_normal(shape)
    x.flat[0] = 0  # where the slopes of both sides differ
    arrays = {"x": x.astype(dtype)}
    function = getattr(torch.nn.functional, name)
    compare(pair(name, arrays, **options), lambda x: function(x, **options), arrays, dtype, seed)


@both_dtypes
@given(rows=st.integers(1, 4), ins=st.integers(1, 6), outs=st.integers(1, 5), bias=st.booleans(), seed=seeds)
def test_linear(dtype, rows, ins, outs, bias, seed):
    rng = np.random.default_rng(seed)
    arrays = {
        "x": rng.standard_normal((rows, ins)).astype(dtype),
        "weight": rng.standard_normal((outs, ins)).astype(dtype),
        "bias": rng.standard_normal(outs).astype(dtype) if bias else None,
    }
    compare(pair("linear", arrays), torch.nn.functional.linear, arrays, dtype, seed)


@both_dtypes
@given(
    shape=st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    seed=seeds,
    affine=st.booleans(),
    training=st.booleans(),
    eps=st.sampled_from([1e-5, 1e-3, 0.1]),
)
def test_batch_norm2d(dtype, shape, seed, affine, training, eps):
    # Two values a channel that lie close make rounding errors as large as 1 / eps: take more of them.
    assume(not training or shape[0] * shape[2] * shape[3] > 4)
    rng = np.random.default_rng(seed)
    channels = shape[1]
    arrays = {"x": rng.standard_normal(shape), "weight": None, "bias": None}
    if affine:
        arrays |= {"weight": rng.standard_normal(channels), "bias": rng.standard_normal(channels)}
    if not training:
        arrays |= {"mean": rng.standard_normal(channels), "var": rng.uniform(0.1, 2, channels)}
    arrays = {name: None if array is None else array.astype(dtype) for name, array in arrays.items()}
    compare(
        pair("batch_norm2d", arrays, eps=eps),
        lambda x, weight, bias, mean=None, var=None: torch.nn.functional.batch_norm(
            x, mean, var, weight, bias, training=training, eps=eps
        ),
        arrays,
        dtype,
        seed,
        constants=("mean", "var"),
    )


@both_dtypes
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
    seed=seeds,
    size=st.integers(1, 7),
    alpha=st.sampled_from([1e-4, 0.5]),
    beta=st.sampled_from([0.75, 1.3]),
    k=st.sampled_from([1.0, 2.0]),
)
def test_local_response_norm(dtype, shape, seed, size, alpha, beta, k):
    arrays = {"x": np.random.default_rng(seed).standard_normal(shape).astype(dtype)}
    options = {"size": size, "alpha": alpha, "beta": beta, "k": k}
    compare(
        pair("local_response_norm", arrays, **options),
        lambda x: torch.nn.functional.local_response_norm(x, **options),
        arrays,
        dtype,
        seed,
    )


@both_dtypes
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(shape=image_shapes, dim=st.integers(-4, 3), seed=seeds)
def test_softmax(name, dtype, shape, dim, seed):
    arrays = {"x": (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)}
    function = getattr(torch.nn.functional, name)
    compare(pair(name, arrays, dim=dim), lambda x: function(x, dim=dim), arrays, dtype, seed)


reductions = st.sampled_from(["mean", "sum", "none"])


@both_dtypes
@given(
    batch=st.integers(1, 5),
    classes=st.integers(2, 5),
    more=st.sampled_from([(), (2,), (2, 3)]),
    weighted=st.booleans(),
    ignored=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    reduction=reductions,
    seed=seeds,
)
def test_cross_entropy(dtype, batch, classes, more, weighted, ignored, smoothing, reduction, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (batch, *more))
    if ignored and labels.size > 1:
        labels.flat[0] = -100
    weight = rng.uniform(0.5, 2, classes).astype(dtype) if weighted else None
    arrays = {"logits": rng.standard_normal((batch, classes, *more)).astype(dtype), "labels": labels}
    options = {"reduction": reduction, "label_smoothing": smoothing}
    compare(
        pair("cross_entropy", arrays, weight=weight, **options),
        lambda logits, labels: torch.nn.functional.cross_entropy(
            logits, labels, weight=None if weight is None else torch.tensor(weight), **options
        ),
        arrays,
        dtype,
        seed,
    )


@both_dtypes
@given(shape=image_shapes, reduction=reductions, seed=seeds)
def test_mse(dtype, shape, reduction, seed):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal(shape).astype(dtype) for name in ("x", "target")}
    compare(
        pair("mse", arrays, reduction=reduction),
        lambda x, target: torch.nn.functional.mse_loss(x, target, reduction=reduction),
        arrays,
        dtype,
        seed,
    )


@given(shape=image_shapes, p=st.sampled_from([0.0, 0.3, 0.8]), seed=seeds)
def test_dropout_scales_as_pytorch_does(shape, p, seed):
    """The masks differ, the law does not: values are 0 or x / (1 - p)."""
    x = separated(np.random.default_rng(seed), shape)
    y, _ = F.dropout_forward(x, p, seed=seed)
    theirs = torch.nn.functional.dropout(torch.tensor(x), p).numpy()
    both = (y != 0) & (theirs != 0)
    np.testing.assert_allclose(y[both], theirs[both], rtol=1e-14)
    assert set(np.unique(y / x).round(12)) <= {0.0, round(1 / (1 - p), 12)}
