"""Stationary kernels: functions of one scaled distance, periodic ones, sums and products.

A radial kernel is one elementwise function of r^2 = sum_j ((x_j - y_j) / l_j)^2; its base
class scales, measures and batches. Each such function brings its own derivative by r^2, so
nothing differentiates a square root at zero.
"""

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax._checks import check_choice, check_instance, check_number
from hyperopt_jax._numerics import matmul, squared_distance
from hyperopt_jax.errors import SettingError

SMOOTHNESS = (0.5, 1.5, 2.5, math.inf)

# The random angles of points: what `BaseKernel.angles` returns.
Angles = Callable[[Float[Array, "m d"]], Float[Array, "m n"]]


class BaseKernel(eqx.Module):
    """A stationary kernel: the covariance of a function's values at two points.

    Kernels add and multiply: `k1 + k2`, `k1 * k2`, `2.0 * k`. For a new one that is a
    function of one distance, start from `RadialKernel`; any other gives `length_scale`
    and `__call__`, `variance` where k(x, x) is not 1, and `angles` where paths shall be
    drawn from it.
    """

    # NumPy's numbers leave `number * kernel` to the kernel.
    __array_ufunc__ = None

    length_scale: eqx.AbstractVar[float]

    @property
    def variance(self) -> Any:
        """k(x, x), the same for every x."""
        return 1.0

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, "m d"],
        length_scale: Any = None,
    ) -> Float[Array, "n m"]:
        """The kernel matrix between the rows of `x` and of `y`.

        `length_scale` is a scalar or one number a column; None takes the kernel's own.
        """

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*d"],
    ) -> Angles:
        """`n` random functions a, symmetric about 0, with
        E[cos(a(x) - a(y))] = k(x, y) / k(x, x).

        They are what a path of the process is drawn with (random Fourier features).

        Raises:
            SettingError: a kernel that has none.

        Source: Rahimi & Recht, NeurIPS 2007.
        """
        raise SettingError(
            f"expected a kernel with spectral draws, got {type(self).__name__}; give it "
            f"`spectrum` or `angles`, or take an acquisition that draws no paths"
        )

    def __add__(self, other: "BaseKernel") -> "BaseKernel":
        if not isinstance(other, BaseKernel):
            return NotImplemented
        return Sum(self, other)  # type: ignore[call-arg]

    def __mul__(self, other: Any) -> "BaseKernel":
        if isinstance(other, BaseKernel):
            return Product(self, other)  # type: ignore[call-arg]
        return Scaled(other, self)  # type: ignore[call-arg]

    __rmul__ = __mul__


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
        x, y = jnp.asarray(x), jnp.asarray(y)
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
    nu: float = eqx.field(static=True, default=2.5)

    def __check_init__(self):
        check_number("length_scale", self.length_scale, 0.0, strict=True)
        check_choice("nu", self.nu, SMOOTHNESS)

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
        x, y = jnp.asarray(x), jnp.asarray(y)
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


class Scaled(BaseKernel):
    """A kernel times a number, weight k(x, y); written `weight * k`.

    Use it for the weights of a sum, as in `Matern() + 0.1 * RBF(0.1)`. A search tunes the
    signal variance of the whole on top, so there a weight around everything only moves
    where that begins.

    Args:
        weight: a single number > 0. Not tuned.
        kernel: the kernel, whose length scale this one has.

    Raises:
        SettingError: `weight` not a single positive number, or `kernel` no kernel.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), section
    4.2.4.

    ```python
    (2.0 * RBF())(jnp.zeros((1, 1)), jnp.zeros((1, 1)))  # [[2.]]
    ```
    """

    weight: float
    kernel: BaseKernel

    def __check_init__(self):
        check_number("weight", self.weight, 0.0, strict=True)
        _check_single("weight", self.weight)
        check_instance("kernel", self.kernel, BaseKernel)

    @property  # type: ignore[misc]
    def length_scale(self) -> Any:  # type: ignore[override]
        return self.kernel.length_scale

    @property
    def variance(self) -> Any:
        return self.weight * self.kernel.variance

    def __call__(self, x: Any, y: Any, length_scale: Any = None) -> Float[Array, "n m"]:
        k = self.kernel(x, y, length_scale)
        return jnp.asarray(self.weight, k.dtype) * k

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*d"],
    ) -> Angles:
        return self.kernel.angles(key, n, n_columns, length_scale)


class _Pair(BaseKernel):
    """Two kernels whose length scales keep their ratio; the first one's are tuned."""

    first: BaseKernel
    second: BaseKernel

    def __check_init__(self):
        for name in ("first", "second"):
            kernel = check_instance(name, getattr(self, name), BaseKernel)
            _check_single(f"the length_scale of {name}", kernel.length_scale)

    @property  # type: ignore[misc]
    def length_scale(self) -> Any:  # type: ignore[override]
        return self.first.length_scale

    def _scales(self, length_scale: Any, dtype: Any) -> tuple[Array, Array]:
        """The length scales of both parts."""
        own = jnp.asarray(self.length_scale, dtype)
        scale = own if length_scale is None else jnp.asarray(length_scale, dtype)
        return scale, scale * (jnp.asarray(self.second.length_scale, dtype) / own)

    def _parts(self, x: Any, y: Any, length_scale: Any) -> tuple[Array, Array]:
        """The kernel matrices of both parts."""
        x, y = jnp.asarray(x), jnp.asarray(y)
        one, two = self._scales(length_scale, x.dtype)
        return self.first(x, y, one), self.second(x, y, two)

    def _both_angles(
        self, key: PRNGKeyArray, n: int, n_columns: int, length_scale: Array
    ) -> tuple[Angles, Angles]:
        """Independent random angles of both parts."""
        one, two = self._scales(length_scale, length_scale.dtype)
        first, second = jax.random.split(key)
        return (
            self.first.angles(first, n, n_columns, one),
            self.second.angles(second, n, n_columns, two),
        )


class Sum(_Pair):
    """The sum of two kernels, k(x, y) = k1(x, y) + k2(x, y); written `k1 + k2`.

    Use it for an objective that is a sum of a smooth trend and a rougher or periodic
    part. Its variance is the sum of the parts' variances.

    The parts share one set of length scales. They are those of `first`; those of `second`
    keep the ratio to them that the parts' own have: in `RBF(1.0) + RBF(0.1)`, called or
    tuned with length scale l, the second part has l / 10.

    Args:
        first, second: the kernels, each with a single number as its own length scale.

    Raises:
        SettingError: a part that is no kernel, or with several length scales of its own.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), section
    4.2.4.

    ```python
    kernel = Matern(0.5, nu=2.5) + 0.1 * Periodic(0.5, period=0.25)
    kernel(jnp.zeros((1, 2)), jnp.zeros((1, 2)))  # [[1.1]]
    ```
    """

    @property
    def variance(self) -> Any:
        return self.first.variance + self.second.variance

    def __call__(self, x: Any, y: Any, length_scale: Any = None) -> Float[Array, "n m"]:
        first, second = self._parts(x, y, length_scale)
        return first + second

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*d"],
    ) -> Angles:
        choice, key = jax.random.split(key)
        first, second = self._both_angles(key, n, n_columns, length_scale)
        # Each is of one part, with the share that the part has of the variance.
        share = self.first.variance / self.variance
        is_first = jax.random.uniform(choice, (1, n), length_scale.dtype) < share
        return lambda x: jnp.where(is_first, first(x), second(x))


class Product(_Pair):
    """The product of two kernels, k(x, y) = k1(x, y) k2(x, y); written `k1 * k2`.

    Use it where two kinds of likeness must hold at once, as in a periodic pattern that
    fades with distance. Its variance is the product of the parts' variances.

    The parts share one set of length scales, as in `Sum`: they are those of `first`, and
    those of `second` keep the ratio to them that the parts' own have.

    Args:
        first, second: the kernels, each with a single number as its own length scale.

    Raises:
        SettingError: a part that is no kernel, or with several length scales of its own.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), section
    4.2.4.

    ```python
    kernel = RBF(2.0) * Periodic(0.5, period=0.25)
    kernel(jnp.zeros((1, 1)), jnp.array([[0.0], [0.25]]))  # [[1., 0.992]]
    ```
    """

    @property
    def variance(self) -> Any:
        return self.first.variance * self.second.variance

    def __call__(self, x: Any, y: Any, length_scale: Any = None) -> Float[Array, "n m"]:
        first, second = self._parts(x, y, length_scale)
        return first * second

    def angles(
        self,
        key: PRNGKeyArray,
        n: int,
        n_columns: int,
        length_scale: Float[Array, "*d"],
    ) -> Angles:
        # E[cos(a + b)] = E[cos a] E[cos b] for independent symmetric a and b.
        first, second = self._both_angles(key, n, n_columns, length_scale)
        return lambda x: first(x) + second(x)


def _both(scale: Array, n_columns: int) -> Float[Array, " 2d"]:
    """The length scales of the columns, once for each coordinate of a circle."""
    return jnp.tile(jnp.broadcast_to(scale, (n_columns,)), 2)


def _check_single(name: str, value: Any) -> None:
    if shape := np.shape(value):
        raise SettingError(f"expected {name} to be a single number, got shape {shape}")


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
