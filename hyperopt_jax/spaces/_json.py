"""Spaces as JSON text, and back."""

import dataclasses
import enum
import importlib
import inspect
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import CompositeSpace, Space
from hyperopt_jax.spaces._checked import check_leaves
from hyperopt_jax.spaces._dependent import Condition
from hyperopt_jax.spaces._fixed import FixedSpace
from hyperopt_jax.spaces._layout import is_node
from hyperopt_jax.spaces._objects import Objects

Names = Mapping[str, Any] | bool
T = TypeVar("T")
PLAIN = str, int, float, bool, type(None)

# Predicates that are data and not code, by name: nothing is imported to read them.
RECORDS: dict[str, type[Any]] = {}


def record(kind: type[T]) -> type[T]:
    """Makes `to_json` write a dataclass, such as a predicate, as its name and fields."""
    RECORDS[kind.__name__] = kind
    return kind


def to_json(space: PyTree, indent: int | None = None) -> str:
    """A space as JSON text that `from_json` turns back into an equal one.

    Dicts with string keys, lists, tuples and None around spaces are kept. Functions and
    classes among choices, and predicates, are written as their import path; what ConfigSpace
    forbids is written as the clauses that it is.

    Raises:
        SpaceError: something without a JSON form or an importable name (a lambda, an
            object of your own), another container, traced bounds, or a kind of your own
            that does not keep an argument of its constructor in a field of that name.

    ```python
    from hyperopt_jax import spaces

    space = {"lr": LogSpace(1e-5, 1e-1), "act": ChoiceSpace(["relu", None])}
    assert spaces.from_json(spaces.to_json(space)) == space
    ```
    """
    check_leaves(space)
    if not is_concrete(space):
        raise SpaceError("expected concrete bounds for to_json, got traced ones")
    return json.dumps(_written(space), indent=indent, allow_nan=False)


def from_json(text: str, names: Names = False) -> PyTree:
    """The space that `to_json` wrote.

    Text from elsewhere can name anything that is installed, so nothing is imported: say
    what the names stand for.

    Args:
        text: what `to_json` returned.
        names: what the import paths in the text stand for, as a dict from
            "module:name" to objects. True imports whatever the text names: for text that
            you wrote yourself.

    Raises:
        SpaceError: text that is no space, an unknown kind, or a name that is not found.
    """
    try:
        data = json.loads(text)
    except (RecursionError, TypeError, ValueError) as error:
        raise SpaceError(f"expected JSON text, got {str(text)[:80]!r}") from error
    try:
        space = _read(data, names)
    except SpaceError:
        raise
    except (
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise SpaceError(
            f"expected text that to_json wrote, got a part of it that does not fit: "
            f"{error!r}"
        ) from error
    check_leaves(space)
    return space


def kinds() -> dict[str, type]:
    """Every kind of space there is now, by name; those of users included.

    A kind of this package is never replaced by one that has taken its name.
    """
    found: dict[str, type] = {"Condition": Condition}
    waiting: list[type] = [Space, CompositeSpace]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        own = kind.__module__.startswith("hyperopt_jax.")
        if not inspect.isabstract(kind) and (own or kind.__name__ not in found):
            found[kind.__name__] = kind
    return found


def _written(node: Any) -> Any:
    if isinstance(node, Condition):
        clauses = [
            [
                [parent, _written(values), _end(low), _end(high)]
                for parent, values, low, high in any_
            ]
            for any_ in node.clauses
        ]
        return {"kind": "Condition", "clauses": clauses}
    if is_node(node):
        return {"kind": type(node).__name__, **_arguments(node)}
    if isinstance(node, Objects):
        return [_written(item) for item in node]
    if type(node) is dict:
        for key in node:
            if not isinstance(key, str):
                raise SpaceError(
                    f"expected strings for the keys of a dict, got {key!r}"
                )
        return {"dict": {key: _written(item) for key, item in node.items()}}
    if type(node) is tuple:
        return {"tuple": [_written(item) for item in node]}
    if type(node) is list:
        return [_written(item) for item in node]
    if isinstance(node, (jax.Array, np.ndarray)):
        library = "array" if isinstance(node, jax.Array) else "numpy"
        numbers = _written(np.asarray(node).tolist())
        return {library: numbers, "dtype": str(node.dtype)}
    if isinstance(node, np.generic):
        return _written(node.item())
    if type(node) is float and not np.isfinite(node):  # of which JSON has none
        return {"float": repr(node)}
    name = type(node).__name__
    if RECORDS.get(name) is type(node):
        own = [field.name for field in dataclasses.fields(RECORDS[name])]
        fields = {key: _written(getattr(node, key)) for key in own}
        return {"record": name, "fields": fields}
    # Of these types and not of ones made from them, which would come back as others.
    if type(node) in PLAIN:
        return node
    if _holds_spaces(node):
        raise SpaceError(
            f"expected dicts, lists, tuples and None around the spaces, which JSON text "
            f"can hold, got a {name}; make the space of these for to_json"
        )
    return {"name": _import_path(node)}


def _holds_spaces(node: Any) -> bool:
    """Whether `node` is a container of spaces, and no object that is a choice."""
    try:
        leaves = jax.tree.leaves(node, is_leaf=is_node)
    except ValueError:  # keys that JAX cannot sort, which no space has
        return False
    return any(map(is_node, leaves))


def _arguments(node: Any) -> dict[str, Any]:
    """The arguments that make an equal space, read from its fields."""
    if isinstance(node, FixedSpace):
        return {"value": _written(node.constant)}
    renamed = (
        {"shape": "length"}
        if hasattr(node, "length") and "shape" in _parameters(type(node))
        else {}
    )
    arguments, missing = {}, object()
    for name in _parameters(type(node)):
        value = getattr(node, renamed.get(name, name), missing)
        if value is missing:
            raise SpaceError(
                f"expected a field {name!r} in {type(node).__name__}, as each argument of "
                f"its constructor needs for to_json; keep the argument under its name"
            )
        if value is not None:
            arguments[name] = _written(_as_plain(value))
    return arguments


def _as_plain(value: Any) -> Any:
    """A scalar array as Python's own number, with all its digits; a dtype as its name."""
    if isinstance(value, np.dtype):
        return str(value)
    is_scalar = isinstance(value, jax.Array) and value.ndim == 0
    return value.item() if is_scalar else value


def _parameters(kind: type) -> list[str]:
    return list(inspect.signature(kind).parameters)


def _import_path(item: Any) -> str:
    named = type(item) if isinstance(item, enum.Enum) else item
    module, name = (
        getattr(named, "__module__", None),
        getattr(named, "__qualname__", None),
    )
    if isinstance(item, enum.Enum):
        name = f"{name}.{item.name}"
    path = f"{module}:{name}"
    if module is None or name is None or _look_up(path) is not item:
        raise SpaceError(
            f"expected choices and predicates that JSON can hold or that can be imported "
            f"by name, got {item!r}; define it at the top of a module, or choose among "
            f"names and look the object up in the objective"
        )
    return path


def _look_up(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
        for step in name.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError):
        return None
    return found


def _read(data: Any, names: Names) -> Any:
    if isinstance(data, list):
        return [_read(item, names) for item in data]
    if not isinstance(data, dict):
        return data
    if "kind" in data:
        return _read_space(data, names)
    if "record" in data:
        return _read_record(data["record"], data["fields"], names)
    if "dict" in data:
        return {key: _read(item, names) for key, item in data["dict"].items()}
    if "tuple" in data:
        return tuple(_read(item, names) for item in data["tuple"])
    if "float" in data:
        return float(data["float"])
    if "array" in data:
        return jnp.asarray(_read(data["array"], names), data["dtype"])
    if "numpy" in data:
        return np.asarray(_read(data["numpy"], names), data["dtype"])
    if "name" in data:
        return _named(data["name"], names)
    raise SpaceError(f"expected a space in JSON, got {data!r}")


def _read_space(data: dict[str, Any], names: Names) -> Any:
    kind = kinds().get(data["kind"])
    if kind is None:
        raise SpaceError(
            f"expected a known kind of space, got {data['kind']!r}; import the module "
            f"that defines it"
        )
    if kind is Condition:
        return Condition.of(
            tuple(
                tuple(
                    (
                        parent,
                        None if values is None else Objects(_read(values, names)),
                        -np.inf if low is None else low,
                        np.inf if high is None else high,
                    )
                    for parent, values, low, high in any_
                )
                for any_ in data["clauses"]
            )
        )
    arguments = {k: _read(v, names) for k, v in data.items() if k != "kind"}
    unknown = set(arguments) - set(_parameters(kind))
    if unknown:
        raise SpaceError(f"{data['kind']} has no argument {sorted(unknown)}")
    return kind(**arguments)


def _read_record(name: str, fields: dict[str, Any], names: Names) -> Any:
    if name not in RECORDS:
        raise SpaceError(
            f"expected a known kind of predicate, got {name!r}; import the module that "
            f"defines it, such as hyperopt_jax.integrations"
        )
    return RECORDS[name](**{k: _read(item, names) for k, item in fields.items()})


def _named(path: str, names: Names) -> Any:
    if isinstance(names, Mapping) and path in names:
        return names[path]
    found = _look_up(path) if names is True else None
    if found is None:
        raise SpaceError(
            f"expected to know what {path!r} stands for, got no such name; pass "
            f"names={{{path!r}: ...}}, or names=True to import it"
        )
    return found


def _end(value: float) -> float | None:
    """An end of an interval; JSON has no infinity."""
    return None if np.isinf(value) else value
