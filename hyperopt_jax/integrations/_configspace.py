"""ConfigSpace's spaces, with conditions and forbidden clauses."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.integrations._export import exported
from hyperopt_jax.integrations._extras import require
from hyperopt_jax.integrations._ranges import number_space
from hyperopt_jax.spaces import (
    ChoiceSpace,
    Condition,
    ConstrainedSpace,
    DependentSpace,
    FixedSpace,
    NormalSpace,
    OrdinalSpace,
    Space,
    active,
)
from hyperopt_jax.spaces._json import record
from hyperopt_jax.spaces._objects import Objects

ORDERS = {
    "LessThan": "<",
    "LessThanEquals": "<=",
    "GreaterThan": ">",
    "GreaterThanEquals": ">=",
    "Equals": "==",
}
COMPARE: dict[str, Any] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
}


@record
@dataclasses.dataclass(frozen=True)
class Forbidden:
    """A predicate: no clause of a list holds. Equal by value, so it compiles once.

    A clause is ("and", ...), ("or", ...), ("in", name, numbers), (sign, name, number)
    or ("relation", sign, name, name). One on an inactive parameter does not hold.
    """

    space: PyTree
    clauses: tuple[Any, ...]

    def __call__(self, params: PyTree) -> Bool[Array, ""]:
        mask = active(self.space, params)
        kept = jnp.asarray(True)
        for clause in self.clauses:
            kept = kept & ~self._holds(clause, params, mask)
        return kept

    def _holds(self, clause: Any, params: Any, mask: Any) -> Bool[Array, ""]:
        kind, *rest = clause
        if kind in ("and", "or"):
            parts = jnp.stack([self._holds(part, params, mask) for part in rest])
            return jnp.all(parts) if kind == "and" else jnp.any(parts)
        if kind == "relation":
            sign, left, right = rest
            spaces = _leaves_of(self.space)
            found = _related(
                sign, spaces[left], spaces[right], params[left], params[right]
            )
            return found & mask[left] & mask[right]
        name, values = rest
        if kind == "in":
            found = jnp.any(_number(params[name]) == jnp.asarray(values, _float()))
        else:
            found = COMPARE[kind](_number(params[name]), jnp.asarray(values, _float()))
        return found & mask[name]


def from_configspace(configspace: Any) -> PyTree:
    """A space from a `ConfigSpace.ConfigurationSpace`: a dict from names to spaces.

    Conditions become a `DependentSpace` and forbidden clauses a `ConstrainedSpace`.
    Unequal weights of choices, beta laws, normal laws of a logarithm, and `!=` on a
    parameter that has a condition itself (ConfigSpace takes it for different while it is
    inactive) have no counterpart.

    Raises:
        MissingExtraError: ConfigSpace is not installed.
        SpaceError: a hyperparameter, condition or clause without a counterpart.
    """
    library = require("ConfigSpace", "configspace")
    if not isinstance(configspace, library.ConfigurationSpace):
        raise SpaceError(
            f"expected a ConfigSpace.ConfigurationSpace, got {configspace!r}"
        )
    space: Any = {name: _leaf(library, hp) for name, hp in dict(configspace).items()}
    when: dict[str, Condition] = {}
    conditional = {_child(condition) for condition in configspace.conditions}
    for condition in configspace.conditions:
        child = _child(condition)
        _check_parents(library, condition, conditional)
        own = _condition(library, condition)
        when[child] = when[child] & own if child in when else own
    leaves = space
    if when:
        space = DependentSpace(space, when)
    clauses = tuple(_clause(leaves, c) for c in configspace.forbidden_clauses)
    return ConstrainedSpace(space, Forbidden(space, clauses)) if clauses else space


def _leaf(library: Any, hp: Any) -> Space:
    name = hp.name
    if isinstance(hp, library.CategoricalHyperparameter):
        weights = np.asarray(hp.probabilities)
        if not np.allclose(weights, weights[0]):
            raise SpaceError(f"expected equal weights for {name!r}, got {weights}")
        return ChoiceSpace(list(hp.choices))
    if isinstance(hp, library.OrdinalHyperparameter):
        return OrdinalSpace(list(hp.sequence))
    if isinstance(hp, library.Constant):
        return FixedSpace(hp.value)
    if isinstance(hp, library.UniformFloatHyperparameter):
        return number_space(name, float(hp.lower), float(hp.upper), hp.log)
    if isinstance(hp, library.UniformIntegerHyperparameter):
        return number_space(name, int(hp.lower), int(hp.upper), hp.log)
    if isinstance(hp, library.NormalFloatHyperparameter) and not hp.log:
        return NormalSpace(hp.mu, hp.sigma, hp.lower, hp.upper)
    raise SpaceError(
        f"expected a kind of hyperparameter with a counterpart for {name!r}, got "
        f"{type(hp).__name__}"
    )


def _child(condition: Any) -> str:
    while hasattr(condition, "components"):
        condition = condition.components[0]
    return condition.child.name


def _check_parents(library: Any, condition: Any, conditional: set[str]) -> None:
    """Raises `SpaceError` for a condition that means another thing here."""
    for part in getattr(condition, "components", ()):
        _check_parents(library, part, conditional)
    if not isinstance(condition, library.NotEqualsCondition):
        return
    child, parent = condition.child.name, condition.parent
    if parent.name in conditional:
        raise SpaceError(
            f"expected another condition for {child!r} than {parent.name!r} != "
            f"{condition.value!r}, since ConfigSpace takes {parent.name!r} for different "
            f"where it is inactive; list the values that {parent.name!r} may have "
            f"(InCondition)"
        )
    if isinstance(parent, library.Constant):
        raise SpaceError(
            f"expected a parameter that varies in the condition of {child!r}, got the "
            f"constant {parent.name!r}"
        )


def _condition(library: Any, condition: Any) -> Condition:
    if hasattr(condition, "components"):
        parts = [_condition(library, part) for part in condition.components]
        whole = parts[0]
        for part in parts[1:]:
            either = isinstance(condition, library.OrConjunction)
            whole = whole | part if either else whole & part
        return whole
    parent = condition.parent
    if isinstance(condition, library.InCondition):
        return Condition(parent.name, is_in=list(condition.values))
    value = condition.value
    if isinstance(condition, library.EqualsCondition):
        return Condition(parent.name, is_in=[value])
    if isinstance(
        parent, (library.CategoricalHyperparameter, library.OrdinalHyperparameter)
    ):
        return Condition(parent.name, is_in=_others(library, condition))
    value = float(value)
    below, above = (
        Condition(parent.name, high=float(np.nextafter(np.float32(value), -np.inf))),
        Condition(parent.name, low=float(np.nextafter(np.float32(value), np.inf))),
    )
    if isinstance(condition, library.LessThanCondition):
        return below
    if isinstance(condition, library.GreaterThanCondition):
        return above
    return below | above


def _others(library: Any, condition: Any) -> list[Any]:
    """The choices of a parent that pass a condition which names the one it compares to."""
    parent = condition.parent
    ordered = isinstance(parent, library.OrdinalHyperparameter)
    choices = list(parent.sequence if ordered else parent.choices)
    at = choices.index(condition.value)
    if isinstance(condition, library.LessThanCondition):
        return choices[:at]
    if isinstance(condition, library.GreaterThanCondition):
        return choices[at + 1 :]
    return [choice for i, choice in enumerate(choices) if i != at]


def _clause(leaves: Mapping[str, Space], clause: Any) -> tuple[Any, ...]:
    """A forbidden clause as plain data."""
    kind = type(clause).__name__.removeprefix("Forbidden")
    if kind.endswith("Conjunction"):
        parts = tuple(_clause(leaves, part) for part in clause.components)
        return ("and" if kind.startswith("And") else "or", *parts)
    if kind.endswith("Relation"):
        sign = ORDERS[kind.removesuffix("Relation")]
        left, right = clause.left.name, clause.right.name
        try:
            # What cannot be compared is refused here, and not when a search begins.
            _related(sign, leaves[left], leaves[right], 0, 0)
        except SpaceError as error:
            raise SpaceError(
                f"in the clause on {left!r} and {right!r}: {error}"
            ) from error
        return ("relation", sign, left, right)
    name = clause.hyperparameter.name
    if kind == "InClause":
        return ("in", name, tuple(_as_number(leaves[name], v) for v in clause.values))
    order = kind.removesuffix("Clause")
    if order not in ORDERS:
        raise SpaceError(f"expected a known forbidden clause, got {clause!r}")
    return (ORDERS[order], name, _as_number(leaves[name], clause.value))


def _as_number(space: Space, value: Any) -> float:
    """A value as the number that stands for it in the parameters."""
    if isinstance(space, OrdinalSpace):
        return float(space.index(value))
    if isinstance(space, FixedSpace) and len(space.objects):
        # A clause can only name the one value that a constant has.
        return 0.0
    return float(value)


def _related(sign: str, left: Space, right: Space, a: Any, b: Any) -> Bool[Array, ""]:
    """Whether values, not the indices that stand for them, are in a relation."""
    x, y = _objects(left), _objects(right)
    if x is not None and y is not None:
        # Names are compared as Python does, once for every pair.
        pairs = [[_compared(sign, v, w) for w in y] for v in x]
        return jnp.asarray(pairs)[_index(a), _index(b)]
    return COMPARE[sign](_values(sign, x, a), _values(sign, y, b))


def _objects(space: Space) -> Objects | None:
    """What the indices of a parameter stand for; None where it is its own value."""
    if isinstance(space, OrdinalSpace):
        return space.choices
    if isinstance(space, FixedSpace) and len(space.objects):
        return space.objects
    return None


def _values(sign: str, objects: Objects | None, value: Any) -> Float[Array, ""]:
    """The number of a parameter that is compared with a number; NaN for no number."""
    if objects is None:
        return _number(value)
    is_number = [isinstance(v, (int, float, np.number, np.bool_)) for v in objects]
    if sign != "==" and not all(is_number):
        raise SpaceError(
            f"expected numbers on both sides of {sign}, got the choices {objects!r} "
            f"and a number; compare them with ForbiddenEqualsRelation, or leave it out"
        )
    pairs = zip(objects, is_number, strict=True)
    table = [float(v) if known else np.nan for v, known in pairs]
    return jnp.asarray(table, _float())[_index(value)]


def _compared(sign: str, a: Any, b: Any) -> bool:
    try:
        return bool(COMPARE[sign](a, b))
    except TypeError as error:
        raise SpaceError(
            f"expected values with an order on both sides of {sign}, got {a!r} and "
            f"{b!r}; compare them with ForbiddenEqualsRelation, or leave it out"
        ) from error


def _leaves_of(space: PyTree) -> Mapping[str, Space]:
    return space.space if isinstance(space, DependentSpace) else space


def _index(value: Any) -> Any:
    return jnp.asarray(value).astype(jnp.int32)


def to_configspace(
    space: PyTree, name: str | None = None, seed: int | None = None
) -> Any:
    """A `ConfigSpace.ConfigurationSpace` from a space; nested names joined with "/".

    Conditions of conditional and dependent spaces and lists are kept; so are constraints
    that came from `from_configspace`. Defaults are ConfigSpace's own, or with constraints
    some configuration that satisfies them.

    Raises:
        MissingExtraError: ConfigSpace is not installed.
        SpaceError: a kind that ConfigSpace does not have, or another constraint.
    """
    library = require("ConfigSpace", "configspace")
    return exported(library, space, Forbidden, name, seed)


def _number(value: Any) -> Any:
    return jnp.asarray(value).astype(_float())


def _float() -> Any:
    return jnp.result_type(float)
