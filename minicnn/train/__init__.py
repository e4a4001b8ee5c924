"""Training: the loop, what happens around it, and what it leaves behind."""

from minicnn.train.callbacks import BestWeights, Callback, CsvLog, Progress
from minicnn.train.history import EpochRecord, History
from minicnn.train.metrics import (
    ClassMetrics,
    Evaluation,
    accuracy,
    class_metrics,
    confusion_matrix,
    top_k_accuracy,
)
from minicnn.train.trainer import Trainer, predict

__all__ = [
    "BestWeights",
    "Callback",
    "ClassMetrics",
    "CsvLog",
    "EpochRecord",
    "Evaluation",
    "History",
    "Progress",
    "Trainer",
    "accuracy",
    "class_metrics",
    "confusion_matrix",
    "predict",
    "top_k_accuracy",
]
