"""Nested domains: intervals as lists, values as sets."""

import ast
import json
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from hyperopt_jax._checks import as_numbers
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.integrations._ranges import bounds_of, check_dict, plain_constant
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    DiscreteSpace,
    FixedSpace,
    LinearSpace,
    LogSpace,
    OrdinalSpace,
    Space,
    decode_choices,
    enumerate_space,
    sample,
)
from hyperopt_jax.spaces._enumerate import check_count
from hyperopt_jax.spaces._plain import as_written

Name = tuple[str, ...]
NUMBERS = int, float, np.integer, np.floating


class Domain:
    """A search space written as a nested dict of intervals and sets.

    `[a, b]` is an interval of floats; a set of numbers is discrete; a set with anything
    else in it (strings, truth values, None) is categorical. `space` is the same as a space
    of this library, for any search. Immutable, equal by what was written.

    Args:
        spec: the dict, or its text as a Python literal (read without evaluating it).

    Raises:
        SpaceError: text that is no literal, a name that is no string, an interval that
            is not two numbers in rising order, an empty set, or another kind of value.

    ```python
    from hyperopt_jax.integrations import Domain

    domain = Domain({"lr": [0.0, 1.0], "net": {"act": {"relu", "tanh"}, "n": {1, 2}}})
    domain.sample(jax.random.key(0))
    discrete, categorical, continuous = domain.split_by_type()
    len(list(discrete + categorical))  # 4
    ```
    """

    def __init__(self, spec: Mapping[str, Any] | str):
        if isinstance(spec, str):
            spec = _literal(spec)
        if not isinstance(spec, Mapping):
            raise SpaceError(f"expected a dict or its text for Domain, got {spec!r}")
        self._spec = _checked(spec, ())

    @classmethod
    def from_space(cls, space: Mapping[str, Any]) -> "Domain":
        """The domain of a nested dict of spaces: intervals, and sets of their values.

        The scale of a range (its logarithm, say) and the order of choices are lost, as a
        domain does not hold them.

        Raises:
            SpaceError: a space that is neither an interval of floats nor finite, or whose
                choices cannot be in a set.
        """
        check_dict(space, "Domain")
        return cls(_spec_of(space, ()))

    @property
    def space(self) -> dict[str, Any]:
        """The domain as a pytree of spaces, which any search takes."""
        return _as_space(self._spec)

    @property
    def is_continuous(self) -> bool:
        """Whether at least one value is of an interval."""
        return any(isinstance(value, list) for value in self.flatten().values())

    def flatten(self) -> dict[Name, Any]:
        """The intervals and sets by path, such as `("net", "act")`."""
        return {name: value.copy() for name, value in _leaves(self._spec, ())}

    def as_dict(self) -> dict[str, Any]:
        """What was written, as a new dict."""
        return _checked(self._spec, ())

    def as_namedtuple(self) -> Any:
        """The domain as nested named tuples; raises `ValueError` for other names."""
        return _named(self._spec)

    def sample(self, key: PRNGKeyArray) -> dict[str, Any]:
        """One configuration, as a nested dict of Python values."""
        if not self.flatten():
            return self.as_dict()
        return decode_choices(self.space, sample(self.space, key, 1))[0]

    def split_by_type(self) -> tuple["Domain", "Domain", "Domain"]:
        """The discrete, the categorical and the continuous part; their sum is the whole."""

        def only(kind: type) -> "Domain":
            kept = {
                name: value
                for name, value in self.flatten().items()
                if isinstance(_leaf(value), kind)
            }
            return Domain(_nested(kept))

        return only(DiscreteSpace), only(ChoiceSpace), only(LinearSpace)

    def serialise(self) -> str:
        """The domain as JSON text, for `deserialise`; raises `SpaceError` for objects."""
        leaves = [
            [
                list(name),
                "interval" if isinstance(value, list) else "set",
                _sorted(value),
            ]
            for name, value in self.flatten().items()
        ]
        return json.dumps(leaves, default=_as_json)

    @classmethod
    def deserialise(cls, text: str) -> "Domain":
        """The domain that `serialise` wrote; raises `SpaceError` for any other text."""
        try:
            leaves = {
                tuple(name): values if kind == "interval" else set(_as_tuple(values))
                for name, kind, values in json.loads(text)
            }
        except (TypeError, ValueError) as error:
            raise SpaceError(
                f"expected the text of Domain.serialise, got {text!r}"
            ) from error
        return cls(_nested(leaves))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every configuration of a domain of sets; raises `SpaceError` for intervals."""
        space = self.space
        if not self.flatten():
            # The empty product: one configuration, with nothing in it.
            return iter([self.as_dict()])
        return (decode_choices(space, params) for params in enumerate_space(space))

    def __len__(self) -> int:
        return len(self.flatten())

    def __getitem__(self, name: str | Name) -> Any:
        steps = name if isinstance(name, tuple) else (name,)
        found: Any = self._spec
        for step in steps:
            if not isinstance(found, dict) or step not in found:
                raise KeyError(name)
            found = found[step]
        return Domain(found) if isinstance(found, dict) else found.copy()

    def __add__(self, other: "Domain") -> "Domain":
        if not isinstance(other, Domain):
            return NotImplemented
        own, more = self.flatten(), other.flatten()
        both = sorted("/".join(name) for name in own.keys() & more.keys())
        if both:
            raise ParamsError(
                f"expected domains without common names, got {both} twice"
            )
        return Domain(_nested({**own, **more}))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Domain):
            return NotImplemented
        own, others = self.flatten(), other.flatten()
        return own.keys() == others.keys() and all(
            _alike(own[name], others[name]) for name in own
        )

    def __hash__(self) -> int:
        # Of values and not of text, since 1 and 1.0 are equal.
        return hash(
            frozenset(
                (name, tuple(value) if isinstance(value, list) else frozenset(value))
                for name, value in self.flatten().items()
            )
        )

    def __repr__(self) -> str:
        return f"Domain({self._spec!r})"


def _alike(a: Any, b: Any) -> bool:
    """Whether two intervals or sets are equal; truth values are no numbers."""
    return a == b and _switches(a) == _switches(b)


def _switches(values: Any) -> set[bool]:
    return {bool(v) for v in values if isinstance(v, (bool, np.bool_))}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError) as error:
        raise SpaceError(
            f"expected the text of a dict for Domain, got {text!r}"
        ) from error


def _checked(spec: Mapping[str, Any], path: Name) -> dict[str, Any]:
    """A copy of `spec`, with every value checked."""
    copy: dict[str, Any] = {}
    for name, value in spec.items():
        where = (*path, name)
        if not isinstance(name, str):
            raise SpaceError(
                f"expected strings for the names of a Domain, got {name!r}"
            )
        if isinstance(value, Mapping):
            copy[name] = _checked(value, where)
            continue
        try:
            _leaf(value)
        except SpaceError as error:
            raise SpaceError(f"in {'/'.join(where)}: {error}") from error
        copy[name] = value.copy()
    return copy


def _leaf(value: Any) -> Any:
    """The space of one interval or set."""
    if isinstance(value, list):
        if len(value) != 2 or as_numbers(value) is None:
            raise SpaceError(f"expected two numbers [low, high], got {value!r}")
        return LinearSpace(*value)
    if isinstance(value, (set, frozenset)):
        is_switch = any(isinstance(v, (bool, np.bool_)) for v in value)
        table = None if is_switch or not value else as_numbers(_sorted(value))
        # Tuples of one length are a table of numbers too, but no numbers.
        is_flat = table is not None and table.ndim == 1
        return (DiscreteSpace if is_flat else ChoiceSpace)(_sorted(value))
    raise SpaceError(f"expected a list [low, high], a set or a dict, got {value!r}")


def _sorted(values: Any) -> list[Any]:
    """The values of a set in an order that does not depend on hashes."""
    if isinstance(values, list):
        return values
    return sorted(
        values,
        key=lambda v: (
            (0, v, "") if isinstance(v, NUMBERS) else (1, 0, f"{type(v)}{v!r}")
        ),
    )


def _as_json(value: Any) -> Any:
    """NumPy's numbers as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise SpaceError(
        f"expected numbers, strings, truth values, None and tuples of them in a Domain "
        f"to serialise, got {value!r}"
    )


def _as_tuple(value: Any) -> Any:
    """JSON's lists as the tuples that they were, which alone can be in a set."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _spec_of(space: Mapping[str, Any], path: Name) -> dict[str, Any]:
    return {
        name: _spec_of(own, (*path, str(name)))
        if isinstance(own, Mapping)
        else _written(own, "/".join((*path, str(name))))
        for name, own in space.items()
    }


def _written(own: Any, where: str) -> Any:
    """One space as an interval or a set."""
    if isinstance(own, FixedSpace):
        return _set_of([plain_constant(own)], where)
    if isinstance(own, OrdinalSpace):
        return _set_of(own.choices, where)
    if isinstance(own, BooleanSpace):
        return {False, True}
    if isinstance(own, Space) and own.is_discrete and own.shape == ():
        check_count(float(own.n_values()))
        return {as_written(own, value) for value in np.asarray(own.points())}
    if type(own) in (LinearSpace, LogSpace):
        return list(bounds_of(own))
    raise SpaceError(
        f"expected an interval of floats or a finite space at {where}, got {own!r}"
    )


def _set_of(values: Iterable[Any], where: str) -> set[Any]:
    values = list(values)
    try:
        as_set = set(values)
    except TypeError:
        as_set = set()
    # 1, 1.0 and True are different choices, of which a set holds one.
    if len(as_set) < len(values):
        raise SpaceError(
            f"expected values that a set can hold at {where}, got {values!r}"
        )
    return as_set


def _as_space(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _as_space(value) if isinstance(value, dict) else _leaf(value)
        for name, value in spec.items()
    }


def _leaves(spec: dict[str, Any], path: Name) -> Iterator[tuple[Name, Any]]:
    for name, value in spec.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _nested(leaves: Mapping[Name, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for path, value in leaves.items():
        node: Any = spec
        for step in path[:-1]:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                break
        if not isinstance(node, dict) or path[-1] in node:
            raise SpaceError(
                f"expected each name to be a value or a group of values, got both for a "
                f"part of {'/'.join(map(str, path))!r}"
            )
        node[path[-1]] = value
    return spec


def _named(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return namedtuple("Domain", node)(**{k: _named(v) for k, v in node.items()})
