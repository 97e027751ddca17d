"""One BLAS thread while a compiled search runs on the CPU.

There, XLA's Cholesky factors and triangular solves are calls to SciPy's BLAS, which by
itself uses a thread for each core. Threads do not pay for the small matrices of a
search, and on a busy machine they wait for each other by spinning: a factorisation of a
millisecond then takes up to a second. How many threads a BLAS uses is a number of the
whole process, so it is lowered while our programs run and put back after them.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import jax
import scipy.linalg  # noqa: F401 (loads the BLAS, so that it is found)
from threadpoolctl import ThreadpoolController

from hyperopt_jax._checks import is_concrete

# Who sets one of these has chosen a number of threads, and keeps it.
CHOSEN_BY_USER = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()
_n_inside = 0
_limit: Any = None


@functools.cache  # looking through the loaded libraries takes almost a millisecond
def _libraries() -> ThreadpoolController | None:
    """The BLAS libraries of this process; None where the user chose their threads."""
    if any(name in os.environ for name in CHOSEN_BY_USER):
        return None
    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS has one thread inside, and as many as before after it.

    Counted, since the number is the process's: of several that overlap, in several
    threads, the first lowers it and the last puts it back. Costs some microseconds.
    """
    global _n_inside, _limit
    libraries = _libraries()
    if libraries is None:
        yield
        return
    with _lock:
        if _n_inside == 0:
            _limit = libraries.limit(limits=1)
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                _limit.restore_original_limits()


def on_one_blas_thread(program: Callable[P, R]) -> Callable[P, R]:
    """A compiled `program` that runs, and not only starts, with one BLAS thread.

    JAX returns before the work is done, so a call waits for a result on the CPU.
    Elsewhere BLAS has no part in it, and the call returns at once, as it does while
    tracing and where the user chose the threads.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if _libraries() is None:
            return program(*args, **kwargs)
        with one_blas_thread():
            output = program(*args, **kwargs)
            if is_concrete(output) and _is_on_cpu(output):
                jax.block_until_ready(output)
        return output

    return functools.update_wrapper(run, program, updated=())


def _is_on_cpu(tree: Any) -> bool:
    arrays = (leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))
    return any(d.platform == "cpu" for array in arrays for d in array.devices())
