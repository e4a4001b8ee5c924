"""What every test shares: how Hypothesis draws, and a seeded generator."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No deadline: a busy machine is not a defect. In CI the same examples are drawn every time.
settings.register_profile(
    "minicnn",
    max_examples=25,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("minicnn")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)
