"""Cross entropy: the formula, published values, gradients, conventions, and a student's mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, DTypeError, LabelError, ShapeError
from minicnn.functional.cross_entropy import cross_entropy_backward, cross_entropy_forward
from tests.support.arrays import AWKWARD, assert_close, bits
from tests.support.differences import check_gradients
from tests.support.strategies import seeds

CASES = json.loads((Path(__file__).parents[1] / "reference" / "optim_losses.json").read_text())["cases"]


@st.composite
def problems(draw):
    """Logits (N, K, d...), labels (some ignored) and options."""
    rest = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    n, classes = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(seeds))
    labels = rng.integers(0, classes, (n, *rest))
    ignore_index = draw(st.sampled_from([-100, 0, 255]))
    if draw(st.booleans()):
        labels[rng.random(labels.shape) < 0.3] = ignore_index
    options = {
        "weight": draw(st.sampled_from([None, rng.uniform(0.1, 2, classes)])),
        "ignore_index": ignore_index,
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0])),
    }
    return 2 * rng.standard_normal((n, classes, *rest)), labels, options, rng


def by_definition(logits, labels, weight, ignore_index, reduction, label_smoothing):
    """The formula, sample by sample."""
    classes = logits.shape[1]
    weight = np.ones(classes) if weight is None else weight
    losses, counted = np.zeros(labels.shape), 0.0
    for index in np.ndindex(*labels.shape):
        label = labels[index]
        if label == ignore_index:
            continue
        scores = logits[(index[0], slice(None), *index[1:])]
        log_p = np.log(np.exp(scores) / np.exp(scores).sum())
        target = np.full(classes, label_smoothing / classes)
        target[label] += 1 - label_smoothing
        losses[index] = -(weight * target * log_p).sum()
        counted += weight[label]
    if reduction == "none":
        return losses
    return losses.sum() / (1 if reduction == "sum" else counted or np.nan)


@given(problems())
def test_it_is_its_definition(problem):
    logits, labels, options, _ = problem
    loss, _ = cross_entropy_forward(logits, labels, **options)
    assert isinstance(loss, np.ndarray)
    assert loss.shape == (labels.shape if options["reduction"] == "none" else ())
    np.testing.assert_allclose(loss, by_definition(logits, labels, **options), rtol=1e-12, atol=1e-13)


@given(problems())
def test_backward_agrees_with_central_differences(problem):
    logits, labels, options, rng = problem
    if options["reduction"] == "mean" and (labels == options["ignore_index"]).all():
        return  # the mean of nothing has its own test
    check_gradients(
        lambda logits: cross_entropy_forward(logits, labels, **options)[0],
        {"logits": logits},
        lambda dy: {
            "logits": cross_entropy_backward(dy, cross_entropy_forward(logits, labels, **options)[1])
        },
        rng,
    )


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["op"] == "cross_entropy"], ids=lambda case: case["name"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_published_values(case, dtype):
    logits = np.array(case["inputs"]["logits"], dtype=dtype)
    loss, cache = cross_entropy_forward(logits, np.array(case["inputs"]["target"]))
    rtol, atol = case["tol"]
    if "loss" in case["expected"]:
        np.testing.assert_allclose(loss, case["expected"]["loss"], rtol=rtol, atol=atol)
    if "glogits" in case["expected"]:
        dlogits = cross_entropy_backward(np.ones_like(loss), cache)
        np.testing.assert_allclose(dlogits, case["expected"]["glogits"], rtol=rtol, atol=atol)


def test_published_value_of_cs231n():
    (case,) = [case for case in CASES if case["op"] == "cross_entropy_recipe"]
    stream = np.random.RandomState(231)  # the course's own stream
    logits = 0.001 * stream.randn(50, 10)
    loss, _ = cross_entropy_forward(logits, stream.randint(10, size=50))
    assert float(loss) == pytest.approx(case["expected"]["loss"], rel=1e-12)


def test_equal_scores_cost_the_logarithm_of_the_number_of_classes():
    loss, cache = cross_entropy_forward(np.zeros((4, 10)), np.arange(4))
    assert float(loss) == pytest.approx(np.log(10))
    dlogits = cross_entropy_backward(np.ones(()), cache)
    np.testing.assert_allclose(dlogits, (0.1 - np.eye(4, 10)) / 4)


def test_confident_scores_stay_finite_in_float32():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype=np.float32)
    loss, cache = cross_entropy_forward(logits, np.array([0, 0]), reduction="none")
    np.testing.assert_array_equal(loss, [0, 2e4])
    np.testing.assert_array_equal(cross_entropy_backward(np.ones(2, np.float32), cache), [[0, 0], [-1, 1]])


def test_the_weighted_mean_divides_by_the_weights_of_the_labels():
    logits, labels, weight = np.zeros((3, 2)), np.array([0, 1, 1]), np.array([1.0, 3.0])
    for smoothing in (0.0, 0.5):
        loss, _ = cross_entropy_forward(logits, labels, weight=weight, label_smoothing=smoothing)
        each, _ = cross_entropy_forward(
            logits, labels, weight=weight, label_smoothing=smoothing, reduction="none"
        )
        assert float(loss) == pytest.approx(each.sum() / 7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [np.zeros(0, np.int64), np.full(2, -100)], ids=["N = 0", "all ignored"])
def test_the_mean_of_nothing_is_nan_and_its_gradient_zero_without_a_warning(labels, smoothing):
    logits = np.ones((len(labels), 3), dtype=np.float32)
    loss, cache = cross_entropy_forward(logits, labels, label_smoothing=smoothing)
    assert np.isnan(loss)
    assert loss.dtype == np.float32
    np.testing.assert_array_equal(cross_entropy_backward(np.ones_like(loss), cache), np.zeros(logits.shape))
    assert cross_entropy_forward(logits, labels, reduction="sum")[0] == 0
    assert cross_entropy_forward(logits, labels, reduction="none")[0].shape == labels.shape


def test_labels_that_weigh_nothing_have_no_mean():
    loss, cache = cross_entropy_forward(np.zeros((1, 2)), np.array([0]), weight=np.array([0.0, 1.0]))
    assert np.isnan(loss)
    assert np.isnan(cross_entropy_backward(np.ones(()), cache)).all()


def test_a_label_of_probability_zero_costs_infinity():
    logits = np.array([[0.0, -np.inf]])
    assert cross_entropy_forward(logits, np.array([1]))[0] == np.inf
    assert float(cross_entropy_forward(logits, np.array([0]))[0]) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("awkward", AWKWARD)
def test_any_strides_same_answer_and_arguments_unchanged(dtype, reduction, awkward, rng):
    logits = AWKWARD[awkward](rng.standard_normal((4, 3, 2)).astype(dtype))
    labels = rng.integers(0, 3, (4, 2))
    labels = labels.repeat(2, axis=1)[:, ::2] if awkward == "sliced" else AWKWARD[awkward](labels)
    weight = AWKWARD[awkward](rng.uniform(1, 2, 3).astype(dtype))
    options = {"weight": weight, "reduction": reduction, "label_smoothing": 0.1}
    before = bits(logits, labels, weight)
    loss, cache = cross_entropy_forward(logits, labels, **options)
    dloss = np.full_like(loss, 0.5)
    if reduction == "none":
        dloss = AWKWARD[awkward](dloss)
    dlogits = cross_entropy_backward(dloss, cache)
    plain_loss, plain_cache = cross_entropy_forward(logits.copy(), labels.copy(), **options)
    assert bits(logits, labels, weight) == before
    assert loss.dtype == dlogits.dtype == dtype
    assert_close(loss, plain_loss, 1e-6)
    assert_close(dlogits, cross_entropy_backward(dloss.copy(), plain_cache), 1e-6)


@pytest.mark.parametrize("weight", [[1, 2, 3], np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0])])
def test_class_weights_and_smoothing_of_any_type_leave_float32_alone(weight, rng):
    logits = rng.standard_normal((4, 3)).astype(np.float32)
    loss, cache = cross_entropy_forward(
        logits, [0, 1, 2, 0], weight=weight, label_smoothing=np.float64(0.1), reduction="none"
    )
    assert loss.dtype == cross_entropy_backward(np.ones(4), cache).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_labels_of_any_integer_type(dtype, rng):
    logits, labels = rng.standard_normal((4, 3)), np.array([0, 2, 1, 0])
    expected, _ = cross_entropy_forward(logits, labels)
    assert cross_entropy_forward(logits, labels.astype(dtype))[0] == expected


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (
            [0, 1, 3, 5],
            LabelError,
            r"labels\[2\] is 3, but logits for 3 classes expect labels from 0 to 2: labels start at 0; "
            r"if yours start at 1, use labels - 1",
        ),
        (
            [0, 7, 0, 0],
            LabelError,
            r"labels\[1\] is 7, .* 8 or more classes need a last layer with as many outputs",
        ),
        (
            [0, 0, 0, -1],
            LabelError,
            r"labels\[3\] is -1, .* to leave out bears the label ignore_index = -100",
        ),
        (
            [0.0, 1.0, 2.0, 0.0],
            LabelError,
            r"expects integer labels, .* got dtype float64: use labels.astype\(np.int64\)",
        ),
        (
            [True, False, True, True],
            LabelError,
            r"expects integer labels, .* got dtype bool: use labels.astype",
        ),
        (
            np.eye(4, 3),
            LabelError,
            r"labels of shape \(4,\), got \(4, 3\): these look like one-hot labels; use labels.argmax\(axis=1\)",
        ),
        (
            [0, 1],
            LabelError,
            r"4 rows of logits, shape \(4, 3\), and labels of shape \(2,\) where \(4,\) is expected: "
            r"check that images and labels come from the same batch",
        ),
        ([[0], [1], [2], [0]], LabelError, r"labels of shape \(4, 1\) .* use labels.reshape\(4\)"),
    ],
)
def test_a_students_labels_get_an_answer(labels, error, message):
    with pytest.raises(error, match=message):
        cross_entropy_forward(np.zeros((4, 3)), np.array(labels))


def test_the_first_wrong_label_of_an_image_is_named_by_all_its_indices():
    labels = np.zeros((2, 3, 3), dtype=np.int64)
    labels[1, 2, 0] = 9
    with pytest.raises(LabelError, match=r"labels\[1, 2, 0\] is 9"):
        cross_entropy_forward(np.zeros((2, 4, 3, 3)), labels)


def test_other_mistakes_get_an_answer():
    logits, labels = np.zeros((2, 3)), np.array([0, 1])
    with pytest.raises(
        DTypeError, match=r"expects logits of dtype float32 or float64, got int64: use logits.astype"
    ):
        cross_entropy_forward(logits.astype(np.int64), labels)
    with pytest.raises(
        ShapeError, match=r"expects logits \(N, K\), .* got \(3,\): for a single sample use logits\[None"
    ):
        cross_entropy_forward(np.zeros(3), labels)
    with pytest.raises(ShapeError, match=r"one weight per class, shape \(3,\) for these logits, got \(2,\)"):
        cross_entropy_forward(logits, labels, weight=np.ones(2))
    with pytest.raises(ConfigError, match=r"unknown reduction 'meen': did you mean 'mean'\?"):
        cross_entropy_forward(logits, labels, reduction="meen")
    with pytest.raises(ConfigError, match=r"label_smoothing must be from 0 to 1, got 1.5"):
        cross_entropy_forward(logits, labels, label_smoothing=1.5)
    with pytest.raises(ShapeError, match=r"cross_entropy_backward expects dy .* \(\), got \(2,\)"):
        cross_entropy_backward(np.ones(2), cross_entropy_forward(logits, labels)[1])
