"""What a step touches, and what it finds missing; an optimizer of one's own."""

import subprocess
import sys

import numpy as np
import pytest

from minicnn.errors import TrainingError
from minicnn.layers import Layer, Linear, Parameter
from minicnn.optim import SGD, Adam, Optimizer
from tests.optim.configs import KINDS, each_kind


@each_kind
def test_a_step_writes_values_in_place_and_leaves_gradients_alone(kind, rng):
    around = rng.standard_normal((4, 6)).astype(np.float32)
    value = around[::-2, 1::2]
    grad = np.broadcast_to(np.float32(0.5), (2, 3))
    parameter = Parameter(value, grad=grad)
    before = around.copy()
    optimizer = kind([parameter], lr=np.float64(0.1), weight_decay=np.float64(0.1))
    for _ in range(3):
        optimizer.step()
    assert parameter.value is value
    assert parameter.grad is grad
    assert (grad == 0.5).all()
    assert (before != around).sum() == value.size  # its own elements, no others
    assert all(array.dtype == np.float32 for key, array in optimizer.state["0"].items() if key != "step")


@each_kind
def test_numpys_numbers_as_options_compute_as_pythons(kind, rng):
    start, grad = rng.standard_normal((2, 50)).astype(np.float32)
    results = []
    for number in (float, np.float64):
        parameter = Parameter(start.copy(), grad=grad)
        optimizer = kind([parameter])
        optimizer.groups[0]["lr"] = number(0.1)  # np.float64 would compute the step in float64
        optimizer.step()
        optimizer.step()
        results.append(parameter.value)
    np.testing.assert_array_equal(*results)


@each_kind
def test_frozen_and_unreached_parameters_stay(kind):
    trained, frozen, unreached = (Parameter(np.ones(2), grad=np.ones(2)) for _ in range(3))
    frozen.frozen = True
    unreached.zero_grad()
    optimizer = kind([trained, frozen, unreached], weight_decay=0.1)
    optimizer.step()
    assert (trained.value != 1).all()
    assert (frozen.value == 1).all()
    assert (unreached.value == 1).all()
    assert list(optimizer.state) == ["0"]
    optimizer.zero_grad()
    assert not trained.has_grad


def test_a_replaced_layer_is_found():
    class Net(Layer):
        def __init__(self):
            self.body, self.head = Linear(3, 4), Linear(4, 2)

    model = Net()
    optimizer = SGD(model)
    model.head = Linear(4, 5)
    message = (
        r"SGD.step: parameter 'head.weight' left its model \(its layer was replaced or deleted\) after this "
        r"optimizer was made. Change the model first, then make a new optimizer"
    )
    with pytest.raises(TrainingError, match=message):
        optimizer.step()


@pytest.mark.parametrize(
    "replace",
    [
        lambda model: model.astype(np.float64),
        lambda model: setattr(model.weight, "value", model.weight.value.copy()),
    ],
    ids=["astype", "assignment"],
)
def test_a_replaced_array_is_found(replace):
    model = Linear(3, 2)
    optimizer = Adam(model)
    optimizer.step()
    replace(model)
    with pytest.raises(
        TrainingError, match=r"'weight' was given another array \(by to\(...\), astype\(...\)"
    ):
        optimizer.step()
    Adam(model).step()


def test_a_parameter_without_axes():
    for kind in KINDS.values():
        parameter = Parameter(np.zeros(()), grad=np.ones(()))
        optimizer = kind([parameter], lr=0.1, weight_decay=0.1)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step()
        assert parameter.value < 0


def test_loading_weights_keeps_the_optimizer_attached():
    model = Linear(3, 2)
    optimizer = SGD(model)
    model.load_state_dict(model.state_dict())
    optimizer.step()


def test_an_optimizer_of_ones_own():
    class SignSGD(Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)

        def update(self, value, grad, state, hyper):
            value -= hyper.lr * np.sign(grad)

    parameter = Parameter(np.zeros(2), grad=np.array([3.0, -4.0]))
    SignSGD([parameter]).step()
    np.testing.assert_array_equal(parameter.value, [-0.1, 0.1])

    class Nothing(Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define update"):
        Nothing([parameter], lr=0.1).step()


def test_importing_brings_nothing_but_numpy():
    heavy = ["numba", "cupy", "matplotlib", "PIL", "torch", "scipy", "safetensors", "tqdm", "typer"]
    code = (
        "import sys, minicnn.optim, minicnn.schedules, minicnn.losses, minicnn.init; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
