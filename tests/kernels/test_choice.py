"""The table of algorithms: asked, overruled, and never silently wrong."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import functional as F
from minicnn.errors import ConfigError
from minicnn.kernels import explain, using
from minicnn.layers import Conv2d, Sequential
from minicnn.models import lenet5


def image(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def test_explain_tells_the_algorithm_and_why() -> None:
    model = lenet5(rng=np.random.default_rng(0))
    choices = explain(model, image(64, 1, 28, 28))
    assert [choice.operation for choice in choices][:3] == ["conv2d", "max_pool2d", "conv2d"]
    assert choices[0].algorithm == "direct"
    assert "direct" in str(choices[0])
    assert model.conv1.cache is None, "the model itself was run"


def test_explain_names_the_dtype_that_has_no_kernels() -> None:
    layer = Conv2d(3, 4, 3, rng=np.random.default_rng(0)).astype(np.float64)
    (choice,) = explain(layer, image(16, 3, 9, 9, dtype=np.float64))
    assert choice.algorithm == "reference"
    assert "float64" in choice.why


def test_using_forces_and_restores() -> None:
    x, weight = image(64, 3, 16, 16), image(8, 3, 3, 3)
    for name in ("reference", "im2col"):
        with using(name):
            assert type(F.conv2d_forward(x, weight)[1]).__name__ == "Conv2dCache"
            with using("auto"):
                assert type(F.conv2d_forward(x, weight)[1]).__name__ != "Conv2dCache"
    assert type(F.conv2d_forward(x, weight)[1]).__name__ != "Conv2dCache"


def test_what_an_algorithm_cannot_do_falls_to_the_definition() -> None:
    x, weight = image(64, 4, 16, 16), image(8, 2, 3, 3)
    with using("direct"):
        _, cache = F.conv2d_forward(x, weight, groups=2)
    assert type(cache).__name__ == "Conv2dCache"


def test_an_unknown_algorithm_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'winograd'"), using("winogard"):
        pass


@pytest.mark.parametrize("algorithm", ["auto", "reference", "direct"])
def test_empty_batches_work(algorithm: str) -> None:
    with using(algorithm):
        y, cache = F.conv2d_forward(image(0, 3, 8, 8), image(4, 3, 3, 3))
        assert y.shape == (0, 4, 6, 6)
        dx, dweight, _ = F.conv2d_backward(y, cache)
        assert dx.shape == (0, 3, 8, 8)
        assert not dweight.any()


def test_float64_is_computed_by_the_definition() -> None:
    y, cache = F.conv2d_forward(image(64, 3, 16, 16, dtype=np.float64), image(8, 3, 3, 3, dtype=np.float64))
    assert y.dtype == np.float64
    assert type(cache).__name__ == "Conv2dCache"


def test_importing_minicnn_loads_no_compiler() -> None:
    import subprocess
    import sys

    code = "import sys, minicnn.functional, minicnn.layers, minicnn.models; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sequential_of_one_layer_is_the_layer() -> None:
    conv = Conv2d(3, 4, 3, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(Sequential(conv)(image(16, 3, 9, 9)), conv(image(16, 3, 9, 9)))
