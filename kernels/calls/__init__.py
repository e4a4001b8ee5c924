"""From arrays to kernels: each module gives an operation its memory, its tiles and its cache.

A module has forward(...) -> (y, cache) with the arguments of its functional pair after checking;
the cache is a NamedTuple whose backward(dy, needs) belongs to the same kernels.
"""
