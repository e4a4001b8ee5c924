"""A checkpoint on disk: a folder of files that is there as a whole or not at all, and proves it.

    checkpoints/step-00000120/          in the middle of an epoch; ...-epoch-end after its evaluation
      model.safetensors      the model's state dict: minicnn.weights.load reads it
      training.safetensors   the arrays of the optimizer and of callbacks
      state.json             everything else
      manifest.json          the format and each file's SHA-256, sealed by a SHA-256 of its own

safetensors and JSON hold numbers and text, never code. safetensors has no checksum, hence the manifest.

A checkpoint is written into a hidden folder beside its place, flushed to the disk file by file, and
renamed. Whatever happens in between, what was there before stays as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from minicnn.errors import CheckpointError

FORMAT = 1  # raised when an older minicnn could not read it
MANIFEST = "manifest.json"
_NAME = re.compile(r"step-\d{8,}(-epoch-end)?")


class DamagedCheckpoint(CheckpointError):
    """Its files are not what its manifest says: an older checkpoint may be used."""


def name_of(step: int, epoch_end: bool) -> str:
    """The name of the checkpoint after so many batches: at an epoch's last one there may be two."""
    return f"step-{step:08}{'-epoch-end' if epoch_end else ''}"


def write_checkpoint(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the files and their manifest into the new folder `place`, flushed to the disk.

    What has that name already is moved aside: nothing is overwritten.
    Raises CheckpointError when it cannot be written (the disk is full, say); what was there stays.
    """
    folder = place.parent
    part = folder / f".{place.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name, content in {**files, MANIFEST: make_manifest(files)}.items():
            _write_flushed(part / name, content)
        flush_folder(part)
        if place.exists():
            set_aside(place)
        os.rename(part, place)
        flush_folder(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        older = checkpoints_in(folder)
        left = f"{older[0]} is untouched" if older else "there is no older one"
        raise CheckpointError(
            f"cannot write the checkpoint {place}: {error.strerror or error}; {left}. Make room or check the "
            "folder's permissions, then resume"
        ) from error


def read_checkpoint(path: Path) -> dict[str, bytes]:
    """The files of a checkpoint, by name, every byte checked.

    Raises DamagedCheckpoint when a file is missing, cut short or changed, CheckpointError when a newer
    minicnn wrote it.
    """
    manifest = _read_manifest(path)
    files = {}
    for name, promised in manifest["files"].items():
        content = _read(path, name)
        if len(content) != promised["bytes"]:
            raise DamagedCheckpoint(
                f"{path} is damaged: {name} has {len(content)} bytes, its manifest says {promised['bytes']}"
            )
        if _sha256(content) != promised["sha256"]:
            raise DamagedCheckpoint(f"{path} is damaged: the SHA-256 of {name} is not that of its manifest")
        files[name] = content
    return files


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder by their names, the newest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (int(path.name.split("-")[1]), path.name), reverse=True)


def set_aside(path: Path) -> Path:
    """Rename a checkpoint so that none is looked for there, and nothing is lost. Returns where it went."""
    number = 1
    while (other := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    os.rename(path, other)
    return other


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint so that, wherever it stops, no half of it is left under its name.

    One that cannot be deleted stays: it is only in the way.
    """
    doomed = path.with_name(f".{path.name}.old")
    with suppress(OSError):
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def clean_up(folder: Path) -> None:
    """Remove what a killed process left half written or half deleted. Only for who holds the lock."""
    for path in folder.glob(".step-*"):
        if path.suffix in (".part", ".old"):
            shutil.rmtree(path, ignore_errors=True)


# ---- the manifest


def make_manifest(files: Mapping[str, bytes]) -> bytes:
    entries = {name: {"bytes": len(content), "sha256": _sha256(content)} for name, content in files.items()}
    return _sealed({"format": FORMAT, "files": entries})


def _sealed(manifest: dict[str, Any]) -> bytes:
    """The manifest as JSON with its own SHA-256 as the last entry. The bytes are determined by the content."""
    seal = _sha256(json.dumps(manifest, indent=1).encode())
    return (json.dumps({**manifest, "seal": seal}, indent=1) + "\n").encode()


def _read_manifest(path: Path) -> dict[str, Any]:
    content = _read(path, MANIFEST)
    try:
        manifest = json.loads(content)
        body = {key: value for key, value in manifest.items() if key != "seal"}
        whole = _sealed(body) == content
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedCheckpoint(f"{path} is damaged: its {MANIFEST} is not as it was written")
    if manifest["format"] != FORMAT:
        raise CheckpointError(
            f"{path} was written by a newer minicnn (format {manifest['format']}, this one reads {FORMAT}): "
            "update minicnn; nothing was changed"
        )
    return manifest


# ---- the disk


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{path} is damaged: it has no {name}") from error
    except OSError as error:
        raise DamagedCheckpoint(f"{path / name} cannot be read: {error.strerror or error}") from error


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Let a rename in the folder survive a power cut. Windows cannot, and needs not."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
