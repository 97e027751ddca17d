"""Stationary kernels of unit variance, written as functions of a squared distance.

A kernel is one elementwise function of r^2 = sum_j ((x_j - y_j) / l_j)^2; the base class
scales, measures and batches. Each function brings its own derivative by r^2, so nothing
differentiates a square root at zero.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hyperopt_jax._checks import check_choice, check_number
from hyperopt_jax._numerics import squared_distance

SMOOTHNESS = (0.5, 1.5, 2.5, math.inf)


class BaseKernel(eqx.Module):
    """A stationary kernel of unit variance.

    Write a new one by giving `length_scale` and `correlation`, a function of the scaled
    squared distance that is 1 at 0, positive definite, and safe to differentiate at 0.
    """

    length_scale: eqx.AbstractVar[float]

    @abc.abstractmethod
    def correlation(self, r2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The kernel as an elementwise function of the scaled squared distance."""

    def __call__(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, "m d"],
        length_scale: Any = None,
    ) -> Float[Array, "n m"]:
        """The kernel matrix between the rows of `x` and of `y`.

        `length_scale` is a scalar or one number a column; None takes the kernel's own.
        """
        x, y = jnp.asarray(x), jnp.asarray(y)
        scale = self.length_scale if length_scale is None else length_scale
        inverse = 1 / jnp.broadcast_to(jnp.asarray(scale, x.dtype), (1, x.shape[1]))
        return self.correlation(squared_distance(x * inverse, y * inverse))


class TiedKernel(BaseKernel):
    """A kernel over columns of which some share a length scale.

    `groups` says which length scale each column has; the kernel is then called with one
    number a group. Searches wrap their kernel in it where a parameter has more than one
    column, such as a choice.
    """

    length_scale: float
    kernel: BaseKernel
    groups: tuple[int, ...] = eqx.field(static=True)

    def correlation(self, r2: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.kernel.correlation(r2)

    def __call__(self, x: Any, y: Any, length_scale: Any = None) -> Float[Array, "n m"]:
        scale = self.length_scale if length_scale is None else length_scale
        if jnp.ndim(scale):
            scale = jnp.asarray(scale)[np.asarray(self.groups)]
        return self.kernel(x, y, scale)


class RBF(BaseKernel):
    """Squared exponential kernel, k = exp(-r^2 / 2).

    Use it for very smooth objectives; it trusts its own interpolation more than
    `Matern` and misjudges rough ones.

    Args:
        length_scale: number > 0, in units of the unit cube; where a search tunes it,
            the value that it starts from.

    Raises:
        SettingError: `length_scale` not a positive number.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), eq. 4.9.

    ```python
    RBF(0.5)(jnp.zeros((2, 3)), jnp.ones((4, 3)))  # (2, 4)
    ```
    """

    length_scale: float = 1.0

    def __check_init__(self):
        check_number("length_scale", self.length_scale, 0.0, strict=True)

    def correlation(self, r2: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.exp(-r2 / 2)


class Matern(BaseKernel):
    """Matern kernel of smoothness `nu`, with s = sqrt(2 nu) r:

    nu = 1/2: exp(-s); nu = 3/2: (1 + s) exp(-s); nu = 5/2: (1 + s + s^2 / 3) exp(-s);
    nu = inf: exp(-r^2 / 2), the RBF kernel. 5/2 is the usual choice for tuning.

    Args:
        length_scale: number > 0, in units of the unit cube; where a search tunes it,
            the value that it starts from.
        nu: 0.5, 1.5, 2.5 or inf.

    Raises:
        SettingError: another `nu` (not supported); `length_scale` not positive.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), eq. 4.17.

    ```python
    Matern(nu=2.5)(jnp.zeros((2, 3)), jnp.ones((4, 3)), length_scale=jnp.ones(3))
    ```
    """

    length_scale: float = 1.0
    nu: float = eqx.field(static=True, default=2.5)

    def __check_init__(self):
        check_number("length_scale", self.length_scale, 0.0, strict=True)
        check_choice("nu", self.nu, SMOOTHNESS)

    def correlation(self, r2: Float[Array, "..."]) -> Float[Array, "..."]:
        return _matern(float(self.nu), r2)


def _distance(r2: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(r2), with gradient 0 instead of inf at 0."""
    return jnp.where(r2 > 0, jnp.sqrt(jnp.where(r2 > 0, r2, 1.0)), 0.0)


def _matern_and_slope(nu: float, r2: Float[Array, "..."]) -> tuple[Any, Any]:
    """k and dk/d(r^2). At r = 0 the slope of nu = 1/2, which is infinite, is given as 0."""
    if nu == math.inf:
        k = jnp.exp(-r2 / 2)
        return k, -k / 2
    s = math.sqrt(2 * nu) * _distance(r2)
    e = jnp.exp(-s)
    if nu == 0.5:
        return e, jnp.where(s > 0, -e / (2 * jnp.where(s > 0, s, 1.0)), 0.0)
    if nu == 1.5:
        return (1 + s) * e, -1.5 * e
    return (1 + s + s * s / 3) * e, -(5 / 6) * (1 + s) * e


def _matern_value(nu: float, r2: Float[Array, "..."]) -> Float[Array, "..."]:
    return _matern_and_slope(nu, r2)[0]


def _matern_jvp(nu: float, primals: Any, tangents: Any) -> tuple[Any, Any]:
    value, slope = _matern_and_slope(nu, primals[0])
    return value, slope * tangents[0]


_matern = jax.custom_jvp(_matern_value, nondiff_argnums=(0,))
_matern.defjvp(_matern_jvp)
