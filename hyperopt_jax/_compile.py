"""Compiling this package's own programs.

XLA's newer fusion emitters on CPU take about twice as long to compile the many small
kernels of a search and do not run them faster, so programs compiled here switch them
off where the backend is a CPU that knows the switch. Nothing else depends on it.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from hyperopt_jax._checks import is_concrete

_FAST_COMPILE = {"xla_cpu_use_fusion_emitters": False}


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`equinox.filter_jit`, with this package's compiler options at the top level.

    JAX accepts compiler options at the top level only, so a call made while something
    else is being traced compiles with the options of that.
    """
    nested = eqx.filter_jit(function)

    @functools.cache
    def top_level() -> Callable[..., Any]:
        options: Any = {"compiler_options": compiler_options()}
        return eqx.filter_jit(function, **options)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if is_concrete(*args) and not _is_tracing():
            return top_level()(*args)
        return nested(*args)

    return call


def _is_tracing() -> bool:
    """Whether JAX is tracing a function now: then even a constant is a tracer."""
    return isinstance(jnp.zeros(()), jax.core.Tracer)


@functools.cache
def compiler_options() -> dict[str, Any]:
    """The options that the default backend knows, of those wished for."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=_FAST_COMPILE).lower().compile()
    except Exception:  # noqa: BLE001 (an unknown option has no exception type of its own)
        return {}
    return _FAST_COMPILE
