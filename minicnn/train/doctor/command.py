"""The body of `minicnn doctor`."""

from __future__ import annotations

import json
from os import PathLike

import numpy as np

from minicnn import data, models
from minicnn.train.doctor.examine import examine
from minicnn.train.recipe import Recipe, held_out, input_shape, make_optimizer
from minicnn.train.run_folder import RunFolder


def doctor_command(
    recipe: Recipe,
    out: str | PathLike[str] | None,
    data_dir: str | PathLike[str] | None,
    as_json: bool,
) -> int:
    """Examine what the recipe would train, print the findings, leave the figures. Returns the exit status:
    0 when nothing is wrong, 1 when something is."""
    folder = None if out is None else RunFolder.create(out, recipe.model)  # refused before the work
    model_rng, split_rng = np.random.default_rng(recipe.seed).spawn(2)
    bundle = data.load(recipe.data, data_dir, input_shape=input_shape(recipe.model))
    training, validation = held_out(bundle, recipe.validation, split_rng)
    options = {"num_classes": len(bundle.class_names), "in_channels": bundle.preprocessing.channels}
    model = models.build(recipe.model, rng=model_rng, **options)
    diagnosis = examine(
        model,
        training,
        validation,
        loss=models.loss_for(recipe.model),
        optimizer=make_optimizer(recipe, model),
        seed=recipe.seed,
        figures=out is not None,
    )
    print(json.dumps(diagnosis.to_dict(), indent=1) if as_json else diagnosis)
    if folder is not None:
        for name, figure in diagnosis.figures.items():
            figure.savefig(folder.path / name, dpi=120)
        if not as_json:
            print(f"figures: {', '.join(str(folder.path / name) for name in diagnosis.figures)}")
    return 1 if diagnosis.faults else 0
