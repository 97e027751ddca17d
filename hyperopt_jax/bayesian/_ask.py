"""Proposing a batch: a design while there is no model, then the acquisition's maxima."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax import maximise
from hyperopt_jax._numerics import hashed_uniform
from hyperopt_jax.bayesian._state import (
    BayesianSearchState,
    in_cube,
    kernel_for,
    nugget_for,
    targets_of,
)
from hyperopt_jax.gp import Hyperparameters, condition
from hyperopt_jax.spaces import Codec

if TYPE_CHECKING:
    from hyperopt_jax.bayesian._search import BayesianSearch


class _Slots(NamedTuple):
    """The record in the unit cube, with free rows at the end for the batch."""

    U: Float[Array, "n d"]
    targets: Float[Array, " n"]
    recorded: Bool[Array, " n"]
    succeeded: Bool[Array, " n"]


def propose(
    optimizer: "BayesianSearch", state: BayesianSearchState, key: PRNGKeyArray
) -> Float[Array, "q d"]:
    """The next batch as a table of values."""
    codec, trials = Codec(state.space), state.trials
    pad = (0, optimizer.n_parallel - 1)
    slots = _Slots(
        jnp.pad(in_cube(codec, trials), (pad, (0, 0)), constant_values=0.5),
        jnp.pad(targets_of(trials, optimizer.maximize), pad),
        jnp.pad(trials.mask, pad),
        jnp.pad(trials.succeeded, pad),
    )
    shape = (optimizer.n_parallel, codec.n_coordinates + 1)
    shifts = hashed_uniform(key, shape, slots.U.dtype)
    no_model = (trials.n_recorded < optimizer.n_warmup) | ~jnp.any(trials.succeeded)
    U = lax.cond(
        no_model,
        lambda: _warm_up(optimizer, codec, slots, trials.n_recorded, shifts, key),
        lambda: _model_based(
            optimizer, codec, slots, trials.n_recorded, state.hyper, shifts, key
        ),
    )
    if not codec.has_constraints:
        return codec.decode(U)
    # Nothing feasible was found at all: the status of the study will say so.
    lost = jnp.isnan(U).any(axis=1, keepdims=True)
    return jnp.where(lost, jnp.nan, codec.decode(U))


def _warm_up(
    optimizer: "BayesianSearch",
    codec: Codec,
    slots: _Slots,
    count: Int[Array, ""],
    shifts: Float[Array, "q s"],
    key: PRNGKeyArray,
) -> Float[Array, "q d"]:
    """A batch chosen without a model, one slot after the other."""
    centre = jnp.full((1, codec.n_coordinates), 0.5, slots.U.dtype)

    def fill(carry: tuple, slot: tuple) -> tuple[tuple, Array]:
        U, recorded = carry
        i, shift = slot
        net = maximise.net(shift, optimizer.n_candidates)
        if optimizer.warmup == "spread":
            # Before there is anything to be far from, all are equal and the first wins.
            net = jnp.concatenate([centre, net[1:]])
            points = _feasible(codec, net, jax.random.fold_in(key, i))
            score = maximise.clearance(points, U, recorded)
        else:
            points = _feasible(codec, net, jax.random.fold_in(key, i))
            score = maximise.draw_order(shift, optimizer.n_candidates)
        u = points[jnp.argmax(_unless_taken(codec, score, points, U, recorded))]
        is_row = jnp.arange(U.shape[0], dtype=jnp.int32) == count + i
        U = jnp.where(is_row[:, None], u[None, :], U)
        return (U, recorded | is_row), u

    return _fill_slots(fill, (slots.U, slots.recorded), shifts)


def _model_based(
    optimizer: "BayesianSearch",
    codec: Codec,
    slots: _Slots,
    count: Int[Array, ""],
    hyper: Hyperparameters,
    shifts: Float[Array, "q s"],
    key: PRNGKeyArray,
) -> Float[Array, "q d"]:
    """A batch that maximises the acquisition, one slot after the other.

    Each proposal is added to the posterior with a hallucinated result before the next
    slot is filled.
    """
    n = slots.U.shape[0]
    U, t, recorded, ok = slots
    posterior = condition(
        kernel_for(optimizer.kernel, codec),
        hyper,
        codec.features(U),
        t,
        recorded,
        nugget_for(optimizer.jitter, n, t.dtype),
    )
    best_row = jnp.argmax(jnp.where(ok, t, -jnp.inf))
    incumbent = U[best_row]

    def fill(carry: tuple, slot: tuple) -> tuple[tuple, Array]:
        posterior, U, y_max = carry
        i, shift = slot

        def score(points: Float[Array, "m d"]) -> Float[Array, " m"]:
            mean, std = posterior.mean_and_std(codec.features(points))
            value = optimizer.acquisition(mean, std, y_max)
            return _unless_taken(codec, value, points, U, posterior.mask)

        slot_key = jax.random.fold_in(key, i)
        start = maximise.candidates(shift, incumbent, optimizer.n_candidates, codec)
        u = maximise.maximise(
            score,
            _feasible(codec, start, slot_key),
            ~codec.is_discrete,
            optimizer.n_restarts,
            optimizer.n_lbfgs_steps,
            codec,
        )
        features = codec.features(u[None, :])
        mean, std = posterior.mean_and_std(features)
        result = optimizer.hallucination(mean, std, slot_key, y_max)
        result = jnp.asarray(result, t.dtype).reshape(())
        posterior = posterior.append(features[0], result, count + i)
        is_row = jnp.arange(n, dtype=jnp.int32) == count + i
        U = jnp.where(is_row[:, None], u[None, :], U)
        return (posterior, U, jnp.maximum(y_max, result)), u

    return _fill_slots(fill, (posterior, U, t[best_row]), shifts)


def _fill_slots(
    fill: Callable[[Any, Any], tuple[Any, Array]],
    carry: Any,
    shifts: Float[Array, "q s"],
) -> Float[Array, "q d"]:
    """The points of a batch, each chosen by `fill` in the light of those before it."""
    q = shifts.shape[0]
    if q == 1:
        # No loop: what `fill` prepares for the next slot is then never compiled.
        return fill(carry, (jnp.int32(0), shifts[0]))[1][None, :]
    return lax.scan(fill, carry, (jnp.arange(q, dtype=jnp.int32), shifts))[1]


def _feasible(
    codec: Codec, points: Float[Array, "m d"], key: PRNGKeyArray
) -> Float[Array, "m d"]:
    """`points` at values that can be evaluated; all of them where the space is small."""
    if codec.is_discrete.all():
        points = maximise.enumerated(codec, points)
    points, found = codec.feasible(points, key)
    return jnp.where(found, points, jnp.nan) if codec.has_constraints else points


def _unless_taken(
    codec: Codec,
    score: Float[Array, " m"],
    points: Float[Array, "m d"],
    U: Float[Array, "n d"],
    recorded: Bool[Array, " n"],
) -> Float[Array, " m"]:
    """-inf for points that were proposed before, in a space where points repeat."""
    if not codec.is_discrete.all():
        return score
    taken = maximise.is_taken(points, U, recorded)
    return jnp.where(taken & jnp.isfinite(score), -jnp.inf, score)
