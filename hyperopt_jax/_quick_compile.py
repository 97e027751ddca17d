"""Compiling in less time, where nothing is compiled along that would suffer from it.

XLA has two ways to make machine code for the CPU. The newer one, its fusion emitters, takes
nearly twice as long to compile, which is a second and more for a search. Without it a search
takes some 0.1 ms a trial longer, which it takes ten thousand trials to make up for; but
some training loops take up to half as long again.

And it makes two kernels of every sum, maximum or count over more than 32 numbers, of which a
search has some fifty: a fifth of its compile time. That is for the digits and the speed of
sums over millions. Those of a search are over hundreds, seldom thousands.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import numpy as np

from hyperopt_jax._checks import is_concrete

OPTIONS = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_disable_hlo_passes": "tree_reduction_rewriter",
}

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def can_compile_quickly() -> bool:
    """Whether programs run on the CPU, by an XLA that knows the option."""
    if jax.default_backend() != "cpu":
        return False
    try:
        jax.jit(lambda: np.int32(0), compiler_options=OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def compiled_quickly(
    function: Callable[P, R], jit: Any = eqx.filter_jit
) -> Callable[P, R]:
    """`function` compiled by `jit`, in less time where it is a program by itself.

    As a part of a larger program it is compiled as that program is: options hold for the
    whole of one.
    """
    as_part, by_itself = jit(function), jit(function, compiler_options=OPTIONS)

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not is_concrete(args, kwargs) or not can_compile_quickly():
            return as_part(*args, **kwargs)
        try:
            return by_itself(*args, **kwargs)
        except ValueError as error:
            if "compiler_options" not in str(error):
                raise
        # A part after all, of a program whose own arguments it does not use.
        return as_part(*args, **kwargs)

    return functools.update_wrapper(run, function)
