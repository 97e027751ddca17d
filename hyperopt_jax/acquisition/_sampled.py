"""Acquisitions that draw from the joint posterior of many points.

A search binds them to the posterior once for each slot of a batch: what they draw is then
fixed, and the score is a smooth function of the point.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from hyperopt_jax._checks import int_setting
from hyperopt_jax._numerics import log_truncation_information
from hyperopt_jax.acquisition._base import BaseAcquisition, Scores
from hyperopt_jax.acquisition._marginal import LogEI
from hyperopt_jax.errors import SettingError
from hyperopt_jax.gp import Posterior


class ThompsonSampling(BaseAcquisition):
    """Thompson sampling, a(x) = f(x) with f a function drawn from the posterior.

    Use it for wide batches and many workers: each slot has a draw of its own, so they
    spread without any hallucination, and in time each point is proposed as often as it is
    likely to be the best. With few trials one at a time `LogEI` is the better choice.

    The draw is a path of the prior, made of random cosines, plus the exact update by the
    observations (`gp.Posterior.paths`). In a local trial it is a draw of the quadratic
    model, without the remainder, which belongs to each point alone. Results that are
    hallucinated are left out: the draw is then one given the real results.

    Args:
        n_features: random frequencies of the prior's path, >= 1. More are nearer to the
            prior far from the observations; near them the update is exact anyway.

    Raises:
        SettingError: `n_features` below 1; scores wanted of a mean and a standard
            deviation, or a kernel without spectral draws.

    Source: Thompson, Biometrika 25 (1933); Kandasamy et al., AISTATS 2018 (arXiv
    1705.09236) for batches; Wilson et al., ICML 2020 (arXiv 2002.09309) for the draw.

    ```python
    state, search = BayesianSearch.tuned(
        space, n_max=24, n_parallel=8, acquisition=ThompsonSampling()
    )
    search.get_next_params(state, jax.random.key(0))
    ```
    """

    n_features: int = int_setting("n_features", 256, low=1)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        raise SettingError(
            "expected a posterior for ThompsonSampling to draw from, got means and "
            "standard deviations; use `bound`"
        )

    def bound(
        self,
        posterior: Posterior,
        candidates: Float[Array, "c d"],
        imagined: Bool[Array, " n"],
        y_max: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> Scores:
        draw = posterior.without(imagined).paths(key, 1, self.n_features)
        return lambda points: draw(points)[:, 0]


class MaxValueEntropy(BaseAcquisition):
    """Max-value entropy search, the logarithm of what a result at x says of the maximum:

    a(x) = log mean_k (z_k phi(z_k) / (2 Phi(z_k)) - log Phi(z_k)) with
    z_k = (y_k - mean) / std, over draws y_k of the maximum.

    Use it where trials are worth what they teach: it weighs every place where the maximum
    may be, and improves little by little less eagerly than `LogEI`.

    The maxima y_k are those over the candidates of functions drawn as in
    `ThompsonSampling`, and at least five standard deviations of the noise above `y_max`,
    so that the incumbent's own neighbourhood, about which there is nothing left to learn,
    does not count. Given a mean and a standard deviation alone, `y_max` is taken for the
    maximum.

    Args:
        n_draws: draws of the maximum, >= 1.
        n_features: random frequencies of the prior's paths, >= 1.

    Raises:
        SettingError: `n_draws` or `n_features` below 1; a kernel without spectral draws.

    Source: Wang & Jegelka, ICML 2017 (arXiv 1703.01968), eq. 6 and section 3.1.

    ```python
    MaxValueEntropy()(jnp.zeros(1), jnp.ones(1), y_max=0.0)  # [-0.3665], log of log(2)
    ```
    """

    n_draws: int = int_setting("n_draws", 16, low=1)
    n_features: int = int_setting("n_features", 256, low=1)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = y_max - mean
        # Beyond a million standard deviations all points are worthless alike, and the
        # derivatives of z^2 would overflow.
        least = 1e-6 * jnp.abs(gap) + float(jnp.finfo(std.dtype).tiny) ** (1 / 3)
        std = jnp.maximum(std, lax.stop_gradient(least))
        return log_truncation_information(gap / std)

    def bound(
        self,
        posterior: Posterior,
        candidates: Float[Array, "c d"],
        imagined: Bool[Array, " n"],
        y_max: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> Scores:
        draws = posterior.paths(key, self.n_draws, self.n_features)(candidates)
        maxima = jnp.max(jnp.where(jnp.isnan(draws), -jnp.inf, draws), axis=0)
        noise = jnp.exp(posterior.hyper.log_noise) + posterior.nugget
        maxima = jnp.maximum(maxima, y_max + 5 * jnp.sqrt(noise))

        def scores(points: Float[Array, "m d"]) -> Float[Array, " m"]:
            mean, std = posterior.mean_and_std(points)
            return _log_mean(
                self.evaluate(mean[:, None], std[:, None], maxima[None, :])
            )

        return scores


class LogNoisyEI(BaseAcquisition):
    """Logarithm of the noisy expected improvement, over all that is not known for sure:

    a(x) = log E[max(f(x) - max_i f(x_i), 0)], where the x_i are all trials so far, those
    that still run and those of the same batch included.

    Use it where results are noisy, so that the best one seen owes much to luck, and for
    batches: the trials without a result are integrated over, and filling a batch slot by
    slot with it is the greedy maximisation of the batch's joint expected improvement. The
    hallucinated results do not matter to it. With no noise, one trial at a time, it is
    `LogEI`.

    Joint draws f_k of the values at the trials are made once for each slot. Given one of
    them the posterior is normal with the mean m_k(x) and a deviation s(x) that is the same
    for all, so that the inner expectation is exact and the score smooth:
    a(x) = log mean_k exp LogEI(m_k(x), s(x), max_i f_k(x_i)).

    Given a mean and a standard deviation alone, it is `LogEI`.

    Args:
        n_draws: joint draws, >= 1.

    Raises:
        SettingError: `n_draws` below 1.

    Source: Letham et al., Bayesian Analysis 14 (2019) (arXiv 1706.07094), eq. 5 and
    section 4; in logarithms as Ament et al., NeurIPS 2023 (arXiv 2310.20708).

    ```python
    state, search = BayesianSearch.tuned(
        space, n_max=24, n_parallel=4, acquisition=LogNoisyEI()
    )
    search.get_next_params(state, jax.random.key(0))
    ```
    """

    n_draws: int = int_setting("n_draws", 64, low=1)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        return LogEI().evaluate(mean, std, y_max)

    def bound(
        self,
        posterior: Posterior,
        candidates: Float[Array, "c d"],
        imagined: Bool[Array, " n"],
        y_max: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> Scores:
        exact, best = posterior.exactly_through_draws(imagined, key, self.n_draws)

        def scores(points: Float[Array, "m d"]) -> Float[Array, " m"]:
            means, std = exact.mean_and_std(points)
            return _log_mean(self.evaluate(means, std[:, None], best[None, :]))

        return scores


def _log_mean(logs: Float[Array, "m k"]) -> Float[Array, " m"]:
    """The logarithm of the mean of what each row holds the logarithms of."""
    return jax.nn.logsumexp(logs, axis=1) - math.log(logs.shape[1])
