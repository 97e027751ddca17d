"""Probabilities, fine at both ends, and numbers fine at their upper end."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._bounds import as_bound
from hyperopt_jax.spaces._linear import LinearSpace


class LogitSpace(LinearSpace):
    """A probability whose logit is uniform between those of two bounds.

    Use it for keep rates, quantiles, mixing weights of which both 0.01 and 0.99 are far
    from a half. Encoding: u = (logit(x) - logit(low)) / (logit(high) - logit(low)) with
    logit(x) = log(x / (1 - x)).

    Args:
        lower_bound: number above 0.
        upper_bound: number above `lower_bound` and below 1.

    Raises:
        SpaceError: not 0 < lower_bound < upper_bound < 1.

    ```python
    space = {"quantile": LogitSpace(0.001, 0.999)}
    ```
    """

    def __init__(self, lower_bound: Any, upper_bound: Any):
        super().__init__(lower_bound, upper_bound)
        low, high = self.lower_bound, self.upper_bound
        if is_concrete(low, high) and not 0 < low < high < 1:
            raise SpaceError(
                f"expected {type(self).__name__} with bounds between 0 and 1, got "
                f"{float(low):g} and {float(high):g}"
            )

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        low, high = self.lower_bound, self.upper_bound
        logit = _logit(low) * (1 - u) + _logit(high) * u
        return jnp.clip(jax.nn.sigmoid(logit), low, high)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        low, high = _logit(self.lower_bound), _logit(self.upper_bound)
        return (_logit(value.astype(low.dtype)) - low) / (high - low)


class ReverseLogSpace(LinearSpace):
    """A number whose distance to a limit above it is log-uniform.

    Use it for momenta and discount factors, of which 0.9, 0.99 and 0.999 are equally
    far apart. Encoding: u = log((limit - low) / (limit - x)) /
    log((limit - low) / (limit - high)).

    Args:
        lower_bound: finite number.
        upper_bound: finite number above `lower_bound` and below `limit`.
        limit: number above `upper_bound`.

    Raises:
        SpaceError: bounds not finite, equal or reversed, or not below `limit`.

    ```python
    space = {"momentum": ReverseLogSpace(0.5, 0.999)}
    ```
    """

    limit: Float[Array, ""]

    def __init__(self, lower_bound: Any, upper_bound: Any, limit: Any = 1.0):
        super().__init__(lower_bound, upper_bound)
        kind = type(self).__name__
        self.limit = as_bound(kind, "limit", limit)
        if is_concrete(self.limit, self.upper_bound) and not (
            self.limit > self.upper_bound
        ):
            raise SpaceError(
                f"expected {kind} with upper_bound < limit, got "
                f"{float(self.upper_bound):g} and {float(self.limit):g}"
            )

    def _gaps(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Logarithms of the distances of the bounds to the limit."""
        return (
            jnp.log(self.limit - self.lower_bound),
            jnp.log(self.limit - self.upper_bound),
        )

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        low, high = self._gaps()
        value = self.limit - jnp.exp(low * (1 - u) + high * u)
        return jnp.clip(value, self.lower_bound, self.upper_bound)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        low, high = self._gaps()
        gap = jnp.log(self.limit - value.astype(low.dtype))
        return (gap - low) / (high - low)


def _logit(x: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.log(x) - jnp.log1p(-x)
