"""All points of a finite space: how many, as a table, one after the other."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces import _compiled
from hyperopt_jax.spaces._base import CompositeSpace, Space
from hyperopt_jax.spaces._checked import check_leaves, check_no_stack
from hyperopt_jax.spaces._codec import codec_of
from hyperopt_jax.spaces._fixed import FixedSpace
from hyperopt_jax.spaces._layout import full_layout, is_node, on_the_host
from hyperopt_jax.spaces._tables import columns_as_params, is_conditional

MAX_POINTS = 10_000_000

Columns = list[np.ndarray]


def size(space: PyTree) -> float:
    """How many different configurations `space` holds; inf unless all are discrete.

    Configurations that differ in inactive parameters only are one, and those that break
    a constraint do not count (they are counted one by one: at most ten million).

    Raises:
        SpaceError: something else than a space among the leaves, or a stack of spaces.
    """
    check_leaves(space)
    return _n_points(space)


def _n_points(space: PyTree) -> float:
    """`size`, of a part of a space as well, which may have no leaf."""
    counts = [
        node.n_points(_n_points)
        if isinstance(node, CompositeSpace)
        else _n_values(node)
        for node in jax.tree.leaves(space, is_leaf=is_node)
    ]
    # Nothing at all, also beside an interval.
    return math.prod(counts) if all(counts) else 0.0


def _n_values(leaf: Space) -> float:
    check_no_stack(leaf)
    # Counts pass what float32 holds exactly long before they pass what can be counted.
    # And they are numbers of the host, also inside somebody's program.
    if not is_concrete(leaf):
        raise SpaceError(
            f"expected concrete bounds for size, got traced ones in "
            f"{type(leaf).__name__}; call it outside jit and vmap"
        )
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return float(leaf.n_values())


def check_finite(space: PyTree, purpose: str) -> None:
    """Raises `SpaceError` unless every leaf of `space` has finitely many values."""
    for leaf in full_layout(space).leaves:
        if not leaf.space.is_discrete:
            raise SpaceError(
                f"expected spaces with finitely many values for {purpose}, got "
                f"{type(leaf.space).__name__} at {'/'.join(leaf.path) or 'the root'}; "
                f"use a DiscreteSpace or a QLinearSpace, or give it a step"
            )
    if not is_concrete(space):
        raise SpaceError(
            f"expected concrete bounds for {purpose}, got traced ones; the bounds "
            f"fix the number of points: call it outside jit and vmap"
        )


def all_points(space: PyTree) -> Columns:
    """Every point of a finite space once, column by column, the last one fastest.

    Raises:
        SpaceError: more than ten million points, or none.
    """
    columns = filled(space, table_of(space))
    if columns and not columns[0].size:
        raise SpaceError(
            "expected a space with feasible points, got one of which none satisfies all "
            "constraints"
        )
    return columns


def table_of(node: PyTree) -> Columns:
    """`all_points`, with anything in inactive parameters, and perhaps without a row."""
    if isinstance(node, FixedSpace):
        return []
    if isinstance(node, Space):
        check_count(_n_values(node))
        with jax.ensure_compile_time_eval():
            values = np.asarray(node.points())
        return list(values.reshape(values.shape[0], -1).T)
    if isinstance(node, CompositeSpace):
        return node.table(table_of)
    return product([table_of(child) for child in _children(node)])


def filled(node: PyTree, columns: Columns) -> Columns:
    """`columns` of `node` with its filler in inactive parameters."""
    if not is_conditional(node) or not columns or not columns[0].size:
        return columns
    X = np.stack([np.asarray(c, np.float64) for c in columns], axis=1)
    X = X.astype(jnp.result_type(float))
    with on_the_host():
        codec = codec_of(node)
        active = np.asarray(_compiled.active(codec, X))
        filler = np.asarray(_compiled.filler(codec))[0]
    return [
        np.where(active[:, i], column, np.asarray(filler[i], column.dtype))
        for i, column in enumerate(columns)
    ]


def product(tables: list[Columns]) -> Columns:
    """Every combination of a row of each table, the last table's rows fastest."""
    tables = [table for table in tables if table]
    lengths = [table[0].shape[0] for table in tables]
    total = math.prod(lengths)
    check_count(total)
    if not total:
        return [column[:0] for table in tables for column in table]
    columns, inner = [], total
    for table, n in zip(tables, lengths, strict=True):
        inner //= n
        outer = total // (n * inner)
        columns += [np.tile(np.repeat(column, inner), outer) for column in table]
    return columns


def check_count(n: float) -> None:
    """Raises `SpaceError` where there are too many points to list."""
    if n > MAX_POINTS:
        raise SpaceError(
            f"expected a grid of at most {MAX_POINTS} points, got {n:.3g}; "
            f"use RandomSearch or BayesianSearch"
        )


def enumerate_space(space: PyTree) -> Iterator[PyTree]:
    """The configurations of a finite space, one after the other, the last leaf fastest.

    Lazy: parameters of the whole are combined as they are asked for (those inside a
    conditional or constrained part are listed at once).

    Raises:
        SpaceError: a leaf with infinitely many values, or traced bounds.

    ```python
    from hyperopt_jax.spaces import enumerate_space

    space = {"layers": QLinearSpace(1, 3), "wide": BooleanSpace()}
    len(list(enumerate_space(space)))  # 6
    ```
    """
    check_leaves(space)
    check_finite(space, "enumerate_space")
    return _lazily(space)


def _lazily(space: PyTree) -> Iterator[PyTree]:
    nodes = jax.tree.leaves(space, is_leaf=is_node)
    pools = [all_points(node) for node in nodes if not isinstance(node, FixedSpace)]
    pools = [pool for pool in pools if pool]
    indices = itertools.product(*(range(pool[0].shape[0]) for pool in pools))
    for index in indices:
        row = [c[i] for pool, i in zip(pools, index, strict=True) for c in pool]
        yield columns_as_params(space, row)


def _children(node: PyTree) -> list[Any]:
    return jax.tree.leaves(node, is_leaf=lambda child: child is not node)
