"""Kernels that are one elementwise function of r^2 = sum_j ((x_j - y_j) / l_j)^2.

Their base class scales, measures and batches. Each such function brings its own
derivative by r^2, so nothing differentiates a square root at zero.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax._checks import check_choice, check_number
from hyperopt_jax._numerics import as_floats, matmul, squared_distance
from hyperopt_jax.errors import SettingError
from hyperopt_jax.kernels._base import Angles, BaseKernel

SMOOTHNESS = (0.5, 1.5, 2.5, math.inf)


class RadialKernel(BaseKernel):
    """A kernel of unit variance that is a function of one scaled distance.

    Write a new one by giving `length_scale` and `correlation`, a function of the scaled
    squared distance that is 1 at 0, positive definite, and safe to differentiate at 0;
    and `spectrum` where paths shall be drawn from it.
    """

    @abc.abstractmethod
    def correlation(self, r2: Float[Array, "..."]) -> Float[Array, "..."]:
        """The kernel as an elementwise function of the scaled squared distance."""

    def spectrum(
        self, key: PRNGKeyArray, n: int, n_columns: int, dtype: Any
    ) -> Float[Array, "n d"]:
        """`n` draws from the spectral density at length scale 1: vectors w with
        E[cos(w'(x - y))] = k(x, y).
        """
        raise SettingError(
            f"expected a kernel with spectral draws, got {type(self).__name__}; give it "
            f"`spectrum`, or take an acquisition that draws no paths"
        )

    def __call__(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, "m d"],
        length_scale: Any = None,
    ) -> Float[Array, "n m"]:
        x, y = as_floats(x), as_floats(y)
        scale = self.length_scale if length_scale is None else length_scale
        inverse = 1 / jnp.broadcast_to(jnp.asarray(scale, x.dtype), (x.shape[1],))
        # A scale may be as small as it likes, but no squared distance infinite.
        inverse = jnp.minimum(inverse, float(jnp.finfo(x.dtype).max) ** 0.25)
        return self.correlation(squared_distance(x, y, inverse))

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*d"],
    ) -> Angles:
        scale = jnp.broadcast_to(length_scale, (1, n_columns))
        frequencies = self.spectrum(key, n, n_columns, scale.dtype) / scale
        return lambda x: matmul(x, frequencies.T)


class RBF(RadialKernel):
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

    def spectrum(
        self, key: PRNGKeyArray, n: int, n_columns: int, dtype: Any
    ) -> Float[Array, "n d"]:
        return jax.random.normal(key, (n, n_columns), dtype)


class Matern(RadialKernel):
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
    nu: float = eqx.field(
        static=True,
        default=2.5,
        converter=lambda nu: check_choice("nu", nu, SMOOTHNESS),
    )

    def __check_init__(self):
        check_number("length_scale", self.length_scale, 0.0, strict=True)

    def correlation(self, r2: Float[Array, "..."]) -> Float[Array, "..."]:
        return _matern(float(self.nu), r2)

    def spectrum(
        self, key: PRNGKeyArray, n: int, n_columns: int, dtype: Any
    ) -> Float[Array, "n d"]:
        """Student's t with 2 nu degrees of freedom: Rasmussen & Williams (2006), eq. 4.15."""
        if self.nu == math.inf:
            return RBF().spectrum(key, n, n_columns, dtype)
        freedom = round(2 * self.nu)
        normal = jax.random.normal(key, (n, n_columns + freedom), dtype)
        chi2 = jnp.sum(normal[:, n_columns:] ** 2, axis=1, keepdims=True)
        # A frequency may be as large as it likes, but not infinite.
        chi2 = jnp.maximum(chi2, float(jnp.finfo(dtype).eps) ** 2)
        return normal[:, :n_columns] * jnp.sqrt(freedom / chi2)


def _distance(r2: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(r2), with gradient 0 instead of inf at 0, where it is not quite 0 itself."""
    r2 = as_floats(r2)
    return jnp.sqrt(jnp.maximum(r2, float(jnp.finfo(r2.dtype).tiny)))


def _matern_and_slope(nu: float, r2: Float[Array, "..."]) -> tuple[Any, Any]:
    """k and dk/d(r^2). At r = 0 the slope of nu = 1/2, which is infinite, is given as 0."""
    if nu == math.inf:
        k = jnp.exp(-r2 / 2)
        return k, -k / 2
    s = math.sqrt(2 * nu) * _distance(r2)
    e = jnp.exp(-s)
    if nu == 0.5:
        return e, jnp.where(r2 > 0, -e / (2 * s), 0.0)
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
