"""Checks of a whole search space, on the host, before a search begins."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces import _compiled, _feasible
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._codec import codec_of
from hyperopt_jax.spaces._layout import (
    is_node,
    is_searched,
    layout,
    no_space_at,
    on_the_host,
)
from hyperopt_jax.spaces._vector import entry_of


def is_space(node: Any) -> bool:
    """Whether `node` is a leaf of a search space."""
    return isinstance(node, Space)


def is_constrained(space: PyTree) -> bool:
    """Whether some part of `space` has hard constraints."""
    return bool(layout(space).rules)


def is_stack(space: PyTree) -> bool:
    """Whether bounds or values have an axis of studies, as outside of a `vmap`."""
    # The plain dict of fields: this runs in every update, and a module's attributes are
    # slow to get.
    entries = [vars(entry_of(leaf)) for leaf in layout(space).spaces]
    return any(
        name in own and np.ndim(own[name]) > axes
        for own in entries
        for name, axes in (("lower_bound", 0), ("values", 1))
    )


def check_precision(space: PyTree) -> None:
    """Raises `SpaceError` where bounds have another precision than searches have now."""
    wanted = jnp.result_type(float)
    for leaf in layout(space).spaces:
        bound = getattr(entry_of(leaf), "lower_bound", None)
        dtype = getattr(bound, "dtype", np.dtype(int))
        if jnp.issubdtype(dtype, jnp.floating) and dtype != wanted:
            raise SpaceError(
                f"expected bounds of {wanted}, got {dtype} in "
                f"{type(leaf).__name__}; make the space after jax_enable_x64 is set"
            )


def check_one_space(space: PyTree) -> None:
    """Raises `SpaceError` unless `space` is a pytree of spaces, and no stack of them."""
    check_leaves(space)
    check_no_stack(space)


def check_no_stack(space: PyTree) -> None:
    """Raises `SpaceError` for a stack of spaces, outside of `vmap`."""
    if is_stack(space):
        raise SpaceError(
            "expected one space, got a stack of spaces whose bounds have an axis more; use "
            "jax.vmap, or take one of them with jax.tree.map(lambda x: x[i], space)"
        )


def check_space(space: PyTree) -> None:
    """Raises `SpaceError` unless `space` can be searched.

    It must be a pytree of spaces and no stack of them, with something to search among
    them. Where it has hard constraints, a million points are sampled until one satisfies
    them.
    """
    check_one_space(space)
    flat = layout(space)
    if not any(map(is_searched, flat.spaces)):
        raise SpaceError(
            f"expected something to search in the space, got constants only: {space!r}"
        )
    if flat.rules and is_concrete(space) and not _is_feasible(space):
        raise SpaceError(
            f"expected a space with feasible points, got none among "
            f"{_feasible.MAX_TRIES} samples that satisfies all constraints; loosen the "
            f"constraints, or narrow the bounds to where they can hold"
        )


def check_leaves(space: PyTree) -> None:
    """Raises `SpaceError` unless `space` is a pytree of at least one space."""
    try:
        nodes = jax.tree_util.tree_leaves_with_path(space, is_leaf=is_node)
    except ValueError as error:  # JAX sorts the keys of a dict
        raise SpaceError(
            f"expected dicts with keys of one kind, such as strings only, in the search "
            f"space, got {space!r}"
        ) from error
    if not nodes:
        raise SpaceError(
            f"expected a pytree with at least one space in it, got {space!r}"
        )
    for path, node in nodes:
        if not is_node(node):
            where = jax.tree_util.keystr(path) or "the root"
            raise no_space_at(where, node)


def _is_feasible(space: PyTree) -> bool:
    with on_the_host():
        return bool(_compiled.probe(codec_of(space)))
