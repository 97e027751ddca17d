"""Parameters that count where others have certain values."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces._base import CompositeSpace, Space
from hyperopt_jax.spaces._choice import OrdinalSpace
from hyperopt_jax.spaces._enumerate import check_count, filled, table_of as list_points
from hyperopt_jax.spaces._layout import Literal, Slot, Walk, is_searched
from hyperopt_jax.spaces._objects import Objects

Test = tuple[str, Objects | None, float, float]

# A number so many roundings from one that is proposed stands for it: 0.7 for 7 * 0.1.
DIGITS = 4

# Among so many values it is looked up whether one fulfils a condition.
MAX_LISTED = 10_000


class Condition(eqx.Module):
    """When a parameter of a `DependentSpace` is active.

    One of two: the parent's value is among `is_in`, or it lies between `low` and `high`,
    both included. A parent that is inactive itself fulfils nothing. Combine conditions
    with `&` and `|`.

    Args:
        parent: name of another parameter of the same `DependentSpace`.
        is_in: values of the parent: objects of a choice, numbers of any other space.
        low, high: numbers; without end by default. Of a choice among numbers they are
            compared with what is chosen, not with its index.

    Raises:
        SpaceError: neither values nor an interval, or both; ends that are no numbers.

    ```python
    Condition("kernel", is_in=["rbf", "poly"]) & Condition("n_layers", low=2)
    ```
    """

    clauses: tuple[tuple[Test, ...], ...] = eqx.field(static=True)

    def __init__(
        self,
        parent: str,
        is_in: Iterable[Any] | None = None,
        low: float | None = None,
        high: float | None = None,
    ):
        if (is_in is None) == (low is None and high is None):
            raise SpaceError(
                f"expected is_in, or low and high, for a Condition on {parent!r}"
            )
        if isinstance(is_in, str) or not isinstance(is_in, Iterable | None):
            raise SpaceError(
                f"expected a list of values for is_in of a Condition on {parent!r}, got "
                f"{is_in!r}"
            )
        values = None if is_in is None else Objects(is_in)
        if values is not None and len(values) == 0:
            raise SpaceError(f"expected at least one value in Condition on {parent!r}")
        ends = _end(parent, low, -np.inf), _end(parent, high, np.inf)
        self.clauses = (((parent, values, *ends),),)

    @property
    def parents(self) -> tuple[str, ...]:
        """The names of the parameters that this condition looks at."""
        return tuple(dict.fromkeys(t[0] for clause in self.clauses for t in clause))

    @classmethod
    def of(cls, clauses: tuple[tuple[Test, ...], ...]) -> "Condition":
        """A condition from its clauses: in each of them, some test is passed."""
        new = object.__new__(cls)
        object.__setattr__(new, "clauses", clauses)
        return new

    def __and__(self, other: "Condition") -> "Condition":
        if not isinstance(other, Condition):
            return NotImplemented
        return Condition.of(self.clauses + other.clauses)

    def __or__(self, other: "Condition") -> "Condition":
        if not isinstance(other, Condition):
            return NotImplemented
        return Condition.of(tuple(a + b for a in self.clauses for b in other.clauses))


def _end(parent: str, value: Any, nothing: float) -> float:
    """One end of an interval, `nothing` where it has none."""
    array = as_numbers(nothing if value is None else value)
    if array is None or array.ndim or np.isnan(array):
        raise SpaceError(
            f"expected numbers for low and high of a Condition on {parent!r}, got "
            f"{value!r}"
        )
    return float(array)


class DependentSpace(CompositeSpace):
    """Parameters of which some are active only where others have certain values.

    Use it where conditions do not form a tree of choices: a parameter that several
    choices share, or one that depends on a number. `ConditionalSpace` is simpler where
    each branch has its own. The parameters are a dict like `space`; inactive ones carry
    the middle of their range.

    Args:
        space: dict from names to spaces of any kind.
        when: dict from names in `space` to a `Condition` each; the others are always
            active.

    Raises:
        SpaceError: a name that is not in `space`, a parent that is no single number or
            choice, a value that it cannot have, an interval in which it has none or of
            choices that are no numbers, or conditions in a circle.

    ```python
    space = DependentSpace(
        {
            "kernel": ChoiceSpace(["linear", "rbf", "poly"]),
            "gamma": LogSpace(1e-3, 1e1),
            "degree": QLinearSpace(2, 5),
        },
        when={
            "gamma": Condition("kernel", is_in=["rbf", "poly"]),
            "degree": Condition("kernel", is_in=["poly"]),
        },
    )
    state, search = RandomSearch.init(space, n_parallel=2)
    ```
    """

    space: dict[str, PyTree]
    when: dict[str, Condition]

    def __init__(self, space: Mapping[str, PyTree], when: Mapping[str, Condition]):
        if not isinstance(space, Mapping) or not all(isinstance(n, str) for n in space):
            raise SpaceError(
                f"expected a dict from names to spaces for DependentSpace, got {space!r}"
            )
        if not isinstance(when, Mapping) or not all(
            isinstance(condition, Condition) for condition in when.values()
        ):
            raise SpaceError(
                f"expected a dict from names to a Condition each for when, got {when!r}"
            )
        self.space, self.when = dict(space), dict(when)
        for name, condition in self.when.items():
            for other in (name, *condition.parents):
                if other not in self.space:
                    raise SpaceError(
                        f"expected the names of conditions to be in the space, got "
                        f"{other!r}; it has {sorted(self.space)}"
                    )
        self.when = {
            name: Condition.of(
                tuple(_checked(self.space, clause) for clause in condition.clauses)
            )
            for name, condition in self.when.items()
        }
        self._order()

    def _order(self) -> list[str]:
        """The names, parents before what depends on them."""
        order: list[str] = []
        waiting = sorted(self.space)
        while waiting:
            ready = [
                name
                for name in waiting
                if name not in self.when or set(self.when[name].parents) <= set(order)
            ]
            if not ready:
                raise SpaceError(
                    f"expected conditions without circles, got one among {waiting}"
                )
            order += ready
            waiting = [name for name in waiting if name not in ready]
        return order

    def expand(self, walk: Walk, path: tuple[str, ...], scope: int) -> Any:
        structure: dict[str, Any] = {}
        for name in self._order():
            own = scope
            if name in self.when:
                own = walk.scope(*self._clauses(self.when[name], structure))
            structure[name] = walk.visit(self.space[name], (*path, name), own)
        return structure

    def _clauses(
        self, condition: Condition, structure: dict[str, Slot]
    ) -> list[tuple[Literal, ...]]:
        return [
            tuple(
                literal
                for test in clause
                for literal in _literals(
                    self.space[test[0]], structure[test[0]].leaf, test
                )
            )
            for clause in condition.clauses
        ]

    def n_points(self, count: Callable[[PyTree], float]) -> float:
        """How many different configurations there are, by listing them."""
        if not all(np.isfinite(count(child)) for child in self.space.values()):
            return np.inf
        columns = self.table(list_points)
        return float(columns[0].shape[0]) if columns else 1.0

    def table(self, table_of: Callable[[PyTree], list[np.ndarray]]) -> list[np.ndarray]:
        rows = _Rows(1, {}, {}, {})
        for name in self._order():
            kept = np.ones(rows.n, bool)
            for clause in self.when[name].clauses if name in self.when else ():
                kept &= np.any(
                    [rows.pass_(self.space, test) for test in clause], axis=0
                )
            rows = rows.with_(name, table_of(self.space[name]), kept)
        # In the order in which all combinations come, of which these are some.
        order = np.lexsort([rows.numbers[name] for name in sorted(self.space)][::-1])
        columns = [c[order] for name in sorted(self.space) for c in rows.columns[name]]
        columns = filled(self, columns)
        if not columns:
            return []
        _, first = np.unique(np.stack(columns, axis=1), axis=0, return_index=True)
        return [column[np.sort(first)] for column in columns]


class _Rows(NamedTuple):
    """Points of some names of a `DependentSpace`, one a row.

    Of each name: its columns, where it is active, and which of its own points it is at;
    the first one where it is inactive.
    """

    n: int
    columns: dict[str, list[np.ndarray]]
    active: dict[str, np.ndarray]
    numbers: dict[str, np.ndarray]

    def pass_(self, space: Mapping[str, Any], test: Test) -> np.ndarray:
        """Which rows pass a test of a name in them."""
        parent = test[0]
        value = np.asarray(self.columns[parent][0], jnp.result_type(float))
        inside = [
            (value >= value.dtype.type(x.low)) & (value <= value.dtype.type(x.high))
            for x in _literals(space[parent], 0, test)
        ]
        return self.active[parent] & np.any(inside, axis=0)

    def with_(self, name: str, own: list[np.ndarray], kept: np.ndarray) -> "_Rows":
        """Each row with every point of one more name, or the first one if not `kept`."""
        m = own[0].shape[0] if own else 1
        copies = np.where(kept, m, 1)
        if m == 0:  # nothing is feasible: inactive rows need something to carry
            own = [np.zeros(1, column.dtype) for column in own]
        check_count(float(copies.sum()))
        rows = np.repeat(np.arange(self.n), copies)
        start = np.repeat(np.cumsum(copies) - copies, copies)
        number = np.arange(len(rows)) - start

        def copied(columns: dict[str, Any]) -> dict[str, Any]:
            return {key: column[rows] for key, column in columns.items()}

        columns = {k: [c[rows] for c in own] for k, own in self.columns.items()}
        return _Rows(
            len(rows),
            columns | {name: [column[number] for column in own]},
            copied(self.active) | {name: kept[rows]},
            copied(self.numbers) | {name: number},
        )


def _checked(space: Mapping[str, Any], clause: tuple[Test, ...]) -> tuple[Test, ...]:
    """The tests of a clause that can be passed, as a search proposes values."""
    tests = []
    for test in clause:
        _literals(space[test[0]], 0, test)
        tests.append(_as_proposed(space[test[0]], test))
    passable = tuple(test for test in tests if _can_be_passed(space[test[0]], test))
    if not passable:
        parent, _, low, high = clause[0]
        raise SpaceError(
            f"expected a Condition that some value of {parent!r} fulfils, got low={low:g} "
            f"and high={high:g}, between which its {type(space[parent]).__name__} has none"
        )
    return passable


def _can_be_passed(space: Any, test: Test) -> bool:
    """Whether a parent has a value that passes; taken for granted if bounds are traced."""
    _, values, low, high = test
    if values is not None or not is_concrete(space):
        return values is None or len(values) > 0
    if low > high:
        return False
    with jax.ensure_compile_time_eval():
        if space.is_discrete and float(space.n_values()) <= MAX_LISTED:
            numbers = np.asarray(space.points())
            return bool(((numbers >= low) & (numbers <= high)).any())
        if not hasattr(space, "lower_bound"):
            return True
        return low <= float(space.upper_bound) and high >= float(space.lower_bound)


def _literals(space: Any, leaf: int, test: Test) -> list[Literal]:
    """A test of one parent as intervals of its value, any of which will do."""
    parent, values, low, high = test
    if not isinstance(space, Space) or space.shape != () or not is_searched(space):
        raise SpaceError(
            f"expected the parent {parent!r} of a Condition to be a space of numbers or "
            f"choices, got {space!r}"
        )
    if values is None and isinstance(space, OrdinalSpace):
        values = _choices_within(space, parent, low, high)
    if values is None:
        return [_literal(space, leaf, low, high)]
    if isinstance(space, OrdinalSpace):
        try:
            numbers = [float(space.index(value)) for value in values]
        except ParamsError as error:
            raise SpaceError(f"in the condition on {parent!r}: {error}") from error
    else:
        if not all(_has(space, value) for value in values):
            raise SpaceError(
                f"expected values that {parent!r} can have, got {values!r}"
            )
        numbers = [float(value) for value in values]
    return [_literal(space, leaf, number, number) for number in numbers]


def _choices_within(
    space: OrdinalSpace, parent: str, low: float, high: float
) -> Objects:
    """The choices between `low` and `high`, of a space of numbers to choose from."""
    within = []
    for choice in space.choices:
        number = as_numbers(choice)
        if number is None or number.ndim:
            raise SpaceError(
                f"expected is_in for a Condition on {parent!r}, whose choices are no "
                f"numbers, got low={low:g} and high={high:g}"
            )
        if low <= float(number) <= high:
            within.append(choice)
    return Objects(within)


def _literal(space: Space, leaf: int, low: float, high: float) -> Literal:
    """An interval of a parent, a few digits wider where its steps are traced.

    Concrete conditions are written in the numbers that are proposed (`_as_proposed`).
    """
    if is_concrete(space) or not _has_float_steps(space):
        return Literal(leaf, low, high)
    apart = DIGITS * float(jnp.finfo(space.dtype).eps)
    low, high = (
        end + sign * apart * abs(end) if np.isfinite(end) else end
        for end, sign in ((low, -1), (high, 1))
    )
    return Literal(leaf, low, high)


def _has_float_steps(space: Space) -> bool:
    return space.is_discrete and jnp.issubdtype(space.dtype, jnp.floating)


def _has(space: Space, value: Any) -> bool:
    """Whether `value` is one of `space`; taken for granted where its bounds are traced."""
    if as_numbers(value) is None and not isinstance(value, (bool, np.bool_)):
        return False
    if not is_concrete(space):
        return True
    # Also inside somebody's program, of which the bounds need not be a part.
    with jax.ensure_compile_time_eval():
        return bool(space.contains(value))


def _as_proposed(space: Any, test: Test) -> Test:
    """A test with the numbers that a search proposes, maybe a digit beside those written.

    Three steps of a third are not 1.
    """
    parent, values, low, high = test
    if isinstance(space, OrdinalSpace):
        if values is None:
            values = _choices_within(space, parent, low, high)
        return parent, values, -np.inf, np.inf
    if not is_concrete(space):
        return test
    if values is not None:
        return parent, Objects(_moved(space, value) for value in values), low, high
    if not _has_float_steps(space):
        return test
    near = [_moved(space, end) if np.isfinite(end) else end for end in (low, high)]
    apart = DIGITS * float(jnp.finfo(space.dtype).eps)
    low, high = (
        n if abs(n - end) <= apart * abs(end) else end
        for n, end in zip(near, (low, high), strict=True)
    )
    return parent, None, low, high


def _moved(space: Space, value: Any) -> float:
    """The value of `space` nearest to `value`."""
    with jax.ensure_compile_time_eval():
        number = np.asarray(space.transform(value))
    # The shortest text of a float32 reads better than the float64 it is equal to.
    return float(str(number)) if number.dtype.kind == "f" else number.item()
