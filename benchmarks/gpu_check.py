"""make gpu-check OUT=folder: every GPU test, then the benchmark, on a machine with a GPU and no network.

Leaves gpu_check.json, gpu_check.md and roofline.png in the folder. Needs no installation beyond the packages
that the README names. Each section runs in a process of its own with a time limit; a test or a measurement that
crashes or hangs takes no other along (gpu_items.py); together they end within eight minutes.

Exit status: 0 everything passed, 1 something did not (the table says what), 2 there is no usable GPU.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOTAL_SECONDS = 470
# Section -> (its title, the most seconds it may take, the most that one item of it may take). In this order:
# what proves comes before what measures, and what matters most before the rest.
SECTIONS = {
    "device": ("Arrays on the GPU", 110, 60),
    "benchmark": ("Training steps beside PyTorch", 130, 60),
    "kernels": ("The kernels' tests, on the GPU", 80, 40),
    "roofline": ("Each layer against the roofline", 50, 40),
    "contracts": ("The layer contract suite, on the GPU", 70, 40),
    "numba": ("The Numba CUDA kernels, on the GPU", 40, 30),
    "ladder": ("The ladder", 30, 30),
    "cpu": ("The CPU engine on this machine", 60, 50),
    "sanitizer": ("compute-sanitizer", 90, 90),
}
TESTS = {
    "kernels": ["tests/kernels/cuda/test_agreement.py", "tests/kernels/cuda/test_updates.py", "tests/kernels/cuda/test_ladder.py"],
    "contracts": ["-p", "tests.support.cuda_kernels", "tests/layers/test_contracts.py", "tests/test_contracts_functional.py"],
}  # fmt: skip
PYTEST = ["-m", "pytest", "-q", "-p", "benchmarks.from_checkout", "-p", "benchmarks.gpu_pytest"]
PYTEST += ["-p", "no:cacheprovider", "-W", "ignore", "-m", "not torch"]


# ---- in a section's process


def items_of(section: str) -> Any:
    """(name, what to compute) of each item."""
    if section == "device":
        from benchmarks import gpu_device

        return [(check.__name__.replace("_", " "), check) for check in gpu_device.CHECKS]
    if section == "sanitizer":
        from benchmarks import gpu_device

        return [("every kernel once", gpu_device.every_kernel_once)]
    if section in ("benchmark", "cpu"):
        from benchmarks import gpu_training

        return gpu_training.items() if section == "benchmark" else gpu_training.cpu_items()
    if section == "roofline":
        from benchmarks import gpu_roofline

        return gpu_roofline.items("cuda")
    if section == "numba":
        from tests.kernels.numba_cuda import checks

        return [
            (name[6:].replace("_", " "), check)
            for name, check in vars(checks).items()
            if name[:6] == "check_"
        ]
    if section != "ladder":
        raise KeyError(f"there is no section {section!r}")
    from minicnn.kernels.cuda.ladder import steps

    return [
        (step.kernel, lambda step=step: 1e3 * steps.measure_on_gpu(step))
        for step in (*steps.MATMUL, *steps.CONV)
    ]


# ---- around them


def run_section(section: str, seconds: float) -> dict[str, Any]:
    """The result of a section, whatever becomes of it."""
    from benchmarks import gpu_items

    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths, "MINICNN_CUDA_TESTS": "gpu", "CI": "true"}
    command, finished = [sys.executable, "-m", "benchmarks.gpu_check", "--section", section], [0]
    if section in TESTS:
        command = [sys.executable, *PYTEST, *TESTS[section]]
        finished = [0, 1, 5]  # passed, failed, and nothing left to do
    if section == "sanitizer":
        if (tool := shutil.which("compute-sanitizer")) is None:
            return {"passed": True, "note": "compute-sanitizer is not installed here: not run", "seconds": 0}
        command = [tool, "--error-exitcode", "3", *command]
    start = time.perf_counter()
    item_seconds = min(seconds, SECTIONS[section][2] if section in SECTIONS else seconds)
    result = gpu_items.run(command, environment, seconds, item_seconds, finished, ROOT)
    return {**complete(section, result), "seconds": round(time.perf_counter() - start, 1)}


def complete(section: str, result: dict[str, Any]) -> dict[str, Any]:
    """The result; a benchmark without PyTorch has not passed."""
    rows = [item["found"] for item in result["items"] if item["passed"]] if section == "benchmark" else []
    alone = [row["torch_problem"] for row in rows if row["torch_problem"]]
    if not alone:
        return result
    note = f"{result['note']}; PyTorch was not measured in {len(alone)} of {len(rows)}: {alone[0]}"
    return {**result, "passed": False, "note": note}


def machine() -> dict[str, Any]:
    from minicnn.backend import capabilities

    versions = {}
    for name in ("numpy", "cupy", "numba", "torch"):
        try:
            versions[name] = __import__(name).__version__
        except ImportError:
            versions[name] = None
    return {"devices": capabilities(), "python": platform.python_version(), "versions": versions}


def markdown(results: dict[str, Any]) -> str:
    """The report."""
    from benchmarks import gpu_roofline, gpu_training

    lines = ["# GPU check\n", *(f"    {line}" for line in results["machine"]["devices"])]
    versions = results["machine"].get("versions", {})
    lines += ["    " + ", ".join(f"{name} {version}" for name, version in versions.items()), ""]
    lines += ["| section | passed | seconds | |", "|---|---|---|---|"]
    for name, section in results["sections"].items():
        passed, note = "yes" if section["passed"] else "**no**", section.get("note", "").replace("|", "/")
        lines.append(f"| {SECTIONS[name][0]} | {passed} | {section['seconds']} | {note} |")
    speeds = {each["item"]: each["found"] for each in _items(results, "cpu") if each["passed"]}
    for name, section in results["sections"].items():
        lines.append(f"\n## {SECTIONS[name][0]}\n")
        items = section.get("items", [])
        if name == "benchmark":
            lines.append(gpu_training.markdown(items, speeds))
        elif name == "roofline":
            lines.append(gpu_roofline.markdown(items))
        elif name == "ladder":
            lines.append(_ladder(items))
        elif name in TESTS:  # hundreds: only what went wrong
            items = [each for each in items if not each["passed"]]
        if name not in ("benchmark", "roofline", "ladder") or not section["passed"]:
            lines += [
                _line(each)
                for each in items
                if name in ("device", "numba", "cpu", "sanitizer") or not each["passed"]
            ]
        if "output" in section:
            lines.append(f"\n```\n{section['output']}\n```")
    return "\n".join(lines) + "\n"


def _items(results: dict[str, Any], section: str) -> list[dict[str, Any]]:
    return results["sections"].get(section, {}).get("items", [])


def _line(item: dict[str, Any]) -> str:
    found = "" if item["found"] is None else f": {item['found']}"
    return f"- {'passed' if item['passed'] else '**failed**'}: {item['item']}{found}"


def _ladder(items: list[dict[str, Any]]) -> str:
    from minicnn.kernels.cuda.ladder import steps

    seconds = {item["item"]: item["found"] / 1e3 for item in items if item["passed"]}
    return steps.table(lambda step: seconds.get(step.kernel))


def draw(results: dict[str, Any], folder: Path) -> str:
    """roofline.png in the folder; "" or why there is none."""
    from benchmarks import gpu_roofline

    try:
        gpu_roofline.draw(_items(results, "roofline"), results["machine"]["devices"], folder / "roofline.png")
    except Exception as error:  # a figure that cannot be drawn must not cost the numbers
        return f"roofline.png could not be drawn: {type(error).__name__}: {error}"
    return ""


def main(arguments: list[str]) -> int:
    from benchmarks import from_checkout  # noqa: F401

    if arguments[:1] == ["--section"]:
        from benchmarks.gpu_items import walk

        walk(items_of(arguments[1]))
        return 0
    from minicnn.backend import cuda_problem

    if (problem := cuda_problem()) is not None:
        print(f"gpu-check: there is no GPU to check. {problem}")
        return 2
    folder = Path(arguments[0] if arguments else "gpu-check")
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    results: dict[str, Any] = {"machine": machine(), "sections": {}}
    for section, (title, most, _) in SECTIONS.items():
        left = TOTAL_SECONDS - (time.perf_counter() - start)
        print(f"{title} ...", flush=True)
        if left < 10:
            result: dict[str, Any] = {"passed": False, "note": "no time was left", "seconds": 0}
        else:
            result = run_section(section, min(most, left))
        results["sections"][section] = result
        print(
            f"  {'passed' if result['passed'] else 'FAILED'}, {result['seconds']} s {result.get('note', '')}"
        )
        if section == "roofline" and (problem := draw(results, folder)):
            print(f"  {problem}")
        results["seconds"] = round(time.perf_counter() - start, 1)
        # After every section: what there is survives whatever happens to the next.
        (folder / "gpu_check.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (folder / "gpu_check.md").write_text(markdown(results), encoding="utf-8")
    passed = all(section["passed"] for section in results["sections"].values())
    print(f"{'everything passed' if passed else 'something failed'}: see {folder / 'gpu_check.md'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
