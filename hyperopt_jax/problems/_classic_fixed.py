"""Classic test problems that are published in one dimension only."""

import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hyperopt_jax.problems._base import Coordinates, Problem


class Branin(Problem):
    """Two coordinates, three equally deep valleys: the first thing to try.

        f(x) = (x1 - b x0^2 + c x0 - 6)^2 + 10 (1 - t) cos(x0) + 10
        b = 5.1 / (4 pi^2), c = 5 / pi, t = 1 / (8 pi)

    Box [-5, 10] x [0, 15]. The least value is 10 t = 0.3979, at (pi, 2.275) and at
    (-pi, 12.275) and (3 pi, 2.475): there the square is 0 and the cosine is -1.

    ```python
    Branin().value([3.1416, 2.275])   # 0.3979
    ```
    """

    min_dim: ClassVar[int] = 2
    max_dim: ClassVar[int | None] = 2
    box: ClassVar[tuple[Coordinates, Coordinates]] = ((-5.0, 0.0), (10.0, 15.0))
    source: ClassVar[str] = (
        "Branin (1972), Widely convergent method for finding multiple solutions of "
        "simultaneous nonlinear equations, IBM J. Res. Dev. 16(5)"
    )

    @property
    def optimum(self) -> float:
        return 10 / (8 * math.pi)

    @property
    def published_optimizer(self) -> Coordinates:
        return (math.pi, 2.275)

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
        valley = x[1] - b * x[0] ** 2 + c * x[0] - 6
        return valley**2 + 10 * (1 - t) * jnp.cos(x[0]) + 10


class SixHumpCamel(Problem):
    """Two coordinates, six local minima, two of them global.

        f(x) = (4 - 2.1 x0^2 + x0^4 / 3) x0^2 + x0 x1 + (4 x1^2 - 4) x1^2

    Box [-3, 3] x [-2, 2]. The least value is -1.0316, at (0.0898, -0.7127) and at its
    mirror image (-0.0898, 0.7127).

    ```python
    SixHumpCamel().value([0.0898, -0.7127])   # -1.0316
    ```
    """

    min_dim: ClassVar[int] = 2
    max_dim: ClassVar[int | None] = 2
    box: ClassVar[tuple[Coordinates, Coordinates]] = ((-3.0, -2.0), (3.0, 2.0))
    source: ClassVar[str] = (
        "Dixon & Szegő (1978), The global optimization problem: an introduction, "
        "Towards Global Optimisation 2, North-Holland"
    )

    @property
    def optimum(self) -> float:
        return -1.0316284534898774

    @property
    def published_optimizer(self) -> Coordinates:
        return (0.08984201310031807, -0.7126564030207396)

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        first = (4 - 2.1 * x[0] ** 2 + x[0] ** 4 / 3) * x[0] ** 2
        return first + x[0] * x[1] + (4 * x[1] ** 2 - 4) * x[1] ** 2


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])


def _hartmann(
    x: Float[Array, " d"], sharpness: np.ndarray, centres: np.ndarray
) -> Float[Array, ""]:
    """Minus four Gaussian bumps; `sharpness` and `centres` are (4, d)."""
    alpha, a, p = (jnp.asarray(t, x.dtype) for t in (_ALPHA, sharpness, centres))
    return -jnp.sum(alpha * jnp.exp(-jnp.sum(a * (x[None, :] - p) ** 2, axis=1)))


class Hartmann3(Problem):
    """Three coordinates of the unit cube, four Gaussian bumps, one global minimum.

        f(x) = -sum_k alpha_k exp(-sum_i A_ki (x_i - P_ki)^2),   k = 1 ... 4

    with alpha = (1, 1.2, 3, 3.2) and the published tables A and P (the class
    attributes `sharpness` and `centres`). The least value is -3.86278, at
    (0.1146, 0.5556, 0.8525).

    ```python
    Hartmann3().value([0.1146, 0.5556, 0.8525])   # -3.8628
    ```
    """

    min_dim: ClassVar[int] = 3
    max_dim: ClassVar[int | None] = 3
    box: ClassVar[tuple[Coordinates, Coordinates]] = (0.0, 1.0)
    source: ClassVar[str] = (
        "Hartman (1973), Some experiments in global optimization, Naval Research "
        "Logistics Quarterly 20(3)"
    )
    sharpness: ClassVar[np.ndarray] = np.array(
        [[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]
    )
    centres: ClassVar[np.ndarray] = 1e-4 * np.array(
        [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
    )

    @property
    def optimum(self) -> float:
        return -3.862779787332663

    @property
    def published_optimizer(self) -> Coordinates:
        return (0.11458887665506896, 0.5556488946169301, 0.8525469846866774)

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return _hartmann(x, self.sharpness, self.centres)


class Hartmann6(Problem):
    """Six coordinates of the unit cube, four Gaussian bumps, a local minimum to avoid.

        f(x) = -sum_k alpha_k exp(-sum_i A_ki (x_i - P_ki)^2),   k = 1 ... 4

    with alpha = (1, 1.2, 3, 3.2) and the published tables A and P (the class
    attributes `sharpness` and `centres`). The least value is -3.32237, at
    (0.2017, 0.1500, 0.4769, 0.2753, 0.3117, 0.6573).

    ```python
    Hartmann6().value([0.2017, 0.15, 0.4769, 0.2753, 0.3117, 0.6573])   # -3.3224
    ```
    """

    min_dim: ClassVar[int] = 6
    max_dim: ClassVar[int | None] = 6
    box: ClassVar[tuple[Coordinates, Coordinates]] = (0.0, 1.0)
    source: ClassVar[str] = Hartmann3.source
    sharpness: ClassVar[np.ndarray] = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    centres: ClassVar[np.ndarray] = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )

    @property
    def optimum(self) -> float:
        return -3.3223680114155147

    @property
    def published_optimizer(self) -> Coordinates:
        return (
            0.20168951100670543,
            0.15001069182345797,
            0.47687397422189703,
            0.2753324304940561,
            0.31165161660011326,
            0.6573005340656204,
        )

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return _hartmann(x, self.sharpness, self.centres)
