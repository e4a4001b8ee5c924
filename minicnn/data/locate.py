"""Where the files of a data set are looked for, and what to say when they are nowhere.

In this order: the folder that the caller names, $MINICNN_DATA_DIR, the user's cache folder, Debian's
/usr/share/datasets, and ./data, where torchvision's tutorials put theirs. In each, a data set may lie in
<folder>/<name> or, as torchvision keeps it, in <folder>/<Name>/raw; the first two may also be the folder
itself that holds the files. Nothing here uses the network.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from minicnn.data.idx import content_md5
from minicnn.data.sources import SOURCES, Source
from minicnn.errors import DataError

DATA_DIR = os.environ.get("MINICNN_DATA_DIR") or None  # read once, at start
SYSTEM_DIR = Path("/usr/share/datasets")


def cache_dir() -> Path:
    """The user's own folder for data sets, such as ~/.cache/minicnn/datasets."""
    from platformdirs import user_cache_path

    return user_cache_path("minicnn") / "datasets"


def find(source: Source, data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """The first folder that holds all the files of the data set, or None."""
    return next((folder for folder in _places(source, data_dir) if not _lack(folder, source)), None)


def find_files(source: Source, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """The files of the data set, in the source's order, raw or .gz.

    Raises DataError, with every place searched and how to get the files, when no folder holds all of them.
    """
    folder = find(source, data_dir)
    if folder is None:
        raise DataError(_not_found(source, data_dir))
    return [path for file in source.files if (path := _file(folder, file.name))]


def how_to_get(source: Source) -> str:
    """One sentence on where the files come from and where they go."""
    files = "the four .gz files" if len(source.files) > 1 else f"{source.files[0].name}.gz"
    download = (
        f"download {files} from {source.url} into {cache_dir() / source.name}, "
        f"which `minicnn data fetch {source.name}` does"
    )
    return f"{source.advice}; or {download}" if source.advice else download


def _places(source: Source, data_dir: str | os.PathLike[str] | None) -> list[Path]:
    named = [Path(folder).expanduser() for folder in (data_dir, DATA_DIR) if folder is not None]
    places: list[Path] = []
    for root in [*named, cache_dir(), SYSTEM_DIR, Path("data")]:
        if root in named:
            places.append(root)
        places.append(root / source.name)
        # torchvision keeps IDX files in <Name>/raw, and the archives of CIFAR beside its folders.
        places.append(root / source.torchvision_name / "raw" if source.torchvision_name else root)
    return list(dict.fromkeys(places))


def _file(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if os.path.isfile(path)), None)


def _lack(folder: Path, source: Source) -> str:
    """Why the folder will not do, or nothing when it will."""
    if not os.path.isdir(folder):
        return "no such folder"
    missing = [file.name for file in source.files if _file(folder, file.name) is None]
    if missing:
        return "lacks " + ", ".join(missing)
    if source.format != "idx":
        return ""
    # MNIST and Fashion-MNIST name their files alike: the test labels, a few kilobytes, tell them apart.
    labels = source.files[-1]
    path = _file(folder, labels.name)
    try:
        md5 = content_md5(path) if path else ""
    except (OSError, EOFError, zlib.error):
        return ""  # damaged: reading it will say how
    others = [
        s.name
        for s in SOURCES.values()
        if s is not source and s.format == "idx" and s.files and s.files[-1].md5 == md5
    ]
    return f"holds {others[0]}" if others else ""


def _not_found(source: Source, data_dir: str | os.PathLike[str] | None) -> str:
    places = [f"  {folder} ({_lack(folder, source)})" for folder in _places(source, data_dir)]
    files = [f"  {f.name}.gz  SHA-256 {f.sha256}  (decompressed: MD5 {f.md5})" for f in source.files]
    return "\n".join(
        [
            f"data set {source.name!r} was not found on this machine; looked in",
            *places,
            f"To get it: {how_to_get(source)}; or name the folder that holds the files (data_dir, "
            "$MINICNN_DATA_DIR). The files, as they are or decompressed:",
            *files,
        ]
    )
