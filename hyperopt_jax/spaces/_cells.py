"""Cells of the unit interval, one for each of m values, and features of choices."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


def cell_of(u: Float[Array, ""], m: Any) -> Float[Array, ""]:
    """The number, 0 to m - 1, of the cell in which `u` lies; u = 1 is in the last."""
    return jnp.clip(jnp.floor(u * m), 0, m - 1)


def middle_of(index: Any, m: Any) -> Float[Array, ""]:
    """The middle of a cell."""
    return (index.astype(jnp.result_type(float)) + 0.5) / m


def one_hot(u: Float[Array, ""], m: int) -> Float[Array, " p"]:
    """Columns in which any two of m cells are at distance 1; one column for two."""
    index = cell_of(u, m)
    if m <= 2:
        return index[None]
    return (index == jnp.arange(m, dtype=u.dtype)).astype(u.dtype) / math.sqrt(2)


def one_hot_groups(m: int) -> tuple[int, ...]:
    """The one length scale of the columns of `one_hot`."""
    return (0,) * (m if m > 2 else 1)
