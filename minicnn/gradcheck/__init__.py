"""The gradient checker: what it offers, and nothing else."""

from minicnn.gradcheck.adapters import DictLayer
from minicnn.gradcheck.cases import Case, cases
from minicnn.gradcheck.function import check_function
from minicnn.gradcheck.layer import check_layer
from minicnn.gradcheck.model import check_model
from minicnn.gradcheck.optimizer import check_optimizer
from minicnn.gradcheck.report import ArrayResult, Comparison, Finding, Report, Verdict
from minicnn.gradcheck.sweep import Sweep, step_sweep

__all__ = [
    "ArrayResult",
    "Case",
    "Comparison",
    "DictLayer",
    "Finding",
    "Report",
    "Sweep",
    "Verdict",
    "cases",
    "check_function",
    "check_layer",
    "check_model",
    "check_optimizer",
    "step_sweep",
]
