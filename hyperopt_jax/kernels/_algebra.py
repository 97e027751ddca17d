"""Kernels made of kernels: times a number, sums and products."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax._checks import check_instance, check_number
from hyperopt_jax._numerics import as_floats
from hyperopt_jax.errors import SettingError
from hyperopt_jax.kernels._base import Angles, BaseKernel


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
        x, y = as_floats(x), as_floats(y)
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


def _check_single(name: str, value: Any) -> None:
    if shape := np.shape(value):
        raise SettingError(f"expected {name} to be a single number, got shape {shape}")
