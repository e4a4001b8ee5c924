"""Splits that hold every class in proportion and never put one picture on both sides."""

from __future__ import annotations

import hashlib

import numpy as np

from minicnn.data.stored import Images
from minicnn.errors import ConfigError, ShapeError


def duplicate_groups(images: Images) -> np.ndarray:
    """(N,) group numbers: images with the same pixels share one. Found by hash, without comparing pairs."""
    seen: dict[bytes, int] = {}
    groups = np.empty(len(images), np.int64)
    for number, image in enumerate(images):
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        groups[number] = seen.setdefault(digest, len(seen))
    return groups


def held_out_mask(
    labels: np.ndarray, size: int | float, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """(N,) bool: which samples are held out, of every class the share `size` (a number of samples or a fraction).

    groups (N,): samples with one group number go to the same side, with the class of the first of them. Of a class
    with two or more groups at least one stays and (for a size above 0) at least one is held out; a class with a
    single one stays. Groups may make the result differ from `size` by a few.
    """
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if groups.shape != labels.shape:
        raise ShapeError(f"one group number a sample: {len(labels)} labels but groups {groups.shape}")
    share = size if isinstance(size, float) else size / max(len(labels), 1)
    if isinstance(size, bool) or not 0 <= share < 1:
        raise ConfigError(
            f"cannot hold out {size!r} of {len(labels)} samples: give a number from 0 to "
            f"{max(len(labels) - 1, 0)}, or a fraction from 0.0 up to 1.0"
        )
    names, first, members = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(members, minlength=len(names))
    class_of_group = labels[first]
    out = np.zeros(len(names), bool)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(class_of_group == label))
        if len(own) < 2 or share == 0:
            continue
        wanted = max(share * sizes[own].sum(), 1.0)
        before = np.cumsum(sizes[own]) - sizes[own]
        # A group goes out while that brings the number nearer to what is wanted.
        out[own] = before + sizes[own] / 2 <= wanted
        out[own[0]] = True
        out[own[-1]] = False
    return out[members]
