"""The mathematics: pure forward/backward pairs on arrays, the definition of every layer.

Each `x_forward(...)` returns (y, cache); `x_backward(dy, cache)` returns one gradient per
array argument, None where the argument was None or `needs` leaves it out, and the gradient
itself where there is only one. Nothing here has state, modes, or writes into its arguments.
"""

from minicnn.functional.activation import (
    elu_backward,
    elu_forward,
    gelu_backward,
    gelu_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from minicnn.functional.adaptive_avg_pool2d import adaptive_avg_pool2d_backward, adaptive_avg_pool2d_forward
from minicnn.functional.avg_pool2d import avg_pool2d_backward, avg_pool2d_forward
from minicnn.functional.batch_norm2d import batch_norm2d_backward, batch_norm2d_forward
from minicnn.functional.conv2d import conv2d_backward, conv2d_forward
from minicnn.functional.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minicnn.functional.dropout import dropout_backward, dropout_forward
from minicnn.functional.focal_loss import focal_loss_backward, focal_loss_forward
from minicnn.functional.linear import linear_backward, linear_forward
from minicnn.functional.local_response_norm import local_response_norm_backward, local_response_norm_forward
from minicnn.functional.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.functional.mse import mse_backward, mse_forward
from minicnn.functional.soft_cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from minicnn.functional.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from minicnn.functional.windows import col2im, im2col

__all__ = [
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm2d_backward",
    "batch_norm2d_forward",
    "col2im",
    "conv2d_backward",
    "conv2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "elu_backward",
    "elu_forward",
    "focal_loss_backward",
    "focal_loss_forward",
    "gelu_backward",
    "gelu_forward",
    "im2col",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "linear_backward",
    "linear_forward",
    "local_response_norm_backward",
    "local_response_norm_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mse_backward",
    "mse_forward",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "soft_cross_entropy_backward",
    "soft_cross_entropy_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
]
