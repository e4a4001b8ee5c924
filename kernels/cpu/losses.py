"""Softmax cross entropy in one pass over the logits, seen as (K, N): classes by samples."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import kernel


@kernel
def cross_entropy(z, labels, probs):
    """(Σₙ -log pₙ[labelₙ], place of the first label that is not 0 .. K-1, or -1); probs = softmax(z).

    Few numbers, so one thread does it; a wrong label stops it before anything is read out of bounds.
    """
    K, N = z.shape
    total = 0.0
    for n in range(N):
        label = labels[n]
        if label < 0 or label >= K:
            return total, n
        largest = z[0, n]
        for k in range(K):
            largest = max(largest, z[k, n])
        exponentials = z.dtype.type(0)
        for k in range(K):
            e = np.exp(z[k, n] - largest)
            probs[k, n] = e
            exponentials += e
        total += np.log(exponentials) - (z[label, n] - largest)
        for k in range(K):
            probs[k, n] /= exponentials
    return total, -1


@kernel
def cross_entropy_dx(probs, labels, scale, dz):
    """dz = scale (p - [k = label])"""
    K, N = probs.shape
    for k in range(K):
        for n in range(N):
            dz[k, n] = scale * (probs[k, n] - (labels[n] == k))
