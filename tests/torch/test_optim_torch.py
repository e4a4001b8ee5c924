"""Ten steps of every optimizer, side by side with torch.optim, over drawn options."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.layers import Parameter
from tests.optim.configs import KINDS, optimizer_configs
from tests.support.arrays import assert_close
from tests.support.strategies import seeds

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

PRECISIONS = {"float64": 1e-10, "float32": 1e-5}


@settings(max_examples=150)
@given(optimizer_configs(), seeds, st.sampled_from(sorted(PRECISIONS)))
def test_ten_steps(config, seed, dtype):
    (name, options), rng = config, np.random.default_rng(seed)
    shapes = [(3, 2, 2, 2), (5,)]
    starts = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    ours = [Parameter(start.copy()) for start in starts]
    theirs = [torch.nn.Parameter(torch.tensor(start)) for start in starts]
    optimizer = KINDS[name](ours, **options)
    reference = getattr(torch.optim, name)(theirs, foreach=False, **options)
    for step in range(10):
        for parameter, tensor in zip(ours, theirs):
            if step == 3 and parameter is ours[1]:  # one that no gradient reaches this time
                parameter.zero_grad()
                tensor.grad = None
                continue
            parameter.grad = rng.standard_normal(parameter.shape).astype(dtype)
            tensor.grad = torch.tensor(parameter.grad)
        if step == 6:
            optimizer.lr = reference.param_groups[0]["lr"] = 0.05
        optimizer.step()
        reference.step()
    for index, (parameter, tensor) in enumerate(zip(ours, theirs)):
        what = f"{name} {options}"
        assert_close(parameter.value, tensor.detach().numpy(), PRECISIONS[dtype], what)
        for slot, array in optimizer.state[str(index)].items():
            if slot != "step":
                assert_close(
                    array, reference.state[tensor][slot].numpy(), PRECISIONS[dtype], f"{what} {slot}"
                )


@given(optimizer_configs(), seeds)
def test_groups(config, seed):
    (name, options), rng = config, np.random.default_rng(seed)
    starts = [rng.standard_normal(4), rng.standard_normal((2, 3))]
    ours = [Parameter(start.copy()) for start in starts]
    theirs = [torch.nn.Parameter(torch.tensor(start)) for start in starts]
    special = {"lr": 0.02, "weight_decay": 0.5}
    optimizer = KINDS[name]([{"params": ours[:1], **special}, {"params": ours[1:]}], **options)
    reference = getattr(torch.optim, name)(
        [{"params": theirs[:1], **special}, {"params": theirs[1:]}], **options
    )
    for _ in range(5):
        for parameter, tensor in zip(ours, theirs):
            parameter.grad = rng.standard_normal(parameter.shape)
            tensor.grad = torch.tensor(parameter.grad)
        optimizer.step()
        reference.step()
    for parameter, tensor in zip(ours, theirs):
        assert_close(parameter.value, tensor.detach().numpy(), 1e-10, f"{name} {options}")


@pytest.mark.parametrize("name", KINDS)
def test_defaults(name):
    reference = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))]).defaults
    for option, value in KINDS[name]([Parameter(np.zeros(1))]).defaults.items():
        assert value == reference[option], option
