"""What a Bayesian search knows, and what its surrogate makes of it."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from hyperopt_jax import history
from hyperopt_jax._numerics import masked_quartiles, rounding_of
from hyperopt_jax.base import OptimizerState
from hyperopt_jax.gp import Hyperparameters
from hyperopt_jax.kernels import BaseKernel, TiedKernel
from hyperopt_jax.spaces import Codec


class BayesianSearchState(OptimizerState):
    """What a Bayesian search knows.

    `X (n_max, n_columns)`: parameter values as the user sees them; `y (n_max,)`: raw
    results, 0 for a failed trial; `mask (n_max,)`: rows that hold a trial; `failed
    (n_max,)`: those whose result was not finite. `log_length_scale (n_groups,)`,
    `log_amplitude`, `log_noise`: logarithms of the surrogate's hyperparameters, lengths
    in the unit cube, variances in units of the results' variance. `status`:
    `Status.BUFFER_FULL` once results had to be dropped.
    """

    space: PyTree
    X: Float[Array, "n_max n_columns"]
    y: Float[Array, " n_max"]
    mask: Bool[Array, " n_max"]
    failed: Bool[Array, " n_max"]
    log_length_scale: Float[Array, " n_groups"]
    log_amplitude: Float[Array, ""]
    log_noise: Float[Array, ""]
    status: Int[Array, ""]

    @property
    def trials(self) -> history.Trials:
        """The record of trials."""
        return history.Trials(self.X, self.y, self.mask, self.failed)

    @property
    def hyper(self) -> Hyperparameters:
        """The surrogate's hyperparameters."""
        return Hyperparameters(
            self.log_length_scale, self.log_amplitude, self.log_noise
        )


def in_cube(codec: Codec, trials: history.Trials) -> Float[Array, "c d"]:
    """The recorded points in the unit cube; the middle of it where there is none.

    Values told from outside the bounds go to the nearest face.
    """
    U = points_in_cube(codec, trials.X)
    return jnp.where(trials.mask[:, None], U, 0.5)


def points_in_cube(codec: Codec, X: Float[Array, "n c"]) -> Float[Array, "n d"]:
    """The values `X` in the unit cube, those from outside the bounds on its faces."""
    U = codec.encode(X)
    return jnp.clip(jnp.where(jnp.isnan(U), 0.5, U), 0.0, 1.0)


def kernel_for(kernel: BaseKernel, codec: Codec) -> BaseKernel:
    """`kernel` on the features of a space, one length scale a group of them."""
    groups = codec.feature_groups.tolist()
    if groups == list(range(len(groups))):
        return kernel
    return TiedKernel(kernel.length_scale, kernel, tuple(groups))


class Targets(NamedTuple):
    """What the surrogate models: standardised results `t`, higher is better.

    A target stands for the loss `8 * (location - scale * t)` (results, or minus results
    where they are maximised). Eighths, since differences of results at both ends of the
    float range overflow.
    """

    t: Float[Array, " c"]
    location: Float[Array, ""]
    scale: Float[Array, ""]


def targets_of(trials: history.Trials, maximize: bool) -> Targets:
    """The targets of the recorded trials.

    The bad side is winsorised at the upper quartile plus one and a half times the
    interquartile range, so that one disaster does not flatten everything else. Failed
    trials stand at the worst target; free rows at 0.
    """
    ok = trials.succeeded
    count = jnp.sum(ok, dtype=jnp.int32)
    loss = jnp.where(ok, history.losses(trials, maximize) / 8, 0.0)
    q1, q3 = masked_quartiles(loss, ok, count)
    cap = q3 + 1.5 * (q3 - q1)
    # Results may be near an end of the float range: scale before anything is squared.
    # The scaled results span at least two fifths of [0, 1], so their variance is safe
    # to take from the two moments at once.
    best = jnp.min(jnp.where(ok, loss, jnp.inf))
    # Differences that processors take for zero are none.
    width = cap - best
    spread = jnp.where(width > float(jnp.finfo(loss.dtype).tiny), width, 1 / 8)
    excess = jnp.where(ok, (jnp.minimum(loss, cap) - best) / spread, 0.0)
    moments = jnp.sum(jnp.stack([excess, excess**2]), axis=1)
    mean, square = moments / jnp.maximum(count, 1).astype(loss.dtype)
    variance = square - mean**2
    std = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    targets = jnp.where(ok, (mean - excess) / std, 0.0)
    failed = trials.mask & ~ok
    return Targets(
        jnp.where(failed, jnp.min(targets), targets),
        jnp.where(jnp.isfinite(best), best, 0.0) + spread * mean,
        spread * std,
    )


def nugget_for(jitter: Any, n: int, dtype: Any) -> Float[Array, ""]:
    """What is added to the diagonal: the jitter, and what rounding needs at `n` rows."""
    return jnp.asarray(jitter + rounding_of(n, dtype), dtype)
