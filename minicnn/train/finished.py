"""A finished run, read back: the network with its preprocessing and class names."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

import numpy as np

from minicnn import data, models, weights
from minicnn.errors import ConfigError, RunError
from minicnn.layers.base import Layer
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD
from minicnn.train.metrics import Evaluation
from minicnn.train.run_folder import RunFolder
from minicnn.train.trainer import Trainer, predict


class Prediction(NamedTuple):
    """The classes of one image, the most probable first."""

    path: str
    classes: list[str]
    probabilities: list[float]


class FinishedRun:
    """The best network of a run folder, ready to evaluate and to predict.

    Attributes: config (the dict of config.json), model, preprocessing, class_names, data (the name
    of the data set it was trained on).
    Raises RunError when the folder is not a finished run, WeightsError when its weights are
    damaged or do not fit.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        folder = RunFolder(path)
        self.config = folder.read_config()
        try:
            self.model: Layer = models.build(self.config["model"]["name"], **self.config["model"]["options"])
            self.preprocessing = data.Preprocessing.from_dict(self.config["preprocessing"])
            self.class_names = [str(name) for name in self.config["class_names"]]
            self.data = str(self.config["recipe"]["data"])
            outputs = self.config["model"]["options"]["num_classes"]
            if len(self.class_names) != outputs:
                raise RunError(f"{len(self.class_names)} class names for {outputs} outputs of the network")
        except (KeyError, TypeError, ValueError, RunError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise RunError(f"{folder.config_file} does not describe a run of this minicnn: {why}") from error
        if not folder.weights_file.exists():
            raise RunError(
                f"{folder.path} has no weights yet: its training ended before the first epoch was over"
            )
        weights.load(self.model, folder.weights_file)

    def evaluate(self, name: str | None = None, data_dir: str | PathLike[str] | None = None) -> Evaluation:
        """On the test images of a data set (default: the run's own), prepared as the run prepared its own."""
        name = self.data if name is None else name
        on_bad_file = self.config["recipe"].get("on_bad_file", "error")
        bundle = data.load(name, data_dir, preprocessing=self.preprocessing, on_bad_file=on_bad_file)
        if list(bundle.class_names) != self.class_names:
            raise ConfigError(
                f"{name} has other classes ({', '.join(bundle.class_names)}) than the run knows "
                f"({', '.join(self.class_names)}): evaluate on a data set with the same ones"
            )
        return Trainer(self.model, CrossEntropyLoss(), SGD(self.model, lr=0.1)).evaluate(bundle.test)

    def predict(self, path: str | PathLike[str]) -> Prediction:
        """The classes of one image file. Raises DataError when it cannot be read."""
        image = self.preprocessing.read_image(path)
        probabilities = predict(self.model, self.preprocessing(image))[0]
        order = np.argsort(-probabilities, kind="stable")
        return Prediction(
            str(path),
            [self.class_names[index] for index in order],
            [float(probabilities[index]) for index in order],
        )
