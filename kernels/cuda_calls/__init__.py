"""From arrays on a GPU to the kernels in ../cuda: each module gives an operation its memory, its grid and its cache.

A module has forward(...) -> (y, cache), as those of ../calls have; the cache is a NamedTuple whose
backward(dy, needs) belongs to the same kernels. What launches them is in launch.py.
"""
