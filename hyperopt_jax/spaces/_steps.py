"""Numbers at equal steps between two bounds."""

import math
from decimal import Decimal
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._bounds import as_bound

# A range that is a multiple of the step to this part of a step ends with the bound.
SLACK = 1e-3


def as_step(kind: str, step: Any, low: Any, high: Any) -> Float[Array, ""] | None:
    """`step` as a positive float scalar, None as None; raises `SpaceError`."""
    if step is None:
        return None
    number = as_bound(kind, "step", step)
    if is_concrete(number, low, high) and not 0 < number <= (high - low) * (1 + SLACK):
        raise SpaceError(
            f"expected {kind}.step to be above 0 and at most the width of the range, "
            f"{float(high) - float(low):g}, got {step!r}"
        )
    if is_concrete(number, low, high):
        _check_told_apart(kind, number, low, high)
    return number


def _check_told_apart(kind: str, step: Any, low: Any, high: Any) -> None:
    """Raises `SpaceError` where rounding would make neighbouring values equal."""
    numbers = np.asarray([step, low, high])
    least = 2 * np.spacing(np.abs(numbers[1:]).max())
    # Whole numbers are exact.
    if numbers[0] < least and (numbers % 1 != 0).any():
        raise SpaceError(
            f"expected {kind}.step of at least {least:.3g}, since {numbers.dtype} does not "
            f"tell nearer values apart between bounds of this size, got {step:g}; enable "
            f"x64 or shift the bounds towards 0"
        )


def check_whole_step(kind: str, step: Any, low: Any, high: Any) -> None:
    """Raises `SpaceError` unless a concrete `step` is whole and no wider than the range."""
    if step is None or not is_concrete(step, low, high):
        return
    if not float(step).is_integer():
        raise SpaceError(f"expected a whole number for {kind}.step, got {step!r}")
    if float(step) > float(high) - float(low):
        raise SpaceError(
            f"expected {kind}.step to be at most the width of the range, "
            f"{float(high) - float(low):g}, got {step!r}"
        )


def count(space: Any) -> Float[Array, ""]:
    """How many values `space` has."""
    low, high = space.lower_bound, space.upper_bound
    # Half a unit in the last place of each bound, and of their difference.
    rounded = jnp.maximum(jnp.abs(low), jnp.abs(high)) * jnp.finfo(low.dtype).eps
    slack = jnp.clip(rounded / space.step, SLACK, 0.5 - SLACK)
    return jnp.floor((high - low) / space.step + slack) + 1


def count_whole(space: Any) -> Float[Array, ""]:
    """`count` for whole numbers, which are exact: half of one is more than rounding."""
    width = space.upper_bound - space.lower_bound
    return jnp.floor((width + 0.5) / space.step) + 1


def at(space: Any, index: Float[Array, "..."]) -> Float[Array, "..."]:
    """The value with this number, counted from 0: that nearest to 0.9 for nine of 0.1."""
    low, high, step = range_of(space)
    scale = _scale(low, high, step)
    whole = jnp.round(low * scale) + index * jnp.round(step * scale)
    decimal = _quotient(whole, jnp.maximum(scale, 1.0))
    value = jnp.where(scale > 0, decimal, low + index * step)
    value = jnp.minimum(value, high)
    # What rounding leaves of zero is zero; never the lower bound, nor a whole number.
    left = 4 * float(jnp.finfo(value.dtype).eps) * jnp.abs(low)
    return jnp.where(jnp.abs(value) < jnp.minimum(left, 0.5), 0.0, value)


def at_whole(space: Any, index: Float[Array, "..."]) -> Float[Array, "..."]:
    """`at` for whole numbers, which are exact."""
    return jnp.minimum(space.lower_bound + index * space.step, space.upper_bound)


def _scale(low: Any, high: Any, step: Any) -> Float[Array, ""]:
    """The power of ten times which all values are whole numbers that are exact.

    Zero where there is none: a third has no last digit.
    """
    digits = jnp.finfo(low.dtype).nmant + 1
    n_powers = int(digits * math.log10(2)) + 1
    powers = jnp.asarray(10.0 ** np.arange(n_powers), low.dtype)
    exact = jnp.maximum(jnp.abs(low), jnp.abs(high)) * powers <= 2.0**digits
    for number in (low, step):
        exact = exact & (_quotient(jnp.round(number * powers), powers) == number)
    return jnp.where(exact.any(), powers[jnp.argmax(exact)], 0.0)


def _quotient(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """a / b, rounded once.

    Where many numbers are divided by one, XLA multiplies them by its rounded reciprocal; it
    cannot tell that this divisor is the same for all of them.
    """
    return a / jnp.where(jnp.isnan(a), 1.0, b)


def number_of(space: Any, value: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """The number of the value nearest to `value`."""
    low = space.lower_bound
    index = jnp.round((value.astype(low.dtype) - low) / space.step)
    return jnp.clip(index, 0, space.n_values() - 1)


def range_of(space: Any) -> tuple[Any, Any, Any]:
    """The bounds and the step."""
    return space.lower_bound, space.upper_bound, space.step


def index_of(space: Any, value: float) -> int | None:
    """The number of a value, up to rounding, on the host; None for one between steps."""
    low, high, step = map(float, range_of(space))
    eps = float(jnp.finfo(space.step.dtype).eps)
    rounding = 4 * eps * max(abs(low), abs(high))
    if not low - rounding <= value <= high + rounding:
        return None
    index = round((value - low) / step)
    return index if abs(low + index * step - value) <= rounding else None


def in_decimals(low: float, step: float, index: int) -> float:
    """The value with this number as one writes it, where 3 * 0.1 is 0.3."""
    return float(Decimal(str(low)) + index * Decimal(str(step)))


def held(space: Any, value: Any) -> Any:
    """The value that was written like this, as a search holds it.

    Near zero the two differ by more than the digits of the value: by those of the bounds.
    """
    index = index_of(space, float(value))
    if index is None:
        return value
    number: Any = np.asarray(index, space.step.dtype)
    return _compiled_at(space, number)


# As in the codec: a compiled program rounds once where single operations round twice.
_compiled_at = eqx.filter_jit(at)


def rounding(space: Any, value: Float[Array, "..."]) -> Float[Array, "..."]:
    """What steps from one bound leave of the digits of `value`, which may be near 0."""
    ends = jnp.maximum(jnp.abs(space.lower_bound), jnp.abs(space.upper_bound))
    lost = 4 * float(jnp.finfo(value.dtype).eps) * jnp.maximum(ends, jnp.abs(value))
    return jnp.minimum(lost, space.step / 2)


def log_edges(space: Any) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Logarithms of the ends of the first and the last value's stretch of the log axis."""
    low, half = space.lower_bound, space.step / 2
    last = at(space, space.n_values() - 1)
    return jnp.log(low - jnp.minimum(half, low / 2)), jnp.log(last + half)


def all_values(space: Any) -> np.ndarray:
    """Every value, in rising order (bounds must be concrete)."""
    return np.asarray(_compiled_at(space, jnp.arange(float(count(space)))))
