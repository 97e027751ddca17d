"""Classic test problems that are defined in any dimension.

Formulas number the coordinates from 1, as the sources do. Several are written here in
a form that is equal on paper but does not cancel near the optimum, so that float32
reaches the least value to its last digits.
"""

import functools
import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hyperopt_jax.problems._base import Coordinates, Problem


def _numbers(x: Float[Array, " d"]) -> Float[Array, " d"]:
    """1, 2, ..., d in the dtype of `x`."""
    return jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)


class Sphere(Problem):
    """The plainest bowl: what fails here is broken.

        f(x) = sum_i x_i^2

    Box [-5.12, 5.12]^d, least value 0 at 0.

    ```python
    Sphere(dim=3).value([1.0, 2.0, 2.0])   # 9
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-5.12, 5.12)
    source: ClassVar[str] = (
        "De Jong (1975), An analysis of the behavior of a class of genetic adaptive "
        "systems, PhD thesis, University of Michigan"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 0.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.sum(x**2)


class Ellipsoid(Problem):
    """A bowl a thousand times longer than wide: shows how conditioning is dealt with.

        f(x) = sum_i 10^(6 (i - 1) / (d - 1)) x_i^2

    Condition number 10^6 (1 where d = 1). Box [-5, 5]^d, least value 0 at 0. Unmoved
    it is separable; `moved` makes it a problem of rotated axes.

    ```python
    Ellipsoid(dim=2).value([1.0, 0.001])   # 2
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-5.0, 5.0)
    source: ClassVar[str] = (
        "Hansen & Ostermeier (2001), Completely derandomized self-adaptation in "
        "evolution strategies, Evolutionary Computation 9(2)"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 0.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        weights = np.logspace(0, 6, self.dim) if self.dim > 1 else np.ones(1)
        return jnp.sum(jnp.asarray(weights, x.dtype) * x**2)


class Ackley(Problem):
    """A needle-like funnel in a wide, nearly flat plain of ripples.

        f(x) = -20 exp(-0.2 sqrt(sum_i x_i^2 / d))
               - exp(sum_i cos(2 pi x_i) / d) + 20 + e

    Box [-32.768, 32.768]^d, least value 0 at 0. The optimum is the tip of a cone: the
    gradient there is given as 0.

    ```python
    Ackley(dim=5).value([0.0] * 5)   # 0
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-32.768, 32.768)
    source: ClassVar[str] = (
        "Ackley (1987), A connectionist machine for genetic hillclimbing, Kluwer"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 0.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        square = jnp.mean(x**2)
        # Two `where`s: sqrt has no finite derivative at 0, taken or not.
        radius = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        # cos(2 pi x) - 1 = -2 sin(pi x)^2
        ripples = -2 * jnp.mean(jnp.sin(math.pi * x) ** 2)
        return -20 * jnp.expm1(-0.2 * radius) - math.e * jnp.expm1(ripples)


class Rosenbrock(Problem):
    """A long bent valley, easy to enter and slow to follow.

        f(x) = sum_{i<d} 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2

    Box [-5, 10]^d with d >= 2, least value 0 at (1, ..., 1). From d = 4 on there is a
    second, local minimum near (-1, 1, ..., 1).

    ```python
    Rosenbrock(dim=3).value([1.0, 1.0, 1.0])   # 0
    ```
    """

    min_dim: ClassVar[int] = 2
    box: ClassVar[tuple[Coordinates, Coordinates]] = (-5.0, 10.0)
    source: ClassVar[str] = (
        "Rosenbrock (1960), An automatic method for finding the greatest or least "
        "value of a function, The Computer Journal 3(3)"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 1.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


class DixonPrice(Problem):
    """A valley bent a little more with each coordinate.

        f(x) = (x_1 - 1)^2 + sum_{i>1} i (2 x_i^2 - x_{i-1})^2

    Box [-10, 10]^d, least value 0 at x_i = 2^(2^(1-i) - 1); the last coordinate may
    take either sign.

    ```python
    DixonPrice(dim=2).value([1.0, 0.70710678])   # 0
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-10.0, 10.0)
    source: ClassVar[str] = (
        "Dixon & Price (1989), Truncated Newton method for sparse unconstrained "
        "optimization using automatic differentiation, J. Optim. Theory Appl. 60(2)"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 2.0 ** (2.0 ** -np.arange(self.dim) - 1)

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        bends = _numbers(x)[1:] * (2 * x[1:] ** 2 - x[:-1]) ** 2
        return (x[0] - 1) ** 2 + jnp.sum(bends)


class Levy(Problem):
    """Regular ripples on a bowl, with many local minima.

        f(x) = sin(pi w_1)^2 + sum_{i<d} (w_i - 1)^2 (1 + 10 sin(pi w_i + 1)^2)
               + (w_d - 1)^2 (1 + sin(2 pi w_d)^2),   w_i = 1 + (x_i - 1) / 4

    Box [-10, 10]^d, least value 0 at (1, ..., 1).

    ```python
    Levy(dim=4).value([1.0] * 4)   # 0
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-10.0, 10.0)
    source: ClassVar[str] = (
        "Levy & Montalvo (1985), The tunneling algorithm for the global minimization "
        "of functions, SIAM J. Sci. Stat. Comput. 6(1)"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 1.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        # v = w - 1: the squared sines have period 1 in w, so v does for w in them.
        v = (x - 1) / 4
        first = jnp.sin(math.pi * v[0]) ** 2
        middle = v[:-1] ** 2 * (1 + 10 * jnp.sin(math.pi * v[:-1] + 1) ** 2)
        last = v[-1] ** 2 * (1 + jnp.sin(2 * math.pi * v[-1]) ** 2)
        return first + jnp.sum(middle) + last


class Rastrigin(Problem):
    """A bowl under a dense regular grid of deep local minima.

        f(x) = 10 d + sum_i (x_i^2 - 10 cos(2 pi x_i))

    Box [-5.12, 5.12]^d, least value 0 at 0.

    ```python
    Rastrigin(dim=2).value([0.5, 0.0])   # 20.25
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-5.12, 5.12)
    source: ClassVar[str] = (
        "Rastrigin (1974), Systems of extremal control, Nauka; any dimension: "
        "Mühlenbein, Schomisch & Born (1991), Parallel Computing 17(6-7)"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 0.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        # 1 - cos(2 pi x) = 2 sin(pi x)^2
        return jnp.sum(x**2 + 20 * jnp.sin(math.pi * x) ** 2)


class Griewank(Problem):
    """A wide bowl with fine ripples that fade as the dimension grows.

        f(x) = 1 + sum_i x_i^2 / 4000 - prod_i cos(x_i / sqrt(i))

    Box [-600, 600]^d, least value 0 at 0.

    ```python
    Griewank(dim=10).value([0.0] * 10)   # 0
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-600.0, 600.0)
    source: ClassVar[str] = (
        "Griewank (1981), Generalized descent for global optimization, J. Optim. "
        "Theory Appl. 34(1)"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 0.0

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        ripples = jnp.prod(jnp.cos(x / jnp.sqrt(_numbers(x))))
        return jnp.sum(x**2) / 4000 + (1 - ripples)


class StyblinskiTang(Problem):
    """Two valleys along each axis, one deeper: 2^d local minima.

        f(x) = sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2

    Box [-5, 5]^d, least value -39.16617 d at (-2.9035, ..., -2.9035).

    ```python
    StyblinskiTang(dim=2).value([-2.9035, -2.9035])   # -78.332
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-5.0, 5.0)
    source: ClassVar[str] = (
        "Styblinski & Tang (1990), Experiments in nonconvex optimization: stochastic "
        "approximation with function smoothing and simulated annealing, Neural "
        "Networks 3(4)"
    )

    @property
    def optimum(self) -> float:
        return -39.16616570377141 * self.dim

    @property
    def published_optimizer(self) -> Coordinates:
        return -2.903534027771177

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.sum(x**4 - 16 * x**2 + 5 * x) / 2


class Michalewicz(Problem):
    """Narrow ditches between plateaus: a gradient says almost nothing.

        f(x) = -sum_i sin(x_i) sin(i x_i^2 / pi)^20

    Box [0, pi]^d; least value -1.8013 for d = 2, -4.6877 for 5, -9.6602 for 10. Each
    coordinate has its own term, so the optimum of any dimension is found term by term
    to full precision. Outside the box a coordinate counts as if on its edge, where its
    term is 0 (the formula itself would fall lower there).

    ```python
    Michalewicz(dim=2).value([2.2029, 1.5708])   # -1.8013
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (0.0, math.pi)
    source: ClassVar[str] = (
        "Michalewicz (1996), Genetic algorithms + data structures = evolution "
        "programs, third edition, Springer"
    )

    @property
    def optimum(self) -> float:
        return -math.fsum(_michalewicz_terms(self.dim)[1])

    @property
    def published_optimizer(self) -> Coordinates:
        return _michalewicz_terms(self.dim)[0]

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        x = jnp.clip(x, 0, math.pi)
        ditches = jnp.sin(_numbers(x) * x**2 / math.pi) ** 20
        return -jnp.sum(jnp.sin(x) * ditches)


@functools.lru_cache
def _michalewicz_terms(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each term sin(x) sin(i x^2 / pi)^20 is largest, and how large."""
    i = np.arange(1, dim + 1)
    # The power is 1 where i x^2 / pi is pi/2 + k pi, and only the two such places on
    # either side of pi/2, where sin(x) is largest, can hold the largest product.
    k = np.clip(np.floor(i / 4 - 0.5) + np.array([[0], [1]]), 0, i - 1)
    x = math.pi * np.sqrt((k + 0.5) / i)
    for _ in range(20):  # Newton on the derivative of the term's logarithm
        angle, rate = i * x**2 / math.pi, 2 * i * x / math.pi
        cot = 1 / np.tan(angle)
        slope = 1 / np.tan(x) + 20 * rate * cot
        bend = 20 * (2 * i / math.pi * cot - (rate / np.sin(angle)) ** 2)
        x = x - slope / (bend - 1 / np.sin(x) ** 2)
    term = np.sin(x) * np.sin(i * x**2 / math.pi) ** 20
    best = np.argmax(term, axis=0)
    column = np.arange(dim)
    return x[best, column], term[best, column]
