"""make gpu-check OUT=folder: every GPU test, then the benchmark, on a machine with a GPU and no network.

Leaves gpu_check.json and gpu_check.md in the folder. Needs no installation beyond the packages that the
README names. Each section runs in a process of its own with a time limit, so that one that crashes or hangs
does not take the others along; together they end within eight minutes.

Exit status: 0 everything passed, 1 something did not (the table says what), 2 there is no usable GPU.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOTAL_SECONDS = 470
# Section -> (its title, the most seconds it may take). In this order: what proves comes before what measures.
SECTIONS = {
    "device": ("Arrays on the GPU", 110),
    "benchmark": ("Training steps beside PyTorch", 150),
    "kernels": ("The kernels' tests, on the GPU", 90),
    "contracts": ("The layer contract suite, on the GPU", 90),
    "numba": ("The Numba CUDA kernels, on the GPU", 40),
    "ladder": ("The ladder", 30),
    "sanitizer": ("compute-sanitizer", 60),
}
PYTEST = ["-m", "pytest", "-q", "-p", "benchmarks.from_checkout", "-p", "no:cacheprovider", "-W", "ignore"]
TESTS = {
    "kernels": ["tests/kernels/cuda/test_agreement.py", "tests/kernels/cuda/test_updates.py", "tests/kernels/cuda/test_ladder.py"],
    "contracts": ["-p", "tests.support.cuda_kernels", "tests/layers/test_contracts.py", "tests/test_contracts_functional.py"],
}  # fmt: skip


# ---- the sections: each prints its result as JSON, in its last line


def device() -> dict[str, Any]:
    from benchmarks import gpu_device

    checks = []
    for check in gpu_device.CHECKS:
        start, name = time.perf_counter(), check.__name__.replace("_", " ")
        try:
            found, passed = check(), True
        except Exception as error:
            found, passed = f"{type(error).__name__}: {error}", False
        seconds = round(time.perf_counter() - start, 1)
        checks.append({"check": name, "passed": passed, "found": found, "seconds": seconds})
        print(checks[-1], flush=True)
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def benchmark() -> dict[str, Any]:
    from benchmarks import gpu_training

    rows = gpu_training.measure_all()
    return {"passed": all("not_measured" not in row for row in rows), "rows": rows}


def ladder() -> dict[str, Any]:
    from minicnn.kernels.cuda.ladder import steps

    return {"passed": True, "table": steps.table(steps.measure_on_gpu)}


def in_process(section: str) -> None:
    """Run a section here and print its result: what the process of a section does."""
    from benchmarks import from_checkout  # noqa: F401

    print(json.dumps({"device": device, "benchmark": benchmark, "ladder": ladder}[section]()))


# ---- around them


def run_section(section: str, seconds: float) -> dict[str, Any]:
    """The result of a section, whatever becomes of it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MINICNN_CUDA_TESTS": "gpu", "CI": "true"}
    if section in TESTS:
        command = [*PYTEST, "-m", "not torch", *TESTS[section]]
    elif section == "numba":
        command = ["-c", "import benchmarks.from_checkout, runpy; runpy.run_module('tests.kernels.numba_cuda.checks', run_name='__main__')"]  # fmt: skip
    elif section == "sanitizer":
        command = [*PYTEST, "-x", "-k", "tails and (FLAT or TF32)", TESTS["kernels"][0]]
    else:
        command = ["-m", "benchmarks.gpu_check", "--section", section]
    program = [sys.executable]
    if section == "sanitizer":
        if (tool := shutil.which("compute-sanitizer")) is None:
            return {"passed": True, "note": "compute-sanitizer is not installed here: not run"}
        program = [tool, "--error-exitcode", "3", sys.executable]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        try:
            code: Any = subprocess.run(
                [*program, *command], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=seconds
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = f"stopped after {seconds:.0f} s"
        output.seek(0)
        text = output.read()
    lines = text.strip().splitlines() or [""]
    result: dict[str, Any] = {"passed": code == 0, "note": lines[-1]}
    if "--section" in command:
        try:
            result = json.loads(lines[-1])
        except ValueError:
            result = {"passed": False, "note": f"no result (exit status {code})"}
    if not result["passed"]:
        result["output"] = "\n".join(lines[-60:])
        result["exit_status"] = code
    return {**result, "seconds": round(time.perf_counter() - start, 1)}


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
    lines = ["# GPU check\n", *(f"    {line}" for line in results["machine"]["devices"]), ""]
    lines += ["| section | passed | seconds | |", "|---|---|---|---|"]
    for name, section in results["sections"].items():
        note = section.get("note", "").replace("|", "/")
        lines.append(
            f"| {SECTIONS[name][0]} | {'yes' if section['passed'] else '**no**'} | {section['seconds']} | {note} |"
        )
    for name, section in results["sections"].items():
        lines.append(f"\n## {SECTIONS[name][0]}\n")
        for check in section.get("checks", ()):
            lines.append(
                f"- {'passed' if check['passed'] else '**failed**'}: {check['check']}: {check['found']}"
            )
        if "rows" in section:
            from benchmarks.gpu_training import markdown as table

            lines.append(table(section["rows"]))
        lines.append(section.get("table", ""))
        if "output" in section:
            lines.append(f"```\n{section['output']}\n```")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--section"]:
        in_process(arguments[1])
        return 0
    from benchmarks import from_checkout  # noqa: F401
    from minicnn.backend import cuda_problem

    if (problem := cuda_problem()) is not None:
        print(f"gpu-check: there is no GPU to check. {problem}")
        return 2
    folder = Path(arguments[0] if arguments else "gpu-check")
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    results: dict[str, Any] = {"machine": machine(), "sections": {}}
    for section, (title, most) in SECTIONS.items():
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
        results["seconds"] = round(time.perf_counter() - start, 1)
        # After every section: what there is survives whatever happens to the next.
        (folder / "gpu_check.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (folder / "gpu_check.md").write_text(markdown(results), encoding="utf-8")
    passed = all(section["passed"] for section in results["sections"].values())
    print(f"{'everything passed' if passed else 'something failed'}: see {folder / 'gpu_check.md'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
