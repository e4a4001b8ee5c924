"""Every layer against torch.nn: outputs, all gradients, running statistics, names and signatures."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn import layers as L
from tests.layers.test_summary import lenet5
from tests.support.arrays import assert_close
from tests.support.strategies import adaptive_configs, avg_pool_configs, conv_configs, max_pool_configs, seeds

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")]
torch = pytest.importorskip("torch")
nn = torch.nn

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}  # of each array's largest magnitude
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def twins(ours, theirs, dtype):
    """Both in the dtype, with the same values: ours are loaded by PyTorch's own strict rules."""
    ours.astype(dtype)
    theirs.to(torch.float64 if dtype == np.float64 else torch.float32)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return ours, theirs


def compare(ours, theirs, x, seed, steps=1):
    """Forward, backward and buffers agree over several steps, gradients adding up."""
    dtype = x.dtype.type
    ours, theirs = twins(ours, theirs, dtype)
    rng = np.random.default_rng([seed, 1])
    for step in range(steps):
        x = (x + step * rng.standard_normal(x.shape)).astype(dtype)
        tensor = torch.tensor(x, requires_grad=True)
        y, expected = ours(x), theirs(tensor)
        assert_close(y, expected.detach().numpy(), TOLERANCE[dtype], "y")
        dy = rng.standard_normal(y.shape).astype(dtype)
        expected.backward(torch.tensor(dy))
        assert_close(ours.backward(dy), tensor.grad.numpy(), TOLERANCE[dtype], "dx")
    for (name, parameter), (_, expected) in zip(ours.named_parameters(), theirs.named_parameters()):
        assert_close(parameter.grad, expected.grad.numpy(), TOLERANCE[dtype], f"gradient of {name}")
    for (name, buffer), (_, expected) in zip(ours.named_buffers(), theirs.named_buffers()):
        assert_close(buffer.value, expected.numpy(), TOLERANCE[dtype], name)


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@both_dtypes
@given(config=conv_configs())
def test_conv2d(dtype, config):
    outs, in_group, *kernel = config.weight_shape
    arguments = (in_group * config.options["groups"], outs, tuple(kernel))
    ours = L.Conv2d(*arguments, **config.options, bias=config.bias, rng=np.random.default_rng(config.seed))
    theirs = nn.Conv2d(*arguments, **config.options, bias=config.bias)
    compare(ours, theirs, config.arrays(dtype)["x"], config.seed, steps=2)


@both_dtypes
@given(config=max_pool_configs())
def test_max_pool2d(dtype, config):
    layers = (
        L.MaxPool2d(config.kernel_size, **config.options),
        nn.MaxPool2d(config.kernel_size, **config.options),
    )
    compare(*layers, config.x(dtype), config.seed)


@both_dtypes
@given(config=avg_pool_configs())
def test_avg_pool2d(dtype, config):
    layers = (
        L.AvgPool2d(config.kernel_size, **config.options),
        nn.AvgPool2d(config.kernel_size, **config.options),
    )
    compare(*layers, config.x(dtype), config.seed)


@both_dtypes
@given(config=adaptive_configs())
def test_adaptive_avg_pool2d(dtype, config):
    layers = (L.AdaptiveAvgPool2d(config.kernel_size), nn.AdaptiveAvgPool2d(config.kernel_size))
    compare(*layers, config.x(dtype), config.seed)


@both_dtypes
@given(
    shape=st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    momentum=st.sampled_from([0.1, 0.7, None]),
    affine=st.booleans(),
    track=st.booleans(),
    steps=st.integers(1, 4),
    seed=seeds,
)
def test_batch_norm2d_over_several_steps_and_then_in_eval(dtype, shape, momentum, affine, track, steps, seed):
    # With very few values a channel their variance may come close to 0, where rounding errors are magnified.
    assume(shape[0] * shape[2] * shape[3] > 4)
    options = {"eps": 1e-3, "momentum": momentum, "affine": affine, "track_running_stats": track}
    ours, theirs = L.BatchNorm2d(shape[1], **options), nn.BatchNorm2d(shape[1], **options)
    if affine:
        ours.weight.value[...] = normal(shape[1], np.float32, seed + 1)
        ours.bias.value[...] = normal(shape[1], np.float32, seed + 2)
    x = normal(shape, dtype, seed)
    compare(ours, theirs, x, seed, steps)
    compare(ours.eval(), theirs.eval(), x, seed)


SIMPLE = [
    (L.ReLU(), nn.ReLU()),
    (L.LeakyReLU(), nn.LeakyReLU()),
    (L.LeakyReLU(0.3), nn.LeakyReLU(0.3)),
    (L.ELU(), nn.ELU()),
    (L.ELU(0.5), nn.ELU(0.5)),
    (L.GELU(), nn.GELU()),
    (L.GELU("tanh"), nn.GELU("tanh")),
    (L.Sigmoid(), nn.Sigmoid()),
    (L.Tanh(), nn.Tanh()),
    (L.Softmax(), nn.Softmax(-1)),
    (L.Softmax(1), nn.Softmax(1)),
    (L.LogSoftmax(), nn.LogSoftmax(-1)),
    (L.LogSoftmax(2), nn.LogSoftmax(2)),
    (L.Identity(), nn.Identity()),
    (L.Flatten(), nn.Flatten()),
    (L.Flatten(2), nn.Flatten(2)),
    (L.LocalResponseNorm(5), nn.LocalResponseNorm(5)),
    (L.LocalResponseNorm(2, 0.5, 0.7, 2.0), nn.LocalResponseNorm(2, 0.5, 0.7, 2.0)),
    (L.Dropout().eval(), nn.Dropout().eval()),
    (L.Dropout(0.0), nn.Dropout(0.0)),
]


@both_dtypes
@pytest.mark.parametrize(("ours", "theirs"), SIMPLE, ids=lambda layer: repr(layer))
@given(shape=st.tuples(*[st.integers(1, 4)] * 4), seed=seeds)
def test_layers_without_parameters(ours, theirs, dtype, shape, seed):
    compare(ours, theirs, normal(shape, dtype, seed), seed)


@both_dtypes
@given(ins=st.integers(1, 6), outs=st.integers(1, 6), rows=st.integers(1, 4), bias=st.booleans(), seed=seeds)
def test_linear(dtype, ins, outs, rows, bias, seed):
    ours = L.Linear(ins, outs, bias, rng=np.random.default_rng(seed))
    compare(ours, nn.Linear(ins, outs, bias), normal((rows, ins), dtype, seed), seed, steps=2)


# ---- containers, each beside its counterpart in autograd


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class Concat(nn.Sequential):
    def forward(self, x):
        return torch.cat([branch(x) for branch in self], 1)


class DenseConcat(nn.Sequential):
    def forward(self, x):
        features = [x]
        for layer in self:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


OURS = {"Residual": L.Residual, "Concat": L.Concat, "DenseConcat": L.DenseConcat}
THEIRS = {"Residual": Residual, "Concat": Concat, "DenseConcat": DenseConcat}


def branching(kind, library, container):
    """The same network in either library, whose layers bear the same names and arguments."""

    def unit(ins, outs, size):
        return library.Sequential(
            library.Conv2d(ins, outs, size, padding=size // 2, bias=False),
            library.BatchNorm2d(outs),
            library.Tanh(),
        )

    if kind == "Residual":
        return container(unit(3, 4, 3), unit(3, 4, 1))
    if kind == "Concat":
        return container(unit(3, 2, 1), library.AvgPool2d(3, 1, 1), unit(3, 4, 3))
    return container(unit(3, 2, 3), unit(5, 4, 1), unit(9, 1, 3))


@both_dtypes
@pytest.mark.parametrize("kind", sorted(OURS))
def test_branches(kind, dtype):
    ours, theirs = branching(kind, L, OURS[kind]), branching(kind, nn, THEIRS[kind])
    compare(ours, theirs, normal((4, 3, 5, 6), dtype, 1), 1, steps=2)


@both_dtypes
def test_lenet5(dtype):
    ours = lenet5()
    theirs = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    named = nn.Sequential()
    for (name, _), module in zip(ours.children(), theirs):
        named.add_module(name, module)
    compare(ours, named, normal((3, 1, 28, 28), dtype, 2), 2)


# ---- signatures


@pytest.mark.parametrize(
    "name",
    sorted(
        name for name in L.__all__ if hasattr(nn, name) and name not in ("Buffer", "Parameter", "Sequential")
    ),
)
def test_arguments_are_named_ordered_and_defaulted_as_pytorchs(name):
    """Among the arguments that both know; ours that are keyword-only may stand anywhere."""
    ours = list(inspect.signature(getattr(L, name)).parameters.values())
    theirs = list(inspect.signature(getattr(nn, name)).parameters.values())
    if theirs[0].kind is inspect.Parameter.VAR_POSITIONAL:
        assert not ours  # Identity takes anything there, nothing here
        return
    known = {parameter.name: parameter for parameter in theirs}
    shared = [parameter for parameter in ours if parameter.name in known]
    positional = [parameter.name for parameter in shared if parameter.kind is not parameter.KEYWORD_ONLY]
    assert positional == [parameter.name for parameter in theirs][: len(positional)]
    for parameter in shared:
        # Where PyTorch has no default or None, we may have one that says more (Softmax's dim).
        if known[parameter.name].default not in (None, inspect.Parameter.empty):
            assert parameter.default == known[parameter.name].default, parameter.name
