"""Schedules: how the learning rate changes while training goes on.

    schedule = OneCycleLR(optimizer, max_lr=0.01, epochs=15, steps_per_epoch=len(loader))
    ...
    optimizer.step()
    schedule.step()  # after every batch or after every epoch: schedule.steps_by says which

A schedule takes over its optimizer's learning rate: it writes the first value when it is made
and another at every step(). All but ReduceLROnPlateau compute it from the number of steps
alone. Names, arguments and values are those of torch.optim.lr_scheduler, with one argument
more, steps_by, and one less, last_epoch: to resume, use load_state_dict.
"""

from minicnn.schedules.base import Schedule, StepsBy
from minicnn.schedules.decay import CosineAnnealingLR, ExponentialLR, MultiStepLR, StepLR
from minicnn.schedules.one_cycle import OneCycleLR
from minicnn.schedules.plateau import ReduceLROnPlateau
from minicnn.schedules.warmup import LinearWarmup

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearWarmup",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "StepsBy",
]
