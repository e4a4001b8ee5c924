"""Optimizers and their options as they are drawn, here and for the comparison with PyTorch."""

import pytest
from hypothesis import strategies as st

from minicnn.optim import SGD, Adagrad, Adam, AdamW, RMSprop

KINDS = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop, Adagrad)}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

rates = st.sampled_from([0.0, 1e-3, 0.1, 0.7])
decays = st.sampled_from([0.0, 0.01, 0.3])
shares = st.sampled_from([0.0, 0.5, 0.9, 0.99])


@st.composite
def optimizer_configs(draw):
    """(name of the optimizer, its options)."""
    name = draw(st.sampled_from(sorted(KINDS)))
    options = {"lr": draw(rates), "weight_decay": draw(decays), "maximize": draw(st.booleans())}
    eps = draw(st.sampled_from([1e-8, 1e-3]))
    if name == "SGD":
        options["momentum"] = draw(shares)
        options["nesterov"] = options["momentum"] > 0 and draw(st.booleans())
        options["dampening"] = 0.0 if options["nesterov"] else draw(shares)
    elif name == "RMSprop":
        options |= {
            "alpha": draw(shares),
            "momentum": draw(shares),
            "centered": draw(st.booleans()),
            "eps": eps,
        }
        if options["centered"]:
            options["alpha"] = max(options["alpha"], 0.5)  # at 0 the variance is 0, up to rounding
    elif name == "Adagrad":
        options |= {"lr_decay": draw(decays), "initial_accumulator_value": draw(decays), "eps": eps}
    else:
        options |= {"betas": (draw(shares), draw(shares)), "amsgrad": draw(st.booleans()), "eps": eps}
    return name, options
