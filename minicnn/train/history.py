"""What a training run remembers of every epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. The training figures are means over its batches, while the weights changed."""

    epoch: int  # counted from 1
    lr: float  # at the epoch's last batch
    train_loss: float
    train_accuracy: float | None  # None where the labels are not classes
    validation_loss: float | None  # None without a validation set
    validation_accuracy: float | None
    seconds: float  # training alone, without the evaluation
    images_per_second: float

    def to_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


class History(list[EpochRecord]):
    """The epochs' records, in order; history.column("train_loss") is one figure over all of them."""

    def column(self, name: str) -> list[float]:
        """The figure of every epoch, nan where it is missing."""
        values = (getattr(record, name) for record in self)
        return [float("nan") if value is None else value for value in values]
