"""Configurations that a user gives, as a table of points of the space."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import ParamsError
from hyperopt_jax.spaces._codec import Codec
from hyperopt_jax.spaces._layout import layout
from hyperopt_jax.spaces._operations import contains
from hyperopt_jax.spaces._tables import ravel

# A number so near to a value of a finite parameter stands for it: 0.7 for 7 * 0.1.
ROUNDING = 1e-6


def given_points(space: PyTree, points: PyTree) -> Float[Array, "m c"]:
    """Points of `space`: a pytree with leaves (m,), or a list of configurations.

    Raises:
        ParamsError: another structure, or a point that is not one of the space.
    """
    X = _snapped(space, _table(space, points))
    if is_concrete(space, X):
        inside = np.asarray(contains(space, X))
        if not inside.all():
            row = int(np.argmin(inside))
            raise ParamsError(
                f"expected points inside the search space that satisfy its constraints, "
                f"got number {row} of {len(inside)} outside, with the values "
                f"{np.asarray(X)[row].tolist()}"
            )
    return X


def _table(space: PyTree, points: PyTree) -> Float[Array, "m c"]:
    treedef: Any = layout(space).treedef
    one = jax.tree.unflatten(treedef, [0] * treedef.num_leaves)
    # A space may itself be a list, and so is a batch of its points then.
    if not isinstance(points, list) or _alike(points, one):
        return ravel(space, points)
    if not points:
        raise ParamsError("expected at least one point, got an empty list")
    return jnp.concatenate([ravel(space, point) for point in points])


def _alike(a: PyTree, b: PyTree) -> bool:
    structure: Any = jax.tree.structure(a)
    return structure == jax.tree.structure(b)


@eqx.filter_jit
def _snapped(space: PyTree, X: Float[Array, "m c"]) -> Float[Array, "m c"]:
    codec = Codec(space)
    leaves = layout(space).spaces
    widths = codec.widths["values"]
    is_finite = np.repeat([leaf.is_discrete for leaf in leaves], widths)
    is_whole = np.repeat([jnp.issubdtype(s.dtype, jnp.integer) for s in leaves], widths)
    _, values = codec.snapped(codec.encode(X))
    rounding = ROUNDING * jnp.abs(X)
    # Millions and the next whole number are that near too.
    rounding = jnp.where(is_whole[None, :], jnp.minimum(rounding, 0.5), rounding)
    near = jnp.abs(values - X) <= rounding
    # What is inactive carries its filler, as in every proposal.
    return jnp.where((near & is_finite[None, :]) | ~codec.active(X), values, X)
