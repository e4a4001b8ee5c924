"""The same training steps in JAX:  python -m benchmarks.cpu_peers   (pip install jax beside minicnn)

LeNet-5 and convnet3 as plain JAX functions, forward, cross entropy, gradients and SGD with momentum compiled
into one program by jax.jit, beside minicnn's ordinary layers. Steps alternate. convnet3 is without its dropout
in both. Writes benchmarks/results/cpu_peers.md.

JAX has no setting for its number of threads; it uses all CPUs that the process may run on, and so does minicnn here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.steps import alternate
from minicnn.layers import Dropout, Layer
from minicnn.losses import CrossEntropyLoss
from minicnn.models import convnet3, lenet5
from minicnn.optim import SGD

RESULTS = Path(__file__).parent / "results"
# name, our builder, input, batch, and for JAX the layers: ("conv", padding), "pool", "flat", "dense", "relu"
CASES: list[tuple[str, Any, tuple[int, int, int], int, list[Any]]] = [
    *(
        (
            "LeNet-5",
            lenet5,
            (1, 28, 28),
            batch,
            [
                ("conv", 2),
                "relu",
                "pool",
                ("conv", 0),
                "relu",
                "pool",
                "flat",
                "dense",
                "relu",
                "dense",
                "relu",
                "dense",
            ],
        )
        for batch in (64, 128)
    ),
    (
        "convnet3",
        convnet3,
        (3, 32, 32),
        128,
        [("conv", 1), "relu", "pool"] * 3 + ["flat", "dense", "relu", "dense"],
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring, for each line")
    seconds = parser.parse_args().seconds
    import jax

    text = [
        "# Training steps beside JAX\n",
        f"`python -m benchmarks.cpu_peers`, jax {jax.__version__}, all CPUs, float32, milliseconds: minimum (median).\n",
        "| network | batch | minicnn | JAX | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, build, shape, batch, plan in CASES:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((batch, *shape), dtype=np.float32)
        labels = rng.integers(0, 10, batch)
        model = build(rng=rng)
        _without_dropout(model)
        steps = {"minicnn": _our_step(model, x, labels), "jax": _jax_step(model, x, labels, plan)}
        ms = {
            who: (1e3 * low, 1e3 * middle) for who, (low, middle) in alternate(steps, seconds, "wall").items()
        }
        shown = " | ".join(f"{low:.2f} ({middle:.2f})" for low, middle in ms.values())
        ratio = f"{ms['jax'][0] / ms['minicnn'][0]:.1f} ({ms['jax'][1] / ms['minicnn'][1]:.1f})"
        text.append(f"| {name} | {batch} | {shown} | {ratio} |")
        print(text[-1], flush=True)
    (RESULTS / "cpu_peers.md").write_text("\n".join(text) + "\n")


def _without_dropout(model: Layer) -> None:
    for _, layer in model.named_layers():
        if isinstance(layer, Dropout):
            layer.p = 0.0


def _our_step(model: Layer, x: np.ndarray, labels: np.ndarray) -> Any:
    loss, optimizer = CrossEntropyLoss(), SGD(model, lr=1e-3, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(x), labels)
        model.backward(loss.backward(), need_dx=False)  # type: ignore[call-arg]
        optimizer.step()
        return float(value)

    return step


def _jax_step(model: Layer, x: np.ndarray, labels: np.ndarray, plan: list[Any]) -> Any:
    """SGD with momentum 0.9 on the same weights, the whole step one compiled program."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    values = [jnp.asarray(parameter.value) for parameter in model.parameters()]

    def forward(weights: list[Any], y: Any) -> Any:
        at = iter(weights)
        for item in plan:
            if isinstance(item, tuple):
                weight, bias = next(at), next(at)
                padding = [(item[1], item[1])] * 2
                y = lax.conv_general_dilated(y, weight, (1, 1), padding)
                y = y + bias[:, None, None]
            elif item == "dense":
                weight, bias = next(at), next(at)
                y = y @ weight.T + bias
            elif item == "pool":
                y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            elif item == "flat":
                y = y.reshape(len(y), -1)
            else:
                y = jnp.maximum(y, 0)
        return y

    def loss(weights: list[Any], x: Any, labels: Any) -> Any:
        logits = jax.nn.log_softmax(forward(weights, x))
        return -logits[jnp.arange(len(labels)), labels].mean()

    @jax.jit
    def step(weights: list[Any], speeds: list[Any], x: Any, labels: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(weights, x, labels)
        speeds = [0.9 * speed + gradient for speed, gradient in zip(speeds, gradients)]
        return value, [weight - 1e-3 * speed for weight, speed in zip(weights, speeds)], speeds

    state = {"weights": values, "speeds": [jnp.zeros_like(value) for value in values]}
    data = jnp.asarray(x), jnp.asarray(labels)

    def run() -> float:
        value, state["weights"], state["speeds"] = step(state["weights"], state["speeds"], *data)
        return float(value)

    return run


if __name__ == "__main__":
    main()
