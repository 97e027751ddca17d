"""Floats with a uniform law."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._bounds import as_bound, check_order


class LinearSpace(Space):
    """A float, uniform between two bounds.

    Use it for dropout rates, momenta, mixing weights; use `LogSpace` where the order
    of magnitude matters. Encoding: u = (x - low) / (high - low).

    Args:
        lower_bound: finite number, or a traced scalar.
        upper_bound: finite number above `lower_bound`.

    Raises:
        SpaceError: bounds not finite, equal or reversed.

    ```python
    space = {"dropout": LinearSpace(0.0, 0.5)}
    ```
    """

    lower_bound: Float[Array, ""]
    upper_bound: Float[Array, ""]

    def __init__(self, lower_bound: Any, upper_bound: Any):
        kind = type(self).__name__
        self.lower_bound = as_bound(kind, "lower_bound", lower_bound)
        self.upper_bound = as_bound(kind, "upper_bound", upper_bound)
        check_order(kind, self.lower_bound, self.upper_bound)

    @property
    def dtype(self) -> jnp.dtype:
        return self.lower_bound.dtype

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        low, high = self.lower_bound, self.upper_bound
        # A weighted mean and not low + u * (high - low): that difference may overflow.
        return jnp.clip(low * (1 - u) + high * u, low, high)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        low, high = self.lower_bound, self.upper_bound
        # A power of two costs no digit, and keeps the difference of the bounds and its
        # reciprocal from overflowing where they are huge or vanishing where they are tiny.
        small = jnp.maximum(jnp.abs(low), jnp.abs(high)) <= 1
        scale = jnp.where(small, 2.0**20, 2.0**-10).astype(low.dtype)
        low, high = low * scale, high * scale
        return (value.astype(low.dtype) * scale - low) / (high - low)

    def transform(self, value: Any) -> Float[Array, "..."]:
        value = jnp.asarray(value).astype(self.dtype)
        return jnp.clip(value, self.lower_bound, self.upper_bound)
