"""Optimizers: rules that turn gradients into new parameter values.

    optimizer = Adam(model, lr=1e-3)
    for images, labels in batches:
        optimizer.zero_grad()
        loss(model(images), labels)
        model.backward(loss.backward())
        optimizer.step()

Names, arguments, defaults and update rules are those of torch.optim, and so are the names of
the arrays that a rule remembers between steps. Each `update` reads like its formula, with
value the parameter θ, grad the gradient g of the loss, and lr the step length η.
"""

from minicnn.optim.adagrad import Adagrad
from minicnn.optim.adam import Adam, AdamW
from minicnn.optim.groups import Params
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.rmsprop import RMSprop
from minicnn.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "Params", "RMSprop"]
