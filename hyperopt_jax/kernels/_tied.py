"""A kernel over columns that share length scales."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax.kernels._base import Angles, BaseKernel


class TiedKernel(BaseKernel):
    """A kernel over columns of which some share a length scale.

    `groups` says which length scale each column has; the kernel is then called with one
    number a group. Searches wrap their kernel in it where a parameter has more than one
    column, such as a choice.
    """

    length_scale: float
    kernel: BaseKernel
    groups: tuple[int, ...] = eqx.field(static=True)

    @property
    def variance(self) -> Any:
        return self.kernel.variance

    def __call__(self, x: Any, y: Any, length_scale: Any = None) -> Float[Array, "n m"]:
        scale = self.length_scale if length_scale is None else length_scale
        return self.kernel(x, y, self._of_columns(scale))

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*g"],
    ) -> Angles:
        return self.kernel.angles(key, n, n_columns, self._of_columns(length_scale))

    def _of_columns(self, scale: Any) -> Any:
        return jnp.asarray(scale)[np.asarray(self.groups)] if jnp.ndim(scale) else scale
