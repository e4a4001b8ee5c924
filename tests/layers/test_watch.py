"""watch(): every leaf's x, y, dy and dx, by name, and no trace afterwards."""

import numpy as np
import pytest

from minicnn.layers import Concat, Identity, Linear, ReLU, Sequential, Tanh


def network(rng):
    return Sequential(fc=Linear(3, 4, rng=rng), block=Sequential(ReLU(), Tanh())).astype(np.float64)


def test_the_records_hold_what_passed_through(rng):
    model, x, dy = network(rng), rng.standard_normal((2, 3)), rng.standard_normal((2, 4))
    with model.watch() as records:
        y = model(x)
        dx = model.backward(dy)
    assert list(records) == ["fc", "block.0", "block.1"]
    assert records["fc"].x is x
    assert records["fc"].dx is dx
    assert records["block.1"].y is y
    assert records["block.1"].dy is dy
    assert records["block.0"].x is records["fc"].y
    assert records["block.0"].dx is records["fc"].dy


def test_a_record_is_empty_before_and_holds_the_last_pass(rng):
    model, x = network(rng), rng.standard_normal((2, 3))
    with model.watch() as records:
        assert vars(records["fc"]) == {"x": None, "y": None, "dy": None, "dx": None}
        model(x)
        assert records["fc"].dy is None
        model(2 * x)
        np.testing.assert_array_equal(records["fc"].x, 2 * x)


def test_nothing_is_recorded_outside(rng):
    model, x = network(rng), rng.standard_normal((2, 3))
    with model.watch() as records:
        model(x)
    seen = records["fc"].x
    model(x + 1)
    assert records["fc"].x is seen
    assert not any({"forward", "backward"} & set(vars(layer)) for _, layer in model.named_layers())


def test_an_error_inside_restores_the_layers(rng):
    model = network(rng)
    with pytest.raises(KeyboardInterrupt), model.watch():
        raise KeyboardInterrupt
    assert not any({"forward", "backward"} & set(vars(layer)) for _, layer in model.named_layers())


def test_watches_nest(rng):
    model, x = network(rng), rng.standard_normal((2, 3))
    with model.watch() as outer:
        with model.watch() as inner:
            model(x)
        assert inner["fc"].x is outer["fc"].x is x
        model(x + 1)
        assert inner["fc"].x is x
        np.testing.assert_array_equal(outer["fc"].x, x + 1)
    assert "forward" not in vars(model.fc)


def test_a_leaf_watches_itself_under_the_empty_name(rng):
    layer = ReLU()
    with layer.watch() as records:
        layer(np.array([1.0]))
    assert list(records) == [""]
    assert records[""].y is not None


def test_need_dx_false_is_recorded_as_no_dx(rng):
    model = network(rng)
    with model.watch() as records:
        y = model(rng.standard_normal((2, 3)))
        model.backward(y, need_dx=False)
    assert records["fc"].dx is None
    assert records["fc"].dy is not None


def test_a_layer_in_two_places_is_recorded_under_both_names(rng):
    shared, x = Identity(), rng.standard_normal((2, 3))
    model = Concat(left=shared, right=shared)
    with model.watch() as records:
        model(x)
    assert records["left"].x is records["right"].x is x
    assert "forward" not in vars(shared)
