"""Makes an uninstalled checkout importable, for make gpu-check on a machine where nothing may be installed.

Imported first (or named to pytest with -p). What it does only where it is missing: kernels/ is found
as minicnn.kernels, and two small packages are replaced: platformdirs by a temporary folder,
threadpoolctl by nothing.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def prepare() -> None:
    """Done once, at import."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    import minicnn

    if find_spec("minicnn.kernels") is None:
        minicnn.__path__.append(str(ROOT))
    if find_spec("platformdirs") is None:
        folder = Path(tempfile.gettempdir()) / "minicnn-cache"
        _replace("platformdirs", user_cache_path=lambda *names: folder.joinpath(*names))
    if find_spec("threadpoolctl") is None:
        _replace("threadpoolctl", ThreadpoolController=_NoController)


class _NoController:
    def limit(self, **_: Any) -> Any:
        return nullcontext()


def _replace(name: str, **attributes: Any) -> None:
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module


prepare()
