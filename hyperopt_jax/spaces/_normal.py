"""Floats with a normal or log-normal law between two bounds: prior knowledge."""

from typing import Any

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._bounds import as_bound, check_positive
from hyperopt_jax.spaces._linear import LinearSpace

# Between bounds with less mass than this, the law has too few digits left.
LEAST_MASS = 1e-4

SPREAD = 3.0


class NormalSpace(LinearSpace):
    """A float with a normal law, cut off at two bounds.

    Use it where you know about where the best value lies: the law is what random
    searches and first designs draw from, and the stretch of the cube that likely values
    own. Encoding: u = (F(x) - F(low)) / (F(high) - F(low)), with F the normal
    distribution function. Every value between the bounds stays within reach.

    Args:
        mean: finite number.
        std: number > 0.
        lower_bound: finite number; three standard deviations below the mean by default.
        upper_bound: finite number above `lower_bound`; three above by default.

    Raises:
        SpaceError: numbers not finite, `std` not above 0, bounds reversed or so far
            from the mean that hardly any of the law (1e-4) lies between them.

    ```python
    space = {"temperature": NormalSpace(1.0, 0.2, 0.0, 2.0)}
    ```
    """

    mean: Float[Array, ""]
    std: Float[Array, ""]

    def __init__(
        self, mean: Any, std: Any, lower_bound: Any = None, upper_bound: Any = None
    ):
        kind = type(self).__name__
        mean, std = as_bound(kind, "mean", mean), as_bound(kind, "std", std)
        if is_concrete(std) and not std > 0:
            raise SpaceError(f"expected {kind} with std > 0, got {float(std):g}")
        low = mean - SPREAD * std if lower_bound is None else lower_bound
        high = mean + SPREAD * std if upper_bound is None else upper_bound
        super().__init__(low, high)
        self.mean, self.std = mean, std
        a, b, _ = self._ends()
        if is_concrete(a, b) and not abs(ndtr(b) - ndtr(a)) >= LEAST_MASS:
            raise SpaceError(
                f"expected {kind} with bounds that hold at least {LEAST_MASS} of the "
                f"law, got mean {float(mean):g}, std {float(std):g} and bounds "
                f"{float(self.lower_bound):g} and {float(self.upper_bound):g}"
            )

    def _ends(self) -> tuple[Array, Array, Array]:
        """The bounds in standard deviations, and the sign that puts them low.

        The lower tail has more digits than the upper one, so what lies above the mean
        is looked at in a mirror.
        """
        a = (self.lower_bound - self.mean) / self.std
        b = (self.upper_bound - self.mean) / self.std
        sign = jnp.where(a + b > 0, -1.0, 1.0).astype(a.dtype)
        return sign * a, sign * b, sign

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        a, b, sign = self._ends()
        z = sign * ndtri(ndtr(a) * (1 - u) + ndtr(b) * u)
        return jnp.clip(self.mean + self.std * z, self.lower_bound, self.upper_bound)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        a, b, sign = self._ends()
        z = sign * (value.astype(a.dtype) - self.mean) / self.std
        return (ndtr(z) - ndtr(a)) / (ndtr(b) - ndtr(a))


class LogNormalSpace(LinearSpace):
    """A positive float whose logarithm has a normal law, cut off at two bounds.

    Use it where you know the order of magnitude: `LogNormalSpace(1e-3, 10)` expects a
    learning rate near 1e-3, two times in three within a factor of 10. Like
    `NormalSpace` in log(x), with log(median) as mean and log(factor) as standard
    deviation.

    Args:
        median: number > 0.
        factor: number > 1: one standard deviation, as a ratio.
        lower_bound: number > 0; `median / factor**3` by default.
        upper_bound: number above `lower_bound`; `median * factor**3` by default.

    Raises:
        SpaceError: numbers out of their range, or bounds that hold hardly any of the law.

    ```python
    space = {"lr": LogNormalSpace(1e-3, 10.0, 1e-6, 1.0)}
    ```
    """

    median: Float[Array, ""]
    factor: Float[Array, ""]

    def __init__(
        self, median: Any, factor: Any, lower_bound: Any = None, upper_bound: Any = None
    ):
        kind = type(self).__name__
        median = as_bound(kind, "median", median)
        factor = as_bound(kind, "factor", factor)
        check_positive(kind, median if is_concrete(median) else 1.0)
        if is_concrete(factor) and not factor > 1:
            raise SpaceError(f"expected {kind} with factor > 1, got {float(factor):g}")
        low = median / factor**SPREAD if lower_bound is None else lower_bound
        high = median * factor**SPREAD if upper_bound is None else upper_bound
        super().__init__(low, high)
        check_positive(kind, self.lower_bound)
        self.median, self.factor = median, factor
        self._logs()

    def _logs(self) -> NormalSpace:
        """The normal law of the logarithm."""
        return NormalSpace(
            jnp.log(self.median),
            jnp.log(self.factor),
            jnp.log(self.lower_bound),
            jnp.log(self.upper_bound),
        )

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        value = jnp.exp(self._logs().decode(u))
        return jnp.clip(value, self.lower_bound, self.upper_bound)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        logs = self._logs()
        return logs.encode(jnp.log(value.astype(logs.dtype)))
