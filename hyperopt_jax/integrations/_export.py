"""Writing a space as a ConfigSpace space."""

import math
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.integrations._ranges import (
    bounds_of,
    plain_constant,
    plain_numbers,
)
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    DiscreteSpace,
    FixedSpace,
    LinearSpace,
    LogSpace,
    NormalSpace,
    OrdinalSpace,
    QLinearSpace,
    QLogSpace,
    Space,
    VectorSpace,
    sample,
)
from hyperopt_jax.spaces._checked import check_one_space
from hyperopt_jax.spaces._layout import Layout, Literal, full_layout
from hyperopt_jax.spaces._operations import own_names
from hyperopt_jax.spaces._plain import as_written
from hyperopt_jax.spaces._shown import shortest
from hyperopt_jax.spaces._vector import entry_of

SIGNS = {
    "<": "ForbiddenLessThan",
    "<=": "ForbiddenLessThanEquals",
    ">": "ForbiddenGreaterThan",
    ">=": "ForbiddenGreaterThanEquals",
    "==": "ForbiddenEquals",
}

# What ConfigSpace holds as a list of values.
FINITE = OrdinalSpace, DiscreteSpace, BooleanSpace


def exported(
    library: Any, space: PyTree, forbidden: type, name: str | None, seed: int | None
) -> Any:
    """The `ConfigurationSpace` of a space."""
    check_one_space(space)
    flat = full_layout(space)
    if "" in own_names(space):  # no two of which are alike
        raise SpaceError(
            f"expected a dict of spaces for to_configspace, whose parameters have names, "
            f"got {space!r}"
        )
    out = library.ConfigurationSpace(name=name, seed=seed)
    made: dict[int, Any] = {}
    scoped = []
    starts = _legal_starts(space, flat)
    for i, leaf in enumerate(flat.leaves):
        own = "/".join(leaf.path)
        for entry, (label, kind) in enumerate(_entries(own, leaf.space)):
            hp = _hyperparameter(library, label, kind, starts[i][entry])
            made.setdefault(i, hp)
            scopes = leaf.scopes
            scoped.append((hp, scopes[entry * len(scopes) // _count(leaf.space)]))
    out.add([hp for hp, _ in scoped])
    conditions = [_conditions(library, flat, made, hp, s) for hp, s in scoped if s]
    out.add([condition for condition in conditions if condition is not None])
    for rule in flat.rules:
        if not isinstance(rule.predicate, forbidden) or rule.scope:
            raise SpaceError(
                f"expected constraints that came from ConfigSpace, got "
                f"{rule.predicate!r}, which has no counterpart there"
            )
        names = {hp.name: hp for hp, _ in scoped}
        leaves = {"/".join(leaf.path): leaf.space for leaf in flat.leaves}
        predicate: Any = rule.predicate
        out.add([_clause(library, names, leaves, c) for c in predicate.clauses])
    return out


def _entries(name: str, space: Space) -> list[tuple[str, Space]]:
    """A leaf as single hyperparameters: the entries of a vector one by one."""
    if not isinstance(space, VectorSpace):
        return [(name, space)]
    places = np.ndindex(*space.length)
    return [
        entry
        for place in places
        for entry in _entries("/".join([name, *map(str, place)]), space.space)
    ]


def _count(space: Space) -> int:
    return len(_entries("", space))


def _legal_starts(space: PyTree, flat: Layout) -> list[list[dict[str, Any]]]:
    """For each leaf, entry by entry, the argument that gives it its default.

    ConfigSpace takes the middle of each range, and refuses a clause that forbids it. So
    with constraints the defaults are a configuration that satisfies them; without, none
    is given.
    """
    if not flat.rules:
        return [[{}] * _count(leaf.space) for leaf in flat.leaves]
    found = jax.tree.leaves(sample(space, jax.random.key(0), 1))
    return [
        [_start(leaf.space, value) for value in np.asarray(values).ravel()]
        for leaf, values in zip(flat.leaves, found, strict=True)
    ]


def _start(space: Space, number: Any) -> dict[str, Any]:
    """A number in the parameters as the default of a hyperparameter."""
    space = entry_of(space)
    if isinstance(space, FINITE):
        return {"default_value": _listed(space, number)}
    if not isinstance(space, LinearSpace):
        return {}
    low, high = bounds_of(space)
    return {"default_value": min(max(type(low)(number), low), high)}


def _hyperparameter(
    library: Any, name: str, space: Space, start: dict[str, Any]
) -> Any:
    if isinstance(space, FixedSpace):
        return library.Constant(name, plain_constant(space))
    if isinstance(space, BooleanSpace):
        return library.CategoricalHyperparameter(name, [False, True], **start)
    if isinstance(space, ChoiceSpace):
        return library.CategoricalHyperparameter(name, list(space.choices), **start)
    if isinstance(space, OrdinalSpace):
        return library.OrdinalHyperparameter(name, list(space.choices), **start)
    if isinstance(space, DiscreteSpace):
        values = plain_numbers(np.sort(space.values))
        return library.OrdinalHyperparameter(name, values, **start)
    if isinstance(space, LinearSpace) and space.step is None:
        found = _number(library, name, space, start)
        if found is not None:
            return found
    raise SpaceError(
        f"expected a space that ConfigSpace has at {name!r}, got {space!r}; it has no "
        f"such hyperparameter"
    )


def _number(library: Any, name: str, space: LinearSpace, start: dict) -> Any:
    low, high = bounds_of(space)
    if type(space) in (QLinearSpace, QLogSpace):
        log = isinstance(space, QLogSpace)
        return library.UniformIntegerHyperparameter(name, low, high, log=log, **start)
    if type(space) in (LinearSpace, LogSpace):
        log = isinstance(space, LogSpace)
        return library.UniformFloatHyperparameter(name, low, high, log=log, **start)
    if isinstance(space, NormalSpace):
        mean, std = shortest(space.mean), shortest(space.std)
        return library.NormalFloatHyperparameter(name, mean, std, low, high, **start)
    return None


def _conditions(
    library: Any, flat: Layout, made: dict[int, Any], child: Any, scope: int
) -> Any:
    """The condition of one hyperparameter."""
    clauses = [
        _any_of(library, flat, made, child, any_) for any_ in flat.scopes[scope].clauses
    ]
    return clauses[0] if len(clauses) == 1 else library.AndConjunction(*clauses)


def _any_of(
    library: Any, flat: Layout, made: dict[int, Any], child: Any, literals: Any
) -> Any:
    exact = {
        x.parent: [y for y in literals if y.parent == x.parent and y.low == y.high]
        for x in literals
        if x.low == x.high
    }
    parts = [
        library.InCondition(child, made[parent], [_value(flat, x) for x in same])
        for parent, same in exact.items()
    ]
    for x in literals:
        if x.low != x.high:
            parts.append(_interval(library, flat, made[x.parent], child, x))
    return parts[0] if len(parts) == 1 else library.OrConjunction(*parts)


def _interval(library: Any, flat: Layout, parent: Any, child: Any, x: Literal) -> Any:
    """An interval with its ends as conditions that exclude theirs."""
    whole = not np.issubdtype(flat.leaves[x.parent].space.dtype, np.floating)
    own: Any = flat.leaves[x.parent].space
    if isinstance(own, FINITE):
        return _among(library, own, parent, child, x)
    first, last = float(own.lower_bound), float(own.upper_bound)
    low, high = max(x.low, first), min(x.high, last)
    if whole:
        low, high = math.ceil(low), math.floor(high)
    if low > high:
        raise _passed(parent.name, "none")
    parts = []
    # An end that every value passes is no condition.
    if low > first:
        below = low - 1 if whole else float(np.nextafter(low, -np.inf))
        parts.append(library.GreaterThanCondition(child, parent, below))
    if high < last:
        above = high + 1 if whole else float(np.nextafter(high, np.inf))
        parts.append(library.LessThanCondition(child, parent, above))
    if not parts:
        raise _passed(parent.name, "all")
    return parts[0] if len(parts) == 1 else library.AndConjunction(*parts)


def _among(library: Any, own: Space, parent: Any, child: Any, x: Literal) -> Any:
    """An interval of a parent whose values ConfigSpace lists, as those in it."""
    numbers = np.sort(np.asarray(own.points()))
    values = [_listed(own, n) for n in numbers if x.low <= float(n) <= x.high]
    if len(values) in (0, len(numbers)):
        raise _passed(parent.name, "all" if values else "none")
    return library.InCondition(child, parent, values)


def _listed(space: Space, number: Any) -> Any:
    """The value in ConfigSpace's list that stands for a number in the parameters."""
    if isinstance(space, OrdinalSpace):
        return space.choices[int(number)]
    return as_written(space, np.asarray(number, space.dtype))


def _passed(parent: str, how_many: str) -> SpaceError:
    return SpaceError(
        f"expected a condition that some values of {parent!r} pass and some fail, "
        f"got one that {how_many} pass"
    )


def _value(flat: Layout, x: Literal) -> Any:
    path, space, _ = flat.leaves[x.parent]
    if isinstance(space, FINITE):
        whole = not np.issubdtype(space.dtype, np.floating)
        number = np.asarray(x.low, np.float64 if whole else space.dtype)
        if number not in np.asarray(space.points()):
            raise _passed("/".join(path), "none")
        return _listed(space, x.low)
    if np.issubdtype(space.dtype, np.floating):
        return shortest(np.asarray(x.low, space.dtype))
    return int(x.low)


def _clause(library: Any, hps: dict[str, Any], leaves: Any, clause: Any) -> Any:
    kind, *rest = clause
    if kind in ("and", "or"):
        parts = [_clause(library, hps, leaves, part) for part in rest]
        joined = (
            "ForbiddenAndConjunction" if kind == "and" else "ForbiddenOrConjunction"
        )
        return getattr(library, joined)(*parts)
    if kind == "relation":
        sign, left, right = rest
        return getattr(library, f"{SIGNS[sign]}Relation")(hps[left], hps[right])
    name, number = rest
    if kind == "in":
        values = [_original(leaves[name], n) for n in number]
        return library.ForbiddenInClause(hps[name], values)
    value = _original(leaves[name], number)
    return getattr(library, f"{SIGNS[kind]}Clause")(hps[name], value)


def _original(space: Space, number: float) -> Any:
    if isinstance(space, OrdinalSpace):
        return space.choices[int(number)]
    if isinstance(space, FixedSpace):
        return plain_constant(space)
    return number if np.issubdtype(space.dtype, np.floating) else int(number)
