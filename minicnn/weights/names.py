"""From the names in a file to the names in the model, where the two differ for historical reasons.

Every rule is applied only to a name that the model does not have and that becomes one it does have, so that a file
with today's names passes unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from minicnn.errors import WeightsError

# What wrappers put before every name: DataParallel, torch.compile, Lightning.
PREFIXES = ("module.", "_orig_mod.", "model.")
# torchvision's DenseNet files date from when a layer of a dense block had a child called "norm.1".
_RULES = ((re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$"), r"\1\2"),)
COUNTER = "num_batches_tracked"


def translate(
    names: Iterable[str], known: Collection[str], rename: Callable[[str], str] | None = None
) -> dict[str, str]:
    """name in the file -> name in the model, which is the same where no rule applies.

    known: the model's names. rename: a rule of the caller's, applied first, to every name.
    Raises WeightsError when two names of the file become one.
    """
    given = {name: rename(name) if rename is not None else name for name in names}
    given = dict(zip(given, _without_prefixes(list(given.values()), known)))
    result = {name: _historical(new, known) for name, new in given.items()}
    owners: dict[str, str] = {}
    for name, new in result.items():
        if new in owners:
            raise WeightsError(f"both {owners[new]} and {name} would become {new}")
        owners[new] = name
    return result


def lacks_counters(missing: str, names: Collection[str]) -> bool:
    """Whether `missing` is a batch norm's counter, and the file is from before PyTorch 0.4.1, which had none.

    The counter stays as it is then, as in PyTorch; nothing is computed from it unless momentum is None.
    """
    layer, _, last = missing.rpartition(".")
    prefix = f"{layer}." if layer else ""
    return (
        last == COUNTER
        and f"{prefix}running_mean" in names
        and not any(name.rpartition(".")[2] == COUNTER for name in names)
    )


def _without_prefixes(names: list[str], known: Collection[str]) -> list[str]:
    """A prefix goes only where all names have it and none of them is the model's."""
    while names and not any(name in known for name in names):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        names = [name.removeprefix(prefix) for name in names]
    return names


def _historical(name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    for pattern, replacement in _RULES:
        new = pattern.sub(replacement, name)
        if new in known:
            return new
    return name
