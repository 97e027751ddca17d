"""Recording a batch and tuning the surrogate's hyperparameters."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax import history, maximise
from hyperopt_jax.bayesian._state import (
    BUFFER_GROWTH,
    SMALLEST_BUFFER,
    BayesianSearchState,
    in_cube,
    kernel_for,
    nugget_for,
    points_in_cube,
)
from hyperopt_jax.bayesian._targets import targets_of
from hyperopt_jax.errors import Status
from hyperopt_jax.gp import Hyperparameters, fit
from hyperopt_jax.spaces import Codec, codec_of

if TYPE_CHECKING:
    from hyperopt_jax.bayesian._search import BayesianSearch

# The hyperparameters are tuned again each time the record has grown by a fifth, every
# update while it is small; and so many times at most where it has grown by more at once.
REFITS_PER_DOUBLING = 4
MAX_REFITS = 10

MIN_FIT_ROWS, MAX_FIT_ROWS = 64, 512


def tell(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    results: Float[Array, " q"],
    X: Float[Array, "q d"],
    n_new: Int[Array, ""] | int,
) -> BayesianSearchState:
    """The state with the first `n_new` of a batch added, the hyperparameters tuned."""
    codec, lost = codec_of(state.space), None
    is_new = jnp.arange(len(X), dtype=jnp.int32) < n_new
    if codec.has_constraints:
        # Whatever an objective says of what is no point.
        lost = codec.is_lost(X) & is_new
        results = jnp.where(lost, jnp.nan, results)
    trials, had_room = history.append(state.trials, X, results, n_new)
    hyper = state.hyper
    if optimizer.n_hparam_steps:
        # A loop where one fit at most is due too: of stacked states a `vmap` runs both
        # branches of a condition every time, and a loop only where a study needs it.
        hyper = lax.fori_loop(
            0,
            _refits_due(state.trials.n_recorded, trials.n_recorded),
            lambda _, hyper: _tuned(hyper, optimizer, codec, trials),
            hyper,
        )
    status = state.status
    if codec.is_discrete.all() and len(X):
        none_left = _went_round(codec, trials, X, is_new)
        status = jnp.where(none_left, jnp.int32(Status.EXHAUSTED), status)
    status = jnp.where(had_room, status, jnp.int32(Status.BUFFER_FULL))
    if lost is not None:
        status = jnp.where(lost.any(), jnp.int32(Status.INFEASIBLE), status)
    return state.replace(
        **trials._asdict(),
        log_length_scale=hyper.log_length_scale,
        log_amplitude=hyper.log_amplitude,
        log_noise=hyper.log_noise,
        status=status,
    )


def _went_round(
    codec: Codec,
    trials: history.Trials,
    X: Float[Array, "q c"],
    is_new: Bool[Array, " q"],
) -> Bool[Array, ""]:
    """Whether a batch, recorded, repeats a trial because there is no other point."""
    V, U = points_in_cube(codec, X), in_cube(codec, trials)
    repeats = is_new & (maximise.times_taken(V, U, trials.mask) > 1)
    # With nothing repeated there is nothing to look for either.
    taken = trials.mask & repeats.any()
    v = maximise.untaken(codec, V[jnp.argmax(repeats)], U, taken)
    return maximise.is_taken(v[None, :], U, taken)[0]


def _tuned(
    hyper: Hyperparameters,
    optimizer: "BayesianSearch",
    codec: Codec,
    trials: history.Trials,
) -> Hyperparameters:
    """`hyper` after `n_hparam_steps` more on the record."""
    rows, in_use = _fit_rows(trials)
    ok = trials.succeeded
    t = jnp.where(ok, targets_of(trials, optimizer.maximize, optimizer.ranked).t, 0.0)
    return fit(
        kernel_for(optimizer.kernel, codec),
        hyper,
        codec.features(in_cube(codec, trials))[rows],
        t[rows],
        ok[rows] & in_use,
        nugget_for(optimizer.jitter, rows.shape[0], t.dtype),
        optimizer.n_hparam_steps,
        codec.n_active_groups(),
    )


def _fit_rows(trials: history.Trials) -> tuple[Int[Array, " m"], Bool[Array, " m"]]:
    """The rows on which hyperparameters are tuned, and which of these to use.

    All, or evenly spread ones. How many are used depends on the number of trials and not
    on the room for them, of which there may be more inside a program.
    """
    capacity, n = trials.mask.shape[0], trials.n_recorded
    size = SMALLEST_BUFFER
    used = jnp.int32(_n_fit_rows(min(size, capacity)))
    while size < capacity:
        is_larger, size = n > size, size * BUFFER_GROWTH
        larger = jnp.int32(_n_fit_rows(min(size, capacity)))
        used = jnp.where(is_larger, larger, used)
    row = jnp.arange(_n_fit_rows(capacity), dtype=jnp.int32)
    place = row * jnp.maximum(n, used) // used
    return jnp.minimum(place, capacity - 1), row < used


def _n_fit_rows(capacity: int) -> int:
    """On how many rows of a buffer hyperparameters are tuned.

    At most half of them (and no fewer than `MIN_FIT_ROWS`, no more than `MAX_FIT_ROWS`),
    which costs an eighth of the whole and tells a few numbers nearly as well.
    """
    return min(capacity, max(MIN_FIT_ROWS, min(capacity // 2, MAX_FIT_ROWS)))


def _refits_due(before: Int[Array, ""], after: Int[Array, ""]) -> Int[Array, ""]:
    """How many marks of a scale with `REFITS_PER_DOUBLING` marks the record passed.

    No more than trials: those of a batch, or of an earlier study, tune as often together
    as they would have one after the other, but for `MAX_REFITS`.
    """

    def mark(n: Int[Array, ""]) -> Array:
        n = jnp.maximum(n, 1).astype(jnp.float32)
        return jnp.floor(REFITS_PER_DOUBLING * jnp.log2(n) + 1e-4).astype(jnp.int32)

    passed = jnp.minimum(mark(after) - mark(before), after - before)
    return jnp.minimum(passed, MAX_REFITS)
