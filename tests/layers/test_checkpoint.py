"""Recomputation: the same gradients, statistics updated once, masks replayed, less memory kept."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import inference
from minicnn.errors import ConfigError
from minicnn.layers import BatchNorm2d, Checkpoint, Conv2d, Dropout, Layer, ReLU, Sequential
from minicnn.layers.state import named_state
from minicnn.models import build
from tests.support.arrays import bits


def block(seed: int = 0, dtype: type = np.float64) -> Sequential:
    rng = np.random.default_rng(seed)
    conv = Conv2d(3, 4, 3, padding=1, bias=False, rng=rng)
    return Sequential(conv=conv, bn=BatchNorm2d(4), relu=ReLU(), drop=Dropout(0.4, rng=rng)).astype(dtype)


def images(seed: int, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 3, 5, 4)).astype(dtype)


def state(layer: Layer) -> list[bytes]:
    return bits(*(holder.value for _, holder in named_state(layer)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nested", [False, True])
def test_training_with_and_without_is_the_same_bit_for_bit(dtype: type, nested: bool) -> None:
    """Outputs, gradients, running statistics and masks, over several steps."""
    plain, inside = block(dtype=dtype), block(dtype=dtype)
    kept = Checkpoint(Sequential(Checkpoint(inside)) if nested else inside)
    for step in range(3):
        x = images(step, dtype)
        y, expected = kept(x), plain(x)
        np.testing.assert_array_equal(y, expected)
        dy = np.random.default_rng(100 + step).standard_normal(y.shape).astype(dtype)
        np.testing.assert_array_equal(kept.backward(dy), plain.backward(dy))
        for (name, mine), (_, theirs) in zip(kept.named_parameters(), plain.named_parameters()):
            np.testing.assert_array_equal(mine.grad, theirs.grad, name)
        assert state(kept) == state(plain)
        assert inside.drop.offset == plain.drop.offset == step + 1
    assert int(inside.bn.num_batches_tracked.value) == 3, "once per forward, never when it is replayed"


def test_between_the_passes_only_the_input_is_kept() -> None:
    inside, x = block(), images(0)
    kept = Checkpoint(inside)
    y = kept(x)
    assert kept.cache.x is x
    assert all(layer.cache is None for _, layer in inside.named_layers())
    kept.backward(np.ones_like(y))
    assert all(layer.cache is None for _, layer in kept.named_layers())


def test_the_names_are_those_of_the_layer_inside() -> None:
    plain = Sequential(block1=block(), block2=ReLU())
    kept = Sequential(block1=Checkpoint(block()), block2=Checkpoint(ReLU()))
    assert list(kept.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in kept.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in kept.named_buffers()] == [name for name, _ in plain.named_buffers()]
    assert [name for name, _ in kept.leaves()] == [name for name, _ in plain.leaves()]
    assert not any(kept.load_state_dict(plain.state_dict()))


def test_a_mode_changed_in_between_changes_nothing() -> None:
    """backward belongs to the forward that was, and leaves the mode as it finds it."""
    plain, kept = block(), Checkpoint(block())
    x = images(0)
    dy = np.ones_like(plain(x))
    kept(x)
    kept.eval(), plain.eval()
    np.testing.assert_array_equal(kept.backward(dy), plain.backward(dy))
    assert not any(layer.training for _, layer in kept.named_layers())


def test_a_second_forward_in_between_replays_the_second_mask() -> None:
    plain, kept = block(), Checkpoint(block())
    for model in (plain, kept):
        model(images(0))
        dy = np.ones_like(model(images(1)))
    np.testing.assert_array_equal(kept.backward(dy), plain.backward(dy))


def test_backward_may_be_called_under_inference() -> None:
    kept, plain, x = Checkpoint(block()), block(), images(0)
    dy = np.ones_like(plain(x))
    kept(x)
    with inference():
        np.testing.assert_array_equal(kept.backward(dy), plain.backward(dy))


def test_asking_for_the_active_set_does_not_disturb_backward() -> None:
    kept, plain, x = Checkpoint(block()), block(), images(0)
    dy = np.ones_like(plain(x))
    kept(x)
    for mine, theirs in zip(kept.signature(), plain.signature(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert all(layer.cache is None for _, layer in kept.layer.named_layers())
    np.testing.assert_array_equal(kept.backward(dy), plain.backward(dy))
    assert state(kept) == state(plain)


def test_it_takes_one_layer() -> None:
    with pytest.raises(
        ConfigError, match=r"Checkpoint takes one layer, got .*: put several into a Sequential"
    ):
        Checkpoint([ReLU(), ReLU()])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["densenet121", "resnet18", "googlenet"])
def test_a_network_s_gradients_by_the_kernels_are_the_same_bit_for_bit(name: str) -> None:
    """Float32 and large enough for the kernels, which add where paths meet in the pass that computes the gradient."""
    x = np.random.default_rng(1).standard_normal((4, 3, 64, 64), dtype=np.float32)
    gradients = []
    for kept in (False, True):
        options = {"aux_logits": False} if name == "googlenet" else {"width": 0.5}
        model = build(name, num_classes=5, rng=np.random.default_rng(0), checkpoint_blocks=kept, **options)
        dy = np.random.default_rng(2).standard_normal(model(x).shape, dtype=np.float32)
        model.backward(dy)
        gradients.append({name: parameter.grad.copy() for name, parameter in model.named_parameters()})
    plain, recomputed = gradients
    different = [name for name, gradient in plain.items() if not np.array_equal(gradient, recomputed[name])]
    assert not different
