"""The figures: what they say, and that they can be drawn whatever the training came to."""

from __future__ import annotations

import io
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from minicnn import plots
from minicnn.errors import DataError, ShapeError
from minicnn.plots.style import GREEN, RED
from minicnn.train import EpochRecord, History

RNG = np.random.default_rng(0)


def pixels(figure: Any) -> np.ndarray:
    """The figure as it is saved, (H, W) grey; it must not be blank."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    picture = np.asarray(Image.open(buffer).convert("L"))
    assert np.ptp(picture) > 100
    return picture


def texts(figure: Any) -> list[str]:
    """Every visible text, after drawing."""
    figure.draw_without_rendering()
    return [
        t.get_text()
        for t in figure.findobj(lambda a: hasattr(a, "get_text"))
        if t.get_visible() and t.get_text()
    ]


def history(epochs: int, *, validation: bool = True, accuracy: bool = True, last: float = 0.5) -> History:
    records = History()
    for e in range(1, epochs + 1):
        loss = last if e == epochs else 1 / e
        records.append(
            EpochRecord(
                epoch=e,
                lr=0.1,
                train_loss=1 / e,
                train_accuracy=1 - 0.5 / e if accuracy else None,
                validation_loss=loss if validation else None,
                validation_accuracy=1 - 0.6 / e if validation and accuracy else None,
                seconds=1.0,
                images_per_second=1.0,
            )
        )
    return records


def sheet(images: np.ndarray, right: Any) -> dict[str, Any]:
    """images, labels and probabilities over four classes; `right` says which predictions are right."""
    count = len(images)
    predicted = np.arange(count) % 4
    probabilities = np.full((count, 4), 0.1)
    probabilities[np.arange(count), predicted] = 0.7
    labels = np.where(np.broadcast_to(right, count), predicted, (predicted + 1) % 4)
    return {"images": images, "labels": labels, "probabilities": probabilities}


def frames(figure: Any) -> list[str]:
    """The colour of the frame around every picture that is shown."""
    return [
        to_hex(axes.spines["left"].get_edgecolor()).upper()
        for axes in figure.axes
        if axes.axison and axes.get_images()
    ]


def grey(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


class TestLearningCurves:
    def test_it_draws_loss_and_accuracy_with_their_values(self) -> None:
        records = history(4)
        figure = plots.learning_curves(records, best_epoch=3)
        loss, accuracy = figure.axes
        assert [loss.get_title(), accuracy.get_title()] == ["loss", "accuracy"]
        for axes, what in ((loss, "loss"), (accuracy, "accuracy")):
            training, validation, best = axes.get_lines()
            assert training.get_xdata().tolist() == [1, 2, 3, 4]
            assert list(training.get_ydata()) == records.column(f"train_{what}")
            assert list(validation.get_ydata()) == records.column(f"validation_{what}")
            assert list(best.get_xdata()) == [3, 3]
        assert pixels(figure).shape[0] > 0

    def test_one_legend_explains_all_lines_and_hides_none(self) -> None:
        figure = plots.learning_curves(history(4), best_epoch=3)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [
            "training (mean over the epoch)",
            "validation (after the epoch)",
            "best weights (epoch 3)",
        ]
        for axes in figure.axes:
            assert not legend.get_window_extent().overlaps(axes.get_window_extent())

    def test_without_validation_and_best_epoch_there_is_one_line(self) -> None:
        figure = plots.learning_curves(history(3, validation=False))
        assert all(len(axes.get_lines()) == 1 for axes in figure.axes)
        assert not any("validation" in text or "best" in text for text in texts(figure))

    def test_without_accuracy_there_is_one_panel(self) -> None:
        figure = plots.learning_curves(history(3, accuracy=False), best_epoch=2)
        assert [axes.get_title() for axes in figure.axes] == ["loss"]
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert legend.get_window_extent().width <= figure.bbox.width

    @pytest.mark.parametrize("epochs", [1, 2, 30, 200])
    def test_epochs_are_whole_numbers(self, epochs: int) -> None:
        figure = plots.learning_curves(history(epochs), best_epoch=1)
        figure.draw_without_rendering()
        for axes in figure.axes:
            low, high = axes.get_xlim()
            shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
            assert shown
            assert all(float(tick).is_integer() for tick in shown)

    def test_accuracy_is_in_percent(self) -> None:
        figure = plots.learning_curves(history(5))
        figure.draw_without_rendering()
        labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
        assert all(label.endswith("%") for label in labels)

    @pytest.mark.parametrize("last", [math.nan, math.inf])
    def test_a_loss_that_is_no_number_leaves_a_gap(self, last: float) -> None:
        pixels(plots.learning_curves(history(4, last=last)))

    def test_an_empty_history(self) -> None:
        with pytest.raises(DataError, match="the history is empty: train for an epoch first"):
            plots.learning_curves(History())


class TestConfusionMatrix:
    def test_rows_are_true_classes_and_numbers_stand_in_their_squares(self) -> None:
        figure = plots.confusion_matrix(np.array([[5, 1], [0, 4]]), ["cat", "dog"])
        axes = figure.axes[0]
        assert [axes.get_ylabel(), axes.get_xlabel()] == ["true", "predicted"]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["cat", "dog"]
        assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog"]
        written = {tuple(int(v) for v in t.get_position()): t.get_text() for t in axes.texts}
        assert written == {(0, 0): "5", (1, 0): "1", (1, 1): "4"}, "(column, row): count; a 0 is left out"
        np.testing.assert_allclose(axes.get_images()[0].get_array(), [[5 / 6, 1 / 6], [0, 1]])

    def test_numbers_can_be_read_on_dark_and_light_squares(self) -> None:
        axes = plots.confusion_matrix(np.array([[9, 1], [0, 10]])).axes[0]
        assert {t.get_text(): t.get_color() for t in axes.texts} == {
            "9": "white",
            "1": "black",
            "10": "white",
        }

    def test_without_names_classes_are_numbers(self) -> None:
        axes = plots.confusion_matrix(np.eye(3, dtype=int)).axes[0]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "2"]

    @pytest.mark.parametrize(("classes", "numbers"), [(1, 1), (2, 4), (30, 900), (40, 0)])
    def test_one_class_and_many(self, classes: int, numbers: int) -> None:
        counts = RNG.integers(1, 100, (classes, classes))
        figure = plots.confusion_matrix(counts, [f"class number {i}" for i in range(classes)])
        assert len(figure.axes[0].texts) == numbers
        if classes < 30:
            pixels(figure)
        if classes == 40:
            figure.draw_without_rendering()
            assert len(figure.axes[0].get_yticklabels()) == 40

    def test_a_class_without_samples(self) -> None:
        """No division by zero, and an empty row."""
        axes = plots.confusion_matrix(np.array([[3, 0], [0, 0]])).axes[0]
        np.testing.assert_array_equal(axes.get_images()[0].get_array(), [[1, 0], [0, 0]])

    @pytest.mark.parametrize("shape", [(2, 3), (4,), (0, 0), (2, 2, 2)])
    def test_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match=r"a confusion matrix is square, \(K, K\), got"):
            plots.confusion_matrix(np.zeros(shape, int))

    def test_too_few_names(self) -> None:
        with pytest.raises(ShapeError, match="1 class names for 2 classes"):
            plots.confusion_matrix(np.eye(2, dtype=int), ["cat"])


class TestPredictions:
    NAMES = ("ant", "bee", "cat", "dog")

    def test_a_mistake_is_marked_and_says_the_true_class(self) -> None:
        figure = plots.predictions(**sheet(grey(2), [False, True]), class_names=self.NAMES)
        wrong, right = figure.axes[:2]
        assert [wrong.get_title(), wrong.get_xlabel()] == ["ant 70%", "is bee"]
        assert [right.get_title(), right.get_xlabel()] == ["bee 70%", ""]
        assert frames(figure) == [RED, GREEN]
        pixels(figure)

    def test_the_heading_counts_the_mistakes(self) -> None:
        figure = plots.predictions(**sheet(grey(40), np.arange(40) > 2))
        assert "mistakes: 3 of 40 images (red frame, the true class below)" in texts(figure)

    @pytest.mark.parametrize(
        ("right", "mistakes"), [(True, 0), (False, 32), (np.arange(60) >= 50, 22), (np.arange(60) >= 3, 3)]
    )
    def test_half_of_the_sheet_is_for_mistakes(self, right: Any, mistakes: int) -> None:
        """32 places: 16 are for mistakes, more where there are only 10 right ones, fewer where there are 3."""
        shown = frames(plots.predictions(**sheet(grey(60), right)))
        assert len(shown) == 32
        assert shown == [RED] * mistakes + [GREEN] * (32 - mistakes)

    def test_the_surest_mistakes_come_first(self) -> None:
        arguments = sheet(grey(3), False)
        arguments["probabilities"] = np.array([[0.5, 0.3, 0.1, 0.1], [0, 0.9, 0.1, 0], [0.1, 0.2, 0.6, 0.1]])
        figure = plots.predictions(**arguments)
        assert [axes.get_title() for axes in figure.axes[:3]] == ["1 90%", "2 60%", "0 50%"]

    def test_or_simply_the_first_images(self) -> None:
        right = np.array([True, False, True, False])
        figure = plots.predictions(**sheet(grey(4), right), mistakes_first=False, rows=1, columns=3)
        assert frames(figure) == [GREEN, RED, GREEN]

    def test_one_image_makes_one_row(self) -> None:
        one = plots.predictions(**sheet(grey(1), True))
        assert frames(one) == [GREEN]
        assert one.get_figheight() < plots.predictions(**sheet(grey(9), True)).get_figheight()

    @pytest.mark.parametrize(
        "images",
        [
            RNG.integers(0, 256, (3, 3, 8, 8), dtype=np.uint8),
            RNG.random((3, 3, 8, 8)),
            RNG.random((3, 1, 8, 8)).astype(np.float32),
            RNG.normal(size=(3, 3, 8, 8)).astype(np.float32),
            np.zeros((3, 1, 8, 8), np.uint8),
            np.full((3, 1, 8, 8), -2.0),
        ],
        ids=["rgb", "rgb floats", "grey floats", "normalised", "black", "one value"],
    )
    def test_every_kind_of_image_is_shown_without_complaint(
        self, images: np.ndarray, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            pixels(plots.predictions(**sheet(images, True), rows=1, columns=3))
        assert not caplog.records, "matplotlib warns of what it clips"

    def test_grey_is_shown_from_black_to_white(self) -> None:
        """A dark image stays dark: not every image is stretched."""
        image = plots.predictions(**sheet(np.full((1, 1, 4, 4), 40, np.uint8), True)).axes[0].get_images()[0]
        assert image.get_clim() == (0, 255)

    def test_long_names_are_cut(self) -> None:
        names = ["German shepherd, Alsatian", *self.NAMES[1:]]
        figure = plots.predictions(**sheet(grey(1), True), class_names=names)
        assert figure.axes[0].get_title() == "German shepher… 70%"

    def test_images_labels_and_probabilities_belong_together(self) -> None:
        arguments = sheet(grey(3), True)
        with pytest.raises(ShapeError, match="2 images, 3 labels, 3 rows of probabilities"):
            plots.predictions(**(arguments | {"images": grey(2)}))
        with pytest.raises(ShapeError, match="1 class names for 4 classes"):
            plots.predictions(**arguments, class_names=["ant"])

    def test_what_is_no_picture(self) -> None:
        with pytest.raises(ShapeError, match=r"grey, or \(3, H, W\), RGB, got \(2, 8, 8\)"):
            plots.predictions(**sheet(np.zeros((1, 2, 8, 8), np.uint8), True))
        with pytest.raises(ShapeError, match="there is no image to show"):
            plots.predictions(**sheet(grey(0), True))


class TestFilters:
    @pytest.mark.parametrize("shape", [(6, 1, 5, 5), (9, 3, 3, 3), (4, 16, 3, 3), (1, 1, 1, 1)])
    def test_one_picture_a_filter(self, shape: tuple[int, ...]) -> None:
        figure = plots.filters(RNG.normal(size=shape))
        shown = [axes for axes in figure.axes if axes.get_images()]
        assert [axes.get_title() for axes in shown] == [str(index) for index in range(shape[0])]
        colours = 3 if shape[1] == 3 else None
        expected = shape[2:] if colours is None else (*shape[2:], 3)
        assert shown[0].get_images()[0].get_array().shape == expected
        pixels(figure)

    def test_zero_is_mid_grey_and_all_share_one_scale(self) -> None:
        weight = np.zeros((2, 1, 1, 2))
        weight[0, 0, 0] = [-2, 0]
        weight[1, 0, 0] = [1, 0]
        first, second = (axes.get_images()[0].get_array() for axes in plots.filters(weight).axes)
        np.testing.assert_allclose(first, [[0, 0.5]])
        np.testing.assert_allclose(second, [[0.75, 0.5]])

    def test_filters_that_are_all_zero(self) -> None:
        (image,) = plots.filters(np.zeros((1, 3, 3, 3))).axes[0].get_images()
        np.testing.assert_array_equal(image.get_array(), np.full((3, 3, 3), 0.5))

    def test_the_weight_of_a_linear_layer(self) -> None:
        with pytest.raises(ShapeError, match=r"\(O, C, R, S\) of a convolution, got \(10, 84\)"):
            plots.filters(np.zeros((10, 84)))


class TestPicture:
    def test_it_saves_as_png(self, tmp_path: Path) -> None:
        plots.filters(np.ones((2, 1, 3, 3))).savefig(tmp_path / "filters.png", dpi=50)
        with Image.open(tmp_path / "filters.png") as picture:
            assert picture.format == "PNG"

    def test_a_notebook_can_show_it(self) -> None:
        assert plots.learning_curves(history(2))._repr_png_().startswith(b"\x89PNG")

    def test_pyplot_knows_nothing_of_it(self) -> None:
        from matplotlib import pyplot

        before = pyplot.get_fignums()
        plots.learning_curves(history(2))
        plots.confusion_matrix(np.eye(2, dtype=int))
        assert pyplot.get_fignums() == before

    def test_the_arrays_stay_as_they_were(self) -> None:
        arguments = sheet(grey(5), [True, False, True, False, True])
        arguments["images"] = RNG.normal(size=(5, 3, 8, 8))
        weight, counts = RNG.normal(size=(2, 3, 3, 3)), RNG.integers(0, 5, (3, 3))
        arrays = [*arguments.values(), weight, counts]
        before = [array.copy() for array in arrays]
        plots.predictions(**arguments)
        plots.filters(weight)
        plots.confusion_matrix(counts)
        for array, old in zip(arrays, before):
            np.testing.assert_array_equal(array, old)


class TestFeatureMaps:
    def test_one_picture_a_channel_on_one_scale(self) -> None:
        maps = np.stack([np.zeros((4, 5)), np.full((4, 5), 2.0), np.full((4, 5), -2.0)])
        figure = plots.feature_maps(maps, columns=3)
        shown = [axes.get_images()[0].get_array() for axes in figure.axes]
        assert [float(image[0, 0]) for image in shown] == [0.5, 1.0, 0.0]

    def test_maps_that_are_all_zero(self) -> None:
        (image,) = plots.feature_maps(np.zeros((1, 3, 3))).axes[0].get_images()
        assert not np.isnan(image.get_array()).any()

    def test_a_batch_is_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"one image, got \(2, 6, 28, 28\)"):
            plots.feature_maps(np.zeros((2, 6, 28, 28)))
