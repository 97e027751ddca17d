"""One of a list of numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import Space


class DiscreteSpace(Space):
    """One of a list of numbers, all equally likely.

    Use it for batch sizes, kernel sizes and other short lists of numbers with an order.
    The m values in rising order share the unit interval evenly, u = (rank + 1/2) / m: a
    model sees ranks, so [16, 32, 64, 128] is evenly spaced.

    Args:
        values: list, tuple or array of distinct finite numbers. Their dtype is kept:
            whole numbers stay integers.

    Raises:
        SpaceError: no value, a value that is not a finite number, or one that stands
            twice.

    ```python
    space = {"batch_size": DiscreteSpace([16, 32, 64])}
    ```
    """

    values: Shaped[Array, " m"]

    def __init__(self, values: Any):
        self.values = _as_values(values)

    @property
    def dtype(self) -> jnp.dtype:
        return self.values.dtype

    @property
    def lower_bound(self) -> Float[Array, ""]:
        """The smallest value, as a float."""
        return jnp.min(self.values).astype(jnp.result_type(float))

    @property
    def upper_bound(self) -> Float[Array, ""]:
        """The largest value, as a float."""
        return jnp.max(self.values).astype(jnp.result_type(float))

    @property
    def is_discrete(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        return jnp.asarray(float(self.values.shape[-1]))

    def decode(self, u: Float[Array, ""]) -> Shaped[Array, ""]:
        m = self.values.shape[0]
        return self.nth(jnp.clip(jnp.floor(u * m), 0, m - 1))

    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        floats = jnp.sort(self.values).astype(jnp.result_type(float))
        each = value.astype(floats.dtype)[..., None]
        distance = jnp.abs(floats.reshape((1,) * value.ndim + (-1,)) - each)
        rank = jnp.argmin(distance, axis=-1)
        return (rank.astype(floats.dtype) + 0.5) / self.values.shape[0]

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        return jnp.sort(self.values)[index.astype(jnp.int32)]

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        value = jnp.asarray(value)
        floats = self.values.astype(jnp.result_type(float))
        flat = value.astype(floats.dtype).reshape(-1)
        nearest = jax.vmap(lambda v: jnp.argmin(jnp.abs(floats - v)))(flat)
        return self.values[nearest].reshape(value.shape)

    def points(self) -> Shaped[Array, " m"]:
        """All values, in the order in which they were given."""
        return self.values


def _as_values(values: Any) -> Shaped[Array, " m"]:
    if not is_concrete(values):
        return jnp.asarray(values)
    listed = isinstance(values, (list, tuple, range))
    if not listed and not isinstance(values, (np.ndarray, jnp.ndarray)):
        raise SpaceError(
            f"expected DiscreteSpace.values to be a list or tuple, got {values!r}"
        )
    numbers = as_numbers(values)
    if numbers is None or any(isinstance(v, (bool, np.bool_)) for v in values):
        raise SpaceError(
            f"expected a flat list of numbers for DiscreteSpace.values, got {values!r}; "
            f"a ChoiceSpace takes any objects, and a BooleanSpace is a switch"
        )
    if numbers.ndim != 1 or numbers.size == 0:
        raise SpaceError(
            f"expected DiscreteSpace.values to be a flat list of at least one number, "
            f"got {values!r}"
        )
    # What JAX would hold: its own dtype for whole numbers or for floats, and the float
    # table of a search, in which they must still be different.
    dtype = jax.dtypes.canonicalize_dtype(np.asarray(values).dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        kept = np.asarray(values).astype(dtype)
        table = numbers.astype(jnp.result_type(float))
        held = np.isfinite(table).all() and np.array_equal(kept, table.astype(dtype))
        held = held and np.array_equal(table == 0, numbers == 0)
        if np.issubdtype(dtype, np.integer):
            # One that wraps round does so in both.
            held = held and np.array_equal(kept, numbers)
    if not held:
        raise SpaceError(
            f"expected finite DiscreteSpace.values that {dtype} and "
            f"{table.dtype} hold, got {values!r}"
        )
    if np.unique(table).size != table.size:
        raise SpaceError(
            f"expected distinct DiscreteSpace.values (as {table.dtype}), got {values!r}"
        )
    return jnp.asarray(kept)
