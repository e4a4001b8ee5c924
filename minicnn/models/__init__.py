"""Architectures: each a short file that reads like the paper's table."""

from minicnn.models.alexnet import alexnet
from minicnn.models.catalog import ARCHITECTURES, Architecture, architecture, build, loss_for
from minicnn.models.convnet3 import convnet3
from minicnn.models.densenet import densenet121, densenet161, densenet169, densenet201
from minicnn.models.googlenet import googlenet
from minicnn.models.lenet import lenet5
from minicnn.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from minicnn.models.resnet_cifar import plain20, plain56, resnet20, resnet56
from minicnn.models.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "alexnet",
    "architecture",
    "build",
    "convnet3",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "googlenet",
    "lenet5",
    "loss_for",
    "plain20",
    "plain56",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet152",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
