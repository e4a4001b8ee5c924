"""Every architecture beside PyTorch's, with the same weights:  python -m benchmarks.agreement

Names and shapes; logits in evaluation; parameter gradients in training with dropout off, in float64
and in float32. torchvision's networks where it is installed, else those of benchmarks/torch_models.py.
Writes benchmarks/results/agreement.json and .md. Takes half an hour; --only resnet50 updates one line.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import torch_models
from benchmarks.agreement_ours import (
    AUXILIARY_WEIGHT,
    Arrays,
    images,
    ours_gradients,
    ours_logits,
)
from benchmarks.seeded import seeded_state
from minicnn.kernels import using
from minicnn.layers.state import named_state
from minicnn.models.measure import weightless

RESULTS = Path(__file__).parent / "results"
ORDER = sorted(torch_models.NAMES, key=lambda name: name.startswith("vgg"))  # the quick first
FIRST_SEED = 7  # of the batches that float32 gradients are compared on
BY_DEFINITION = ("alexnet",)  # small enough for the NumPy definitions at 224x224 too


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="networks whose name begins with this")
    parser.add_argument("--missing", action="store_true", help="only those that the table lacks")
    parser.add_argument("--batches", type=int, default=3, help="that float32 gradients are compared on")
    options = parser.parse_args()
    for name in ORDER:
        if name.startswith(options.only) and not (options.missing and name in _read()):
            start = time.perf_counter()
            line = measure(name, options.batches)
            print(json.dumps(line), f"{time.perf_counter() - start:.0f} s", flush=True)
            lines = {**_read(), name: line}  # read anew: another run may have added lines
            _write([lines[name] for name in torch_models.NAMES if name in lines])


def measure(name: str, batches: int, num_classes: int = 1000) -> dict[str, Any]:
    """One line of the table."""
    return {
        "network": name,
        "names_and_shapes_equal": names_and_shapes(name) == torch_names_and_shapes(name),
        "logits_float64": logits_difference(name, np.float64, side=64, batch=2, num_classes=num_classes),
        "logits_float32_224": logits_difference(name, np.float32, side=224, batch=2, num_classes=num_classes),
        "gradients_float64": gradient_difference(name, side=64, batch=4, num_classes=num_classes),
        **float32_distances(
            name,
            range(FIRST_SEED, FIRST_SEED + batches),
            by_definition=name in BY_DEFINITION,
            channels_last=True,
            side=224,
            batch=2,
            num_classes=num_classes,
        ),
    }


# ---- the four comparisons


def names_and_shapes(name: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(key, holder.value.shape) for key, holder in named_state(weightless(name))]


def torch_names_and_shapes(name: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(key, tuple(value.shape)) for key, value in torch_network(name, 1000).state_dict().items()]


def logits_difference(name: str, dtype: Any, **options: Any) -> float:
    """The largest difference of logits in evaluation, in units of the largest logit."""
    return relative(ours_logits(name, dtype, **options), torch_logits(name, dtype, **options))


def gradient_difference(name: str, **options: Any) -> float:
    """The largest difference of any parameter's gradient in float64, in units of that array's largest.

    Biases in front of a batch norm have the gradient zero; what both give for them is rounding, and is
    measured in units of the same convolution's weight gradient.
    """
    theirs = torch_gradients(name, np.float64, **options)
    mine = ours_gradients(name, np.float64, **options)
    assert list(mine) == list(theirs)
    return max(
        relative(mine[key], theirs[key], np.abs(theirs[weight_beside(key, theirs)]).max()) for key in theirs
    )


def float32_distances(
    name: str,
    seeds: Iterable[int],
    *,
    by_definition: bool = False,
    channels_last: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """How far float32 gradients are from PyTorch's float64 gradient: relative, L2, over all parameters.

    By our kernels and by PyTorch's, if asked in its other layout, which rounds differently (the claim is about
    the default), and by our NumPy definitions too; batch by batch. Where a value lies within a rounding error
    of a ReLU's corner, either side may fall on the other side of it: one such value counts a hundred times more
    than all rounding errors together, and whom it strikes in which batch is chance. So the claim is about the
    median batch.
    """
    found: dict[str, list[float]] = {"float32_distances_224": [], "torch_float32_distances_224": []}
    if channels_last:
        found["torch_nhwc_float32_distances_224"] = []
    if by_definition:
        found["definition_float32_distances_224"] = []
    ratios = []
    for seed in seeds:
        exact = torch_gradients(name, np.float64, seed=seed, **options)
        theirs = distances(torch_gradients(name, np.float32, seed=seed, **options), exact)
        mine = distances(ours_gradients(name, np.float32, seed=seed, **options), exact)
        found["float32_distances_224"].append(mine.pop("all"))
        found["torch_float32_distances_224"].append(theirs.pop("all"))
        if channels_last:
            other = torch_gradients(name, np.float32, seed=seed, channels_last=True, **options)
            found["torch_nhwc_float32_distances_224"].append(distances(other, exact)["all"])
        ratios.append(float(np.median([mine[key] / theirs[key] for key in mine])))
        if by_definition:
            with using("reference"):
                defined = distances(ours_gradients(name, np.float32, seed=seed, **options), exact)
            found["definition_float32_distances_224"].append(defined["all"])
    return {**found, "median_ratios_of_arrays": ratios}


def distances(gradients: Arrays, exact: Arrays) -> dict[str, float]:
    squares = {key: float(np.sum((gradients[key] - exact[key]) ** 2)) for key in exact}
    norms = {key: float(np.sum(exact[key] ** 2)) for key in exact}
    meaningful = [key for key in exact if weight_beside(key, exact) == key]
    result = {key: (squares[key] / norms[key]) ** 0.5 for key in meaningful}
    return {**result, "all": (sum(squares.values()) / sum(norms.values())) ** 0.5}


def relative(actual: np.ndarray, expected: np.ndarray, scale: float | None = None) -> float:
    return float(np.abs(actual - expected).max() / (np.abs(expected).max() if scale is None else scale))


def weight_beside(key: str, gradients: Arrays) -> str:
    """The array that a gradient is measured by: itself, but for a bias that a batch norm makes useless."""
    weight = key.removesuffix("bias") + "weight"
    useless = key.endswith("bias") and gradients[weight].ndim == 4
    useless = useless and np.abs(gradients[key]).max() < 1e-9 * np.abs(gradients[weight]).max()
    return weight if useless else key


# ---- the two sides


def torch_network(name: str, num_classes: int, width: float = 1.0) -> Any:
    """torchvision's network where there is one, dropout off."""
    import torch

    try:
        from torchvision import models
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision that does not fit torch
        models = None
    if models is None or width != 1:
        module = torch_models.build(name, num_classes, width)
    else:
        quick = {"init_weights": False} if name == "googlenet" or name.startswith("vgg") else {}
        module = getattr(models, name)(num_classes=num_classes, **quick)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return module


def _seeded_torch(name: str, dtype: Any, num_classes: int, width: float) -> Any:
    import torch

    with torch.device("meta"):  # no time for initial weights that are overwritten at once
        module = torch_network(name, num_classes, width)
    state = seeded_state((key, tuple(value.shape)) for key, value in module.state_dict().items())
    tensors = {key: torch.tensor(value) for key, value in state.items()}
    module.load_state_dict(tensors, assign=True)
    module.to(_torch_dtype(dtype))
    return module


def _torch_dtype(dtype: Any) -> Any:
    import torch

    return torch.float64 if dtype == np.float64 else torch.float32


def torch_logits(
    name: str, dtype: Any, *, side: int, batch: int, num_classes: int, width: float = 1.0
) -> np.ndarray:
    import torch

    module = _seeded_torch(name, dtype, num_classes, width).eval()
    x = torch.from_numpy(images(side, batch, num_classes)[0]).to(_torch_dtype(dtype))
    with torch.inference_mode():
        return module(x).numpy()


def torch_gradients(
    name: str,
    dtype: Any,
    *,
    side: int,
    batch: int,
    num_classes: int,
    width: float = 1.0,
    seed: int = 7,
    channels_last: bool = False,
) -> Arrays:
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = _seeded_torch(name, dtype, num_classes, width).train().to(memory_format=layout)
    x, labels = (torch.from_numpy(array) for array in images(side, batch, num_classes, seed))
    outputs = module(x.to(_torch_dtype(dtype)).contiguous(memory_format=layout))
    main, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    cross_entropy = torch.nn.functional.cross_entropy
    loss = cross_entropy(main, labels)
    for output in auxiliary:
        loss = loss + AUXILIARY_WEIGHT * cross_entropy(output, labels)
    loss.backward()
    gradients = {key: parameter.grad.numpy() for key, parameter in module.named_parameters()}
    del module, outputs, loss
    gc.collect()
    return gradients


# ---- what is written


def _read() -> dict[str, dict[str, Any]]:
    path = RESULTS / "agreement.json"
    return (
        {line["network"]: line for line in json.loads(path.read_text())["networks"]} if path.exists() else {}
    )


def _write(lines: list[dict[str, Any]]) -> None:
    import torch

    try:
        import torchvision

        against = f"torchvision {torchvision.__version__}, torch {torch.__version__}"
    except (ImportError, RuntimeError):
        against = f"benchmarks/torch_models.py, torch {torch.__version__}"
    machine = {"against": against, "numpy": np.__version__, "python": platform.python_version()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "agreement.json").write_text(
        json.dumps({"versions": machine, "networks": lines}, indent=1) + "\n"
    )
    text = [
        "# The architectures beside PyTorch's\n",
        f"Against {against}. Same seeded weights, batch norm's statistics randomised. `python -m benchmarks.agreement`.\n",
        "- names: names, shapes and order of the state dict.",
        "- logits: evaluation, largest difference in units of the largest logit; float64 at 64x64, float32 at 224x224.",
        "- gradients: training with dropout off, batch 4 at 64x64 in float64, largest difference of any array in units "
        "of its largest entry.",
        "- float32: at 224x224, batch 2, distance of all gradients together from PyTorch's float64 gradient "
        "(relative, L2): by our kernels and by PyTorch's, batch by batch, and the ratio of the median batches, to "
        "PyTorch in its default layout and, where it was measured, in channels-last, which it is timed in too. A "
        "value within a rounding error of a ReLU's corner may fall on the other side of it, in either framework: one such "
        "value counts a hundred times more than all rounding errors together, which is why batches differ so.\n",
        "| network | names | logits float64 | logits float32 | gradients float64 | float32, kernels | PyTorch's | ratio | to channels-last |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        mine, theirs = line["float32_distances_224"], line["torch_float32_distances_224"]
        nhwc = line.get("torch_nhwc_float32_distances_224")
        other = f"{np.median(mine) / np.median(nhwc):.2f}" if nhwc else ""
        text.append(
            f"| {line['network']} | {'equal' if line['names_and_shapes_equal'] else 'DIFFERENT'} "
            f"| {line['logits_float64']:.1e} | {line['logits_float32_224']:.1e} | {line['gradients_float64']:.1e} "
            f"| {_listed(mine)} | {_listed(theirs)} | {np.median(mine) / np.median(theirs):.2f} | {other} |"
        )
    defined = [line for line in lines if "definition_float32_distances_224" in line]
    if defined:
        text.append(
            "\nBy our NumPy definitions: "
            + "; ".join(
                f"{line['network']} {_listed(line['definition_float32_distances_224'])}" for line in defined
            )
            + "."
        )
    (RESULTS / "agreement.md").write_text("\n".join(text) + "\n")


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.1e}" for value in values)


if __name__ == "__main__":
    main()
