"""Bounds: the checks that the bounded kinds share, and what bounds any kind has."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._vector import entry_of


def as_bound(kind: str, name: str, value: Any) -> Float[Array, ""]:
    """`value` as a float scalar in JAX's default precision; raises `SpaceError`."""
    dtype = jnp.result_type(float)
    if not is_concrete(value):
        return jnp.asarray(value).astype(dtype)
    wide = as_numbers(value)
    if wide is None:
        raise SpaceError(f"expected a number for {kind}.{name}, got {value!r}")
    if wide.ndim:
        raise SpaceError(
            f"expected one number for {kind}.{name}, got shape {wide.shape}; "
            f"build many spaces at once with jax.vmap({kind})"
        )
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if not np.isfinite(narrow):
        raise SpaceError(f"expected a finite {kind}.{name} in {dtype}, got {value!r}")
    return jnp.asarray(narrow)


def check_order(kind: str, low: Any, high: Any) -> None:
    """Raises `SpaceError` unless `low < high` in the precision that is used."""
    # As Python's numbers: JAX would compile the comparison, in every new process.
    if is_concrete(low, high) and not float(low) < float(high):
        raise SpaceError(
            f"expected {kind} with lower_bound < upper_bound (as "
            f"{jnp.result_type(float)}), got {float(low):g} and {float(high):g}"
        )


def check_width(kind: str, low: Any, high: Any) -> None:
    """Raises `SpaceError` where processors take the width of a range for zero."""
    if not is_concrete(low, high):
        return
    floats = jnp.result_type(float)
    tiny = float(jnp.finfo(floats).tiny)
    if float(high) - float(low) < tiny:
        raise SpaceError(
            f"expected {kind} with bounds at least {tiny:.3g} apart, the smallest {floats} "
            f"that is not taken for zero, got {float(low):g} and {float(high):g}"
        )


def check_positive(kind: str, low: Any) -> None:
    """Raises `SpaceError` unless `low > 0`, and so large that processors do not take it
    for zero.
    """
    if not is_concrete(low):
        return
    if not float(low) > 0:
        raise SpaceError(
            f"expected {kind} with lower_bound > 0, got {float(low):g}; "
            f"a logarithm has no zero: use a small positive bound or a linear space"
        )
    floats = jnp.result_type(float)
    tiny = float(jnp.finfo(floats).tiny)
    if float(low) < tiny:
        raise SpaceError(
            f"expected {kind} with lower_bound >= {tiny:.3g}, the smallest {floats} that "
            f"is not taken for zero, got {float(low):g}"
        )


def check_base(kind: str, base: Any) -> float:
    """`base` as a float > 1; raises `SpaceError`."""
    try:
        number = float(base)
    except (TypeError, ValueError):
        number = float("nan")
    if not (np.isfinite(number) and number > 1):
        raise SpaceError(f"expected {kind} with base > 1, got {base!r}")
    return number


def check_whole(kind: str, low: Any, high: Any, step: Any, dtype: Any) -> None:
    """Raises `SpaceError` unless both bounds, as given, are whole and can be held."""
    if not is_concrete(low, high, step):
        return
    floats = jnp.result_type(float)
    largest = 2.0 ** (jnp.finfo(floats).nmant + 1)
    if jnp.issubdtype(dtype, jnp.integer):
        lowest, highest = int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max)
    else:
        highest = 2 ** (jnp.finfo(dtype).nmant + 1)
        lowest = -highest
    for name, bound in (("lower_bound", float(low)), ("upper_bound", float(high))):
        if not bound.is_integer():
            raise SpaceError(
                f"expected a whole number for {kind}.{name}, got {bound:g}"
            )
        if abs(bound) > largest:
            raise SpaceError(
                f"expected a {kind}.{name} of at most {largest:.0f} in size, got "
                f"{bound:.0f}: beyond it {floats} skips whole numbers; enable x64 or "
                f"search a multiple"
            )
        if not lowest <= bound <= highest:
            raise SpaceError(
                f"expected {kind}.{name} to fit in {dtype}, got {bound:.0f}; "
                f"pass a wider datatype or a smaller bound"
            )
    n_steps = (float(high) - float(low)) / (1.0 if step is None else float(step))
    if n_steps > largest:
        raise SpaceError(
            f"expected {kind} bounds at most {largest:.0f} steps apart, got "
            f"{float(low):.0f} and {float(high):.0f}: {floats} has too few places in the "
            f"unit cube for all of these numbers; enable x64 or search a multiple"
        )


def as_datatype(kind: str, datatype: Any) -> jnp.dtype:
    """`datatype` as a real dtype that JAX can hold now; raises `SpaceError`."""
    try:
        dtype = None if datatype is None else jnp.dtype(datatype)
    except TypeError:
        dtype = None
    if dtype is None or not (
        jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)
    ):
        raise SpaceError(
            f"expected {kind}.datatype to be an integer or float dtype, got {datatype!r}"
        )
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise SpaceError(
            f"expected {kind}.datatype to be a dtype that JAX holds now, got {dtype}; "
            f"enable x64 or pass a narrower one"
        )
    return dtype


def ends_of(space: Space) -> tuple[Any, Any]:
    """The smallest and the largest number of a value; infinite where there is none."""
    # The plain dict of fields: this runs in every update, and a module's attributes are
    # slow to get.
    fields = vars(entry_of(space))
    if "lower_bound" in fields:
        return fields["lower_bound"], fields["upper_bound"]
    if "values" in fields:
        return fields["values"].min(), fields["values"].max()
    if "choices" in fields:
        return 0, len(fields["choices"]) - 1
    if space.dtype == bool:
        return 0, 1
    return -np.inf, np.inf
