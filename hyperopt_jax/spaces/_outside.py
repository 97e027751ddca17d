"""Which told values are none of their parameters' own, on the host."""

import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from hyperopt_jax.spaces import _compiled
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._bounds import ends_of
from hyperopt_jax.spaces._checked import is_constrained
from hyperopt_jax.spaces._codec import codec_of
from hyperopt_jax.spaces._layout import Remembered, full_layout, layout, starts, width
from hyperopt_jax.spaces._vector import entry_of

# A value may pass a bound by so much of it: it has been rounded on its way.
SLACK = 1e-6


def outside(space: PyTree, X: Any) -> dict[str, int]:
    """How many values of each parameter are out of its bounds or between its values.

    By name; X concrete.

    Parameters without any are left out, and so are values that are not active.
    """
    table = np.asarray(X)
    limits = _limits(space)
    out = (table < limits.low) | (table > limits.high)
    out |= limits.whole & (table != np.rint(table))
    for values, a, b in limits.listed:
        apart = np.abs(table[:, a:b, None] - values)
        out[:, a:b] |= (apart > SLACK * np.abs(values)).all(axis=-1)
    for leaf, a, b in limits.ruled:
        values = table[:, a:b].reshape(len(table), *leaf.shape)
        out[:, a] |= ~np.asarray(_contains(leaf, values))
    if not out.any():
        return {}
    # What takes longer is left for when it is needed.
    codec = codec_of(space)
    out &= np.asarray(_compiled.active(codec, table))
    if is_constrained(space):
        out &= ~np.asarray(_compiled.is_lost(codec, table))[:, None]
    counts = [int(out[:, a:b].sum()) for a, b in itertools.pairwise(limits.first)]
    names = ["/".join(leaf.path) for leaf in full_layout(space).leaves]
    return {name: n for name, n in zip(names, counts, strict=True) if n}


class _Limits(NamedTuple):
    """What the columns of a table may hold, each leaf's from `first` on."""

    low: Float[np.ndarray, " c"]
    high: Float[np.ndarray, " c"]
    first: Int[np.ndarray, " l"]
    whole: Bool[np.ndarray, " c"]
    listed: list[tuple[np.ndarray, int, int]]  # all values of some columns
    ruled: list[tuple[Space, int, int]]  # an order, a subset, weights; and its columns


@Remembered
def _limits(space: PyTree) -> _Limits:
    leaves = layout(space).spaces
    widths = tuple(width(leaf, "values") for leaf in leaves)
    ends = [tuple(map(np.asarray, ends_of(leaf))) for leaf in leaves]
    low, high = np.repeat(np.array(ends, jnp.result_type(float)).T, widths, axis=1)
    with np.errstate(over="ignore"):
        low, high = low - SLACK * np.abs(low), high + SLACK * np.abs(high)
    first = starts(widths)
    whole = [not jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    columns = list(zip(leaves, first, first[1:], strict=False))
    fields = [vars(entry_of(leaf)) for leaf in leaves]
    listed = [
        (np.asarray(own["values"], low.dtype), a, b)
        for own, (_, a, b) in zip(fields, columns, strict=True)
        if "values" in own
    ]
    ruled = [c for c in columns if entry_of(c[0]).shape and c[1] < c[2]]
    return _Limits(low, high, first, np.repeat(whole, widths), listed, ruled)


@eqx.filter_jit
def _contains(space: Space, values: Any) -> Bool[Array, " n"]:
    return space.contains(values)
