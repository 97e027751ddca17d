"""What a search believes about the objective, in the units of its results."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hyperopt_jax._numerics import cholesky, matmul
from hyperopt_jax.bayesian._state import (
    BayesianSearchState,
    in_cube,
    kernel_for,
    nugget_for,
    points_in_cube,
)
from hyperopt_jax.bayesian._subset import modelled
from hyperopt_jax.bayesian._targets import Targets, targets_of
from hyperopt_jax.gp import Posterior, condition
from hyperopt_jax.history import best_row, losses
from hyperopt_jax.spaces import codec_of

if TYPE_CHECKING:
    from hyperopt_jax.bayesian._search import BayesianSearch


def surrogate(
    optimizer: "BayesianSearch", state: BayesianSearchState
) -> tuple[Posterior, Targets]:
    """The Gaussian process given the successful trials, and its targets."""
    codec, trials = codec_of(state.space), state.trials
    targets = targets_of(trials, optimizer.maximize, optimizer.ranked)
    U, t, ok = in_cube(codec, trials), targets.t, trials.succeeded
    subset = modelled(U, t, ok, best_row(trials, optimizer.maximize))
    if subset is not None:
        rows, ok = subset
        U, t = U[rows], t[rows]
    posterior = condition(
        kernel_for(optimizer.kernel, codec),
        state.hyper,
        codec.features(U),
        t,
        ok,
        nugget_for(optimizer.jitter, t.shape[0], t.dtype),
    )
    return posterior, targets


def mean_and_std(
    optimizer: "BayesianSearch", state: BayesianSearchState, X: Float[Array, "m c"]
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Posterior mean and standard deviation of the objective at the values `X`."""
    posterior, targets = surrogate(optimizer, state)
    mean, std = posterior.mean_and_std(_features(state, X))
    return _result(optimizer, targets, mean), 8 * (targets.scale * std)


def draws(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    key: PRNGKeyArray,
    X: Float[Array, "m c"],
    n_samples: int,
) -> Float[Array, "s m"]:
    """Joint draws of the objective at the values `X`."""
    posterior, targets = surrogate(optimizer, state)
    mean, covariance = posterior.mean_and_covariance(_features(state, X))
    m = mean.shape[0]
    # In units of the prior variance, from which the covariance is what a difference left:
    # near the trials, rounding may leave less than nothing.
    unit = jnp.exp(posterior.hyper.log_amplitude) * posterior.kernel.variance
    rounding = jnp.asarray(m * float(jnp.finfo(mean.dtype).eps), mean.dtype)
    L = cholesky(covariance / unit, rounding) * jnp.sqrt(unit)
    normal = jax.random.normal(key, (n_samples, m), mean.dtype)
    return _result(optimizer, targets, mean[None, :] + matmul(normal, L.T))


def recommended_row(
    optimizer: "BayesianSearch", state: BayesianSearchState
) -> Int[Array, ""]:
    """The recorded trial with the best posterior mean.

    Of those that the surrogate cannot tell apart, since it takes its nugget for noise,
    the one with the best result.
    """
    posterior, _ = surrogate(optimizer, state)
    codec, trials = codec_of(state.space), state.trials
    mean, _ = posterior.mean_and_std(codec.features(in_cube(codec, trials)))
    mean = jnp.where(trials.succeeded, mean, -jnp.inf)
    is_best = mean >= jnp.max(mean) - jnp.sqrt(posterior.nugget)
    return jnp.argmin(jnp.where(is_best, losses(trials, optimizer.maximize), jnp.inf))


def _features(
    state: BayesianSearchState, X: Float[Array, "m c"]
) -> Float[Array, "m p"]:
    codec = codec_of(state.space)
    return codec.features(codec.snap(points_in_cube(codec, X)))


def _result(optimizer: "BayesianSearch", targets: Targets, t: Array) -> Array:
    """The results that targets stand for."""
    loss = 8 * (targets.location - targets.scale * t)
    return -loss if optimizer.maximize else loss
