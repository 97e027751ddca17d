"""A pytree of spaces as tables of arrays.

Leaves of one kind are stacked into one batched space, so encoding and decoding cost
one kernel per *kind*, whatever the number of parameters: a thousand parameters compile
like two. Three tables cross this border, with the parameters in the order in which JAX
flattens their pytree:

* `X`: values as the user sees them, in a float dtype, a column a number;
* `U`: the same points in the unit cube, where every candidate lives;
* `features(U)`: what a model sees of them.

For spaces of numbers alone the three have a column a parameter, and features are places.
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax._numerics import hashed_uniform
from hyperopt_jax.spaces import _feasible
from hyperopt_jax.spaces._activity import Activity
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._bounds import ends_of
from hyperopt_jax.spaces._layout import (
    Remembered,
    Rule,
    columns_of,
    is_searched,
    layout,
    starts,
    width,
)

NEUTRAL = 0.5
ACTIVITY = 0.5
N_CONFIGURATIONS = 256


class Codec(eqx.Module):
    """Maps between the tables of one search space (see the module)."""

    kinds: tuple[Space, ...]
    rules: tuple[Rule, ...]
    columns: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    widths: dict[str, tuple[int, ...]] = eqx.field(static=True)
    scopes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    activity: Activity | None = eqx.field(static=True)
    n_params: int = eqx.field(static=True)

    def __init__(self, space: PyTree):
        flat = layout(space)
        groups: dict[Any, list[int]] = {}
        bare = [leaf.space.bare for leaf in flat.leaves]
        # On the host where that is possible: of a thousand numbers that are put together
        # in a program, each is code of its own.
        xp = np if is_concrete(bare) else jnp
        bare = [jax.tree.map(functools.partial(_as_array, xp), leaf) for leaf in bare]
        for i, leaf in enumerate(bare):
            if is_searched(leaf):
                arrays, structure = jax.tree.flatten(leaf)
                alike = structure, tuple((a.shape, str(a.dtype)) for a in arrays)
                groups.setdefault(alike, []).append(i)
        self.columns = tuple(tuple(group) for group in groups.values())
        self.kinds = tuple(
            jax.tree.map(lambda *fields: xp.stack(fields), *(bare[i] for i in group))
            for group in self.columns
        )
        tables = "values", "places", "features", "index"
        self.widths = _Frozen({t: tuple(width(s, t) for s in bare) for t in tables})
        self.scopes = tuple(leaf.scopes for leaf in flat.leaves)
        self.activity = Activity.of(flat) if flat.is_conditional else None
        self.rules = flat.rules
        self.n_params = len(flat.leaves)

    @property
    def n_columns(self) -> int:
        """How many columns `X` has."""
        return sum(self.widths["values"])

    @property
    def n_coordinates(self) -> int:
        """How many columns `U` has."""
        return sum(self.widths["places"])

    @property
    def has_constraints(self) -> bool:
        """Whether some points of the unit cube must not be proposed; static."""
        return bool(self.rules)

    @property
    def is_conditional(self) -> bool:
        """Whether some parameters are not always active; static."""
        return self.activity is not None

    @property
    def is_discrete(self) -> np.ndarray:
        """Which coordinates hold finitely many values, as a static (d,) mask."""
        return self._mask(lambda kind: kind.is_discrete)

    @property
    def is_nominal(self) -> np.ndarray:
        """Which coordinates are drawn anew rather than moved, as a static (d,) mask."""
        return self._mask(lambda kind: kind.is_nominal)

    @property
    def feature_groups(self) -> np.ndarray:
        """Which length scale each column of `features` has, as a static (p,) array."""
        plain, activity = self._groups()
        return np.concatenate([plain, activity])

    @property
    def n_groups(self) -> int:
        """How many length scales a model of `features` has."""
        return int(self.feature_groups.max(initial=-1)) + 1

    def n_active_groups(self) -> Float[Array, ""] | int:
        """How many length scales count in a random configuration, constraints aside.

        On average over `N_CONFIGURATIONS`, always the same ones.
        """
        if self.activity is None:
            return self.n_groups
        shape = (N_CONFIGURATIONS, self.n_coordinates)
        U = hashed_uniform(jax.random.key(0), shape, _float())
        scopes = self._scope_of("features")[_heads(self._groups()[0])]
        active = self._active_places(U)[:, scopes]
        return jnp.sum(jnp.mean(active.astype(_float()), axis=0))

    def n_values(self) -> Float[Array, " l"]:
        """How many values each searched parameter has; inf for an interval."""
        counts = []
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            size = jax.vmap(lambda s: s.n_values(), axis_size=len(columns))(kind)
            counts.append(size.astype(_float()))
        return self._in_order(counts, "index")

    def decode(self, U: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """Values of the points `U` of the unit cube; discrete ones are snapped.

        Inactive parameters decode like any others: `snap` them before.
        """
        return self._by_kind(
            lambda space, u: space.decode(u).astype(_float()), U, "places", "values"
        )

    def decode_found(
        self, U: Float[Array, "n d"], found: Bool[Array, "..."]
    ) -> Float[Array, "n c"]:
        """Values of the points `U`, and what marks rows as lost where none was `found`."""
        X = self.decode(U)
        if not self.rules:
            return X
        return jnp.where(found, X, jnp.asarray(_feasible.marks(self), X.dtype))

    def is_lost(self, X: Float[Array, "n c"]) -> Bool[Array, " n"]:
        """Which rows `decode_found` returned because no feasible point was found."""
        return _feasible.lost(self, X)

    def nth(self, indices: Float[Array, "n l"]) -> Float[Array, "n c"]:
        """The values with these indices in rising order, in an all-discrete space."""
        return self._by_kind(
            lambda space, k: space.nth(k).astype(_float()), indices, "index", "values"
        )

    def encode(self, X: Float[Array, "n c"]) -> Float[Array, "n d"]:
        """Where the values `X` lie in the unit cube; inactive ones in its middle.

        Numbers from outside their bounds lie where the nearest bound does.
        """
        U = self._by_kind(_encode_inside, X, "values", "places")
        if self.activity is None:
            return U
        active = self._active_values(X)
        return jnp.where(active[:, self._scope_of("places")], U, NEUTRAL)

    def snap(self, U: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """`U` with every discrete coordinate moved to the middle of its cell.

        Inactive coordinates go to the middle of the cube, so that configurations which
        differ only there are one point.
        """
        if self.activity is not None:
            return self.snapped(U)[0]
        if not self.is_discrete.any():
            return U
        return jnp.where(self.is_discrete[None, :], self._encode(self.decode(U)), U)

    def snapped(
        self, U: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n c"]]:
        """`snap(U)` and the values there."""
        if self.activity is None:
            X = self.decode(U)
            if self.is_discrete.any():
                U = jnp.where(self.is_discrete[None, :], self._encode(X), U)
            return U, X
        # The values in the middle of the cube come from the same kernels.
        X = self.decode(jnp.concatenate([U, self._centre()]))
        X, filler = X[:-1], X[-1:]
        active = self._active_values(X)
        U = jnp.where(self.is_discrete[None, :], self._encode(X), U)
        U = jnp.where(active[:, self._scope_of("places")], U, NEUTRAL)
        return U, jnp.where(active[:, self._scope_of("values")], X, filler)

    def features(self, U: Float[Array, "n d"]) -> Float[Array, "n p"]:
        """What a model sees of the snapped points `U`; `U` itself for plain numbers.

        Choices become indicator columns. A conditional parameter stands as
        (f - f0) a beside a column a / 2 with the same length scale, where a is 1 while
        it is active and else 0: distances stay Euclidean, so every kernel stays positive
        semidefinite.
        """
        if all(kind.sees_places for kind in self.kinds):
            F = U
        else:
            F = self._by_kind(
                lambda space, u: space.features(u), U, "places", "features"
            )
        if self.activity is None:
            return F
        return self._with_activity(F, self._active_places(U))

    def perturb(
        self,
        U: Float[Array, "n d"],
        offsets: Float[Array, "n d"],
        uniform: Float[Array, "n d"],
    ) -> Float[Array, "n d"]:
        """Neighbours of `U`: numbers moved by `offsets`, choices drawn anew at times.

        A nominal coordinate is drawn anew where its entry of `uniform`, numbers of
        [0, 1), is below a rate at which most rows change about one of them. Inactive
        coordinates always are, in case such a change makes them count.
        """
        moved = jnp.clip(U + offsets, 0.0, 1.0)
        nominal = self.is_nominal
        if nominal.any():
            rate = min(0.5, 1.0 / nominal.sum())
            anew = jnp.where(uniform < rate, uniform / rate, U)
            moved = jnp.where(nominal[None, :], anew, moved)
        if self.activity is None:
            return moved
        active = self._active_places(U)[:, self._scope_of("places")]
        return jnp.where(active, moved, uniform)

    def is_feasible(self, U: Float[Array, "n d"]) -> Bool[Array, " n"]:
        """Which of the points `U`, snapped, satisfy every constraint."""
        return self.is_allowed(self.snapped(U)[1])

    def is_allowed(self, X: Float[Array, "n c"]) -> Bool[Array, " n"]:
        """Which rows of values satisfy every constraint of a part that is active."""
        ok = jnp.ones(X.shape[0], bool)
        if not self.rules:
            return ok
        # What is checked must round like what is returned.
        X = lax.optimization_barrier(X)
        active = None if self.activity is None else self.activity(self._parents(X))
        for rule in self.rules:
            kept = _feasible.holds(rule, X[:, self._of_leaves(rule.leaves, "values")])
            if active is not None and rule.scope:
                kept = kept | ~active[:, rule.scope]
            ok = ok & kept
        return ok

    def feasible(
        self, U: Float[Array, "n d"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "n d"], Bool[Array, ""]]:
        """`U` snapped, feasible rows only, filled up with new ones; and whether any is.

        Feasible rows keep their order. New ones are uniform, and rows repeat where few
        are found.
        """
        if not self.rules:
            return self.snap(U), jnp.asarray(True)
        return _feasible.filled(self, U, key)

    def pulled_back(
        self, start: Float[Array, "r d"], end: Float[Array, "r d"]
    ) -> Float[Array, "m d"]:
        """Feasible points on the way from the feasible rows `start` to the rows `end`.

        In a space without constraints: `end`, snapped where parameters are conditional.
        """
        if not self.rules:
            return end if self.activity is None else self.snap(end)
        return _feasible.pulled_back(self, start, end)

    def sample(
        self, key: PRNGKeyArray, n: int
    ) -> tuple[Float[Array, "n d"], Bool[Array, ""]]:
        """`n` independent snapped points of the cube, feasible; and whether all are."""
        U = hashed_uniform(key, (n, self.n_coordinates), _float())
        if not self.rules:
            return (U if self.activity is None else self.snap(U)), jnp.asarray(True)
        return _feasible.sampled(self, key, n)

    def filler(self) -> Float[Array, "1 c"]:
        """The values that parameters carry while they are inactive."""
        return self.decode(self._centre())

    def active(self, X: Float[Array, "n c"]) -> Bool[Array, "n c"]:
        """Which values of each row are active."""
        if self.activity is None:
            return jnp.ones(X.shape, bool)
        return self._active_values(X)[:, self._scope_of("values")]

    def active_scopes(self, X: Float[Array, "n c"]) -> Bool[Array, "n s"]:
        """In which rows the parts with each scope are active."""
        if self.activity is None:
            return jnp.ones((X.shape[0], 1), bool)
        return self._active_values(X)

    def _encode(self, X: Float[Array, "n c"]) -> Float[Array, "n d"]:
        return self._by_kind(lambda space, x: space.encode(x), X, "values", "places")

    def _mask(self, of_kind: Any) -> np.ndarray:
        mask = np.zeros(self.n_coordinates, bool)
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            mask[self._of_leaves(columns, "places")] = of_kind(kind)
        return mask

    def _parents(self, X: Float[Array, "n c"]) -> Float[Array, "n k"]:
        """The values on which activity depends."""
        return X[:, self._of_leaves(self.activity.parents, "values")]  # type: ignore[union-attr]

    def _active_values(self, X: Float[Array, "n c"]) -> Bool[Array, "n s"]:
        return self.activity(self._parents(X))  # type: ignore[misc]

    def _active_places(self, U: Float[Array, "n d"]) -> Bool[Array, "n s"]:
        """Which scopes are active at points of the cube; decodes no more than it must."""
        wanted = self.activity.parents  # type: ignore[union-attr]
        parts, order = [], []
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            rows = [i for i, leaf in enumerate(columns) if leaf in wanted]
            if rows:
                part = jax.tree.map(lambda a, rows=rows: a[np.asarray(rows)], kind)
                leaves = [columns[i] for i in rows]
                block = U[:, self._of_leaves(leaves, "places")]
                over = jax.vmap(lambda s, u: s.decode(u).astype(_float()), (0, 0))
                parts.append(jax.vmap(over, (None, 0))(part, block))
                order += leaves
        values = jnp.concatenate(parts, axis=1)
        place = np.asarray([order.index(leaf) for leaf in wanted])
        return self.activity(values[:, place])  # type: ignore[misc]

    def _centre(self) -> Float[Array, "1 d"]:
        """Where inactive parameters stand: the middle of the cube."""
        return jnp.full((1, self.n_coordinates), NEUTRAL, _float())

    def _with_activity(
        self, F: Float[Array, "n p"], active: Bool[Array, "n s"]
    ) -> Float[Array, "n p2"]:
        groups, _ = self._groups()
        scopes = self._scope_of("features")
        neutral = np.zeros(len(scopes), F.dtype)
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            neutral[self._of_leaves(columns, "features")] = kind.neutral_feature
        neutral = np.where(scopes > 0, neutral, 0)
        present = active[:, scopes].astype(F.dtype)
        heads = _heads(groups)
        own = heads[scopes[heads] > 0]
        F = (F - jnp.asarray(neutral)[None, :]) * present
        return jnp.concatenate([F, ACTIVITY * present[:, own]], axis=1)

    def _groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Length scales of the features, and of the activity columns after them."""
        n = self.n_params
        local: list[tuple[int, ...]] = [()] * n
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            for leaf in columns:
                local[leaf] = kind.feature_groups
        counts = tuple(max(g, default=-1) + 1 for g in local)
        first = starts(counts)
        parts = [np.asarray(local[i], int) + first[i] for i in range(n)]
        groups = np.concatenate(parts)
        if self.activity is None:
            return groups, np.zeros(0, int)
        scopes = self._scope_of("features")
        heads = _heads(groups)
        return groups, groups[heads[scopes[heads] > 0]]

    def _scope_of(self, table: str) -> np.ndarray:
        """The scope of each column of a table."""
        parts = []
        for scopes, n in zip(self.scopes, self.widths[table], strict=True):
            parts.append(np.repeat(scopes, n // len(scopes)) if n else np.zeros(0))
        return np.concatenate(parts).astype(int)

    def _of_leaves(self, leaves: Any, table: str) -> np.ndarray:
        return columns_of(leaves, self.widths[table])

    def _by_kind(
        self, function: Any, table: Float[Array, "n a"], source: str, target: str
    ) -> Float[Array, "n b"]:
        """`function(space, number or array)` everywhere, one kernel per kind of space."""
        over_columns = jax.vmap(function, in_axes=(0, 0))
        over_rows = jax.vmap(over_columns, in_axes=(None, 0))
        n, parts = table.shape[0], []
        for kind, columns in zip(self.kinds, self.columns, strict=True):
            block = table
            if len(self.columns) > 1:
                block = table[:, self._of_leaves(columns, source)]
            shape = _shape_in(kind, source)
            if shape:
                block = block.reshape(n, len(columns), *shape)
            part = over_rows(kind, block)
            if part.ndim > 2:  # not by -1, which has no value where there are no rows
                part = part.reshape(n, math.prod(part.shape[1:]))
            parts.append(part)
        return self._in_order(parts, target)

    def _in_order(
        self, parts: list[Float[Array, "... k"]], table: str
    ) -> Float[Array, "... d"]:
        """Columns that stand kind by kind, put back in the space's own order."""
        if len(parts) == 1:
            return parts[0]
        leaves = [leaf for columns in self.columns for leaf in columns]
        order = np.argsort(self._of_leaves(leaves, table))
        return jnp.concatenate(parts, axis=-1)[..., order]


def codec_of(space: PyTree) -> Codec:
    """The codec of `space`, which may be one.

    Programs take it in the place of the space: a few arrays, whatever the number of
    parameters, and the same ones for all spaces that differ in names alone.
    """
    return space if isinstance(space, Codec) else _codec_of(space)


@contextlib.contextmanager
def codec_told(space: PyTree, codec: Codec) -> Iterator[None]:
    """Within, `codec` is that of `space`, and its layout is known.

    Of a program's own space, whose bounds it would put together one by one, it is told
    the codec that was made on the host.
    """
    with _codec_of.told(space, codec), layout.told(space, layout(space)):
        yield


@Remembered
def _codec_of(space: PyTree) -> Codec:
    return Codec(space)


def _as_array(xp: Any, field: Any) -> Any:
    """A field of a space as an array: kinds that users write may hold Python's numbers."""
    return xp.asarray(field, jnp.result_type(field))


def _heads(groups: np.ndarray) -> np.ndarray:
    """The first column of each group of features."""
    return np.unique(groups, return_index=True)[1]


def _encode_inside(space: Space, value: Float[Array, "..."]) -> Float[Array, "..."]:
    low, high = (jnp.asarray(end).astype(value.dtype) for end in ends_of(space))
    # Not their places: many a place is the logarithm of something that must be positive.
    return space.encode(jnp.clip(value, low, high))


def _shape_in(kind: Space, table: str) -> tuple[int, ...]:
    if table == "index":
        return ()
    return kind.shape if table == "values" else kind.cube_shape


def _float() -> jnp.dtype:
    """The float dtype of all tables: JAX's default precision."""
    return jnp.result_type(float)


class _Frozen(dict):
    """A dict that is a static part of a module: hashable, never changed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))
