"""check_optimizer: an optimizer against a float64 recurrence of the published rule."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from minicnn.errors import ConfigError, nearest
from minicnn.gradcheck.report import ArrayResult, Comparison, Finding, Report, Verdict, worst
from minicnn.gradcheck.rules import DEFAULTS, MISTAKES, RULES, Settings, State
from minicnn.gradcheck.steppers import FunctionStepper, ObjectStepper

# Other names that optimizers give to the same settings.
ALIASES = {
    "lr": ("lr", "learning_rate", "step_size", "eta"),
    "momentum": ("momentum", "mu", "rho"),
    "betas": ("betas",),
    "eps": ("eps", "epsilon"),
    "alpha": ("alpha", "decay_rate", "decay", "rho"),
    "weight_decay": ("weight_decay", "l2", "reg"),
}


def check_optimizer(
    optimizer: Any,
    *,
    rule: str | None = None,
    steps: int = 12,
    rng: np.random.Generator | int = 0,
    **settings: Any,
) -> Report:
    """Compare an optimizer's steps with those of the rule that it implements, in float64.

    optimizer: an object with step() and parameters that have value (or data) and grad, found in its
    `groups`, `param_groups`, `params` or `parameters`; or a function (w, dw, config) -> (w, config)
    in the style of CS231n, whose config goes in as settings.

    rule: "sgd", "adam", "adamw", "rmsprop" or "adagrad"; by default the name of the class or function.
    settings: the rule's settings (lr, momentum, betas, eps, ...) where they cannot be read from the
    optimizer. Conventions are PyTorch's. A copy is stepped: the optimizer and its parameters stay.

    Gradients range from 1e-9 to 10, with zeros among them: only then does it matter where eps is
    added. The report's "analytic" is the optimizer's value and "numeric" the recurrence's.
    """
    started = time.perf_counter()
    rng = np.random.default_rng(rng)
    name = _rule_name(optimizer, rule)
    stepper = (
        FunctionStepper(optimizer, name, settings, rng)
        if _is_function(optimizer)
        else ObjectStepper(optimizer)
    )
    told = [{**_read(source, name), **settings} for source in stepper.sources]
    if any("lr" not in one for one in told):
        raise ConfigError(
            f"the learning rate of {_title(optimizer)} was not found: pass it, check_optimizer(..., lr=0.1)"
        )
    per_parameter = [{**DEFAULTS[name], **one} for one in told]
    gradients = [[_gradient(value.shape, rng) for value in stepper.start] for _ in range(steps)]
    report = Report(f"{_title(optimizer)} against the rule of {name}")
    assumed = {key: value for key, value in DEFAULTS[name].items() if key not in told[0]}
    if assumed:
        text = ", ".join(f"{key} = {value}" for key, value in assumed.items())
        report.findings.append(Finding("assumed", f"not found on the optimizer, so assumed: {text}", None))
    try:
        path = list(stepper.run(gradients))
    except Exception as error:  # whatever the code under test raises is a finding
        report.findings.append(Finding("step raised", f"step raised {type(error).__name__}: {error}"))
        return report
    report.findings += stepper.findings
    for index, value in enumerate(stepper.start):
        own = [gradient[index] for gradient in gradients]
        taken = [values[index] for values in path]
        report.arrays.append(_compare(stepper.names[index], value, own, taken, name, per_parameter[index]))
        if report.arrays[-1].verdict is Verdict.FAIL:
            cause = _cause(value, own, taken, name, per_parameter[index])
            if cause is not None and cause not in report.causes:
                report.causes.append(cause)
    report.evaluations = steps
    report.seconds = time.perf_counter() - started
    return report


# ---- comparison


def _path(
    name: str, start: np.ndarray, gradients: list[np.ndarray], settings: Settings, **mistake: Any
) -> list[np.ndarray]:
    """The values after each step of the recurrence."""
    theta, state = start.astype(np.float64), State()
    sign = -1.0 if settings.get("maximize") else 1.0
    path = []
    with np.errstate(all="ignore"):
        for t, gradient in enumerate(gradients, start=1):
            theta = RULES[name](theta, sign * gradient.astype(np.float64), t, state, settings, **mistake)
            path.append(theta)
    return path


def _tolerances(start: np.ndarray, path: list[np.ndarray], dtype: np.dtype) -> list[np.ndarray]:
    """What rounding may add up to: 64 eps of the values so far and of the way gone."""
    eps = float(np.finfo(dtype).eps)
    gone = np.zeros(start.shape)
    previous, bounds = start.astype(np.float64), []
    for t, value in enumerate(path, start=1):
        gone = gone + np.abs(value - previous)
        bounds.append(eps * (8 * t * np.abs(value) + 64 * gone) + 1e-300)
        previous = value
    return bounds


def _compare(
    name: str,
    start: np.ndarray,
    gradients: list[np.ndarray],
    taken: list[np.ndarray],
    rule: str,
    settings: Settings,
) -> ArrayResult:
    result = ArrayResult(name, start.shape, Verdict.PASS)
    right = _path(rule, start, gradients, settings)
    for t, (value, expected, bound) in enumerate(
        zip(taken, right, _tolerances(start, right, start.dtype)), start=1
    ):
        if value.shape != expected.shape or not np.all(np.isfinite(value)):
            result.verdict = Verdict.FAIL
            result.note = f"after step {t} its shape is {value.shape} and it holds {np.sum(~np.isfinite(value))} bad values"
            return result
        ratio = np.abs(value - expected) / bound
        place = np.unravel_index(int(np.argmax(ratio)), ratio.shape) if ratio.size else ()
        verdict = Verdict.FAIL if ratio.size and ratio.max() > 1 else Verdict.PASS
        found = Comparison(
            float(value[place]),
            float(expected[place]),
            float(bound[place]),
            verdict,
            f"step {t}",
            tuple(int(i) for i in place),
        )
        if result.worst is None or found.ratio > result.worst.ratio or verdict is Verdict.FAIL:
            result.worst = found
        if verdict is Verdict.FAIL:
            result.verdict = Verdict.FAIL
            result.note = f"the values part from the rule at step {t}"
            result.comparisons.append(found)
            break
    result.control_rejected = _control(right, start)
    result.verdict = worst([result.verdict, Verdict.PASS if result.control_rejected else Verdict.UNRESOLVED])
    return result


def _control(right: list[np.ndarray], start: np.ndarray) -> bool:
    """Whether a path whose steps are wrong by one part in 10,000 would be rejected."""
    bounds = _tolerances(start, right, start.dtype)
    wrong = start + (right[-1] - start) * (1 + 1e-4 if start.dtype == np.float64 else 1.01)
    return not right[-1].size or bool(np.any(np.abs(wrong - right[-1]) > bounds[-1]))


def _cause(
    start: np.ndarray, gradients: list[np.ndarray], taken: list[np.ndarray], rule: str, settings: Settings
) -> str | None:
    right = _path(rule, start, gradients, settings)
    fitting = []
    candidates = MISTAKES[rule] + [("the sign is wrong: the step goes uphill", {"uphill": True})]
    for sentence, mistake in candidates:
        uphill = mistake.get("uphill")
        guess = _path(
            rule,
            start,
            [-g for g in gradients] if uphill else gradients,
            settings,
            **({} if uphill else mistake),
        )
        bounds = _tolerances(start, guess, start.dtype)
        same = all(np.all(np.abs(value - at) <= bound) for value, at, bound in zip(taken, guess, bounds))
        if same and any(np.any(np.abs(a - b) > bound) for a, b, bound in zip(guess, right, bounds)):
            fitting.append(sentence)
    return fitting[0] if len(fitting) == 1 else None


def _read(source: Any, rule: str) -> dict[str, Any]:
    """The rule's settings that an optimizer tells, under whatever name."""
    found: dict[str, Any] = {}
    for setting in DEFAULTS[rule]:
        for alias in ALIASES.get(setting, (setting,)):
            if alias in source and isinstance(source[alias], (int, float, bool, tuple, list)):
                found[setting] = source[alias]
                break
    if "betas" in DEFAULTS[rule] and "beta1" in source and "beta2" in source:
        found["betas"] = (source["beta1"], source["beta2"])
    if source.get("maximize"):
        found["maximize"] = True
    return found


def _gradient(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Signs and sizes from 1e-9 to 10, one in eight exactly zero."""
    sizes = 10.0 ** rng.uniform(-9, 1, shape)
    signs = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    return np.where(rng.random(shape) < 0.125, 0.0, signs * sizes)


def _is_function(optimizer: Any) -> bool:
    return callable(optimizer) and not callable(getattr(optimizer, "step", None))


def _rule_name(optimizer: Any, rule: str | None) -> str:
    given = str(rule or getattr(optimizer, "__name__", type(optimizer).__name__))
    name = given.lower().replace("_", "")
    name = {"momentum": "sgd", "sgdmomentum": "sgd", "nesterov": "sgd"}.get(name, name)
    if name not in RULES:
        raise ConfigError(
            f"no published rule is known for {given!r}: pass rule=, one of these ({nearest(name, RULES)})"
        )
    return name


def _title(optimizer: Any) -> str:
    text = getattr(optimizer, "__name__", None) or repr(optimizer)
    return text if len(text) < 100 and "object at 0x" not in text else type(optimizer).__name__
