"""Softmax cross entropy in one pass over the logits, seen as (K, N): classes by samples."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import kernel


@kernel
def cross_entropy(z, labels, probs):
    """(Σₙ -log pₙ[labelₙ], how many zₙ are largest at labelₙ, place of the first wrong label or -1); probs = softmax(z).

    Of equal largest numbers the first counts. A label that is not 0 .. K-1 is wrong and ends it, before anything
    is read out of bounds. Few numbers, so one thread does it.
    """
    K, N = z.shape
    total, right = 0.0, 0
    for n in range(N):
        label = labels[n]
        if label < 0 or label >= K:
            return total, right, n
        place, largest = 0, z[0, n]
        for k in range(K):
            if z[k, n] > largest:
                place, largest = k, z[k, n]
        right += place == label
        exponentials = z.dtype.type(0)
        for k in range(K):
            e = np.exp(z[k, n] - largest)
            probs[k, n] = e
            exponentials += e
        total += np.log(exponentials) - (z[label, n] - largest)
        for k in range(K):
            probs[k, n] /= exponentials
    return total, right, -1


@kernel
def cross_entropy_dx(probs, labels, scale, dz):
    """dz = scale (p - [k = label])"""
    K, N = probs.shape
    for k in range(K):
        for n in range(N):
            dz[k, n] = scale * (probs[k, n] - (labels[n] == k))
