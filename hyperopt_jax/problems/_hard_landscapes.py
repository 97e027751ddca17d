"""Landscapes with one named difficulty each: a ridge, plateaus, peaks without a plan.

After the families of Hansen, Finck, Ros & Auger (2009), simplified so that every move
of this package keeps the least value: no distortion of the axes beyond the formula.
"""

import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hyperopt_jax.problems._base import Coordinates, Problem

HANSEN_2009 = (
    "Hansen, Finck, Ros & Auger (2009), Real-parameter black-box optimization "
    "benchmarking 2009: noiseless functions definitions, INRIA RR-6829, {}"
)


def _root(square: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt, with the gradient at 0 given as 0."""
    # Two `where`s: sqrt has no finite derivative at 0, taken or not.
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _spaced(dim: int) -> np.ndarray:
    """0, ..., 1 in `dim` even steps; 0 alone where there is one coordinate."""
    return np.linspace(0, 1, dim)


class _AtOrigin(Problem):
    """What these landscapes share: the box [-5, 5]^d, least value 0 at 0."""

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-5.0, 5.0)

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 0.0


class BentCigar(_AtOrigin):
    """One direction a thousand times longer than all the others.

        f(x) = x_1^2 + 10^6 sum_{i>1} x_i^2

    Box [-5, 5]^d with d >= 2, least value 0 at 0.

    ```python
    BentCigar(dim=2).value([1.0, 0.001])   # 2
    ```
    """

    min_dim: ClassVar[int] = 2
    source: ClassVar[str] = HANSEN_2009.format("f12")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return x[0] ** 2 + 1e6 * jnp.sum(x[1:] ** 2)


class DifferentPowers(_AtOrigin):
    """A bowl that is flatter along each next axis, most of all near its bottom.

        f(x) = sqrt(sum_i |x_i|^(2 + 4 (i - 1) / (d - 1)))

    Box [-5, 5]^d, least value 0 at 0.

    ```python
    DifferentPowers(dim=2).value([3.0, 2.0])   # sqrt(9 + 64)
    ```
    """

    source: ClassVar[str] = HANSEN_2009.format("f14")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        powers = jnp.asarray(2 + 4 * _spaced(self.dim), x.dtype)
        return _root(jnp.sum(jnp.abs(x) ** powers))


class SharpRidge(_AtOrigin):
    """A path along the bottom of a sharp crease, where no gradient points along it.

        f(x) = x_1^2 + 100 sqrt(sum_{i>1} x_i^2)

    Box [-5, 5]^d with d >= 2, least value 0 at 0.

    ```python
    SharpRidge(dim=3).value([1.0, 3.0, 4.0])   # 501
    ```
    """

    min_dim: ClassVar[int] = 2
    source: ClassVar[str] = HANSEN_2009.format("f13")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return x[0] ** 2 + 100 * _root(jnp.sum(x[1:] ** 2))


class AttractiveSector(_AtOrigin):
    """A bowl ten thousand times steeper on one side of every axis than on the other.

        f(x) = (sum_i (s_i x_i)^2)^0.9,  s_i = 100 where x_i > 0, else 1

    Box [-5, 5]^d, least value 0 at 0.

    ```python
    AttractiveSector(dim=2).value([-1.0, 0.0])   # 1
    ```
    """

    source: ClassVar[str] = HANSEN_2009.format("f6")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        square = jnp.sum((jnp.where(x > 0, 100.0, 1.0) * x) ** 2)
        return jnp.where(square > 0, jnp.where(square > 0, square, 1) ** 0.9, 0)


class StepEllipsoid(_AtOrigin):
    """An ellipsoid in steps: plateaus wherever one looks, the gradient almost gone.

        f(x) = 0.1 max(|x_1| / 10^4, sum_i 10^(2 (i - 1) / (d - 1)) r(x_i)^2)

    with r(x) the nearest whole number where |x| > 1/2, else the nearest tenth. Box
    [-5, 5]^d, least value 0 at 0.

    ```python
    StepEllipsoid(dim=1).value([2.2])   # 0.4
    ```
    """

    source: ClassVar[str] = HANSEN_2009.format("f7")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        weights = jnp.asarray(10 ** (2 * _spaced(self.dim)), x.dtype)
        steps = jnp.where(jnp.abs(x) > 0.5, jnp.round(x), jnp.round(10 * x) / 10)
        return 0.1 * jnp.maximum(_root(x[0] ** 2) / 1e4, jnp.sum(weights * steps**2))


class Schwefel(Problem):
    """Many deep basins, the best of them next to the corner, far from the second.

        f(x) = 418.9828872724338 d - sum_i x_i sin(sqrt |x_i|)

    and, outside the box, the value at its nearest point plus a hundredth of the squared
    distance to it. Box [-500, 500]^d, least value 0 at 420.968746 in each coordinate.

    ```python
    Schwefel(dim=2).value([0.0, 0.0])   # 837.97
    ```
    """

    box: ClassVar[tuple[Coordinates, Coordinates]] = (-500.0, 500.0)
    source: ClassVar[str] = (
        "Schwefel (1981), Numerical optimization of computer models, Wiley, p. 293"
    )

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def published_optimizer(self) -> Coordinates:
        return 420.96874635998194

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        inside = jnp.clip(x, -500.0, 500.0)
        depth = 418.9828872724338 - inside * jnp.sin(_root(jnp.abs(inside)))
        # What is left at the bottom is rounding, which must not fall below the optimum.
        bottom = 418.9828872724338 * 4 * jnp.finfo(x.dtype).eps
        depth = jnp.where(depth > bottom, depth, 0.0)
        return jnp.sum(depth + 0.01 * (x - inside) ** 2)


class SchafferF7(_AtOrigin):
    """Ripples whose frequency and height grow towards the outside.

        f(x) = (1 / (d - 1) sum_{i<d} sqrt(s_i) (1 + sin(50 s_i^(1/5))^2))^2

    with s_i = sqrt(x_i^2 + x_{i+1}^2). Box [-5, 5]^d with d >= 2, least value 0 at 0.

    ```python
    SchafferF7(dim=2).value([0.0, 0.0])   # 0
    ```
    """

    min_dim: ClassVar[int] = 2
    source: ClassVar[str] = HANSEN_2009.format("f17")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        s = _root(x[:-1] ** 2 + x[1:] ** 2)
        positive = jnp.where(s > 0, s, 1.0)
        ripples = 1 + jnp.sin(50 * positive**0.2) ** 2
        return jnp.mean(jnp.where(s > 0, jnp.sqrt(positive) * ripples, 0.0)) ** 2


class Gallagher(_AtOrigin):
    """Twenty-one peaks at random places: no structure leads from one to another.

        f(x) = (10 - max_i w_i exp(-(x - y_i)' C_i (x - y_i) / (2 d)))^2

    The best peak, w_1 = 10, stands at 0; the others, with weights from 1.1 to 9.1, at
    fixed places drawn uniformly from [-4.9, 4.9]^d, and C_i is diagonal with condition
    numbers from 1 to 1000. Box [-5, 5]^d, least value 0 at 0.

    ```python
    Gallagher(dim=2).value([0.0, 0.0])   # 0
    ```
    """

    source: ClassVar[str] = HANSEN_2009.format("f21")

    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        places, shapes, weights = (jnp.asarray(a, x.dtype) for a in _peaks(self.dim))
        squared = jnp.sum(shapes * (x[None, :] - places) ** 2, axis=1) / (2 * self.dim)
        # 10 - w exp(-s) without cancellation at the best peak, where w = 10.
        below = (10 - weights) - weights * jnp.expm1(-squared)
        return jnp.min(below) ** 2


def _peaks(dim: int, n: int = 21) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (n, d), diagonals of C (n, d) and heights (n,) of Gallagher's peaks."""
    rng = np.random.default_rng(dim)
    places = rng.uniform(-4.9, 4.9, (n, dim))
    places[0] = 0.0
    heights = np.concatenate([[10.0], np.linspace(1.1, 9.1, n - 1)])
    conditions = 1000 ** rng.permutation(np.linspace(0, 1, n))
    shapes = np.stack(
        [
            rng.permutation(c ** _spaced(dim)) / math.sqrt(math.sqrt(c))
            for c in conditions
        ]
    )
    return places, shapes, heights
