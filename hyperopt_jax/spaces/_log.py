"""Floats with a log-uniform law."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperopt_jax.spaces import _steps
from hyperopt_jax.spaces._bounds import check_base, check_positive
from hyperopt_jax.spaces._linear import LinearSpace


class LogSpace(LinearSpace):
    """A positive float whose logarithm is uniform between two bounds.

    Use it for learning rates, weight decays, regularisation strengths. Encoding:
    u = log(x / low) / log(high / low). The bounds are in the parameter's own scale,
    and neither the law nor the encoding depends on `base`, which is kept only as the
    base in which the bounds are thought of.

    Args:
        lower_bound: finite number > 0.
        upper_bound: finite number above `lower_bound`.
        base: number > 1.
        step: None, or a number > 0: the values are then low, low + step, ..., each with
            the stretch of the log axis from step/2 below it to step/2 above.

    Raises:
        SpaceError: bounds not finite, not positive, equal or reversed; `base <= 1`; a
            step out of its range.

    ```python
    space = {"learning_rate": LogSpace(1e-5, 1e-1)}
    ```
    """

    base: float = eqx.field(static=True)

    def __init__(
        self, lower_bound: Any, upper_bound: Any, base: float = 10, step: Any = None
    ):
        super().__init__(lower_bound, upper_bound, step)
        check_positive(type(self).__name__, self.lower_bound)
        self.base = check_base(type(self).__name__, base)

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        if self.step is not None:
            low, high = _steps.log_edges(self)
            return self.transform(jnp.exp(low * (1 - u) + high * u))
        low, high = self.lower_bound, self.upper_bound
        return jnp.clip(jnp.exp(jnp.log(low) * (1 - u) + jnp.log(high) * u), low, high)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        if self.step is not None:
            low, high = _steps.log_edges(self)
        else:
            low, high = jnp.log(self.lower_bound), jnp.log(self.upper_bound)
        return (jnp.log(value.astype(low.dtype)) - low) / (high - low)
