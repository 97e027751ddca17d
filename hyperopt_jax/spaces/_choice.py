"""One of a list of any objects: unordered, ordered, or a switch."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._cells import cell_of, middle_of, one_hot, one_hot_groups
from hyperopt_jax.spaces._objects import Objects, is_nan


class OrdinalSpace(Space):
    """One of an ordered list of any objects, as an index; all equally likely.

    Use it for sizes and levels ("small", "medium", "large"); `ChoiceSpace` has no
    order. In the objective the parameter is the index, an `int32`; `value` and
    `decode_choices` give the object. The m choices share the unit interval evenly,
    u = (index + 1/2) / m, and neighbours are near each other for a model.

    Args:
        choices: list or tuple of distinct objects: strings, numbers, None, functions,
            classes, dicts.

    Raises:
        SpaceError: no choice, or one that stands twice.

    ```python
    size = OrdinalSpace(["small", "medium", "large"])
    size.value(2)  # "large"
    ```
    """

    choices: Objects = eqx.field(static=True)

    def __init__(self, choices: Sequence[Any]):
        self.choices = _as_objects(type(self).__name__, choices)

    @property
    def m(self) -> int:
        """The number of choices."""
        return len(self.choices)

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.dtype(jnp.int32)

    @property
    def is_discrete(self) -> bool:
        return True

    @property
    def bare(self) -> Space:
        # Names are no part of a compiled program, and spaces of one size are one kind.
        nameless = copy.copy(self)
        # Not by its class, since a user's own may be made of something else.
        object.__setattr__(nameless, "choices", Objects(range(self.m)))
        return nameless

    def n_values(self) -> Float[Array, ""]:
        return jnp.asarray(float(self.m))

    def decode(self, u: Float[Array, ""]) -> Shaped[Array, ""]:
        return cell_of(u, self.m).astype(jnp.int32)

    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        return middle_of(value, self.m)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        return index.astype(jnp.int32)

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        value = jnp.asarray(value).astype(jnp.result_type(float))
        return jnp.clip(jnp.round(value), 0, self.m - 1).astype(jnp.int32)

    def points(self) -> Shaped[Array, " m"]:
        """All indices."""
        return jnp.arange(self.m, dtype=jnp.int32)

    def value(self, index: Any) -> Any:
        """The object with this index; for an array of indices, nested lists of them.

        Raises:
            ParamsError: an index that is traced (use `switch`), no whole number or not of
                this space.
        """
        if not is_concrete(index):
            raise ParamsError(
                f"expected a concrete index for {type(self).__name__}.value, got a "
                f"traced one; inside a compiled objective use switch"
            )
        numbers = as_numbers(index)
        if numbers is None or (numbers != np.round(numbers)).any():
            raise ParamsError(
                f"expected whole numbers for the indices of {type(self).__name__}, got "
                f"{index!r}"
            )
        return _look_up(self.choices, numbers.tolist())

    def index(self, choice: Any) -> int:
        """The index of `choice`; raises `ParamsError` where it is not a choice.

        1.0 finds 1, and a list a tuple, where no other choice is like it.
        """
        found = self.choices.find(choice)
        if found is None:
            raise ParamsError(
                f"expected one of the choices {self.choices!r}, got {choice!r}"
            )
        return found

    def switch(
        self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any
    ) -> Any:
        """`branches[index](*operands)`, for a traced index (`jax.lax.switch`).

        Where the choices are functions themselves, the branches are `space.choices`.

        Raises:
            ParamsError: not one branch for each choice.

        ```python
        act = ChoiceSpace(["relu", "tanh"])
        act.switch(jnp.int32(1), [jax.nn.relu, jnp.tanh], 0.5)
        ```
        """
        listed = isinstance(branches, (Sequence, Objects))
        if not listed or len(branches) != self.m:
            raise ParamsError(
                f"expected a list of {self.m} branches, one for each choice in their order, "
                f"got {branches!r}"
            )
        if not all(map(callable, branches)):
            raise ParamsError(f"expected functions for the branches, got {branches!r}")
        dtype = getattr(index, "dtype", type(index))
        if dtype is not int and not jnp.issubdtype(dtype, jnp.integer):
            raise ParamsError(
                f"expected the index of a choice, a whole number, got {index!r}; the one "
                f"of an object is index(object)"
            )
        return lax.switch(index, list(branches), *operands)


class ChoiceSpace(OrdinalSpace):
    """One of a list of any objects, without order, as an index; all equally likely.

    Use it for the names of optimizers, activations, kernels, layers. In the objective
    the parameter is the index, an `int32`: branch on it with `switch`, and get the
    object outside with `value` or `decode_choices`. A model sees indicator columns with
    one length scale, in which any two different choices are at distance 1.

    Args:
        choices: list or tuple of distinct objects: strings, numbers, None, functions,
            classes, dicts.

    Raises:
        SpaceError: no choice, or one that stands twice.

    ```python
    space = {"act": ChoiceSpace(["relu", "tanh"]), "lr": LogSpace(1e-4, 1e-1)}
    state, search = RandomSearch.init(space)
    params = search.get_next_params(state, jax.random.key(0))
    space["act"].value(params["act"])  # a list with one name
    ```
    """

    def __init__(self, choices: Sequence[Any]):
        super().__init__(choices)

    @property
    def is_nominal(self) -> bool:
        return True

    def features(self, u: Float[Array, ""]) -> Float[Array, " p"]:
        return one_hot(u, self.m)

    @property
    def feature_groups(self) -> tuple[int, ...]:
        return one_hot_groups(self.m)

    @property
    def neutral_feature(self) -> float:
        return 0.5 if self.m <= 2 else 0.0


class BooleanSpace(Space):
    """False or True, equally likely.

    Use it for switches. In the objective the parameter is a `bool`: choose with
    `jnp.where` or `jax.lax.cond`. u = 1/4 is False, u = 3/4 is True.

    ```python
    space = {"nesterov": BooleanSpace()}
    ```
    """

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.dtype(jnp.bool_)

    @property
    def is_discrete(self) -> bool:
        return True

    @property
    def is_nominal(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        return jnp.asarray(2.0)

    def decode(self, u: Float[Array, ""]) -> Shaped[Array, ""]:
        return u >= 0.5

    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        dtype = jnp.result_type(float)
        return middle_of((value.astype(dtype) >= 0.5).astype(dtype), 2)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        return index >= 0.5

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        return jnp.asarray(value).astype(jnp.result_type(float)) >= 0.5

    def features(self, u: Float[Array, ""]) -> Float[Array, " 1"]:
        return one_hot(u, 2)

    @property
    def feature_groups(self) -> tuple[int, ...]:
        return one_hot_groups(2)

    def points(self) -> Shaped[Array, " 2"]:
        """False and True."""
        return jnp.asarray([False, True])


def _as_objects(kind: str, choices: Any) -> Objects:
    # A set has no order to keep: the same index would be another choice tomorrow.
    unordered = (str, bytes, dict, set, frozenset)
    if isinstance(choices, unordered) or not hasattr(choices, "__iter__"):
        raise SpaceError(
            f"expected a list or tuple of choices for {kind}, got {choices!r}"
        )
    objects = Objects(choices)
    if len(objects) == 0:
        raise SpaceError(f"expected at least one choice for {kind}, got none")
    try:
        # Two NaN are one choice, but not to a set.
        distinct = len(set(objects)) == len(objects) and not any(map(is_nan, objects))
    except TypeError:
        distinct = False
    if not distinct:
        for i, choice in enumerate(objects):
            if objects.index(choice) != i:
                raise SpaceError(
                    f"expected distinct choices for {kind}, got {choice!r} twice"
                )
    return objects


def _look_up(choices: Objects, index: Any) -> Any:
    if isinstance(index, list):
        return [_look_up(choices, i) for i in index]
    if not 0 <= index < len(choices):
        raise ParamsError(
            f"expected an index of 0 to {len(choices) - 1} for the choices "
            f"{choices!r}, got {index:.0f}"
        )
    return choices[int(index)]
