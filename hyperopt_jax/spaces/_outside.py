"""Which told values are none of their parameters, on the host."""

import itertools
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, PyTree

from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._bounds import ends_of
from hyperopt_jax.spaces._codec import Codec
from hyperopt_jax.spaces._layout import full_layout, layout, starts
from hyperopt_jax.spaces._vector import entry_of

# A value may pass a bound by so much of it: it has been rounded on its way.
SLACK = 1e-6


def outside(space: PyTree, X: Any) -> dict[str, int]:
    """How many values of each parameter are out of its bounds, by name; X concrete.

    Parameters without any are left out, and so are values that are not active.
    """
    flat, table = layout(space), np.asarray(X)
    widths = flat.widths("values")
    ends = [tuple(map(np.asarray, ends_of(leaf))) for leaf in flat.spaces]
    low, high = np.repeat(np.array(ends, table.dtype).T, widths, axis=1)
    with np.errstate(over="ignore"):
        low, high = low - SLACK * np.abs(low), high + SLACK * np.abs(high)
    out = (table < low[None, :]) | (table > high[None, :])
    first = starts(widths)
    for leaf, a, b in zip(flat.spaces, first, first[1:], strict=False):
        if entry_of(leaf).shape:  # an order, a subset, weights
            values = table[:, a:b].reshape(len(table), *leaf.shape)
            out[:, a] |= ~np.asarray(_contains(leaf, values))
    if not out.any():
        return {}
    # What takes longer is left for when it is needed.
    out &= np.asarray(Codec(space).active(X))
    counts = [int(out[:, a:b].sum()) for a, b in itertools.pairwise(first)]
    names = ["/".join(leaf.path) for leaf in full_layout(space).leaves]
    return {name: n for name, n in zip(names, counts, strict=True) if n}


@eqx.filter_jit
def _contains(space: Space, values: Any) -> Bool[Array, " n"]:
    return space.contains(values)
