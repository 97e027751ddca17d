"""Kernels of functions that repeat."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax._checks import check_number
from hyperopt_jax._numerics import as_floats
from hyperopt_jax.kernels._base import Angles, BaseKernel
from hyperopt_jax.kernels._radial import RBF


class Periodic(BaseKernel):
    """Periodic kernel, k = exp(-2 sum_j (sin(pi (x_j - y_j) / p_j) / l_j)^2).

    Use it for angles and phases, where both ends of a range are the same place, and times
    another kernel (`Periodic() * RBF(2.0)`) for a pattern that changes slowly as it
    repeats. It repeats in every column.

    Args:
        length_scale: number > 0, in units of sin(pi distance / period), so that points
            half a period apart correlate by exp(-2 / length_scale^2); where a search tunes
            it, the value that it starts from.
        period: number > 0, or one a column, in units of the unit cube: 1 is the whole
            range of a parameter. Not tuned.

    Raises:
        SettingError: `length_scale` or `period` not a positive number.

    Source: MacKay, Introduction to Gaussian processes (1998).

    ```python
    Periodic(period=0.5)(jnp.zeros((1, 1)), jnp.array([[0.25], [0.5]]))  # [[0.135, 1.]]
    ```
    """

    length_scale: float = 1.0
    period: float = 1.0

    def __check_init__(self):
        check_number("length_scale", self.length_scale, 0.0, strict=True)
        check_number("period", self.period, 0.0, strict=True)

    def __call__(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, "m d"],
        length_scale: Any = None,
    ) -> Float[Array, "n m"]:
        x, y = as_floats(x), as_floats(y)
        scale = self.length_scale if length_scale is None else length_scale
        scale = _both(jnp.asarray(scale, x.dtype), x.shape[1])
        return RBF()(self._on_circles(x), self._on_circles(y), scale)

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*d"],
    ) -> Angles:
        scale = _both(length_scale, n_columns)
        on_plane = RBF().angles(key, n, 2 * n_columns, scale)
        return lambda x: on_plane(self._on_circles(x))

    def _on_circles(self, x: Float[Array, "n d"]) -> Float[Array, "n 2d"]:
        """Each column as a point of the unit circle, once round it a period.

        Two of them are 2 sin(pi distance / period) apart.
        """
        period = jnp.broadcast_to(jnp.asarray(self.period, x.dtype), (1, x.shape[1]))
        turns = 2 * jnp.pi * x / period
        return jnp.concatenate([jnp.cos(turns), jnp.sin(turns)], axis=1)


def _both(scale: Array, n_columns: int) -> Float[Array, " 2d"]:
    """The length scales of the columns, once for each coordinate of a circle."""
    return jnp.tile(jnp.broadcast_to(scale, (n_columns,)), 2)
