"""One configuration as plain Python objects, and back."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import ParamsError
from hyperopt_jax.spaces import _compiled, _steps
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._choice import OrdinalSpace
from hyperopt_jax.spaces._codec import codec_of
from hyperopt_jax.spaces._conditional import ConditionalSpace
from hyperopt_jax.spaces._constrained import ConstrainedSpace
from hyperopt_jax.spaces._dependent import DependentSpace
from hyperopt_jax.spaces._fixed import FixedSpace
from hyperopt_jax.spaces._layout import is_searched, layout, name_of
from hyperopt_jax.spaces._list import ListSpace
from hyperopt_jax.spaces._objects import same
from hyperopt_jax.spaces._shown import shortest
from hyperopt_jax.spaces._tables import ravel
from hyperopt_jax.spaces._vector import entry_of

# Stands for a part of a configuration that was left out.
LEFT_OUT = object()

ROUNDING = 1e-6


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
        return space.constant if len(space.objects) else _numbers(space, value)
    entry = entry_of(space)
    if isinstance(entry, OrdinalSpace):
        return entry.value(int(value) if entry is space else np.asarray(value))
    return _numbers(space, value)


def _numbers(space: Space, value: Any) -> Any:
    return as_written(space, value) if space.shape == () else np.asarray(value)


def as_written(space: Space, number: Any) -> Any:
    """A number of `space` as Python's own, a float with the digits that one would write."""
    array = np.asarray(number)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.item()
    if not _has_steps(space):
        return shortest(array)
    index = _steps.index_of(space, float(array))
    if index is None:
        return shortest(array)
    low, high, step = map(shortest, _steps.range_of(space))
    return min(_steps.in_decimals(low, step, index), high)


def _has_steps(space: Space) -> bool:
    return getattr(space, "step", None) is not None and is_concrete(space)


def _entries(space: ListSpace, params: PyTree) -> list[Any]:
    """The entries of a list that count, one after the other."""
    length = int(params["length"])
    if not space.min_length <= length <= space.max_length:
        raise ParamsError(
            f"expected a length of {space.min_length} to {space.max_length} for a "
            f"ListSpace, got {length}"
        )
    # On the host: JAX would compile each of these steps.
    values = jax.tree.map(np.asarray, params["values"])
    return [
        as_plain(space.space, jax.tree.map(lambda leaf, i=i: leaf[i], values))
        for i in range(length)
    ]


def _active_names(space: DependentSpace, params: PyTree) -> list[str]:
    """The names in `space` of which something is active."""
    X = ravel(space, params)
    active = np.asarray(_compiled.active_scopes(codec_of(space), X))[0]
    scopes = (leaf.scopes for leaf in layout(space).leaves)
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


def row_of(space: PyTree, configuration: Any) -> Float[np.ndarray, " c"]:
    """The values of one plain configuration, NaN for what is left out of it."""
    leaves = jax.tree.leaves(_as_params(space, configuration, ()))
    searched = [
        np.ravel(leaf)
        for own, leaf in zip(layout(space).spaces, leaves, strict=True)
        if is_searched(own)
    ]
    return np.concatenate([np.zeros(0), *searched])


def _as_params(space: PyTree, plain: Any, path: tuple[str, ...]) -> PyTree:
    """`as_plain` backwards: parameters with NumPy's numbers, NaN for what is left out."""
    if isinstance(space, Space):
        return _as_values(space, plain, path)
    if isinstance(space, ConstrainedSpace):
        return _as_params(space.space, plain, path)
    if isinstance(space, ConditionalSpace):
        return _as_branches(space, plain, path)
    if isinstance(space, ListSpace):
        return _as_entries(space, plain, path)
    children, treedef = _one_level(
        space.space if isinstance(space, DependentSpace) else space
    )
    names = [name_of(key) for key, _ in children]
    given = _named(plain, names, path)
    return treedef.unflatten(
        [
            _as_params(child, given.get(name, LEFT_OUT), (*path, name))
            for name, (_, child) in zip(names, children, strict=True)
        ]
    )


def _as_branches(space: ConditionalSpace, plain: Any, path: tuple[str, ...]) -> PyTree:
    own = space.choice_name
    given = _named(plain, (own, *space.names), path)
    chosen = given.get(own, LEFT_OUT)
    params = {own: _as_values(space.choice, chosen, (*path, own))}
    for name in space.names:
        branch = given.get(name, LEFT_OUT) if name == chosen else LEFT_OUT
        params[name] = _as_params(space.branches[name], branch, (*path, name))
    return params


def _as_entries(space: ListSpace, plain: Any, path: tuple[str, ...]) -> PyTree:
    if plain is LEFT_OUT:
        length, entries = np.nan, []
    elif not isinstance(plain, (list, tuple)):
        raise ParamsError(f"expected a list for {_where(path)}, got {plain!r}")
    else:
        length, entries = len(plain), list(plain)
        if not space.min_length <= length <= space.max_length:
            raise ParamsError(
                f"expected {space.min_length} to {space.max_length} entries for "
                f"{_where(path)}, got {length}"
            )
    entries += [LEFT_OUT] * (space.max_length - len(entries))
    rows = [
        _as_params(space.space, entry, (*path, str(i)))
        for i, entry in enumerate(entries)
    ]
    return {
        "length": np.asarray(length),
        "values": jax.tree.map(lambda *leaves: np.stack(leaves), *rows),
    }


def _as_values(space: Space, plain: Any, path: tuple[str, ...]) -> Any:
    """The values of one leaf as numbers."""
    if isinstance(space, FixedSpace):
        return _as_constant(space, plain, path)
    if plain is LEFT_OUT:
        return np.full(space.shape, np.nan)
    entry = entry_of(space)
    if isinstance(entry, OrdinalSpace):
        depth = 0 if entry is space else len(space.shape)
        return _as_indices(entry, plain, depth, space.shape, path)
    numbers = np.asarray(plain) if space.dtype == bool else as_numbers(plain)
    if numbers is None or numbers.dtype.kind not in "biuf":
        raise ParamsError(f"expected numbers for {_where(path)}, got {plain!r}")
    if numbers.shape != space.shape:
        raise ParamsError(
            f"expected values of shape {space.shape} for {_where(path)}, got "
            f"{numbers.shape}"
        )
    numbers = numbers.astype(float)
    if space.dtype == bool and not np.isin(numbers, (0, 1)).all():
        raise ParamsError(f"expected True or False for {_where(path)}, got {plain!r}")
    whole = not jnp.issubdtype(space.dtype, jnp.floating)
    if not np.isfinite(numbers).all() or (whole and (numbers % 1 != 0).any()):
        kind = "whole" if whole else "finite"
        raise ParamsError(f"expected {kind} numbers for {_where(path)}, got {plain!r}")
    return np.asarray(_steps.held(space, numbers)) if _has_steps(space) else numbers


def _as_indices(
    space: OrdinalSpace,
    plain: Any,
    depth: int,
    shape: tuple[int, ...],
    path: tuple[str, ...],
) -> Any:
    """The index of an object, or of each in `depth` lists of lists."""
    if not depth:
        index = space.choices.find(plain)
        if index is None:
            raise ParamsError(
                f"expected one of the choices {space.choices!r} for {_where(path)}, got "
                f"{plain!r}"
            )
        return np.asarray(index, float)
    if not isinstance(plain, (list, tuple, np.ndarray)) or len(plain) != shape[0]:
        raise ParamsError(
            f"expected {shape[0]} entries for {_where(path)}, got {plain!r}"
        )
    rows = [_as_indices(space, one, depth - 1, shape[1:], path) for one in plain]
    return np.stack(rows)


def _as_constant(space: FixedSpace, plain: Any, path: tuple[str, ...]) -> Any:
    if plain is not LEFT_OUT and not _is_constant(space, plain):
        raise ParamsError(
            f"expected the constant {_value(space, space.value)!r} for {_where(path)}, "
            f"got {plain!r}"
        )
    return np.asarray(space.value)


def _is_constant(space: FixedSpace, plain: Any) -> bool:
    if len(space.objects):
        return same(space.constant, plain)
    own, numbers = np.asarray(space.value), as_numbers(plain)
    if numbers is None:
        return np.array_equal(plain, own)
    # What went through a lower precision is still the same.
    numbers = numbers.astype(own.dtype)
    return numbers.shape == own.shape and np.allclose(numbers, own, ROUNDING, 0.0)


def _named(plain: Any, names: Collection[str], path: tuple[str, ...]) -> dict[str, Any]:
    """The parts of a configuration by name; raises for what the space does not have."""
    if plain is LEFT_OUT or (plain is None and not names):
        return {}
    if isinstance(plain, Mapping):
        given = {str(name): part for name, part in plain.items()}
    elif hasattr(plain, "_asdict"):
        given = plain._asdict()
    elif isinstance(plain, (list, tuple)):
        given = {str(i): part for i, part in enumerate(plain)}
    elif dataclasses.is_dataclass(plain):
        given = {name: getattr(plain, name) for name in names}
    else:
        raise ParamsError(
            f"expected a dict of {sorted(names)} for {_where(path)}, got {plain!r}"
        )
    strange = sorted(set(given) - set(names))
    if strange:
        raise ParamsError(
            f"expected the parameters {sorted(names)} for {_where(path)}, got {strange} "
            f"among them"
        )
    return given


def _where(path: tuple[str, ...]) -> str:
    return repr("/".join(path)) if path else "the configuration"
