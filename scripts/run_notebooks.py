"""Execute every notebook from a clean state, as a reader would, top to bottom.

python scripts/run_notebooks.py [--save FOLDER] [NOTEBOOK ...]

Fails when a cell raises, or when a notebook was committed with its outputs. Each runs in an
empty folder of its own. --save keeps the executed copies, to look at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SECONDS_PER_CELL = 600


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted(NOTEBOOKS.rglob("*.ipynb"))
    failures = 0
    for path in paths:
        problem = run(path, arguments.save)
        failures += problem is not None
        print(f"{path.name}: {problem or 'ok'}", flush=True)
    print(f"{len(paths) - failures} passed, {failures} failed")
    return 1 if failures or not paths else 0


def run(path: Path, save: Path | None) -> str | None:
    """Execute one notebook; returns what is wrong, None when all is well."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    if any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells):
        return "it holds outputs: clear them before committing (jupyter nbconvert --clear-output --inplace)"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return f"a cell failed\n{error}"
    print(f"{path.name}: {time.perf_counter() - start:.0f} s")
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, save / path.name)
    return None


if __name__ == "__main__":
    sys.exit(main())
