"""fork(part, args): one function on all threads of Numba's pool.

    @helper
    def relu_part(x, y, part, parts):           # works on its share: part 0, 1, ... of parts
        for i in range(x.size * part // parts, x.size * (part + 1) // parts):
            y[i] = max(x[i], 0)

    @kernel
    def relu(x, y):
        fork(relu_part, (x, y))                 # relu_part(x, y, 0, 2) and relu_part(x, y, 1, 2)

The pool and the launch (2 to 3 us) are those of `prange`, without the price of compiling a
`parallel=True` function, which is two to three times that of the function itself. Arrays are lent
to the parts without their reference counts: two threads that make views of one array would
otherwise fight over one counter, and a pooling kernel was seen to become nine times slower.

This goes through an entry of Numba's own that has no public name. Where it is missing (a Numba
that has changed), and where the pool is not OpenMP's or TBB's (Numba's "workqueue" costs 200 us a
launch and aborts when two Python threads enter it), kernels run on one thread, which is said once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.errors import ConfigError

BYTES = ir.PointerType(ir.IntType(8))
INT = ir.IntType(64)


def _start_pool() -> str:
    """Start Numba's threads; "" if kernels can use them, otherwise why not."""
    try:
        from numba.np.ufunc import parallel

        parallel._launch_threads()
        layer = numba.threading_layer()
    except (ImportError, AttributeError, ValueError) as error:
        return f"Numba's thread pool cannot be started ({error})"
    if layer == "workqueue":
        return "Numba found neither OpenMP nor TBB; install one (on macOS: pip install intel-openmp)"
    if not hasattr(parallel, "_is_initialized"):
        return f"Numba {numba.__version__} has another thread pool than minicnn knows"
    return ""


def _reader() -> Any:
    """Numba's own count of threads. Its public function takes two locks first, in case the pool has to be started."""
    from numba.np.ufunc import parallel

    return getattr(parallel, "_get_num_threads", numba.get_num_threads)


WHY_SERIAL = _start_pool()
if WHY_SERIAL:
    print(f"minicnn: kernels use one thread: {WHY_SERIAL}", file=sys.stderr)
_threads: Callable[[], int] = (lambda: 1) if WHY_SERIAL else _reader()


def set_num_threads(count: int) -> None:
    """Let kernels use this many threads, at most as many as the process may run on."""
    available = num_threads_available()
    if not 1 <= count <= available:
        raise ConfigError(
            f"set_num_threads: from 1 to {available} threads can be used, got {count}. The most is the number of "
            "CPUs this process may run on, or NUMBA_NUM_THREADS where that was set before the start"
        )
    if not WHY_SERIAL:
        numba.set_num_threads(count)


def get_num_threads() -> int:
    """How many threads the kernels use."""
    return _threads()


def num_threads_available() -> int:
    """The threads of the pool: as many as the CPUs this process may run on (its affinity)."""
    return 1 if WHY_SERIAL else int(numba.config.NUMBA_NUM_THREADS)


@intrinsic
def fork(typing: Any, part: Any, args: Any) -> Any:
    """part(*args, p, parts) for p = 0 .. parts - 1, on Numba's threads; returns when all are done."""
    part_types = (*args.types, types.intp, types.intp)
    part.get_call_type(typing, part_types, {})  # compiles `part` for these types

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        compiled = next(c for s, c in part.dispatcher.overloads.items() if tuple(s) == tuple(part_types))
        context.active_code_library.add_linking_library(compiled.library)
        if WHY_SERIAL:
            items = cgutils.unpack_tuple(builder, values[1])
            _call(context, builder, compiled, [*items, ir.Constant(INT, 0), ir.Constant(INT, 1)])
        else:
            _launch(context, builder, compiled, args.types, values[1])
        return context.get_dummy_value()

    return types.void(part, args), generate


def _call(context: Any, builder: Any, compiled: Any, items: list[Any]) -> None:
    function = context.declare_function(builder.module, compiled.fndesc)
    result, arguments = compiled.signature.return_type, compiled.signature.args
    context.call_conv.call_function(builder, function, result, arguments, items)


def _launch(context: Any, builder: Any, compiled: Any, arg_types: tuple[Any, ...], box: Any) -> None:
    """Call Numba's numba_parallel_for with a worker that calls the compiled part."""
    module = builder.module

    def constant(value: int) -> Any:
        return ir.Constant(INT, value)

    def on_stack(value: Any) -> Any:
        return cgutils.alloca_once_value(builder, value)

    worker = _worker(context, module, compiled, box.type, len(arg_types))
    # void numba_parallel_for(worker, args, dims, steps, data, inner_ndim, array_count, num_threads)
    # as for a gufunc over `parts` items without arrays: args holds one null, data our arguments.
    parts = builder.call(
        cgutils.get_or_insert_function(module, ir.FunctionType(INT, []), "get_num_threads"), []
    )
    data = on_stack(_lend(context, builder, arg_types, box))
    args = on_stack(ir.Constant(BYTES, None))
    dims, steps = cgutils.alloca_once(builder, INT, size=2), cgutils.alloca_once(builder, INT, size=2)
    for array, first, second in ((dims, parts, parts), (steps, constant(1), constant(0))):
        builder.store(first, array)
        builder.store(second, builder.gep(array, [constant(1)]))
    parallel_for = cgutils.get_or_insert_function(
        module, ir.FunctionType(ir.VoidType(), [BYTES] * 5 + [INT] * 3), "numba_parallel_for"
    )
    pointers = [builder.bitcast(value, BYTES) for value in (worker, args, dims, steps, data)]
    builder.call(parallel_for, [*pointers, constant(1), constant(1), parts])


def _worker(context: Any, module: Any, compiled: Any, box_type: Any, count: int) -> Any:
    """void worker(char **args, long *dims, long *steps, char *data): parts args[0] .. args[0] + dims[0]."""
    shape = ir.FunctionType(
        ir.VoidType(), [ir.PointerType(BYTES), ir.PointerType(INT), ir.PointerType(INT), BYTES]
    )
    worker = ir.Function(module, shape, name=module.get_unique_name(".fork"))
    worker.linkage = "internal"
    builder = ir.IRBuilder(worker.append_basic_block("entry"))
    args, dims, _, data = worker.args
    first = builder.ptrtoint(builder.load(args), INT)
    box = builder.load(builder.bitcast(data, ir.PointerType(box_type)))
    parts = builder.load(builder.gep(dims, [ir.Constant(INT, 1)]))
    items = [builder.extract_value(box, i) for i in range(count)]
    with cgutils.for_range(builder, builder.load(dims)) as loop:
        _call(context, builder, compiled, [*items, builder.add(first, loop.index), parts])
    builder.ret_void()
    return worker


def _lend(context: Any, builder: Any, arg_types: tuple[Any, ...], box: Any) -> Any:
    """The arguments with every array's reference counter taken out; the caller keeps the arrays alive."""
    for place, kind in enumerate(arg_types):
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, builder.extract_value(box, place))
            array.meminfo = ir.Constant(array.meminfo.type, None)
            box = builder.insert_value(box, array._getvalue(), place)
    return box
