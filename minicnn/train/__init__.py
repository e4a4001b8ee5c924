"""Training: the loop, what happens around it, and what it leaves behind."""

from minicnn.train.averaging import WeightAverage
from minicnn.train.callbacks import BestWeights, Callback, CsvLog, Progress
from minicnn.train.checkpoint import Checkpoint
from minicnn.train.clipping import GradientClipping
from minicnn.train.curves import best_threshold, precision_recall_curve, roc_curve
from minicnn.train.early_stopping import EarlyStopping
from minicnn.train.history import EpochRecord, History
from minicnn.train.json_lines import JsonLines
from minicnn.train.lr_finder import LearningRates, find_lr
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
from minicnn.train.nan_guard import NaNGuard
from minicnn.train.signals import StopOnSignal
from minicnn.train.tensorboard import TensorBoard
from minicnn.train.trainer import Trainer, predict
from minicnn.train.unfreezing import GradualUnfreezing

__all__ = [
    "BestWeights",
    "Callback",
    "Checkpoint",
    "ClassMetrics",
    "CsvLog",
    "EarlyStopping",
    "EpochRecord",
    "Evaluation",
    "GradientClipping",
    "GradualUnfreezing",
    "History",
    "JsonLines",
    "LearningRates",
    "NaNGuard",
    "Progress",
    "StopOnSignal",
    "TensorBoard",
    "Trainer",
    "WeightAverage",
    "accuracy",
    "balanced_accuracy",
    "best_threshold",
    "class_metrics",
    "confusion_matrix",
    "find_lr",
    "macro_f1",
    "precision_recall_curve",
    "predict",
    "roc_curve",
    "top_k_accuracy",
]
