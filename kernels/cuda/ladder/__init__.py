"""A ladder to learn from: the same product and the same convolution, version after version. Not what layers call."""
