"""Kernels of functions that repeat."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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
            range of a parameter. Not tuned. In a search one a parameter, as length scales
            are, where a choice has several columns.

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


def periodic_parts(kernel: BaseKernel) -> list[Periodic]:
    """The periodic kernels that `kernel` is made of."""
    parts = jax.tree.leaves(kernel, is_leaf=_is_periodic)
    return [part for part in parts if _is_periodic(part)]


def with_periods_of_columns(kernel: BaseKernel, groups: list[int]) -> BaseKernel:
    """`kernel` with a period a column, where it has one for each group of columns."""

    def spread(part: Any) -> Any:
        if not _is_periodic(part) or not np.ndim(part.period):
            return part
        periods = jnp.asarray(part.period)[np.asarray(groups)]
        return eqx.tree_at(lambda kernel: kernel.period, part, periods)

    return jax.tree.map(spread, kernel, is_leaf=_is_periodic)


def _is_periodic(part: Any) -> bool:
    return isinstance(part, Periodic)


def _both(scale: Array, n_columns: int) -> Float[Array, " 2d"]:
    """The length scales of the columns, once for each coordinate of a circle."""
    return jnp.tile(jnp.broadcast_to(scale, (n_columns,)), 2)
