"""One of a list of numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from hyperopt_jax._checks import is_concrete
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
        rank = jnp.clip(jnp.floor(u * m).astype(jnp.int32), 0, m - 1)
        return jnp.sort(self.values)[rank]

    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        floats = jnp.sort(self.values).astype(jnp.result_type(float))
        rank = jnp.argmin(jnp.abs(floats - value.astype(floats.dtype)))
        return (rank.astype(floats.dtype) + 0.5) / self.values.shape[0]

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
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise SpaceError(
            f"expected DiscreteSpace.values to be a flat list of at least one number, "
            f"got {values!r}"
        )
    if array.dtype == bool or any(isinstance(v, (bool, np.bool_)) for v in values):
        raise SpaceError(
            f"expected numbers in DiscreteSpace.values, got {values!r}; "
            f"write 0 and 1 for a switch"
        )
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(
        array.dtype, np.floating
    ):
        raise SpaceError(f"expected numbers in DiscreteSpace.values, got {values!r}")
    if not np.isfinite(array).all():
        raise SpaceError(f"expected finite DiscreteSpace.values, got {values!r}")
    kept = np.asarray(jnp.asarray(array))
    if not np.array_equal(kept.astype(array.dtype), array) and np.issubdtype(
        array.dtype, np.integer
    ):
        raise SpaceError(
            f"expected DiscreteSpace.values to fit in {kept.dtype}, got {values!r}"
        )
    if np.unique(kept).size != kept.size:
        raise SpaceError(
            f"expected distinct DiscreteSpace.values (as {kept.dtype}), got {values!r}"
        )
    return jnp.asarray(kept)
