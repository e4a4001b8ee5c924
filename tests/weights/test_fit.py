"""Loading into a model: names from history, one report of all that does not fit, and all or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicnn import weights
from minicnn.errors import WeightsError
from minicnn.layers import BatchNorm2d, Conv2d, Layer, Linear, Sequential
from minicnn.models import lenet5
from minicnn.weights.fit import load_arrays
from tests.support.training import tiny_network, weights_digest

RNG = np.random.default_rng


def assert_refused(model: Layer, state: dict[str, np.ndarray], *parts: str, strict: bool = True) -> None:
    before = weights_digest(model)
    with pytest.raises(WeightsError) as caught:
        load_arrays(model, state, "w.pth", strict)
    for part in parts:
        assert part in str(caught.value)
    assert weights_digest(model) == before


def dense_layer() -> Sequential:
    """A piece of torchvision's DenseNet."""
    layer = Sequential(
        norm1=BatchNorm2d(2), conv1=Conv2d(2, 4, 1, bias=False, rng=RNG(0)),
        norm2=BatchNorm2d(4), conv2=Conv2d(4, 2, 3, padding=1, bias=False, rng=RNG(0)),
    )  # fmt: skip
    return Sequential(features=Sequential(denseblock1=Sequential(denselayer12=layer), norm5=BatchNorm2d(4)))


class TestNames:
    def test_densenets_published_names(self) -> None:
        state = {name: array + 1 for name, array in dense_layer().state_dict().items()}
        old = {
            name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2"): array
            for name, array in state.items()
        }  # fmt: skip
        assert "features.denseblock1.denselayer12.conv.2.weight" in old
        model = dense_layer()
        assert not any(load_arrays(model, old, "w.pth"))
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, state[name])

    def test_a_model_that_uses_the_old_names_keeps_them(self) -> None:
        model = Sequential(denselayer1=Sequential(norm=Sequential(BatchNorm2d(2), BatchNorm2d(2))))
        assert "denselayer1.norm.1.weight" in model.state_dict()
        assert not any(load_arrays(model, model.state_dict(), "w.pth"))

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
    def test_what_wrappers_put_before_every_name(self, prefix: str) -> None:
        model, other = tiny_network(1), tiny_network(2)
        state = {prefix + name: array for name, array in other.state_dict().items()}
        assert not any(load_arrays(model, state, "w.pth"))
        assert weights_digest(model) == weights_digest(other)

    def test_a_prefix_that_only_some_names_have_stays(self) -> None:
        state = {f"module.{name}": array for name, array in tiny_network(1).state_dict().items()}
        assert_refused(tiny_network(2), state | {"extra": np.ones(1)}, "module.fc.weight (3, 64)")

    def test_a_model_with_a_child_of_that_name(self) -> None:
        model = Sequential(module=Linear(2, 2, rng=RNG(0)))
        assert not any(load_arrays(model, model.state_dict(), "w.pth"))

    def test_batch_norms_from_before_their_counter(self) -> None:
        state = tiny_network(1).state_dict()
        del state["bn.num_batches_tracked"]
        assert not any(load_arrays(tiny_network(2), state, "w.pth"))
        del state["bn.running_mean"]
        assert_refused(tiny_network(2), state, "bn.num_batches_tracked ()", "bn.running_mean (4,)")

    def test_a_counter_that_only_some_batch_norms_lack_is_missing(self) -> None:
        model = Sequential(BatchNorm2d(2), BatchNorm2d(2))
        state = model.state_dict()
        del state["1.num_batches_tracked"]
        assert_refused(model, state, "1 missing", "1.num_batches_tracked ()")

    def test_a_rule_of_the_callers(self, tmp_path: Path) -> None:
        donor, model = tiny_network(1), tiny_network(2)
        weights.write({f"backbone/{name}": a for name, a in donor.state_dict().items()}, tmp_path / "w.npz")
        weights.load(model, tmp_path / "w.npz", rename=lambda name: name.removeprefix("backbone/"))
        assert weights_digest(model) == weights_digest(donor)
        with pytest.raises(
            WeightsError, match=r"both backbone/conv.weight and backbone/conv.bias would become w"
        ):
            weights.load(model, tmp_path / "w.npz", rename=lambda name: "w")


class TestReport:
    def test_everything_is_listed_sorted_with_shapes(self) -> None:
        model, state = tiny_network(1), tiny_network(2).state_dict()
        del state["fc.weight"], state["bn.bias"]
        state |= {
            "zebra": np.ones((2, 3)),
            "ant": np.ones(()),
            "conv.weight": np.ones((4, 2, 3, 3), np.float32),
        }
        with pytest.raises(WeightsError) as caught:
            load_arrays(model, state, "w.pth")
        assert str(caught.value).splitlines()[:-1] == [
            "w.pth does not fit Sequential: 2 missing, 2 unexpected, 1 mismatched; nothing was loaded.",
            "  missing (in the model, not in the file):",
            "    bn.bias (4,)",
            "    fc.weight (3, 64)",
            "  unexpected (in the file, not in the model):",
            "    ant ()",
            "    zebra (2, 3)",
            "  mismatched (file for model):",
            "    conv.weight (4, 2, 3, 3) for (4, 1, 3, 3)",
        ]

    def test_a_head_of_another_size(self) -> None:
        donor, model = lenet5(num_classes=7), lenet5()
        state, head = donor.state_dict(), model.fc3.weight.value.copy()
        assert_refused(
            model, state, "strict=False, which leaves fc3.bias, fc3.weight as they were", "num_classes"
        )
        report = load_arrays(model, state, "w.pth", strict=False)
        assert report == ([], [], ["fc3.bias (7,) for (10,)", "fc3.weight (7, 84) for (10, 84)"])
        np.testing.assert_array_equal(model.conv1.weight.value, donor.conv1.weight.value)
        np.testing.assert_array_equal(model.fc3.weight.value, head)

    def test_an_unknown_prefix_is_pointed_out(self) -> None:
        state = {f"backbone.{name}": array for name, array in tiny_network(1).state_dict().items()}
        assert_refused(tiny_network(2), state, 'rename=lambda name: name.removeprefix("backbone.")')

    def test_a_file_of_which_nothing_fits_is_refused_even_without_strict(self) -> None:
        state = {f"backbone.{name}": array for name, array in tiny_network(1).state_dict().items()}
        assert_refused(
            tiny_network(2), state, "nothing in w.pth fits Sequential", "removeprefix", strict=False
        )
        assert_refused(tiny_network(2), {}, "nothing in w.pth fits Sequential", strict=False)


class TestNumbers:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_they_take_the_models_dtype(self, dtype: str) -> None:
        model = Linear(3, 2, rng=RNG(0))
        state = {name: array.astype(dtype) for name, array in Linear(3, 2, rng=RNG(1)).state_dict().items()}
        assert not any(load_arrays(model, state, "w.pth"))
        assert model.weight.dtype == np.float32
        np.testing.assert_array_equal(model.weight.value, state["weight"].astype(np.float32))

    @pytest.mark.parametrize("dtype", ["int8", "bool", "uint8", "int64"])
    def test_integers_are_no_weights(self, dtype: str) -> None:
        model = Linear(3, 2, rng=RNG(0))
        state = model.state_dict() | {"weight": np.ones((2, 3), dtype)}
        assert_refused(model, state, f"weight {dtype} for float32")

    def test_a_counter_may_be_of_any_integer_type_that_holds_it(self) -> None:
        model = BatchNorm2d(2)
        load_arrays(model, model.state_dict() | {"num_batches_tracked": np.array(7, np.int32)}, "w.pth")
        assert model.num_batches_tracked.value == 7
        too_large = {"num_batches_tracked": np.array(2**63, np.uint64)}
        assert_refused(model, model.state_dict() | too_large, "beyond the range of the model's int64")
        assert_refused(
            model, model.state_dict() | {"num_batches_tracked": np.array(1.0)}, "float64 for int64"
        )
        assert_refused(model, model.state_dict() | {"num_batches_tracked": np.array(True)}, "bool for int64")

    def test_numbers_beyond_float32_are_refused_before_anything_is_written(self) -> None:
        model = Linear(3, 2, rng=RNG(0)).astype(np.float32)
        state = Linear(3, 2, rng=RNG(1)).astype(np.float64).state_dict()
        state["bias"][1] = 1e300
        assert_refused(
            model, state, "bias of w.pth holds float64 numbers beyond the range", 'astype("float64")'
        )

    def test_infinity_and_nan_pass_as_they_are(self) -> None:
        model = Linear(2, 1, rng=RNG(0))
        load_arrays(model, {"weight": np.array([[np.inf, np.nan]]), "bias": np.zeros(1)}, "w.pth")
        np.testing.assert_array_equal(model.weight.value, [[np.inf, np.nan]])
