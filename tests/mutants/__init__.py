"""Wrong gradients on purpose: each mistake beside its correct twin, at a configuration that reveals it.

The operations here are written for these tests alone, loop by loop, and share nothing with the
checker, which must find every mistake, accept every twin, and say what is wrong.
"""
