"""Softmax, log-softmax and the losses, side by side with PyTorch, over drawn problems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import init
from minicnn.functional.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minicnn.functional.mse import mse_backward, mse_forward
from minicnn.functional.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from minicnn.losses import CrossEntropyLoss, MSELoss
from tests.functional.test_cross_entropy import problems
from tests.functional.test_softmax import inputs
from tests.support.arrays import assert_close
from tests.support.strategies import seeds

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

PRECISIONS = {"float64": 1e-10, "float32": 1e-5}
dtypes = st.sampled_from(sorted(PRECISIONS))


def tensor(array, **options):
    return None if array is None else torch.tensor(np.ascontiguousarray(array), **options)


@settings(max_examples=100)
@given(inputs(), dtypes)
def test_softmax_and_log_softmax(drawn, dtype):
    x, dim, rng = drawn
    x, dy = x.astype(dtype), rng.standard_normal(x.shape).astype(dtype)
    for forward, backward, reference in [
        (softmax_forward, softmax_backward, torch.softmax),
        (log_softmax_forward, log_softmax_backward, torch.log_softmax),
    ]:
        y, cache = forward(x, dim=dim)
        x_torch = tensor(x, requires_grad=True)
        y_torch = reference(x_torch, dim)
        y_torch.backward(tensor(dy))
        assert_close(y, y_torch.detach().numpy(), PRECISIONS[dtype])
        np.testing.assert_allclose(backward(dy, cache), x_torch.grad.numpy(), atol=10 * PRECISIONS[dtype])


@settings(max_examples=200)
@given(problems(), dtypes)
def test_cross_entropy(problem, dtype):
    logits, labels, options, rng = problem
    logits = logits.astype(dtype)
    weight = None if options["weight"] is None else options["weight"].astype(dtype)
    options = options | {"weight": weight}
    loss, cache = cross_entropy_forward(logits, labels, **options)
    dloss = np.asarray(rng.standard_normal(loss.shape)).astype(dtype)
    logits_torch = tensor(logits, requires_grad=True)
    loss_torch = torch.nn.functional.cross_entropy(
        logits_torch, tensor(labels), **(options | {"weight": tensor(weight)})
    )
    loss_torch.backward(torch.tensor(dloss))
    if np.isnan(loss_torch.detach().numpy()).any():
        np.testing.assert_array_equal(loss, loss_torch.detach().numpy())
    else:
        assert_close(loss, loss_torch.detach().numpy(), PRECISIONS[dtype], "loss")
    np.testing.assert_allclose(
        cross_entropy_backward(dloss, cache), logits_torch.grad.numpy(), atol=PRECISIONS[dtype]
    )


@given(
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from(["mean", "sum", "none"]),
    seeds,
    dtypes,
)
def test_mse(shape, reduction, seed, dtype):
    rng = np.random.default_rng(seed)
    x, target = (np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(2))
    loss, cache = mse_forward(x, target, reduction=reduction)
    dloss = np.asarray(rng.standard_normal(loss.shape)).astype(dtype)
    x_torch, target_torch = torch.tensor(x, requires_grad=True), torch.tensor(target, requires_grad=True)
    loss_torch = torch.nn.functional.mse_loss(x_torch, target_torch, reduction=reduction)
    loss_torch.backward(torch.tensor(dloss))
    np.testing.assert_allclose(loss, loss_torch.detach().numpy(), rtol=PRECISIONS[dtype])
    for gradient, reference in zip(mse_backward(dloss, cache), (x_torch.grad, target_torch.grad)):
        np.testing.assert_allclose(gradient, reference.numpy(), rtol=PRECISIONS[dtype], atol=1e-12)


def test_nothing_to_take_the_mean_of():
    for labels, weight in [([-100, -100], None), ([0, 0], [0.0, 1, 1]), ([0, -100], [0.0, 1, 1])]:
        for smoothing in (0.0, 0.1):
            logits = np.arange(6.0).reshape(2, 3)
            loss, cache = cross_entropy_forward(
                logits, np.array(labels), weight=weight, label_smoothing=smoothing
            )
            logits_torch = tensor(logits, requires_grad=True)
            loss_torch = torch.nn.functional.cross_entropy(
                logits_torch,
                torch.tensor(labels),
                None if weight is None else torch.tensor(weight, dtype=torch.float64),
                label_smoothing=smoothing,
            )
            loss_torch.backward()
            assert np.isnan(loss)
            assert np.isnan(loss_torch.item())
            dlogits = cross_entropy_backward(np.ones(()), cache)
            np.testing.assert_array_equal(dlogits, logits_torch.grad.numpy())


def test_the_loss_objects(rng):
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    arguments = (rng.uniform(0.5, 2, 4), 2, "mean", 0.1)
    ours, theirs = (
        CrossEntropyLoss(*arguments),
        torch.nn.CrossEntropyLoss(
            torch.tensor(arguments[0]), ignore_index=2, reduction="mean", label_smoothing=0.1
        ),
    )
    x = torch.tensor(logits, requires_grad=True)
    value = theirs(x, torch.tensor(labels))
    value.backward()
    assert float(ours(logits, labels)) == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(ours.backward(), x.grad.numpy(), atol=1e-13)
    mse = MSELoss()
    assert float(mse(logits, logits + 1)) == pytest.approx(
        torch.nn.MSELoss()(torch.tensor(logits), torch.tensor(logits + 1)).item()
    )


def test_gains_and_fans_of_initialisation():
    for name, param in [
        ("linear", None),
        ("tanh", None),
        ("relu", None),
        ("selu", None),
        ("leaky_relu", 0.3),
    ]:
        assert init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)
    for layer in (torch.nn.Conv2d(6, 8, (3, 5), groups=2), torch.nn.Linear(7, 3)):
        shape = tuple(layer.weight.shape)
        fans = torch.nn.init._calculate_fan_in_and_fan_out(layer.weight)
        assert init.fan_in_and_fan_out(shape) == fans
