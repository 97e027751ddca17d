"""A pytree of spaces as tables of arrays.

Leaves of one kind are stacked into one batched space, so encoding and decoding cost
one kernel per *kind*, whatever the number of parameters: a thousand parameters compile
like two. Two tables cross this border, both with one column per parameter, in the
order in which JAX flattens the pytree:

* `X`: values as the user sees them, in a float dtype;
* `U`: the same points in the unit cube, where every model and candidate lives.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Shaped

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces._base import Space


def is_space(node: Any) -> bool:
    """Whether `node` is a leaf of a search space."""
    return isinstance(node, Space)


def check_space(space: PyTree) -> None:
    """Raises `SpaceError` unless `space` is a pytree of at least one `Space`."""
    leaves = jax.tree_util.tree_leaves_with_path(space, is_leaf=is_space)
    if not leaves:
        raise SpaceError(
            f"expected a pytree with at least one space in it, got {space!r}"
        )
    for path, leaf in leaves:
        if not is_space(leaf):
            where = jax.tree_util.keystr(path) or "the root"
            raise SpaceError(
                f"expected a Space at {where} of the search space, got {leaf!r}; keep "
                f"constants out of the space and close over them in the objective"
            )


class Codec(eqx.Module):
    """Maps between the tables `X` and `U` of one search space (see the module)."""

    kinds: tuple[Space, ...]
    columns: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    n_params: int = eqx.field(static=True)

    def __init__(self, space: PyTree):
        check_space(space)
        leaves = jax.tree.leaves(space, is_leaf=is_space)
        groups: dict[Any, list[int]] = {}
        for column, leaf in enumerate(leaves):
            arrays, structure = jax.tree.flatten(leaf)
            alike = structure, tuple((a.shape, str(a.dtype)) for a in arrays)
            groups.setdefault(alike, []).append(column)
        self.columns = tuple(tuple(group) for group in groups.values())
        self.kinds = tuple(_stack([leaves[i] for i in group]) for group in self.columns)
        self.n_params = n_params(space)

    @property
    def is_discrete(self) -> np.ndarray:
        """Which parameters hold finitely many values, as a static (d,) mask."""
        discrete = np.zeros(self.n_params, bool)
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            discrete[list(columns)] = kind.is_discrete
        return discrete

    def n_values(self) -> Float[Array, " d"]:
        """How many values each parameter has; inf for an interval."""
        counts = [
            jnp.broadcast_to(
                jax.vmap(lambda s: s.n_values())(kind).astype(_float()), (len(columns),)
            )
            for kind, columns in zip(self.kinds, self.columns, strict=True)
        ]
        return self._in_order(counts)

    def decode(self, U: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Values of the points `U` of the unit cube; discrete ones are snapped."""
        return self._by_kind(lambda space, u: space.decode(u).astype(_float()), U)

    def nth(self, indices: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """The values with these indices in rising order, in an all-discrete space."""
        return self._by_kind(lambda space, k: space.nth(k).astype(_float()), indices)

    def encode(self, X: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Where the values `X` lie in the unit cube."""
        return self._by_kind(lambda space, x: space.encode(x), X)

    def snap(self, U: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """`U` with every discrete coordinate moved to the middle of its cell."""
        if not self.is_discrete.any():
            return U
        return jnp.where(self.is_discrete[None, :], self.encode(self.decode(U)), U)

    def _by_kind(
        self, function: Any, table: Float[Array, "n d"]
    ) -> Float[Array, "n d"]:
        """`function(space, number)` on every entry, one kernel per kind of space."""
        over_columns = jax.vmap(function, in_axes=(0, 0))
        over_rows = jax.vmap(over_columns, in_axes=(None, 0))
        parts = [
            over_rows(
                kind, table if len(self.columns) == 1 else table[:, list(columns)]
            )
            for kind, columns in zip(self.kinds, self.columns, strict=True)
        ]
        return self._in_order(parts)

    def _in_order(self, parts: list[Float[Array, "... k"]]) -> Float[Array, "... d"]:
        """Columns that stand kind by kind, put back in the space's own order."""
        if len(parts) == 1:
            return parts[0]
        order = np.argsort([i for columns in self.columns for i in columns])
        return jnp.concatenate(parts, axis=-1)[..., order]


def n_params(space: PyTree) -> int:
    """How many parameters `space` has, d."""
    return len(jax.tree.leaves(space, is_leaf=is_space))


def n_points(space: PyTree) -> float:
    """How many different configurations `space` holds; inf unless all are discrete."""
    leaves = jax.tree.leaves(space, is_leaf=is_space)
    return math.prod(float(leaf.n_values()) for leaf in leaves)


def unravel(space: PyTree, X: Shaped[Array, "... d"]) -> PyTree:
    """The columns of `X` (..., d) as a pytree like `space`, in the dtypes of its leaves.

    A concrete table is split on the host: one transfer, and nothing to compile.
    """
    leaves, treedef = jax.tree.flatten(space, is_leaf=is_space)
    if is_concrete(X):
        table = np.asarray(X)
        columns = [jnp.asarray(table[..., i], s.dtype) for i, s in enumerate(leaves)]
    else:
        columns = [X[..., i].astype(s.dtype) for i, s in enumerate(leaves)]
    return jax.tree.unflatten(treedef, columns)


def ravel(space: PyTree, params: PyTree) -> Float[Array, "q d"]:
    """A batched pytree of parameters, or a raw (q, d) table, as a table `X`.

    Raises:
        ParamsError: another structure or number of parameters than the space's, leaves
            of different lengths, or a number that is not finite.
    """
    leaves, treedef = jax.tree.flatten(space, is_leaf=is_space)
    if isinstance(params, (np.ndarray, jax.Array)) and np.ndim(params) == 2:
        table = params
        if table.shape[1] != len(leaves):
            raise ParamsError(
                f"expected a table of {len(leaves)} parameters a row for this space, "
                f"got shape {table.shape}"
            )
        xp = jnp if not is_concrete(table) else np
        table = xp.asarray(table).astype(_float())
    else:
        table = _columns_to_table(treedef, params)
    if is_concrete(table) and not np.isfinite(np.asarray(table)).all():
        raise ParamsError("expected finite params, got a NaN or an infinity among them")
    return jnp.asarray(table)


def _columns_to_table(treedef: Any, params: PyTree) -> Float[Array, "q d"]:
    columns, structure = jax.tree.flatten(params)
    expected: Any = jax.tree.structure(
        jax.tree.unflatten(treedef, [0.0] * treedef.num_leaves)
    )
    if structure != expected:
        raise ParamsError(
            f"expected params with the structure of the search space, {treedef}, got "
            f"{structure}; tell the params that this study proposed"
        )
    concrete = is_concrete(columns)
    xp = np if concrete else jnp
    for column in columns:
        if concrete and as_numbers(column) is None:
            raise ParamsError(f"expected numbers for params, got {column!r}")
    arrays = [xp.atleast_1d(xp.asarray(column)).astype(_float()) for column in columns]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or arrays[0].ndim != 1:
        raise ParamsError(
            f"expected every leaf of params to have the same shape (q,), "
            f"got {', '.join(map(str, sorted(shapes)))}"
        )
    return xp.stack(arrays, axis=1)


def _stack(spaces: list[Space]) -> Space:
    """Spaces of one kind as one space whose array leaves have a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *spaces)


def _float() -> jnp.dtype:
    """The float dtype of both tables: JAX's default precision."""
    return jnp.result_type(float)
