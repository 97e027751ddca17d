"""Whole numbers with a uniform law."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyperopt_jax.spaces import _steps
from hyperopt_jax.spaces._bounds import as_datatype, check_whole
from hyperopt_jax.spaces._cells import middle_of
from hyperopt_jax.spaces._linear import LinearSpace
from hyperopt_jax.spaces._steps import check_whole_step


class QLinearSpace(LinearSpace):
    """A whole number, uniform between two bounds that are both included.

    Use it for layer counts, widths, window lengths. The n = high - low + 1 values
    share the unit interval evenly: u = (x - low + 1/2) / n, so each of them, the two
    ends included, has the mass 1/n. Bounds beyond 2**24 in size (float32; 2**53 in
    double precision) are refused: floats skip whole numbers there.

    Args:
        lower_bound: whole number.
        upper_bound: whole number above `lower_bound`.
        datatype: dtype of a value, in every optimizer; integer or float.
        step: None for every whole number, or a whole number > 0: the values are then
            low, low + step, ..., the last one at most `upper_bound`.

    Raises:
        SpaceError: bounds not whole, not finite, equal, reversed, or too large for
            `datatype`; a step that is not whole or out of its range.

    ```python
    space = {"n_layers": QLinearSpace(1, 8)}
    ```
    """

    datatype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        lower_bound: Any,
        upper_bound: Any,
        datatype: Any = jnp.int32,
        step: Any = None,
    ):
        kind = type(self).__name__
        super().__init__(lower_bound, upper_bound, step)
        check_whole_step(kind, step, lower_bound, upper_bound)
        self.datatype = as_datatype(kind, datatype)
        check_whole(kind, lower_bound, upper_bound, step, self.datatype)

    @property
    def dtype(self) -> jnp.dtype:
        return self.datatype

    @property
    def is_discrete(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        return _count(self)

    def decode(self, u: Float[Array, ""]) -> Shaped[Array, ""]:
        return self.nth(jnp.floor(u * self.n_values()))

    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        if self.step is not None:
            return middle_of(_steps.number_of(self, value), self.n_values())
        value = value.astype(self.lower_bound.dtype)
        return (value - self.lower_bound + 0.5) / self.n_values()

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        return _nth_whole(self, index)

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        return _to_whole(self, value)

    def points(self) -> Shaped[Array, " n"]:
        """All values in rising order (bounds must be concrete)."""
        return _all_whole(self)


def _count(space: Any) -> Float[Array, ""]:
    """How many values a space of whole numbers has."""
    if space.step is not None:
        return _steps.count_whole(space)
    return space.upper_bound - space.lower_bound + 1


def _nth_whole(space: Any, index: Float[Array, ""]) -> Shaped[Array, ""]:
    """The value of a space of whole numbers with this number."""
    step = 1 if space.step is None else space.step
    return space.transform(space.lower_bound + index * step)


def _to_whole(space: Any, value: Any) -> Shaped[Array, "..."]:
    """The whole number of `space` nearest to `value`, with the space's dtype."""
    value = jnp.asarray(value).astype(space.lower_bound.dtype)
    if space.step is not None:
        index = _steps.number_of(space, value)
        return _steps.at_whole(space, index).astype(space.datatype)
    nearest = jnp.clip(jnp.round(value), space.lower_bound, space.upper_bound)
    return nearest.astype(space.datatype)


def _all_whole(space: Any) -> Shaped[Array, " n"]:
    """Every whole number of `space`, both ends included."""
    low, high = int(space.lower_bound), int(space.upper_bound)
    step = 1 if space.step is None else int(space.step)
    return jnp.arange(low, high + 1, step, dtype=space.datatype)
