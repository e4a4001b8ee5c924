"""The debugging ritual: look at data, start, gradients and learning rate before a long training.

    from minicnn.train.doctor import examine

    diagnosis = examine(model, training, validation, optimizer=optim.Adam(model, lr=1e-3))
    print(diagnosis)

After Karpathy 2019, A recipe for training neural networks, and CS231n's "babysitting the learning process".
"""

from minicnn.train.doctor.examine import examine
from minicnn.train.doctor.finding import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "examine"]
