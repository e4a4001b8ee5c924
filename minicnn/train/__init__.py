"""Training: the loop, what happens around it, and what it leaves behind."""

from minicnn.train.callbacks import BestWeights, Callback, CsvLog, Progress
from minicnn.train.curves import best_threshold, precision_recall_curve, roc_curve
from minicnn.train.history import EpochRecord, History
from minicnn.train.metrics import (
    ClassMetrics,
    Evaluation,
    accuracy,
    balanced_accuracy,
    class_metrics,
    confusion_matrix,
    macro_f1,
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
    "balanced_accuracy",
    "best_threshold",
    "class_metrics",
    "confusion_matrix",
    "macro_f1",
    "precision_recall_curve",
    "predict",
    "roc_curve",
    "top_k_accuracy",
]
