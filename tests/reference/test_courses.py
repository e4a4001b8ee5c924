"""The values that published course assignments print, computed again."""

import json
from pathlib import Path

import numpy as np
import pytest

from minicnn import functional, optim
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Layer, Linear, ReLU, Residual, Sequential
from minicnn.losses import CrossEntropyLoss
from tests.support.course_epoch import drawn, last_loss

HERE = Path(__file__).parent
CASES = json.loads((HERE / "courses.json").read_text())["cases"]
ARRAYS = np.load(HERE / "courses.npz")

FUNCTIONAL_NAMES = {"w": "weight", "b": "bias"}  # what the courses call them


class BatchNorm1d(Layer):
    """Batch norm of rows, as of images of one pixel."""

    def __init__(self, **options):
        self.norm = BatchNorm2d(**options)

    def forward(self, x):
        return self.norm(x[:, :, None, None])[:, :, 0, 0]

    def backward(self, dy):
        return self.norm.backward(dy[:, :, None, None])[:, :, 0, 0]


def build(specification):
    kinds = {
        "linear": Linear,
        "relu": ReLU,
        "conv2d": Conv2d,
        "batch_norm1d": BatchNorm1d,
        "batch_norm2d": BatchNorm2d,
        "flatten": Flatten,
        "residual": lambda layers: Residual(build(layers)),
    }
    return Sequential(*(kinds[kind](**arguments) for kind, arguments in specification))


def load(network, state):
    """Put the course's weights in; batch norm starts with weight 1 and bias 0 and is not among them."""
    names = [
        name.replace(".body.", ".") for name in network.state_dict()
    ]  # theirs: 6.0.weight for 6.body.0.weight
    renamed = dict(zip(names, network.state_dict()))
    report = network.astype(next(iter(state.values())).dtype).load_state_dict(
        {renamed[name]: array for name, array in state.items()}, strict=False
    )
    assert not report.unexpected
    assert not report.mismatched


def pair_case(case, inputs):
    """y of one functional pair, and gx where the course gives an upstream gradient."""
    forward = getattr(functional, f"{case['op']}_forward")
    arrays = {FUNCTIONAL_NAMES.get(name, name): array for name, array in inputs.items() if name != "gy"}
    y, cache = forward(**arrays, **case["attrs"])
    if "gy" not in inputs:
        return {"y": y}
    gradients = getattr(functional, f"{case['op']}_backward")(inputs["gy"], cache)
    return {"y": y, "gx": gradients[0] if isinstance(gradients, tuple) else gradients}


def activation_case(case, inputs):
    return pair_case({"op": case["attrs"]["kind"], "attrs": {}}, inputs)


def sequential_case(case, inputs):
    network = build(case["attrs"]["layers"])
    if not inputs:
        inputs = resnet9_inputs(network)
    load(network, {name: array for name, array in inputs.items() if name[0].isdigit()})
    results = {"y": network(inputs["x"])}
    if "target" in inputs:
        results["loss"] = CrossEntropyLoss()(results["y"], inputs["target"])
    if "gy" in inputs:
        results["gx"] = network.backward(inputs["gy"])
    return results


def resnet9_inputs(network):
    """The course's own draws: seed 0, every weight and then its bias in order, and the images last."""
    stream = np.random.RandomState(0)  # a legacy stream, which never changes

    def uniform(bound, *shape):
        return (stream.rand(*shape) * 2 * bound - bound).astype(np.float32)

    inputs = {}
    for name, layer in network.leaves():
        name = name.replace(".body.", ".")
        if isinstance(layer, Conv2d):
            outs, ins, height, width = layer.weight.shape
            fan_in = ins * height * width
            weight = uniform(np.sqrt(6 / fan_in), height, width, ins, outs).transpose(3, 2, 0, 1)
            inputs |= {f"{name}.weight": weight, f"{name}.bias": uniform(1 / np.sqrt(fan_in), outs)}
        elif isinstance(layer, Linear):
            outs, ins = layer.weight.shape
            weight = uniform(np.sqrt(6 / ins), ins, outs).T
            inputs |= {f"{name}.weight": weight, f"{name}.bias": uniform(np.sqrt(6 / outs), outs)}
    inputs["x"] = stream.randn(2, 3, 32, 32).astype(np.float32)
    return inputs


def batch_norm2d_case(case, inputs):
    layer = BatchNorm2d(**case["attrs"]).astype(inputs["x"].dtype)
    names = {"w": "weight", "b": "bias"}
    layer.load_state_dict(
        {names.get(name, name): array for name, array in inputs.items() if name != "x"}, strict=False
    )
    return {"y": layer(inputs["x"])}


def batch_norm2d_sequence_case(case, inputs):
    layer = BatchNorm2d(**case["attrs"])
    layer.load_state_dict({"weight": inputs["w"], "bias": inputs["b"]}, strict=False)
    for x in inputs["xs"]:
        layer(x)
    return {"running_means": [layer.running_mean.value], "running_vars": [layer.running_var.value]}


def train_case(case, inputs):
    x, labels, arrays = drawn()
    network = build(case["attrs"]["layers"])
    load(network, dict(zip(("0.weight", "0.bias", "3.weight", "3.bias"), arrays)))
    optimizer = optim.Adam(network, **case["attrs"]["hyper"])
    return {"loss": last_loss(network, optimizer, x, labels)}


RUN = {
    "conv2d": pair_case,
    "max_pool2d": pair_case,
    "linear": pair_case,
    "activation": activation_case,
    "sequential": sequential_case,
    "batch_norm2d": batch_norm2d_case,
    "batch_norm2d_sequence": batch_norm2d_sequence_case,
    "train": train_case,
}


def reduced(case, name, results):
    """What the course published of an output: itself, or its mean, deviation or last entry."""
    if name not in case.get("reduce", {}):
        return results[name]
    output, how, axes = case["reduce"][name]
    if how == "last":
        return results[output][-1]
    return getattr(np, how)(results[output], axis=tuple(axes))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_published_values(case):
    inputs = {name: ARRAYS[f"{case['name']}|{name}"] for name in case["inputs"]}
    results = RUN[case["op"]](case, inputs)
    rtol, atol = case["tol"]
    assert case["expected"]
    for name, expected in case["expected"].items():
        np.testing.assert_allclose(reduced(case, name, results), expected, rtol=rtol, atol=atol, err_msg=name)
