"""Writes tests/weights/fixtures/*.pth with PyTorch, from seeded arrays: python -m tests.weights.make_fixtures.

The default tests read these files without PyTorch. Made with torch 2.13.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from tests.weights.samples import FIXTURES, odd_state, small_state


def main() -> None:
    import torch

    def save(value: Any, name: str, legacy: bool = False, protocol: int = 2) -> None:
        torch.save(
            value,
            FIXTURES / name,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=not legacy,
        )

    def tensors(state: dict[str, Any]) -> OrderedDict[str, Any]:
        return OrderedDict((name, torch.from_numpy(array)) for name, array in state.items())

    FIXTURES.mkdir(exist_ok=True)
    small = tensors(small_state())
    small["fc.weight"] = torch.nn.Parameter(small["fc.weight"])
    small._metadata = OrderedDict({"": {"version": 1}, "bn": {"version": 2}})  # type: ignore[attr-defined]
    for legacy in (False, True):
        mark = "legacy" if legacy else "zip"
        save(small, f"small-{mark}.pth", legacy)
        save(tensors(odd_state()), f"odd-{mark}.pth", legacy)
        base = torch.arange(24, dtype=torch.float32)
        windows = {
            "whole": base,
            "transposed": base.reshape(4, 6).t(),
            "sliced": base.reshape(2, 3, 4)[:, 1:, ::2],
            "offset": base[5:9],
            "channels_last": base.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
            "bfloat16": torch.tensor([1.0, -2.5, 3.140625, float("inf"), 1e-40]).bfloat16(),
        }
        save(windows, f"windows-{mark}.pth", legacy)
    for protocol in (3, 4, 5):
        save(small, f"small-protocol{protocol}.pth", protocol=protocol)
    save({"epoch": 3, "lr": 0.1, "notes": ["a", None], "state_dict": small}, "checkpoint.pth")


if __name__ == "__main__":
    main()
