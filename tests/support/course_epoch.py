"""The epoch that a course publishes losses of: 1,024 samples, everything drawn from NumPy's legacy streams."""

import math

import numpy as np

from minicnn.losses import CrossEntropyLoss


def drawn():
    """Samples (1024, 64), their labels, and weights and biases of two layers, 64 -> 32 -> 16, in PyTorch's layout.

    The legacy streams never change.
    """
    x = np.random.RandomState(1024 * 64 * 2).randint(0, 100, (1024, 64)).astype(np.float32) / np.float32(20)
    labels = np.random.RandomState(1024).randint(0, 16, 1024)
    weights = np.random.RandomState(42)

    def kaiming(fan_in, fan_out):
        bound = math.sqrt(6 / fan_in)
        return (2 * bound * weights.rand(fan_in, fan_out) - bound).astype(np.float32)

    arrays = [kaiming(64, 32).T, kaiming(32, 1)[:, 0], kaiming(32, 16).T, kaiming(16, 1)[:, 0]]
    return x, labels, arrays


def last_loss(network, optimizer, x, labels):
    """The loss of the last of its batches of 32."""
    loss = CrossEntropyLoss()
    for start in range(0, len(x), 32):
        optimizer.zero_grad()
        value = loss(network(x[start : start + 32]), labels[start : start + 32])
        network.backward(loss.backward())
        optimizer.step()
    return value
