"""Checks of arguments, made on the host when an argument is concrete.

A traced value passes: its check has run, or will run, where the value is concrete.
"""

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hyperopt_jax.errors import ParamsError, SettingError, StateError


def flattened(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of `tree` and its structure.

    Raises:
        ParamsError: a dict with keys of several kinds.
    """
    try:
        return jax.tree.flatten(tree)
    except ValueError as error:  # JAX sorts the keys of a dict
        raise ParamsError(
            f"expected dicts with keys of one kind, such as strings only, got {tree!r}"
        ) from error


def is_concrete(*trees: Any) -> bool:
    """Whether no leaf of `trees` is a tracer."""
    return not any(
        isinstance(leaf, jax.core.Tracer)
        for tree in trees
        for leaf in flattened(tree)[0]
    )


def inside_program() -> bool:
    """Whether this runs while a program is traced, even if all of its data is concrete."""
    return isinstance(jnp.add(0, 1), jax.core.Tracer)


def as_numbers(value: Any) -> np.ndarray | None:
    """`value` as a float64 array; None where it is no real number or array of them.

    Text, truth values, complex numbers and ragged lists are none, whatever NumPy could
    make of them.
    """
    try:
        array = np.asarray(value)
        if jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(
            array.dtype, jnp.floating
        ):
            return array.astype(np.float64)
    except (TypeError, ValueError):
        pass
    return None


def check_int(name: str, value: Any, low: int) -> int:
    """`value` as an int of at least `low`; raises `SettingError`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise SettingError(f"expected a whole number for {name}, got {value!r}")
    if number < low:
        raise SettingError(f"expected {name} >= {low}, got {number}")
    return number


def check_number(
    name: str, value: Any, low: float, *, strict: bool = False, high: float = math.inf
) -> Any:
    """`value`, a finite number (or array, or tracer) from `low` to `high`."""
    if not is_concrete(value):
        return value
    array = as_numbers(value)
    if array is None:
        raise SettingError(f"expected a number for {name}, got {value!r}")
    in_range = (array > low if strict else array >= low) & (array <= high)
    if not (in_range & np.isfinite(array)).all():
        sign = ">" if strict else ">="
        bound = "a finite number" if math.isinf(low) else f"{sign} {low:g}"
        bound += "" if math.isinf(high) else f" and <= {high:g}"
        raise SettingError(f"expected {name} to be {bound}, got {value!r}")
    return value


def check_scalar(
    name: str, value: Any, low: float, *, strict: bool = False, high: float = math.inf
) -> Any:
    """`check_number` for what cannot be an array; a float, unless it was JAX's."""
    if np.ndim(value):
        raise SettingError(
            f"expected a single number for {name}, got an array of shape "
            f"{np.shape(value)}; run several searches with jax.vmap"
        )
    number = check_number(name, value, low, strict=strict, high=high)
    return number if isinstance(number, jax.Array) else float(number)


def int_setting(name: str, default: int | None, low: int) -> Any:
    """A field for an int of at least `low`, whatever kind of one it is given.

    What fixes shapes and loops must be Python's own: another kind is unhashable, or
    data of a program. Where the default is None, so may be the setting.
    """

    def convert(value: Any) -> int | None:
        _refuse_a_space(name, value)
        return None if default is value is None else check_int(name, value, low)

    return eqx.field(static=True, default=default, converter=convert)


def bool_setting(name: str, default: bool) -> Any:
    """A field for True or False."""

    def convert(value: Any) -> bool:
        _refuse_a_space(name, value)
        return check_bool(name, value)

    return eqx.field(static=True, default=default, converter=convert)


def float_setting(name: str, default: float, low: float, **limits: Any) -> Any:
    """A field for a number that `check_scalar` accepts."""

    def convert(value: Any) -> Any:
        _refuse_a_space(name, value)
        return check_scalar(name, value, low, **limits)

    return eqx.field(default=default, converter=convert)


def _refuse_a_space(name: str, value: Any) -> None:
    """Raises `SettingError` where a space, such as a dict of them, is no setting."""
    if isinstance(value, Mapping | eqx.Module):
        raise SettingError(
            f"expected no space for the setting {name}, got {value!r}; a search of a space "
            f"begins with init(space), or BayesianSearch.tuned(space)"
        )


def check_key(key: Any) -> None:
    """Raises `ParamsError` unless `key` is one key of `jax.random`."""
    if isinstance(key, (jax.Array, np.ndarray)):
        is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        kind = jax.config.jax_default_prng_impl  # type: ignore[attr-defined]
        shape = () if is_typed else _shape_of_raw_keys(kind)
        if key.shape == shape and (is_typed or key.dtype == np.uint32):
            return
        key = f"an array of {key.dtype} with shape {key.shape}"
    raise ParamsError(f"expected one key, such as jax.random.key(0), got {key}")


@functools.cache
def _shape_of_raw_keys(kind: str) -> tuple[int, ...]:
    """The shape of `jax.random.PRNGKey(0)`, where that is a key of this kind."""
    return jax.eval_shape(lambda: jax.random.PRNGKey(0, impl=kind)).shape


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """The one of `choices` that `value` equals; raises `SettingError`."""
    if value not in choices:
        allowed = ", ".join(map(repr, choices))
        raise SettingError(
            f"{name}={value!r} is not supported; expected one of {allowed}"
        )
    return choices[choices.index(value)]


def check_bool(name: str, value: Any) -> bool:
    """`value`, True or False; raises `SettingError`."""
    if not isinstance(value, (bool, np.bool_)):
        raise SettingError(f"expected {name} to be True or False, got {value!r}")
    return bool(value)


def check_instance(name: str, value: Any, kind: type) -> Any:
    """`value`, an instance of `kind`; raises `SettingError`."""
    if not isinstance(value, kind):
        raise SettingError(
            f"expected {name} to be a {kind.__name__} instance, got {value!r}"
        )
    return value


def check_state(optimizer: Any, state: Any, kind: type) -> None:
    """Raises `StateError` unless `state` is the kind that `optimizer` works on."""
    if not isinstance(state, kind):
        raise StateError(
            f"{type(optimizer).__name__} expected a {kind.__name__}, got a "
            f"{type(state).__name__}; use the state that its own init returned"
        )
    table, floats = getattr(state, "X", None), jnp.result_type(float)
    if table is None:
        return
    check_one_study(table.ndim > 2)
    if table.dtype != floats:
        raise StateError(
            f"expected a state in {floats}, JAX's precision now, got one in "
            f"{table.dtype}; set jax_enable_x64 as it was when the study began"
        )


def check_one_study(is_stack: bool) -> None:
    """Raises `StateError` where a state is a stack of several, outside of `vmap`."""
    if is_stack:
        raise StateError(
            "expected the state of one study, got a stack of studies; use jax.vmap, or "
            "take one of them with jax.tree.map(lambda x: x[i], state)"
        )
