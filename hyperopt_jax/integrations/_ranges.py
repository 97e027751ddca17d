"""A plain dict of tuples, lists and constants."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from hyperopt_jax._checks import as_numbers
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    DiscreteSpace,
    FixedSpace,
    LinearSpace,
    LogSpace,
    OrdinalSpace,
    QLinearSpace,
    QLogSpace,
    Space,
)
from hyperopt_jax.spaces._checked import check_one_space
from hyperopt_jax.spaces._layout import is_node
from hyperopt_jax.spaces._shown import shortest


def from_ranges(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """A space from a dict of plain Python values, nested as you like.

    | written | means |
    |---|---|
    | `(low, high)` | a float; whole numbers where both ends are ints |
    | `(low, high, "log")` | the same, log-uniform |
    | `[1, 2, 4]`, a `range`, an array | one of these numbers (`DiscreteSpace`) |
    | `["a", None, f]` | a choice between any objects; `[False, True]` is a switch |
    | a space | itself |
    | anything else | a constant |

    Raises:
        SpaceError: a tuple of another form, a set, or an empty dict.

    ```python
    from hyperopt_jax.integrations import from_ranges

    space = from_ranges({"lr": (1e-5, 1e-1, "log"), "layers": (1, 8), "act": ["relu"]})
    ```
    """
    if not isinstance(ranges, Mapping) or not ranges:
        raise SpaceError(f"expected a dict of ranges, got {ranges!r}")
    return {name: _read(name, value) for name, value in ranges.items()}


def _read(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return from_ranges(value)
    if is_node(value):
        return value
    if isinstance(value, (set, frozenset)):
        raise SpaceError(
            f"expected a list for the choices of {name!r}, got {value!r}; a set has no "
            f"order, which the indices of a choice need"
        )
    if isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 1:
        value = list(np.asarray(value))
    if isinstance(value, (list, range)):
        with in_parameter(name):
            return _listed(list(value))
    if isinstance(value, tuple):
        return number_space(name, *_range(name, value))
    return FixedSpace(value)


def _listed(values: list[Any]) -> Space:
    if len(values) == 2 and values[0] is False and values[1] is True:
        return BooleanSpace()
    if values and all(map(_is_number, values)):
        return DiscreteSpace(values)
    return ChoiceSpace(values)


def _is_number(value: Any) -> bool:
    is_truth = isinstance(value, (bool, np.bool_))
    return not is_truth and np.ndim(value) == 0 and as_numbers(value) is not None


def _range(name: str, value: tuple) -> tuple[Any, Any, bool]:
    numbers = [v for v in value[:2] if isinstance(v, (int, float, np.number))]
    plain = len(numbers) == 2 and not any(isinstance(v, bool) for v in numbers)
    if not plain or len(value) > 3 or (len(value) == 3 and value[2] != "log"):
        raise SpaceError(
            f'expected (low, high) or (low, high, "log") for {name!r}, got {value!r}; '
            f"write a list for a choice"
        )
    return value[0], value[1], len(value) == 3


def number_space(name: str, low: Any, high: Any, log: bool, step: Any = None) -> Space:
    """The space of a range: of whole numbers where both ends are ints.

    Raises:
        SpaceError: bad bounds, with the name of the parameter.
    """
    whole = all(isinstance(v, (int, np.integer)) for v in (low, high))
    with in_parameter(name):
        if low == high:
            return FixedSpace(low)
        if whole:
            kind: Any = QLogSpace if log else QLinearSpace
            return kind(low, high, step=None if step == 1 else step)
        return (LogSpace if log else LinearSpace)(low, high, step=step)


@contextlib.contextmanager
def in_parameter(name: str) -> Iterator[None]:
    """Puts the name of a parameter before what is wrong with its space."""
    try:
        yield
    except SpaceError as error:
        raise SpaceError(f"in {name!r}: {error}") from error


def check_dict(space: Any, purpose: str) -> None:
    """Raises `SpaceError` unless `space` is a dict of spaces, and no stack of them."""
    if not isinstance(space, Mapping):
        raise SpaceError(f"expected a dict of spaces for {purpose}, got {space!r}")
    if jax.tree.leaves(space, is_leaf=is_node):
        check_one_space(space)


def to_ranges(space: Mapping[str, Any]) -> dict[str, Any]:
    """The dict that `from_ranges` reads, from a space of its kinds.

    Ordered choices come back without their order, which such a dict does not hold, and
    choices between numbers as listed numbers. Where that matters, put the space itself
    there.

    Raises:
        SpaceError: a kind that has no such form.
    """
    check_dict(space, "to_ranges")
    return {name: _write(name, node) for name, node in space.items()}


def _write(name: str, node: Any) -> Any:
    if isinstance(node, Mapping):
        return to_ranges(node)
    if isinstance(node, FixedSpace):
        constant = node.constant if len(node.objects) else plain_numbers(node.value)
        if isinstance(constant, (list, tuple, dict, set, frozenset)):
            raise SpaceError(
                f"expected a constant that a dict of ranges can hold at {name!r}, got "
                f"{constant!r}, which it would take for something else"
            )
        return constant
    if isinstance(node, BooleanSpace):
        return [False, True]
    if isinstance(node, OrdinalSpace):
        return list(node.choices)
    if isinstance(node, DiscreteSpace):
        return plain_numbers(node.values)
    if is_range(node):
        low, high = bounds_of(node)
        return (low, high, "log") if isinstance(node, LogSpace) else (low, high)
    raise SpaceError(
        f"expected a space that a dict of ranges can hold at {name!r}, got {node!r}"
    )


def is_range(space: Any) -> bool:
    """Whether a space is two bounds, perhaps on a logarithmic scale, and no more."""
    kinds = LinearSpace, LogSpace, QLinearSpace, QLogSpace
    return type(space) in kinds and space.step is None


def bounds_of(space: LinearSpace) -> tuple[Any, Any]:
    """Both bounds as Python numbers, ints for whole numbers."""
    whole = isinstance(space, (QLinearSpace, QLogSpace))
    low, high = space.lower_bound, space.upper_bound
    return (int(low), int(high)) if whole else (shortest(low), shortest(high))


def plain_numbers(values: Any) -> Any:
    """A number or an array as Python's own numbers, floats as they were written."""
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        return array.tolist()
    floats = [shortest(value) for value in array.ravel()]
    return np.asarray(floats, np.float64).reshape(array.shape).tolist()


def plain_constant(space: FixedSpace) -> Any:
    """A constant as Python's own number where it is one."""
    return space.constant if len(space.objects) else plain_numbers(space.value)
