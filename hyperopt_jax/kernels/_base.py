"""What every kernel is."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax.errors import SettingError

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
        from hyperopt_jax.kernels._algebra import Sum

        return Sum(self, other)  # type: ignore[call-arg]

    def __radd__(self, other: Any) -> "BaseKernel":
        # Python's `sum` begins with the whole number 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, other: Any) -> "BaseKernel":
        from hyperopt_jax.kernels._algebra import Product, Scaled

        if isinstance(other, BaseKernel):
            return Product(self, other)  # type: ignore[call-arg]
        return Scaled(other, self)  # type: ignore[call-arg]

    __rmul__ = __mul__
