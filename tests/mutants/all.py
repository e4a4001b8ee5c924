"""Every mutant, named and unnamed."""

from tests.mutants import conv, dense, norm, pointwise, pool, protocol, unnamed

NAMED = [
    *conv.MUTANTS,
    *pool.MUTANTS,
    *norm.MUTANTS,
    *pointwise.MUTANTS,
    *dense.MUTANTS,
    *protocol.MUTANTS,
]
UNNAMED = unnamed.MUTANTS
