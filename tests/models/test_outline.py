"""The networks told in blocks: totals agree with the model, and the words with the paper's tables."""

from __future__ import annotations

import pytest

from minicnn import models
from minicnn.layers import Conv2d, Linear, ReLU, Sequential
from minicnn.models.listing import describe_one
from minicnn.models.measure import size, weightless
from minicnn.models.outline import describe, outline, table
from scripts import make_architecture_docs

QUICK = ["lenet5", "convnet3", "resnet20", "plain20", "alexnet", "vgg11", "vgg11_bn", "googlenet", "resnet18"]
QUICK += ["resnet50", "densenet121"]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("checkpoint_blocks", [False, True])
def test_the_steps_have_all_parameters_and_all_multiply_adds(name: str, checkpoint_blocks: bool) -> None:
    if checkpoint_blocks and name in ("lenet5", "convnet3"):
        return
    options = {"checkpoint_blocks": True} if checkpoint_blocks else {}
    if name == "googlenet":
        options["aux_logits"] = False  # those of the heads are no step of an image's way
    steps = outline(weightless(name, **options), models.architecture(name).input_shape)
    assert sum(step.parameters for step in steps) == size(name, **options).parameters
    assert sum(step.multiply_adds for step in steps) == size(name).multiply_adds
    assert steps[-1].output_shape == (10 if models.architecture(name).input_shape[1] <= 32 else 1000,)


def test_resnet50_reads_as_in_the_papers_table() -> None:
    rows = [(step.times, step.output_shape) for step in outline(weightless("resnet50"), (3, 224, 224))]
    assert rows[:4] == [(1, (64, 112, 112)), (1, (64, 56, 56)), (3, (256, 56, 56)), (1, (512, 28, 28))]


def test_dense_blocks_grow_and_transitions_halve() -> None:
    steps = {step.name: step for step in outline(weightless("densenet121"), (3, 224, 224))}
    assert steps["features.denseblock1"].output_shape == (64 + 6 * 32, 56, 56)
    assert steps["features.transition1"].output_shape == (128, 28, 28)
    assert steps["features.denseblock1"].what == "dense block of 6"


def test_a_step_in_words() -> None:
    assert describe(Conv2d(3, 4, (3, 1), stride=2)) == "convolution 3×1 / 2"
    assert describe(ReLU()) == ""
    assert table(outline(Sequential(fc=Linear(4, 2)), (4,))) == [("fc", "fully connected", "2", "10", "8")]


def test_the_page_of_the_documentation_is_what_the_models_say() -> None:
    written = (make_architecture_docs.DOCS / "architectures.md").read_text(encoding="utf-8")
    assert written == make_architecture_docs.page(), "run python scripts/make_architecture_docs.py"


def test_one_network_in_full() -> None:
    text = describe_one("resnet18")
    assert text.startswith("resnet18: He et al. 2015, basic blocks, for 3x224x224\n")
    assert text.endswith("11,689,512 parameters, 1,814,073,344 multiply-adds")
    assert "2 × basic block (3×3, 3×3)" in text
    assert "auxiliary heads" in describe_one("googlenet")
