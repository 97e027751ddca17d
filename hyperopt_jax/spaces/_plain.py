"""One configuration as plain Python objects."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax.errors import ParamsError
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._choice import OrdinalSpace
from hyperopt_jax.spaces._codec import Codec
from hyperopt_jax.spaces._conditional import ConditionalSpace
from hyperopt_jax.spaces._constrained import ConstrainedSpace
from hyperopt_jax.spaces._dependent import DependentSpace
from hyperopt_jax.spaces._fixed import FixedSpace
from hyperopt_jax.spaces._list import ListSpace
from hyperopt_jax.spaces._tables import ravel
from hyperopt_jax.spaces._vector import entry_of


def as_plain(space: PyTree, params: PyTree) -> Any:
    """One configuration, inactive parts left out, objects in place of indices."""
    if isinstance(space, Space):
        return _value(space, params)
    if isinstance(space, ConstrainedSpace):
        return as_plain(space.space, params)
    if isinstance(space, ConditionalSpace):
        name = space.choice.value(int(params[space.choice_name]))
        chosen = as_plain(space.branches[name], params[name])
        return {space.choice_name: name, name: chosen}
    if isinstance(space, ListSpace):
        return _entries(space, params)
    if isinstance(space, DependentSpace):
        kept = _active_names(space, params)
        return {name: as_plain(space.space[name], params[name]) for name in kept}
    children, treedef = _one_level(space)
    values = [as_plain(child, _child(params, key)) for key, child in children]
    return treedef.unflatten(values)


def _value(space: Space, value: Any) -> Any:
    if isinstance(space, FixedSpace):
        return space.constant if len(space.objects) else _number(value)
    entry = entry_of(space)
    if isinstance(entry, OrdinalSpace):
        return entry.value(int(value) if entry is space else np.asarray(value))
    return _number(value)


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array


def _entries(space: ListSpace, params: PyTree) -> list[Any]:
    """The entries of a list that count, one after the other."""
    length = int(params["length"])
    if not space.min_length <= length <= space.max_length:
        raise ParamsError(
            f"expected a length of {space.min_length} to {space.max_length} for a "
            f"ListSpace, got {length}"
        )
    return [
        as_plain(space.space, jax.tree.map(lambda leaf, i=i: leaf[i], params["values"]))
        for i in range(length)
    ]


def _active_names(space: DependentSpace, params: PyTree) -> list[str]:
    """The names in `space` of which something is active."""
    codec = Codec(space)
    active = np.asarray(codec.active_scopes(ravel(space, params)))[0]
    scopes = iter(codec.scopes)
    kept = []
    for name in sorted(space.space):
        own = [s for _ in jax.tree.leaves(params[name]) for s in next(scopes)]
        if active[own].any():
            kept.append(name)
    return kept


def _one_level(node: PyTree) -> tuple[list[tuple[Any, Any]], Any]:
    children, treedef = jax.tree_util.tree_flatten_with_path(
        node, is_leaf=lambda child: child is not node
    )
    return [(keys[0], child) for keys, child in children], treedef


def _child(params: PyTree, key: Any) -> Any:
    """The part of `params` at one step of a path."""
    if hasattr(key, "name"):
        return getattr(params, key.name)
    return params[key.key if hasattr(key, "key") else key.idx]
