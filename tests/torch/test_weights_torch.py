"""Files side by side with PyTorch: what torch.save writes we read, what we write torch.load reads."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import weights
from minicnn.errors import WeightsError
from minicnn.models import lenet5
from tests.support.strategies import seeds
from tests.weights.samples import FIXTURES, assert_same, odd_state, small_state

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


def as_arrays(state):
    """As read gives them: bfloat16 as float32."""
    plain = {n: t.detach().float() if t.dtype == torch.bfloat16 else t.detach() for n, t in state.items()}
    return {name: np.array(tensor.numpy(), order="C") for name, tensor in plain.items()}


def drawn_tensor(rng, dtype):
    """A tensor of a random shape, seen through random strides."""
    tensor = torch.from_numpy(np.asarray(rng.standard_normal(rng.integers(1, 5, rng.integers(0, 5))) * 50))
    tensor = tensor.to(getattr(torch, dtype))
    if tensor.ndim > 1 and rng.integers(2):
        tensor = tensor.transpose(0, -1)
    if tensor.ndim and rng.integers(2):
        tensor = tensor[..., rng.integers(tensor.shape[-1]) :: rng.integers(1, 3)]
    return tensor


@settings(max_examples=100)
@given(
    seed=seeds,
    legacy=st.booleans(),
    protocol=st.integers(2, 5),
    dtypes=st.lists(st.sampled_from(DTYPES), max_size=5),
)
def test_what_torch_saves_we_read(tmp_path_factory, seed, legacy, protocol, dtypes):
    rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("torch") / "w.pth"
    state = {f"{i}.{dtype}": drawn_tensor(rng, dtype) for i, dtype in enumerate(dtypes)}
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    assert_same(weights.read(path), as_arrays(state))


@pytest.mark.parametrize("state", [small_state(), odd_state(), {}], ids=["small", "odd", "empty"])
def test_what_we_save_torch_reads(tmp_path, state):
    weights.write(state, tmp_path / "w.pth")
    for options in ({}, {"mmap": True}):
        loaded = torch.load(tmp_path / "w.pth", weights_only=True, **options)
        assert list(loaded) == list(state)
        assert_same({name: tensor.clone().numpy() for name, tensor in loaded.items()}, state)


def test_a_modules_state_dict_and_a_checkpoint(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    wrapped = {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "loss": 0.1,
    }
    for value in (model.state_dict(), wrapped, torch.nn.DataParallel(model).state_dict()):
        for legacy in (False, True):
            torch.save(value, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
            arrays = weights.read(tmp_path / "w.pth")
            arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
            assert_same(arrays, as_arrays(model.state_dict()))


def test_a_network_trained_there_answers_the_same_here(tmp_path, rng):
    ours = lenet5(rng=rng).eval()
    theirs = torch.nn.Sequential()
    for name, kind in {"conv1": (1, 6, 2), "conv2": (6, 16, 0)}.items():
        theirs.add_module(name, torch.nn.Conv2d(kind[0], kind[1], 5, padding=kind[2]))
        theirs.add_module(f"after_{name}", torch.nn.Sequential(torch.nn.ReLU(), torch.nn.MaxPool2d(2)))
    theirs.add_module("flatten", torch.nn.Flatten())
    for name, sizes in {"fc1": (400, 120), "fc2": (120, 84), "fc3": (84, 10)}.items():
        theirs.add_module(name, torch.nn.Linear(*sizes))
        if name != "fc3":
            theirs.add_module(f"after_{name}", torch.nn.ReLU())
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    assert not any(weights.load(ours, tmp_path / "w.pth"))
    x = rng.standard_normal((4, 1, 28, 28)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("legacy", [False, True])
def test_whole_models_and_other_tensors_are_refused(tmp_path, legacy):
    values = [
        (torch.nn.Linear(2, 2), r"asks for|whole pickled model"),
        ({"w": torch.ones(2, 2).to_sparse()}, "_rebuild_sparse_tensor"),
        ({"w": torch.ones(2, dtype=torch.complex64)}, "ComplexFloatStorage"),
        ({"w": torch.ones(1).expand(1000)}, "repeats elements"),
        ({"w": torch.ones(2), "rate": np.float64(3)}, "asks for 'numpy"),
    ]
    for value, message in values:
        torch.save(value, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
        with pytest.raises(WeightsError, match=message):
            weights.read(tmp_path / "w.pth")


def test_torchscript_is_refused(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="a TorchScript program, not a state dict"):
        weights.read(tmp_path / "w.pth")


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.pth")), ids=lambda path: path.name)
def test_the_fixtures_are_what_torch_loads(path: Path):
    state = torch.load(path, weights_only=False)  # our own files; its safe reader knows protocol 2 alone
    assert_same(weights.read(path), as_arrays(state.get("state_dict", state)))
