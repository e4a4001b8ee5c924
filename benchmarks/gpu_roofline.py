"""Each layer of a network against the roofline (Williams, Waterman & Patterson 2009): part of make gpu-check.

    python -m benchmarks.gpu_roofline cpu out.png      # the CPU engine on this machine, LeNet-5 and convnet3

A layer is computed alone, forward and backward. What it must do is counted: a convolution's multiplications and
additions, and every array it reads or writes once. Divided by the time it takes that gives flop/s and bytes/s.
No layer can be faster than the lower of two roofs, the flop/s of a large matrix product and, times the
layer's flops a byte, the bytes/s of a large copy; both are measured here too.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import from_checkout  # noqa: F401  (first: it makes minicnn.kernels importable)
from minicnn import layers as L
from minicnn import models
from minicnn.backend import get_xp, to_device
from minicnn.layers.base import Layer, backward_into

SECONDS = 0.1  # for one layer
NETWORKS = {"cuda": [("resnet18", 64), ("vgg16", 16)], "cpu": [("lenet5", 64), ("convnet3", 64)]}
KINDS = {
    L.Conv2d: "convolution",
    L.Linear: "fully connected",
    L.BatchNorm2d: "batch norm",
    L.ReLU: "activation",
    L.MaxPool2d: "pooling",
    L.AdaptiveAvgPool2d: "pooling",
}


# ---- measuring


def items(device: str) -> list[tuple[str, Callable[[], Any]]]:
    """The two roofs, then the networks: a list of layers each."""
    networks = [
        (name, lambda name=name, batch=batch: measure(name, batch, device))
        for name, batch in NETWORKS[device]
    ]
    return [("peaks", lambda: peaks(device)), *networks]


def peaks(device: str) -> dict[str, float]:
    """{"flops": of a large float32 matrix product, "bytes": a second, of a large copy}."""
    size = 8192 if device == "cuda" else 1024
    a = to_device(np.random.default_rng(0).standard_normal((size, size), dtype=np.float32), device)
    big = get_xp(a).zeros(2**28 if device == "cuda" else 2**24, np.float32)
    other = big.copy()

    def copy() -> None:
        other[...] = big

    return {
        "flops": 2 * size**3 / medians([lambda: a @ a], device)[0],
        "bytes": 2 * big.nbytes / medians([copy], device)[0],
    }


def measure(name: str, batch: int, device: str) -> list[dict[str, Any]]:
    """A dictionary for each layer of the network; layers of one kind and shape are one, counted."""
    rng = np.random.default_rng(0)
    model = models.build(name, rng=rng).to(device).train()
    x = to_device(
        rng.standard_normal((batch, *models.architecture(name).input_shape), dtype=np.float32), device
    )
    with model.watch() as seen:
        y = model(x)
        backward_into(model, get_xp(y).ones_like(y), need_dx=False)
    found: dict[Any, dict[str, Any]] = {}
    for path, layer in model.leaves():
        kind, record = KINDS.get(type(layer)), seen[path]
        if kind is None or record.x is None or record.y is None:
            continue
        key = (repr(layer), record.x.shape)
        if key in found:
            found[key]["count"] += 1
            continue
        found[key] = {"layer": path, "kind": kind, "input": list(record.x.shape), "count": 1}
        found[key] |= measure_layer(layer, record.x, get_xp(y).ones_like(record.y), device)
    return list(found.values())


def measure_layer(layer: Layer, x: Any, dy: Any, device: str) -> dict[str, Any]:
    """Times, flops and bytes of forward and backward."""
    forward, backward = medians([lambda: layer(x), lambda: layer.backward(dy)], device)
    weights = sum(parameter.value.nbytes for parameter in layer.parameters())
    flops = flops_of(layer, x, dy)
    twice = 2 if isinstance(layer, (L.Conv2d, L.Linear)) else 1  # backward has two products
    return {
        "forward": {"seconds": forward, "flops": flops, "bytes": x.nbytes + weights + dy.nbytes},
        "backward": {
            "seconds": backward,
            "flops": twice * flops,
            "bytes": 2 * x.nbytes + 2 * weights + dy.nbytes,
        },
    }


def flops_of(layer: Layer, x: Any, y: Any) -> int:
    """Of the forward pass: additions and multiplications; comparisons count as one."""
    if isinstance(layer, (L.Conv2d, L.Linear)):
        return 2 * y.size * math.prod(layer.weight.shape[1:])
    if isinstance(layer, L.MaxPool2d):
        return y.size * math.prod(np.broadcast_to(layer.kernel_size, 2))
    return {L.BatchNorm2d: 7, L.AdaptiveAvgPool2d: 1, L.ReLU: 1}[type(layer)] * x.size


def medians(calls: list[Callable[[], Any]], device: str) -> list[float]:
    """Seconds of each of the calls, which are made in turn: the medians of many rounds."""
    stamp, between, wait = stopwatch(device)
    for _ in range(2):  # compiles, fills the memory pool
        for call in calls:
            call()
    rounds: list[list[Any]] = []
    wait()
    end = time.perf_counter() + SECONDS
    while len(rounds) < 3 or (time.perf_counter() < end and len(rounds) < 50):
        stamps = [stamp()]
        for call in calls:
            call()
            stamps.append(stamp())
        rounds.append(stamps)
    wait()
    return [
        max(statistics.median(between(stamps[i], stamps[i + 1]) for stamps in rounds), 1e-9)
        for i in range(len(calls))
    ]


def stopwatch(device: str) -> tuple[Callable[[], Any], Callable[[Any, Any], float], Callable[[], None]]:
    """(takes the time, seconds between two of these, waits until all is computed)."""
    if device == "cpu":
        return time.perf_counter, lambda start, end: end - start, lambda: None
    import cupy

    def stamp() -> Any:
        event = cupy.cuda.Event()
        event.record()
        return event

    def between(start: Any, end: Any) -> float:
        return cupy.cuda.get_elapsed_time(start, end) / 1e3

    return stamp, between, cupy.cuda.Device().synchronize


# ---- showing


def share(part: dict[str, float], roofs: dict[str, float]) -> float:
    """Of what the lower roof allows: 1 is the roof."""
    return max(part["flops"] / roofs["flops"], part["bytes"] / roofs["bytes"]) / part["seconds"]


def split(walked: list[dict[str, Any]]) -> tuple[dict[str, float] | None, dict[str, list[dict[str, Any]]]]:
    """(the roofs, network -> its layers) of what gpu_items walked over."""
    passed = {each["item"]: each["found"] for each in walked if each["passed"]}
    return passed.pop("peaks", None), passed


def markdown(walked: list[dict[str, Any]]) -> str:
    """A table for each network."""
    roofs, networks = split(walked)
    if roofs is None:
        return "the roofs were not measured"
    lines = [f"Roofs: {roofs['flops'] / 1e12:.2f} Tflop/s, {roofs['bytes'] / 1e9:.0f} GB/s.\n"]
    for name, layers in networks.items():
        lines += [
            f"{name}:\n",
            "| layer | input | pass | ms | Tflop/s | GB/s | of the roof |",
            "|---|---|---|---|---|---|---|",
        ]
        for layer in layers:
            times = f" (x {layer['count']})" if layer["count"] > 1 else ""
            for way in ("forward", "backward"):
                part = layer[way]
                lines.append(
                    f"| {layer['layer']}{times} | {'x'.join(map(str, layer['input']))} | {way} | {1e3 * part['seconds']:.3f} | "
                    f"{part['flops'] / part['seconds'] / 1e12:.2f} | {part['bytes'] / part['seconds'] / 1e9:.0f} | "
                    f"{share(part, roofs):.0%} |"
                )
        lines.append("")
    return "\n".join(lines)


def draw(walked: list[dict[str, Any]], devices: list[str], path: Path) -> None:
    """The figure: a roofline and the layers' times, a row for each network."""
    from minicnn.plots.style import new_picture

    roofs, networks = split(walked)
    if roofs is None or not networks:
        raise ValueError("nothing was measured that could be drawn")
    tallest = max(len(layers) for layers in networks.values())
    picture = new_picture(13, len(networks) * max(4.6, 1.6 + 0.24 * tallest))
    axes = np.atleast_2d(picture.subplots(len(networks), 2, width_ratios=(1, 1)))
    for row, (name, layers) in zip(axes, networks.items()):
        _roofline(row[0], name, layers, roofs)
        _bars(row[1], layers, roofs)
    picture.suptitle(f"Each layer alone, float32: {name_of(devices)}", fontsize=11)
    picture.savefig(path, dpi=110)


def name_of(devices: list[str]) -> str:
    """The GPU's name from the lines of `minicnn devices`, or the CPU's."""
    line = next((each for each in devices if each.startswith("cuda:")), devices[0])
    return line.partition(" ")[2].strip().partition(", compute")[0].removesuffix(": available")


def colours() -> dict[str, str]:
    from minicnn.plots.style import BLUE, GREEN, GREY, ORANGE, RED

    return dict(
        zip(
            ("convolution", "fully connected", "batch norm", "activation", "pooling"),
            (BLUE, RED, GREEN, GREY, ORANGE),
        )
    )


def _roofline(axes: Any, name: str, layers: list[dict[str, Any]], roofs: dict[str, float]) -> None:
    parts = [(layer, way, layer[way]) for layer in layers for way in ("forward", "backward")]
    reach = [part["flops"] / part["bytes"] for _, _, part in parts]
    ridge = roofs["flops"] / roofs["bytes"]
    ends = np.array([min(*reach, ridge) / 2, ridge, max(*reach, ridge) * 2])
    axes.plot(ends, np.minimum(ends * roofs["bytes"], roofs["flops"]), color="black", linewidth=1.5, zorder=1)
    for layer, way, part in parts:
        face = colours()[layer["kind"]]
        axes.plot(
            part["flops"] / part["bytes"], part["flops"] / part["seconds"], linestyle="", markersize=7, zorder=2,
            marker="o" if way == "forward" else "s", color=face, markerfacecolor=face if way == "forward" else "white",
        )  # fmt: skip
    for kind in dict.fromkeys(layer["kind"] for layer in layers):
        axes.plot([], [], linestyle="", marker="o", color=colours()[kind], label=kind)
    axes.plot([], [], linestyle="", marker="s", color="black", markerfacecolor="white", label="backward")
    axes.set(xscale="log", yscale="log", xlabel="flops a byte", ylabel="flop/s", title=name)
    peak, copy = _quantity(roofs["flops"], "flop/s"), _quantity(roofs["bytes"], "B/s")
    axes.annotate(
        f"matrix product: {peak}",
        (ends[2], roofs["flops"]),
        (0, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    axes.annotate(
        f"copy: {copy}",
        (ends[0], ends[0] * roofs["bytes"]),
        (16, 0),
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=8,
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


def _bars(axes: Any, layers: list[dict[str, Any]], roofs: dict[str, float]) -> None:
    """A layer's time in a step, all of its kind together, and what share of its roof it reaches."""
    places = np.arange(len(layers))
    left = np.zeros(len(layers))
    for way, alpha in (("forward", 1.0), ("backward", 0.5)):
        times = np.array([1e3 * layer["count"] * layer[way]["seconds"] for layer in layers])
        axes.barh(places, times, left=left, color=[colours()[layer["kind"]] for layer in layers], alpha=alpha)
        left += times
    for place, layer, end in zip(places, layers, left):
        text = f" {share(layer['forward'], roofs):.0%}, {share(layer['backward'], roofs):.0%}"
        axes.text(end, place, text, va="center", fontsize=7)
    labels = [layer["layer"] + (f" (x {layer['count']})" if layer["count"] > 1 else "") for layer in layers]
    axes.set_yticks(places, labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * left.max())
    axes.set(
        xlabel="ms a step: forward, then backward (pale)",
        title="time, and share of the roof: forward, backward",
    )
    axes.title.set_fontsize(10)


def _quantity(value: float, unit: str) -> str:
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def main(device: str, path: str) -> None:
    from minicnn.backend import capabilities

    walked = [{"item": name, "passed": True, "found": compute()} for name, compute in items(device)]
    print(markdown(walked))
    draw(walked, capabilities()[: 2 if device == "cuda" else 1], Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
