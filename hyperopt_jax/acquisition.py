"""Acquisition functions, which score a point by its posterior, and hallucinations,
which stand in for results that are not in yet.

Both speak the language of the literature: higher is better, `y_max` is the incumbent.
Inside a search they see standardised results (mean 0, standard deviation 1), so `xi`
and `kappa` mean the same for every objective.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax._checks import check_int, check_number
from hyperopt_jax._numerics import log_expected_excess, normal_cdf, normal_pdf
from hyperopt_jax.errors import SettingError


class BaseAcquisition(eqx.Module):
    """Scores points by posterior mean and standard deviation; higher is better.

    Write a new one by giving `evaluate`, elementwise, finite with a finite gradient for
    every `std >= 0`.
    """

    @abc.abstractmethod
    def evaluate(
        self,
        mean: Float[Array, "..."],
        std: Float[Array, "..."],
        y_max: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        """The score, elementwise."""

    def __call__(
        self, mean: Float[Array, " n"], std: Float[Array, " n"], y_max: Any = None
    ) -> Float[Array, " n"]:
        """The scores of n points; `y_max=None` takes the largest mean as incumbent."""
        mean, std = jnp.asarray(mean), jnp.asarray(std)
        y_max = jnp.max(mean) if y_max is None else jnp.asarray(y_max, mean.dtype)
        return self.evaluate(mean, std, y_max)

    def get_argmax(
        self,
        mean: Float[Array, " n"],
        std: Float[Array, " n"],
        seen_mask: Bool[Array, " n"],
        n_points: int = 1,
    ) -> Int[Array, " n_points"]:
        """Indices of the `n_points` best points that are not in `seen_mask`.

        With fewer unseen points than asked for, seen ones fill the rest.

        Raises:
            SettingError: `n_points` not between 1 and the number of points.
        """
        n_points = check_int("n_points", n_points, 1)
        if n_points > jnp.shape(mean)[0]:
            raise SettingError(
                f"expected n_points <= {jnp.shape(mean)[0]}, the number of points, "
                f"got {n_points}"
            )
        scores = self(mean, std)
        return lax.top_k(jnp.where(seen_mask, -jnp.inf, scores), n_points)[1]


class UCB(BaseAcquisition):
    """Upper confidence bound, a(x) = mean + kappa std.

    Use it where results are noisy, or to set exploration by hand.

    Args:
        kappa: number >= 0; larger explores more.

    Raises:
        SettingError: `kappa` negative or not finite.

    Source: Srinivas et al., ICML 2010 (arXiv 0912.3995), eq. 6.

    ```python
    UCB(kappa=2.0)(jnp.zeros(3), jnp.ones(3))  # [2., 2., 2.]
    ```
    """

    kappa: float = 2.0

    def __check_init__(self):
        check_number("kappa", self.kappa, 0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        return mean + self.kappa * std


class EI(BaseAcquisition):
    """Expected improvement, a(x) = (mean - xi - y_max) Phi(z) + std phi(z) with
    z = (mean - xi - y_max) / std.

    At `std = 0` it is max(mean - xi - y_max, 0). Far from the incumbent it underflows
    to 0; `LogEI` has the same maximum and does not.

    Args:
        xi: number >= 0, the improvement (in standard deviations of the results) below
            which a point is worth nothing.

    Raises:
        SettingError: `xi` negative or not finite.

    Source: Jones, Schonlau & Welch, J. Global Optimization 13 (1998), eq. 15.

    ```python
    EI(xi=0.0)(jnp.zeros(1), jnp.ones(1), y_max=0.0)  # [0.3989]
    ```
    """

    xi: float = 0.01

    def __check_init__(self):
        check_number("xi", self.xi, 0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = mean - self.xi - y_max
        certain, z = _standardised(gap, std)
        value = gap * normal_cdf(z) + std * normal_pdf(z)
        return jnp.where(certain, jnp.maximum(gap, 0.0), value)


class PI(BaseAcquisition):
    """Probability of improvement, a(x) = Phi((mean - xi - y_max) / std).

    At `std = 0` it is 1 where mean - xi > y_max and 0 elsewhere. It is greedy: it asks
    how likely an improvement is, not how large. Prefer `LogEI`.

    Args:
        xi: number >= 0, the smallest improvement that counts.

    Raises:
        SettingError: `xi` negative or not finite.

    Source: Kushner, J. Basic Engineering 86 (1964).

    ```python
    PI(xi=0.0)(jnp.zeros(1), jnp.ones(1), y_max=0.0)  # [0.5]
    ```
    """

    xi: float = 0.01

    def __check_init__(self):
        check_number("xi", self.xi, 0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = mean - self.xi - y_max
        certain, z = _standardised(gap, std)
        return jnp.where(certain, (gap > 0).astype(gap.dtype), normal_cdf(z))


class LogEI(BaseAcquisition):
    """Logarithm of the expected improvement,
    a(x) = log(phi(z) + z Phi(z)) + log(std) with z = (mean - xi - y_max) / std.

    The same maximum as `EI`, with a gradient that still points somewhere where EI is
    zero to machine precision: the default of `BayesianSearch.tuned`.

    Args:
        xi: number >= 0, as in `EI`.

    Raises:
        SettingError: `xi` negative or not finite.

    Source: Ament et al., NeurIPS 2023 (arXiv 2310.20708), eq. 8-9.

    ```python
    LogEI()(jnp.array([-50.0]), jnp.ones(1), y_max=0.0)  # [-1258.7], where EI is 0
    ```
    """

    xi: float = 0.0

    def __check_init__(self):
        check_number("xi", self.xi, 0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = mean - self.xi - y_max
        std = jnp.maximum(std, lax.stop_gradient(_certainty(gap, std)))
        return log_expected_excess(gap / std) + jnp.log(std)


def _certainty(gap: Array, std: Array) -> Array:
    """The std that is as good as none beside `gap`.

    Above it neither gap / std nor its derivatives, down to gap / std^2, overflow.
    """
    return 1e-12 * jnp.abs(gap) + float(jnp.finfo(std.dtype).tiny) ** (1 / 3)


def _standardised(gap: Array, std: Array) -> tuple[Array, Array]:
    """Whether `std` is as good as zero beside `gap`, and gap / std where it is not."""
    certain = std <= lax.stop_gradient(_certainty(gap, std))
    safe = jnp.where(certain, 1.0, std)
    # Beyond 40 standard deviations nothing changes, but the square would overflow.
    z = jnp.clip(jnp.where(certain, 0.0, gap) / safe, -40.0, 40.0)
    return certain, z


class BaseHallucination(eqx.Module):
    """Stands in for the result of a trial that is proposed but not in yet.

    Any callable `(mean (1,), std (1,), key, y_max) -> scalar` can be a hallucination.
    """

    @abc.abstractmethod
    def __call__(
        self,
        mean: Float[Array, " 1"],
        std: Float[Array, " 1"],
        key: PRNGKeyArray,
        y_max: Float[Array, ""],
    ) -> Float[Array, ""]:
        """The result to pretend, given the posterior at the proposed point."""


class MeanHallucination(BaseHallucination):
    """The posterior mean (kriging believer).

    Source: Ginsbourger, Le Riche & Carraro (2010), Kriging is well-suited to parallelize
    optimization.
    """

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        return jnp.reshape(mean, ())


class SampleHallucination(BaseHallucination):
    """A draw from the posterior, mean + std N(0, 1) (randomised kriging believer).

    Source: arXiv 2603.01470.
    """

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        noise = jax.random.normal(key, (), mean.dtype)
        return jnp.reshape(mean, ()) + jnp.reshape(std, ()) * noise


class UCBHallucination(BaseHallucination):
    """An optimistic result, mean + kappa std.

    Args:
        kappa: number >= 0.

    Raises:
        SettingError: `kappa` negative or not finite.
    """

    kappa: float = 2.0

    def __check_init__(self):
        check_number("kappa", self.kappa, 0.0)

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        return jnp.reshape(mean, ()) + self.kappa * jnp.reshape(std, ())


class ConstantHallucination(BaseHallucination):
    """Always the same result (constant liar).

    Args:
        value: the result, in standard deviations of the results from their mean, higher
            is better; None takes the incumbent `y_max`.

    Raises:
        SettingError: `value` not a finite number.

    Source: Ginsbourger, Le Riche & Carraro (2010), Kriging is well-suited to parallelize
    optimization.
    """

    value: float | None = None

    def __check_init__(self):
        if self.value is not None:
            check_number("value", self.value, float("-inf"))

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        value = y_max if self.value is None else self.value
        return jnp.reshape(jnp.asarray(value, mean.dtype), ())
