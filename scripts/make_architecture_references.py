"""Write tests/reference/architectures.json from torchvision:  python scripts/make_architecture_references.py

Of every architecture a digest of the ordered names and shapes of its state dict and its number of
parameters, from torchvision itself. And, for one small network a family, what PyTorch computes in
float64 with seeded weights: logits in evaluation, and of every parameter's gradient in training one
number, its product with a seeded array. Needs: pip install torch torchvision, and minicnn.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torchvision

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import torch_models
from benchmarks.agreement import torch_gradients, torch_logits, torch_names_and_shapes
from benchmarks.seeded import digest, projections

SMALL = ["alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet50", "densenet121"]
SETTINGS = {"side": 64, "batch": 4, "num_classes": 5, "width": 1 / 8}


def main() -> None:
    layouts = {}
    for name in torch_models.NAMES:
        shapes = torch_names_and_shapes(name)
        module = getattr(torchvision.models, name)
        parameters = sum(p.numel() for p in module(weights=None, **_quick(name)).parameters())
        layouts[name] = {"entries": len(shapes), "parameters": parameters, "sha256": digest(shapes)}
    small = {
        name: {
            "logits": torch_logits(name, np.float64, **SETTINGS).tolist(),
            "gradients": projections(torch_gradients(name, np.float64, **SETTINGS)),
        }
        for name in SMALL
    }
    reference = {
        "from": f"torchvision {torchvision.__version__}, scripts/make_architecture_references.py",
        "layouts": layouts,
        "settings": SETTINGS,
        "small": small,
    }
    path = Path(__file__).parents[1] / "tests" / "reference" / "architectures.json"
    path.write_text(json.dumps(reference, indent=1) + "\n")


def _quick(name: str) -> dict[str, bool]:
    """Skip torchvision's slow initialisation."""
    return {"init_weights": False} if name == "googlenet" or name.startswith("vgg") else {}


if __name__ == "__main__":
    main()
