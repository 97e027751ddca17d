"""A constant among the parameters."""

import numbers
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._objects import Objects


class FixedSpace(Space):
    """A constant that is handed to the objective with the parameters, not searched.

    Use it to pin one parameter of a space without touching the objective. It has no
    place in the unit cube and costs a model nothing. A number or an array of numbers
    reaches the objective as it is. Anything else (a string, a function, None) stands in
    the objective as the index 0, and `decode_choices` gives it back. Whatever is told or
    started from, the study goes on with its own constant.

    Args:
        value: a number, a truth value, an array of them, or any Python object.

    Raises:
        SpaceError: a number that JAX's dtype of it does not hold.

    ```python
    space = {"lr": LogSpace(1e-5, 1e-1), "epochs": FixedSpace(10)}
    ```
    """

    value: Shaped[Array, "..."]
    objects: Objects = eqx.field(static=True)

    def __init__(self, value: Any):
        if not is_concrete(value):
            self.value, self.objects = jnp.asarray(value), Objects(())
        elif as_numbers(value) is not None or _kind_of(value) == "b":
            self.value, self.objects = _held(np.asarray(value)), Objects(())
        elif isinstance(value, numbers.Number) or _kind_of(value) == "c":
            raise SpaceError(
                f"expected a FixedSpace.value that JAX holds as a real number, got "
                f"{value!r}; hand it to the objective yourself"
            )
        else:
            self.value, self.objects = jnp.zeros((), jnp.int32), Objects((value,))

    @property
    def dtype(self) -> jnp.dtype:
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def cube_shape(self) -> tuple[int, ...]:
        return (0,)

    @property
    def is_discrete(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        return jnp.ones(())

    def decode(self, u: Float[Array, " 0"]) -> Shaped[Array, "..."]:
        return self.value

    def encode(self, value: Shaped[Array, "..."]) -> Float[Array, " 0"]:
        return jnp.zeros(0)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, "..."]:
        return self.value

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        leading = jnp.shape(value)[: jnp.ndim(value) - len(self.shape)]
        return jnp.broadcast_to(self.value, leading + self.shape)

    def points(self) -> Shaped[Array, "1 ..."]:
        """The one value, with a leading axis."""
        return self.value[None]

    @property
    def constant(self) -> Any:
        """What was given: the number, the array or the object."""
        return self.objects[0] if len(self.objects) else self.value


def _kind_of(value: Any) -> str:
    """The kind of NumPy's dtype for `value`; that of objects where it has none."""
    try:
        return np.asarray(value).dtype.kind
    except (TypeError, ValueError):
        return "O"


def _held(given: np.ndarray) -> Array:
    """`given` in JAX's dtype for them, none of them changed beyond rounding."""
    dtype = jax.dtypes.canonicalize_dtype(given.dtype)
    if given.size and given.dtype != bool:
        info = jnp.iinfo(dtype) if given.dtype.kind in "iu" else jnp.finfo(dtype)
        finite = given[np.isfinite(given)]
        if (finite < float(info.min)).any() or (finite > float(info.max)).any():
            raise SpaceError(
                f"expected a FixedSpace.value that {dtype} holds, got {given}; "
                f"enable jax_enable_x64, or hand it to the objective yourself"
            )
    return jnp.asarray(given, dtype)
