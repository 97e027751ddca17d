"""Floats with a uniform law."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces import _steps
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._bounds import as_bound, check_order, check_width
from hyperopt_jax.spaces._cells import cell_of, middle_of
from hyperopt_jax.spaces._steps import as_step


class LinearSpace(Space):
    """A float, uniform between two bounds.

    Use it for dropout rates, momenta, mixing weights; use `LogSpace` where the order
    of magnitude matters. Encoding: u = (x - low) / (high - low).

    Args:
        lower_bound: finite number, or a traced scalar.
        upper_bound: finite number above `lower_bound`.
        step: None, or a number > 0: the values are then low, low + step, ..., all
            equally likely, the last one at most `upper_bound`, each in the middle of its
            cell of the unit interval. Of decimals such as 0.1 each is the float nearest to
            the decimal that it stands for: nine steps of 0.1 are 0.9.

    Raises:
        SpaceError: bounds not finite, equal or reversed; a step out of its range.

    ```python
    space = {"dropout": LinearSpace(0.0, 0.5)}
    ```
    """

    lower_bound: Float[Array, ""]
    upper_bound: Float[Array, ""]
    step: Float[Array, ""] | None

    def __init__(self, lower_bound: Any, upper_bound: Any, step: Any = None):
        kind = type(self).__name__
        self.lower_bound = as_bound(kind, "lower_bound", lower_bound)
        self.upper_bound = as_bound(kind, "upper_bound", upper_bound)
        check_order(kind, self.lower_bound, self.upper_bound)
        check_width(kind, self.lower_bound, self.upper_bound)
        self.step = as_step(kind, step, self.lower_bound, self.upper_bound)

    @property
    def dtype(self) -> jnp.dtype:
        return self.lower_bound.dtype

    @property
    def is_discrete(self) -> bool:
        return self.step is not None

    def n_values(self) -> Float[Array, ""]:
        return super().n_values() if self.step is None else _steps.count(self)

    def decode(self, u: Float[Array, ""]) -> Float[Array, ""]:
        if self.step is not None:
            return _steps.at(self, cell_of(u, _steps.count(self)))
        low, high = self.lower_bound, self.upper_bound
        # A weighted mean and not low + u * (high - low): that difference may overflow.
        return jnp.clip(low * (1 - u) + high * u, low, high)

    def encode(self, value: Float[Array, ""]) -> Float[Array, ""]:
        if self.step is not None:
            return middle_of(_steps.number_of(self, value), _steps.count(self))
        low, high = self.lower_bound, self.upper_bound
        # A power of two costs no digit, and keeps the difference of the bounds and its
        # reciprocal from overflowing where they are huge or vanishing where they are tiny.
        small = jnp.maximum(jnp.abs(low), jnp.abs(high)) <= 1
        scale = jnp.where(small, 2.0**20, 2.0**-10).astype(low.dtype)
        low, high = low * scale, high * scale
        return (value.astype(low.dtype) * scale - low) / (high - low)

    def transform(self, value: Any) -> Float[Array, "..."]:
        value = jnp.asarray(value).astype(self.dtype)
        if self.step is not None:
            return _steps.at(self, _steps.number_of(self, value))
        return jnp.clip(value, self.lower_bound, self.upper_bound)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        return super().nth(index) if self.step is None else _steps.at(self, index)

    def rounding(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        if self.step is None or not jnp.issubdtype(self.dtype, jnp.floating):
            return super().rounding(value)
        return _steps.rounding(self, value)

    def points(self) -> Shaped[Array, " n"]:
        """All values in rising order, of a space with a step (concrete bounds)."""
        if self.step is None:
            raise SpaceError(
                f"expected a step to list the values of {type(self).__name__}, got none"
            )
        return jnp.asarray(_steps.all_values(self))
