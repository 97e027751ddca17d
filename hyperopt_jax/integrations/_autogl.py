"""Lists of hyperparameters: objects with a name, and dicts with a type."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import check_int
from hyperopt_jax.errors import SettingError, SpaceError
from hyperopt_jax.integrations._ranges import (
    bounds_of,
    check_dict,
    in_parameter,
    is_range,
    number_space,
    plain_constant,
    plain_numbers,
)
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    Condition,
    DependentSpace,
    DiscreteSpace,
    FixedSpace,
    LogSpace,
    OrdinalSpace,
    Space,
    VectorSpace,
    decode_choices,
)


class RangeHP(NamedTuple):
    """A number between two bounds: a float, or whole where both bounds are ints."""

    name: str
    low: float
    high: float

    @property
    def space(self) -> Space:
        """The same as a space."""
        return number_space(self.name, self.low, self.high, log=False)


class LogRangeHP(NamedTuple):
    """A positive number between two bounds, log-uniform; whole where both are ints."""

    name: str
    low: float
    high: float

    @property
    def space(self) -> Space:
        """The same as a space."""
        return number_space(self.name, self.low, self.high, log=True)


class ChoiceHP(NamedTuple):
    """One of a list of any objects."""

    name: str
    choices: Sequence[Any]

    @property
    def space(self) -> Space:
        """The same as a space."""
        with in_parameter(self.name):
            return ChoiceSpace(self.choices)


def from_hps(hps: Sequence[Any]) -> dict[str, Space]:
    """A space from a list of objects with a `name` and a `space`.

    Write your own kind as any class with these two.

    Raises:
        SpaceError: something else in the list, or a name that stands twice.

    ```python
    from hyperopt_jax.integrations import ChoiceHP, LogRangeHP, from_hps

    space = from_hps([LogRangeHP("lr", 1e-3, 1e-1), ChoiceHP("opt", ["adam", "sgd"])])
    ```
    """
    if not isinstance(hps, Iterable):
        raise SpaceError(f"expected a list of hyperparameters, got {hps!r}")
    space: dict[str, Space] = {}
    for hp in hps:
        if not isinstance(getattr(hp, "space", None), Space):
            raise SpaceError(
                f"expected hyperparameters with a name and a space, got {hp!r}"
            )
        _add(space, _as_name(hp.name), hp.space)
    return space


def to_hps(space: Mapping[str, Any]) -> list[Any]:
    """The list that `from_hps` reads, from a flat dict of its kinds.

    Raises:
        SpaceError: a kind that has no such object.

    ```python
    from hyperopt_jax.integrations import to_hps

    to_hps({"lr": LogSpace(0.001, 0.5)})  # [LogRangeHP("lr", 0.001, 0.5)]
    ```
    """
    return [_as_hp(name, own) for name, own in _items(space, "to_hps")]


def _as_hp(name: str, own: Any) -> Any:
    if type(own) is ChoiceSpace:
        return ChoiceHP(name, list(own.choices))
    if is_range(own):
        is_log = isinstance(own, LogSpace)
        return (LogRangeHP if is_log else RangeHP)(name, *bounds_of(own))
    raise SpaceError(
        f"expected ranges of numbers and choices for to_hps, got {own!r} at {name!r}"
    )


class Imported(NamedTuple):
    """A space, and what turns its parameters into the dict that was asked for."""

    space: PyTree
    decode: Callable[[PyTree], Any]


class _List(NamedTuple):
    """A list of numbers that stands as `length` parameters, and how it is cut."""

    length: int
    parents: tuple[str, ...]
    cut: Callable[[list[Any]], int] | None


def from_autogl(config: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Imported:
    """A space from dicts with `parameterName` and `type`.

    | type | keys | becomes |
    |---|---|---|
    | DOUBLE, INTEGER | minValue, maxValue, scalingType LINEAR or LOG | a number |
    | DISCRETE | feasiblePoints: a list, or text such as "1,2,4" | an ordered choice |
    | CATEGORICAL | feasiblePoints: a list of anything | a choice |
    | NUMERICAL_LIST | numericalType, length, minValue, maxValue, scalingType, cutPara, cutFunc | a list of numbers |
    | FIXED | value | a constant |

    A list is cut to `cutFunc([values of cutPara])` entries. Entries beyond that are
    inactive, and hidden from a model, where the one parameter that cuts has finitely many
    values (those that none of them keeps are no parameters); otherwise they are searched
    and left out. Nothing is evaluated: `cutFunc` is a function.

    Args:
        config: a list of such dicts, or a dict of lists for parts of a model.

    Returns:
        The space, and `decode`, which turns its parameters (one configuration) into the
        dict of Python values, lists put together and cut.

    Raises:
        SpaceError: an unknown type, a missing key, or a cutPara that is not there.

    ```python
    from hyperopt_jax.integrations import from_autogl

    imported = from_autogl([
        {"parameterName": "n", "type": "INTEGER", "minValue": 1, "maxValue": 3,
         "scalingType": "LINEAR"},
        {"parameterName": "hidden", "type": "NUMERICAL_LIST", "numericalType": "INTEGER",
         "length": 3, "minValue": 8, "maxValue": 64, "scalingType": "LOG",
         "cutPara": "n", "cutFunc": lambda values: values[0]},
    ])
    state, search = RandomSearch.init(imported.space)
    ```
    """
    if isinstance(config, Mapping):
        parts = {name: from_autogl(part) for name, part in config.items()}
        return Imported(
            {name: part.space for name, part in parts.items()},
            lambda params: {name: parts[name].decode(params[name]) for name in parts},
        )
    if isinstance(config, str) or not isinstance(config, Iterable):
        raise SpaceError(f"expected a list of dicts for from_autogl, got {config!r}")
    space: dict[str, Space] = {}
    lists: dict[str, _List] = {}
    for item in config:
        name, kind = _as_name(_get(item, "parameterName")), _get(item, "type")
        if name in lists or name in space:
            raise SpaceError(f"expected distinct names, got {name!r} twice")
        if kind == "NUMERICAL_LIST":
            lists[name] = _add_list(space, name, item)
        else:
            _add(space, name, _single(name, kind, item))
    when = _conditions(space, lists)
    whole = DependentSpace(space, when) if when else space
    return Imported(whole, lambda params: _decoded(whole, lists, params))


def to_autogl(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The dicts that `from_autogl` reads, from a flat dict of spaces.

    Ranges become DOUBLE and INTEGER, ordered values DISCRETE, choices and switches
    CATEGORICAL, constants FIXED, and a row of numbers (a `VectorSpace`) NUMERICAL_LIST.

    Raises:
        SpaceError: a kind that has no such form, or an order other than the values' own.

    ```python
    from hyperopt_jax.integrations import to_autogl

    to_autogl({"lr": LogSpace(0.001, 0.5), "act": ChoiceSpace(["relu", "tanh"])})
    ```
    """
    return [
        {"parameterName": name, **_as_entry(name, own)}
        for name, own in _items(space, "to_autogl")
    ]


def _as_entry(name: str, own: Any) -> dict[str, Any]:
    if is_range(own):
        low, high = bounds_of(own)
        scaling = "LOG" if isinstance(own, LogSpace) else "LINEAR"
        kind = "INTEGER" if isinstance(low, int) else "DOUBLE"
        ends = {"minValue": low, "maxValue": high}
        return {"type": kind, **ends, "scalingType": scaling}
    if isinstance(own, FixedSpace):
        return {"type": "FIXED", "value": plain_constant(own)}
    if isinstance(own, BooleanSpace):
        return {"type": "CATEGORICAL", "feasiblePoints": [False, True]}
    if isinstance(own, ChoiceSpace):
        return {"type": "CATEGORICAL", "feasiblePoints": list(own.choices)}
    if isinstance(own, OrdinalSpace) and _is_sorted(own.choices):
        return {"type": "DISCRETE", "feasiblePoints": list(own.choices)}
    if isinstance(own, DiscreteSpace):
        values = sorted(plain_numbers(own.values))
        return {"type": "DISCRETE", "feasiblePoints": values}
    if isinstance(own, VectorSpace) and len(own.shape) == 1 and is_range(own.space):
        number = _as_entry(name, own.space)
        return {
            **number,
            "type": "NUMERICAL_LIST",
            "numericalType": number["type"],
            "length": own.shape[0],
        }
    raise SpaceError(
        f"expected a space that such a dict can hold at {name!r}, got {own!r}"
    )


def _is_sorted(values: Iterable[Any]) -> bool:
    """Whether values stand in the order that they have among themselves."""
    try:
        return sorted(values) == list(values)
    except TypeError:
        return False


def _items(space: Any, purpose: str) -> Iterable[tuple[str, Any]]:
    check_dict(space, purpose)
    return space.items()


def _single(name: str, kind: str, item: Mapping[str, Any]) -> Space:
    if kind in ("DOUBLE", "INTEGER"):
        return _number(name, kind, _get(item, "minValue"), _get(item, "maxValue"), item)
    if kind == "CATEGORICAL":
        with in_parameter(name):
            return ChoiceSpace(_get(item, "feasiblePoints"))
    if kind == "DISCRETE":
        points = _get(item, "feasiblePoints")
        if isinstance(points, str):
            points = [_as_number(name, text) for text in points.split(",")]
        try:
            return OrdinalSpace(sorted(points))
        except TypeError as error:
            raise SpaceError(
                f"expected values with an order for feasiblePoints of {name!r}, got "
                f"{points!r}; a choice without one is of type CATEGORICAL"
            ) from error
    if kind == "FIXED":
        return FixedSpace(_get(item, "value"))
    raise SpaceError(
        f"expected a type of DOUBLE, INTEGER, DISCRETE, CATEGORICAL, NUMERICAL_LIST or "
        f"FIXED for {name!r}, got {kind!r}"
    )


def _number(name: str, kind: str, low: Any, high: Any, item: Any) -> Space:
    scaling = item.get("scalingType", "LINEAR")
    if scaling not in ("LINEAR", "LOG"):
        raise SpaceError(
            f"expected a scalingType of LINEAR or LOG for {name!r}, got {scaling!r}"
        )
    if kind not in ("DOUBLE", "INTEGER"):
        raise SpaceError(
            f"expected a numericalType of DOUBLE or INTEGER for {name!r}, got {kind!r}"
        )
    number = int if kind == "INTEGER" else float
    try:
        ends = number(low), number(high)
        if ends != (float(low), float(high)):
            raise ValueError("a fraction")
    except (TypeError, ValueError, OverflowError) as error:
        raise SpaceError(
            f"expected {'whole ' if number is int else ''}numbers for minValue and "
            f"maxValue of {name!r}, got {low!r} and {high!r}"
        ) from error
    return number_space(name, *ends, log=scaling == "LOG")


def _add_list(space: dict[str, Space], name: str, item: Mapping[str, Any]) -> _List:
    """Adds the entries of a list to `space`."""
    length = _length(name, item)
    ends = [_ends(name, item, key, length) for key in ("minValue", "maxValue")]
    for i, (low, high) in enumerate(zip(*ends, strict=True)):
        entry = _number(name, _get(item, "numericalType"), low, high, item)
        _add(space, f"{name}_{i}", entry)
    parents = _parents_of(name, item)
    cut = item.get("cutFunc")
    if parents and not callable(cut):
        raise SpaceError(f"expected a function for cutFunc of {name!r}, got {cut!r}")
    return _List(length, parents, cut if parents else None)


def _parents_of(name: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the parameters that cut a list."""
    parents = item.get("cutPara", ())
    if isinstance(parents, str):
        return (parents,)
    listed = isinstance(parents, Iterable) and not isinstance(parents, Mapping)
    if not listed or not all(isinstance(parent, str) for parent in parents):
        raise SpaceError(
            f"expected a name or a list of them for cutPara of {name!r}, got {parents!r}"
        )
    return tuple(parents)


def _length(name: str, item: Mapping[str, Any]) -> int:
    length = _get(item, "length")
    try:
        return check_int("length", length, 0)
    except SettingError as error:
        raise SpaceError(f"in {name!r}: {error}") from error


def _ends(name: str, item: Mapping[str, Any], key: str, length: int) -> list[Any]:
    """One bound for each entry of a list, where one may stand for all."""
    given = np.asarray(_get(item, key), object).tolist()
    if not isinstance(given, list):
        return [given] * length
    if len(given) not in (1, length):
        raise SpaceError(
            f"expected one number or {length} for {key} of {name!r}, got {given!r}"
        )
    return given if len(given) == length else given * length


def _conditions(
    space: dict[str, Space], lists: dict[str, _List]
) -> dict[str, Condition]:
    """When each entry of a list counts, where one parameter with few values says it.

    Takes out of `space` and `lists` the entries that never do.
    """
    when = {}
    for name, item in lists.items():
        for parent in item.parents:
            if parent not in space:
                raise SpaceError(
                    f"expected cutPara of {name!r} to be a parameter, got {parent!r}"
                )
        if item.cut is None or len(item.parents) != 1:
            continue
        parent = item.parents[0]
        own = space[parent]
        if not own.is_discrete:
            continue
        values = _values(own)
        counts = [_count(name, item, [value]) for value in values]
        for i in range(item.length):
            kept = [v for v, count in zip(values, counts, strict=True) if count > i]
            if not kept:
                # No condition can say never, and nothing would read the entry.
                del space[f"{name}_{i}"]
            elif len(kept) < len(values):
                when[f"{name}_{i}"] = Condition(parent, is_in=kept)
        lists[name] = item._replace(length=max(counts))
    return when


def _count(name: str, item: _List, values: list[Any]) -> int:
    """To how many entries a list is cut for these values of its parents."""
    if item.cut is None:
        return item.length
    wanted = f"expected cutFunc of {name!r} to make a whole number of {values!r}"
    try:
        cut = item.cut(values)
        count = int(cut)
    except Exception as error:
        raise SpaceError(f"{wanted}, got {error!r}") from error
    if count != cut:
        raise SpaceError(f"{wanted}, got {cut!r}")
    return max(0, min(item.length, count))


def _values(own: Space) -> list[Any]:
    """All values of a parameter with few, as `cutFunc` gets them."""
    if isinstance(own, FixedSpace):
        return [plain_constant(own)]
    return [decode_choices(own, value) for value in np.asarray(own.points())]


def _decoded(space: PyTree, lists: dict[str, _List], params: PyTree) -> Any:
    plain = decode_choices(space, params)
    if isinstance(plain, list):
        return [_with_lists(flat, lists) for flat in plain]
    return _with_lists(plain, lists)


def _with_lists(flat: dict[str, Any], lists: dict[str, _List]) -> dict[str, Any]:
    """One plain configuration with its lists put together."""
    # Every entry that is kept is active, so the others may be missing.
    result = {name: value for name, value in flat.items() if not _is_entry(name, lists)}
    for name, item in lists.items():
        count = _count(name, item, [result[parent] for parent in item.parents])
        result[name] = [flat[f"{name}_{i}"] for i in range(count)]
    return result


def _is_entry(name: str, lists: dict[str, _List]) -> bool:
    return any(
        name == f"{k}_{i}" for k, item in lists.items() for i in range(item.length)
    )


def _add(space: dict[str, Space], name: str, leaf: Space) -> None:
    if name in space:
        raise SpaceError(f"expected distinct names, got {name!r} twice")
    space[name] = leaf


def _get(item: Mapping[str, Any], key: str) -> Any:
    if not isinstance(item, Mapping) or key not in item:
        raise SpaceError(f"expected a dict with the key {key!r}, got {item!r}")
    return item[key]


def _as_name(name: Any) -> str:
    if not isinstance(name, str):
        raise SpaceError(
            f"expected a string for the name of a hyperparameter, got {name!r}"
        )
    return name


def _as_number(name: str, text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError as error:
        raise SpaceError(
            f"expected numbers in feasiblePoints of {name!r}, got {text!r}"
        ) from error
