"""Every CUDA kernel computes what the definition says, over drawn shapes and in three orders of its threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import functional as F
from minicnn.functional.conv2d import conv2d_relu_forward
from minicnn.functional.linear import linear_relu_forward
from minicnn.kernels import using
from minicnn.kernels.cuda_calls import implicit_conv2d, launch, sums
from tests.kernels.cuda import agreement
from tests.kernels.cuda.runner import in_every_order, on_gpu
from tests.support.strategies import ConvConfig, avg_pool_configs, conv_configs, max_pool_configs, seeds

few = settings(max_examples=6)
many = settings(max_examples=60)
dtypes = st.sampled_from([np.float32, np.float64])
norm_shapes = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(2, 9))
any_shape = st.one_of(
    st.tuples(st.integers(1, 300)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(*[st.integers(1, 4)] * 4),
)
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "relu": {},
    "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 0.7},
    "sigmoid": {},
    "tanh": {},
    "gelu": {"approximate": "none"},
    "gelu tanh": {"approximate": "tanh"},
}


class TestConvolution:
    @pytest.mark.parametrize("algorithm", ["implicit", "im2col", "tf32"])
    @few
    @given(config=conv_configs())
    def test_drawn(self, algorithm: str, config: ConvConfig) -> None:
        agreement.conv2d(config, algorithm)

    @pytest.mark.slow
    @pytest.mark.parametrize("algorithm", ["implicit", "im2col", "tf32"])
    @many
    @given(config=conv_configs(), dtype=dtypes)
    def test_drawn_more_often(self, algorithm: str, config: ConvConfig, dtype: Any) -> None:
        agreement.conv2d(config, algorithm, np.float32 if algorithm == "tf32" else dtype)

    @pytest.mark.parametrize(
        "tile",
        [
            "FLAT",
            "MIDDLE",
            "TF32",
            pytest.param("LARGE", marks=pytest.mark.slow),
            pytest.param("TF32_LARGE", marks=pytest.mark.slow),
        ],
    )
    def test_every_tile_has_tails(self, tile: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """More rows, columns and taps than one tile, and no whole number of any; sums in several parts."""
        chosen = getattr(implicit_conv2d, tile)
        monkeypatch.setattr(implicit_conv2d, "tile_for", lambda *_: chosen)
        monkeypatch.setattr(implicit_conv2d, "SHORTEST_SUM", 50)
        rows, cols = chosen.rows, chosen.cols
        config = ConvConfig(
            x_shape=(1, rows // 8 + 1, 9, cols // 9 + 2),
            weight_shape=(rows + 3, rows // 8 + 1, 3, 2),
            bias=True,
            options={"stride": 1, "padding": 1, "dilation": 1, "groups": 1},
            seed=rows,
        )
        agreement.conv2d(config, "tf32" if "TF32" in tile else "implicit")

    def test_columns_are_made_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from minicnn.kernels.cuda_calls import im2col_conv2d

        monkeypatch.setattr(im2col_conv2d, "COLUMNS_BYTES", 2 * 4 * 3 * 9 * 25)  # of two images
        config = ConvConfig((5, 3, 5, 5), (4, 3, 3, 3), True, {"padding": 1}, seed=1)
        agreement.conv2d(config, "im2col")

    @pytest.mark.parametrize("algorithm", ["implicit", "im2col"])
    def test_relu_in_the_same_pass(self, algorithm: str) -> None:
        rng = np.random.default_rng(0)
        x, weight = (
            rng.standard_normal((2, 3, 6, 5), np.float32),
            rng.standard_normal((4, 3, 3, 3), np.float32),
        )
        bias, dy = rng.standard_normal(4, np.float32), rng.standard_normal((2, 4, 6, 5), np.float32)
        with on_gpu(), using(algorithm):
            y, cache = conv2d_relu_forward(x, weight, bias, padding=1)
            gradients = F.conv2d_backward(dy, cache)
            plain, plain_cache = F.conv2d_forward(x, weight, bias, padding=1)
            expected = F.conv2d_backward(dy * (plain > 0), plain_cache)
        np.testing.assert_array_equal(y, np.maximum(plain, 0))
        for gradient, value in zip(gradients, expected):
            np.testing.assert_array_equal(gradient, value)

    def test_as_a_student_would_try_it(self) -> None:
        """Whatever strides the array has at the door."""
        x = np.random.default_rng(0).standard_normal((2, 7, 8, 3), np.float32).transpose(0, 3, 1, 2)
        weight = np.ones((2, 3, 3, 3), np.float32)
        with on_gpu():
            y, _ = F.conv2d_forward(x[:, :, ::-1], weight)
        np.testing.assert_allclose(y, F.conv2d_forward(x[:, :, ::-1].copy(), weight)[0], rtol=1e-5, atol=1e-5)


class TestPooling:
    @few
    @given(config=max_pool_configs())
    def test_max(self, config: Any) -> None:
        agreement.pool("max", config)

    @few
    @given(config=avg_pool_configs())
    def test_average(self, config: Any) -> None:
        agreement.pool("avg", config)

    @pytest.mark.slow
    @many
    @given(maximum=max_pool_configs(), average=avg_pool_configs(), dtype=dtypes)
    def test_drawn_more_often(self, maximum: Any, average: Any, dtype: Any) -> None:
        agreement.pool("max", maximum, dtype)
        agreement.pool("avg", average, dtype)

    def test_nan_wins(self) -> None:
        x = np.zeros((1, 1, 4, 4), np.float32)
        x[0, 0, 1, 0] = np.nan
        with on_gpu():
            y, cache = F.max_pool2d_forward(x, 2)
        assert np.isnan(y[0, 0, 0, 0])
        assert cache.argmax[0, 0, 0, 0] == 2


class TestBatchNorm:
    case = given(
        shape=norm_shapes, affine=st.booleans(), given=st.booleans(), relu=st.booleans(), shortcut=st.booleans(),
        seed=seeds,
    )  # fmt: skip

    @few
    @case
    def test_drawn(self, **case: Any) -> None:
        agreement.batch_norm2d(**case)

    @pytest.mark.slow
    @many
    @case
    def test_drawn_more_often(self, **case: Any) -> None:
        agreement.batch_norm2d(**case)
        agreement.batch_norm2d(**case, dtype=np.float64)

    def test_statistics_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from minicnn.kernels.cuda_calls import batch_norm2d

        monkeypatch.setattr(batch_norm2d, "parts_for", lambda *_: 3)
        agreement.batch_norm2d((4, 3, 11, 13), True, False, True, True, seed=5)

    def test_a_large_mean_leaves_the_variance_its_digits(self) -> None:
        x = (1000 + np.random.default_rng(0).standard_normal((8, 2, 9, 9))).astype(np.float32)
        with on_gpu():
            _, cache = F.batch_norm2d_forward(x)
        np.testing.assert_allclose(cache.var, x.astype(np.float64).var(axis=(0, 2, 3)), rtol=1e-4)


class TestElementwise:
    @pytest.mark.parametrize("name", ACTIVATIONS)
    @few
    @given(shape=any_shape, seed=seeds, dtype=dtypes)
    def test_activations(self, name: str, shape: Any, seed: int, dtype: Any) -> None:
        rng = np.random.default_rng(seed)
        x, dy = ((3 * rng.standard_normal(shape)).astype(dtype) for _ in range(2))
        tolerance = 3e-6 if dtype == np.float32 else 1e-13
        agreement.pair(name.split()[0], x, dy, tolerance, **ACTIVATIONS[name])

    def test_extremes(self) -> None:
        """Nothing overflows, and a NaN goes through."""
        x = np.array([-1e4, -90, -0.0, 0.0, 90, 1e4, np.nan], np.float32)
        with on_gpu():
            y = {name: getattr(F, f"{name.split()[0]}_forward")(x, **o)[0] for name, o in ACTIVATIONS.items()}
        for name, values in y.items():
            assert np.isfinite(values[:-1]).all(), name
            assert np.isnan(values[-1]), name
        np.testing.assert_allclose(y["sigmoid"][[0, 2, 5]], [0, 0.5, 1])

    @few
    @given(shape=any_shape, seed=seeds, p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    def test_dropout_draws_the_bits_of_the_cpu(self, shape: Any, seed: int, p: float) -> None:
        rng = np.random.default_rng(seed)
        x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
        options = {"p": p, "seed": int(rng.integers(2**63)), "offset": int(rng.integers(2**40))}

        def compute() -> tuple[Any, ...]:
            y, cache = F.dropout_forward(x, **options)
            return y, cache.kept, F.dropout_backward(dy, cache)

        results = in_every_order(compute)
        with using("reference"):
            expected = compute()
        for result, value in zip(results, expected):
            np.testing.assert_array_equal(result, value)


class TestCrossEntropy:
    @few
    @given(batch=st.integers(1, 40), classes=st.integers(1, 70), mean=st.booleans(), seed=seeds, dtype=dtypes)
    def test_drawn(self, batch: int, classes: int, mean: bool, seed: int, dtype: Any) -> None:
        rng = np.random.default_rng(seed)
        logits, labels = (
            (5 * rng.standard_normal((batch, classes))).astype(dtype),
            rng.integers(0, classes, batch),
        )
        options = {"reduction": "mean" if mean else "sum"}

        def compute() -> tuple[Any, ...]:
            loss, cache = F.cross_entropy_forward(logits, labels, **options)
            assert type(cache).__name__ == "CrossEntropyKernelCache"
            return loss, F.cross_entropy_backward(np.asarray(2.0, dtype), cache)

        loss, dlogits = in_every_order(compute)
        with using("reference"):
            loss64, cache64 = F.cross_entropy_forward(logits.astype(np.float64), labels, **options)
            exact = F.cross_entropy_backward(np.asarray(2.0), cache64)
        tolerance = 1e-5 if dtype == np.float32 else 1e-13
        assert loss.shape == ()
        np.testing.assert_allclose(loss, loss64, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dlogits, exact, rtol=tolerance, atol=tolerance)

    def test_a_label_that_is_no_class_makes_the_loss_nan(self) -> None:
        logits, labels = np.zeros((4, 3), np.float32), np.array([0, 3, 1, -1])
        with on_gpu():
            loss, cache = F.cross_entropy_forward(logits, labels)
            dlogits = F.cross_entropy_backward(np.ones_like(loss), cache)
        assert np.isnan(loss)
        np.testing.assert_array_equal(np.isnan(dlogits).all(axis=1), [False, True, False, True])

    def test_scores_far_from_zero(self) -> None:
        logits = np.array([[1e4, 1e4 - 1], [-1e4, 0]], np.float32)
        with on_gpu():
            loss, _ = F.cross_entropy_forward(logits, np.array([0, 1]), reduction="sum")
        np.testing.assert_allclose(loss, np.log1p(np.exp(-1)), rtol=1e-3)


class TestLinear:
    case = given(
        sizes=st.tuples(*[st.integers(1, 40)] * 3), bias=st.booleans(), relu=st.booleans(), seed=seeds
    )

    @pytest.mark.parametrize("algorithm", ["direct", "tiled", "tf32"])
    @few
    @case
    def test_drawn(self, algorithm: str, sizes: Any, bias: bool, relu: bool, seed: int) -> None:
        self.agrees(algorithm, sizes, bias, relu, seed)

    @pytest.mark.parametrize("algorithm", ["tiled", "tf32"])
    @pytest.mark.parametrize(
        "sizes",
        [
            (3, 260, 5),
            *(pytest.param(each, marks=pytest.mark.slow) for each in ((67, 149, 131), (130, 5, 66))),
        ],
    )
    def test_several_tiles_and_parts(self, algorithm: str, sizes: Any) -> None:
        self.agrees(algorithm, sizes, True, False, seed=1)

    def agrees(self, algorithm: str, sizes: Any, bias: bool, relu: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        batch, features, outputs = sizes
        x, weight = rng.standard_normal((batch, features)), rng.standard_normal((outputs, features))
        b, dy = rng.standard_normal(outputs) if bias else None, rng.standard_normal((batch, outputs))
        arrays = [None if a is None else a.astype(np.float32) for a in (x, weight, b)]

        def compute() -> tuple[Any, ...]:
            with using(algorithm):
                forward = linear_relu_forward if relu else F.linear_forward
                y, cache = forward(*arrays)
                return y, *F.linear_backward(dy.astype(np.float32), cache)

        y, *gradients = in_every_order(compute)
        with using("reference"):
            y64, cache64 = F.linear_forward(*(None if a is None else a.astype(np.float64) for a in arrays))
            exact = F.linear_backward(dy * (y > 0) if relu else dy, cache64)
        # The inputs of a product of TF32 numbers are rounded: by 2^-11 of their size each.
        rounding = agreement.TF32 * max(sizes) if algorithm == "tf32" else 1e-4
        for result, value in zip((y, *gradients), (np.maximum(y64, 0) if relu else y64, *exact)):
            if value is None:
                assert result is None
            else:
                np.testing.assert_allclose(result, value, rtol=1e-4, atol=rounding)


class TestSums:
    @few
    @given(shape=st.tuples(*[st.integers(1, 9)] * 4), parts=st.integers(1, 4), seed=seeds)
    def test_of_channels_in_parts(self, shape: Any, parts: int, seed: int) -> None:
        dy = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sums, "parts_for", lambda *_: parts)
            (result,) = in_every_order(lambda: (sums.channel_sums(dy),))
        np.testing.assert_allclose(result, dy.astype(np.float64).sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)


class TestLargeArrays:
    """Arrays of 2^30 elements and more take kernels with 64-bit positions; here the limit is moved down."""

    @pytest.mark.slow
    def test_every_operation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launch, "WIDE", 1)
        taken = set()
        load = launch.load
        monkeypatch.setattr(launch, "load", lambda *args: taken.add(args[2]) or load(*args))
        options = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
        for algorithm in ("implicit", "im2col", "tf32"):
            agreement.conv2d(ConvConfig((2, 4, 7, 6), (6, 2, 3, 3), True, options, 3), algorithm)
        agreement.batch_norm2d((3, 2, 5, 4), True, False, True, False, seed=1)
        from tests.support.strategies import PoolConfig

        for kind in ("max", "avg"):
            agreement.pool(kind, PoolConfig((2, 3, 7, 8), 3, {"stride": 2, "padding": 1}, 4))
        TestCrossEntropy().test_scores_far_from_zero()
        TestElementwise().test_extremes()
        assert taken == {True}
