"""Optimizer steps in place: value and state are read and written once. All arrays are flat."""

from __future__ import annotations

import math

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.elementwise import share
from minicnn.kernels.cpu.threads import fork


@helper
def sgd_part(value, grad, velocity, keep, rate, momentum, lr, decay, nesterov, part, parts):
    """g = grad + decay value;  v = keep v + rate g;  value -= lr v, or with nesterov lr (g + momentum v)"""
    value, grad, velocity = share(value, part, parts), share(grad, part, parts), share(velocity, part, parts)
    f = value.dtype.type  # the numbers arrive in float64
    keep, rate, lr, decay = f(keep), f(rate), f(lr), f(decay)
    from_grad, from_velocity = (f(1), f(momentum)) if nesterov else (f(0), f(1))
    for i in range(value.size):
        g = grad[i] + decay * value[i]
        v = keep * velocity[i] + rate * g
        velocity[i] = v
        value[i] -= lr * (from_grad * g + from_velocity * v)


@kernel
def sgd(value, grad, velocity, keep, rate, momentum, lr, decay, nesterov):
    fork(sgd_part, (value, grad, velocity, keep, rate, momentum, lr, decay, nesterov))


@helper
def descend_part(value, grad, lr, decay, part, parts):
    """value -= lr (grad + decay value)"""
    value, grad = share(value, part, parts), share(grad, part, parts)
    lr, decay = value.dtype.type(lr), value.dtype.type(decay)
    for i in range(value.size):
        value[i] -= lr * (grad[i] + decay * value[i])


@kernel
def descend(value, grad, lr, decay):
    fork(descend_part, (value, grad, lr, decay))


@helper
def adam_part(value, grad, m, v, beta1, beta2, lr, eps, root, decay, shrink, part, parts):
    """g = grad + decay value;  m, v = running averages of g, g²;  value = shrink value - lr m / (√v/root + eps)"""
    value, grad = share(value, part, parts), share(grad, part, parts)
    m, v = share(m, part, parts), share(v, part, parts)
    f = value.dtype.type
    rest1, rest2 = f(1 - beta1), f(1 - beta2)
    beta1, beta2, lr, eps = f(beta1), f(beta2), f(lr), f(eps)
    root, decay, shrink = f(1 / root), f(decay), f(shrink)
    for i in range(value.size):
        g = grad[i] + decay * value[i]
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * g * g
        value[i] = shrink * value[i] - lr * m[i] / (math.sqrt(v[i]) * root + eps)


@kernel
def adam(value, grad, m, v, beta1, beta2, lr, eps, root, decay, shrink):
    fork(adam_part, (value, grad, m, v, beta1, beta2, lr, eps, root, decay, shrink))
