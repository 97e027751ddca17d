"""Which told values lie outside the bounds of their parameters, on the host."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import PyTree

from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._codec import Codec
from hyperopt_jax.spaces._layout import full_layout, layout, starts

# A value may pass a bound by so much of it: it has been rounded on its way.
SLACK = 1e-6


def outside(space: PyTree, X: Any) -> dict[str, int]:
    """How many values of each parameter are out of its bounds, by name; X concrete.

    Parameters without any are left out, and so are values that are not active.
    """
    flat, table = layout(space), np.asarray(X)
    widths = flat.widths("values")
    ends = [_ends(leaf) for leaf in flat.spaces]
    low, high = np.repeat(np.array(ends, table.dtype).T, widths, axis=1)
    with np.errstate(over="ignore"):
        low, high = low - SLACK * np.abs(low), high + SLACK * np.abs(high)
    out = (table < low[None, :]) | (table > high[None, :])
    if not out.any():
        return {}
    # What takes longer is left for when it is needed.
    out &= np.asarray(Codec(space).active(X))
    first = starts(widths)
    counts = [int(out[:, a:b].sum()) for a, b in itertools.pairwise(first)]
    names = ["/".join(leaf.path) for leaf in full_layout(space).leaves]
    return {name: n for name, n in zip(names, counts, strict=True) if n}


def _ends(space: Space) -> tuple[Any, Any]:
    """The smallest and the largest number of a value; infinite where there is none."""
    # The plain dict of fields: this runs in every update, and a module's attributes are
    # slow to get.
    fields = vars(space)
    fields = vars(fields["space"]) if "space" in fields else fields
    if "lower_bound" in fields:
        return np.asarray(fields["lower_bound"]), np.asarray(fields["upper_bound"])
    if "values" in fields:
        values = np.asarray(fields["values"])
        return values.min(), values.max()
    if "choices" in fields:
        return 0, len(fields["choices"]) - 1
    return -np.inf, np.inf
