"""What a Bayesian search knows, and how its surrogate sees points and kernels."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from hyperopt_jax import history
from hyperopt_jax._numerics import rounding_of
from hyperopt_jax.base import OptimizerState
from hyperopt_jax.gp import Hyperparameters
from hyperopt_jax.kernels import BaseKernel, TiedKernel, with_periods_of_columns
from hyperopt_jax.spaces import Codec

# Trials run on buffers of 128, 512, 2048, ... rows, so that a trial costs what the
# trials so far make it cost, and not what `n_max` would. Each size is compiled anew, so
# there are few, and a usual study needs one.
SMALLEST_BUFFER, BUFFER_GROWTH = 128, 4


def buffer_size(n_rows: int, smallest: int = SMALLEST_BUFFER) -> int:
    """The least of `smallest`, 4 `smallest`, 16 `smallest`, ... that holds `n_rows`."""
    size = smallest
    while size < n_rows:
        size *= BUFFER_GROWTH
    return size


class BayesianSearchState(OptimizerState):
    """What a Bayesian search knows.

    `X (n_max, n_columns)`: parameter values as the user sees them; `y (n_max,)`: raw
    results, 0 for a failed trial; `mask (n_max,)`: rows that hold a trial; `failed
    (n_max,)`: those whose result was not finite. `log_length_scale (n_groups,)`,
    `log_amplitude`, `log_noise`: logarithms of the surrogate's hyperparameters, lengths
    in the unit cube, variances in units of the results' variance. `status`: what
    happened, a `Status`.
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
    """`kernel` on the features of a space, one length scale and period a group of them."""
    groups = codec.feature_groups.tolist()
    if groups == list(range(len(groups))):
        return kernel
    kernel = with_periods_of_columns(kernel, groups)
    return TiedKernel(kernel.length_scale, kernel, tuple(groups))


def nugget_for(jitter: Any, n: int, dtype: Any) -> Float[Array, ""]:
    """What is added to the diagonal: the jitter, and what rounding needs at `n` rows."""
    return jnp.asarray(jitter + rounding_of(n, dtype), dtype)
