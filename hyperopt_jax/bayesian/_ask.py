"""Proposing a batch: a design while there is no model, then the acquisition's maxima."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax import maximise
from hyperopt_jax._numerics import hashed_uniform
from hyperopt_jax.bayesian import _explore as explore, _region as region
from hyperopt_jax.bayesian._state import (
    BayesianSearchState,
    in_cube,
    kernel_for,
    nugget_for,
    points_in_cube,
)
from hyperopt_jax.bayesian._subset import modelled
from hyperopt_jax.bayesian._targets import targets_of
from hyperopt_jax.errors import SettingError
from hyperopt_jax.gp import (
    Hyperparameters,
    Local,
    Posterior,
    condition,
    expand,
    noise_shows,
)
from hyperopt_jax.history import losses
from hyperopt_jax.spaces import Codec, codec_of

if TYPE_CHECKING:
    from hyperopt_jax.bayesian._search import BayesianSearch


# The models of a batch have rows in multiples of this, the widest registers of a CPU. Else
# XLA compiles what is left over at their ends apart, which takes a tenth of its time.
ROWS_AT_ONCE = 16


class _Slots(NamedTuple):
    """The record in the unit cube, with free rows at the end for the batch."""

    U: Float[Array, "n d"]
    losses: Float[Array, " n"]
    targets: Float[Array, " n"]
    recorded: Bool[Array, " n"]
    succeeded: Bool[Array, " n"]


class _Running(NamedTuple):
    """The trials that still run: the first `n` of the points `U`."""

    U: Float[Array, "p d"]
    n: Int[Array, ""]

    def rows_before(self, count: Int[Array, ""]) -> Int[Array, " p"]:
        """The rows of these trials, which end before row `count`; else past the end."""
        i = jnp.arange(len(self.U), dtype=jnp.int32)
        return jnp.where(i < self.n, count - self.n + i, jnp.iinfo(jnp.int32).max)

    def put_before(
        self, count: Int[Array, ""], table: Float[Array, "n d"]
    ) -> Float[Array, "n d"]:
        """`table` with these trials in their rows."""
        return table.at[self.rows_before(count)].set(self.U, mode="drop")


def propose(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    key: PRNGKeyArray,
    pending: tuple[Float[Array, "p c"], Int[Array, ""]] | None = None,
) -> Float[Array, "q c"]:
    """The next batch as a table of values.

    `pending`: a table, and how many of its first rows are trials that still run.
    """
    codec, trials = codec_of(state.space), state.trials
    running = None
    if pending is not None:
        running = _Running(points_in_cube(codec, pending[0]), pending[1])
    n, n_free = len(trials.mask), _n_free(optimizer, running)
    pad = (0, _rounded_up(n + n_free) - n if n_free > 0 else 0)
    slots = _Slots(
        jnp.pad(in_cube(codec, trials), (pad, (0, 0)), constant_values=0.5),
        jnp.pad(losses(trials, optimizer.maximize), pad, constant_values=jnp.inf),
        jnp.pad(targets_of(trials, optimizer.maximize, optimizer.ranked).t, pad),
        jnp.pad(trials.mask, pad),
        jnp.pad(trials.succeeded, pad),
    )
    shape = (optimizer.n_parallel, codec.n_coordinates + 1)
    shifts = hashed_uniform(key, shape, slots.U.dtype)
    count = trials.n_recorded
    if running is not None:
        count = count + running.n
    no_model = (count < optimizer.n_warmup) | ~jnp.any(trials.succeeded)
    U = lax.cond(
        no_model,
        lambda: _warm_up(optimizer, codec, slots, running, count, shifts, key),
        lambda: _model_based(
            optimizer, codec, slots, running, count, state.hyper, shifts, key
        ),
    )
    if codec.is_discrete.all():
        U = _never_twice(codec, U, slots, running, count)
    # Where nothing feasible was found at all, the status of the study will say so.
    return codec.decode_found(U, ~jnp.isnan(U).any(axis=1, keepdims=True))


def _n_free(optimizer: "BayesianSearch", running: _Running | None) -> int:
    """How many rows of its models a batch may fill with hallucinated results."""
    return optimizer.n_parallel - 1 + (0 if running is None else len(running.U))


def _rounded_up(n_rows: int) -> int:
    return n_rows + -n_rows % ROWS_AT_ONCE


def _warm_up(
    optimizer: "BayesianSearch",
    codec: Codec,
    slots: _Slots,
    running: _Running | None,
    count: Int[Array, ""],
    shifts: Float[Array, "q s"],
    key: PRNGKeyArray,
) -> Float[Array, "q d"]:
    """A batch chosen without a model, one slot after the other."""
    U, recorded = slots.U, slots.recorded
    if running is not None:
        U = running.put_before(count, U)
        # Those before them are recorded, and none is after them.
        recorded = jnp.arange(len(U), dtype=jnp.int32) < count
    centre = jnp.full((1, codec.n_coordinates), 0.5, slots.U.dtype)
    n_design = max(optimizer.n_warmup, optimizer.n_parallel)

    def fill(carry: tuple, slot: tuple) -> tuple[tuple, Array]:
        U, recorded = carry
        i, shift = slot
        net = maximise.net(shift, optimizer.n_candidates)
        if optimizer.warmup == "spread":
            # Where all of it failed, what follows may lie anywhere.
            inner = maximise.at_centres_of_cells(net, n_design, codec)
            net = jnp.where(count + i < n_design, inner, net)
            # Before there is anything to be far from, all are equal and the first wins.
            net = jnp.concatenate([centre, net])
            points = _feasible(codec, net, jax.random.fold_in(key, i))
            score = maximise.clearance(points, U, recorded)
        else:
            points = _feasible(codec, net, jax.random.fold_in(key, i))
            score = maximise.draw_order(shift, optimizer.n_candidates)
        u = points[jnp.argmax(_unless_taken(codec, score, points, U, recorded))]
        is_row = jnp.arange(U.shape[0], dtype=jnp.int32) == count + i
        U = jnp.where(is_row[:, None], u[None, :], U)
        return (U, recorded | is_row), u

    return _fill_slots(fill, (U, recorded), shifts)


class _Batch(NamedTuple):
    """What the proposals of a batch share."""

    optimizer: "BayesianSearch"
    codec: Codec
    seen: _Slots
    n_unseen: Int[Array, ""] | int
    static: Any  # the part of the models that is no array
    incumbent: Float[Array, " d"]
    reach: Float[Array, ""]
    uses_local: Bool[Array, ""]
    first_row: Int[Array, ""]  # after the trials told and the running ones
    place: Int[Array, ""]  # in the cycles of local and of exploring trials


class _Filled(NamedTuple):
    """A batch as it grows: the arrays of its models, and all points."""

    models: Any
    U: Float[Array, "n d"]


def _model_based(
    optimizer: "BayesianSearch",
    codec: Codec,
    slots: _Slots,
    running: _Running | None,
    count: Int[Array, ""],
    hyper: Hyperparameters,
    shifts: Float[Array, "q s"],
    key: PRNGKeyArray,
) -> Float[Array, "q d"]:
    """A batch that maximises the acquisition, one slot after the other.

    Each proposal, and before them each trial that still runs, is added to the posterior
    with a hallucinated result before the next slot is filled.
    """
    so_far = region.progress(slots.U, slots.losses, count)
    incumbent = slots.U[so_far.best_row]
    n_free = _n_free(optimizer, running)
    # A part of a record has rows in multiples too: `MAX_ROWS` of it is one.
    seen, best_row, n_unseen = _seen(slots, so_far.best_row, _rounded_up(n_free))
    so_far = so_far._replace(best_row=best_row)
    n_at_once = optimizer.n_parallel + (0 if running is None else running.n)
    reach = region.reach(so_far, optimizer.n_local, n_at_once)
    models, uses_local = _models(
        optimizer, codec, seen, hyper, so_far, reach, alone=n_free == 0
    )
    arrays, static = eqx.partition(models, eqx.is_array)
    # One of a batch nearly always improves a little, which must not keep the others from
    # searching everywhere: there the cycles go by trial number.
    place = so_far.failures if optimizer.n_parallel == 1 else count
    batch = _Batch(
        optimizer=optimizer,
        codec=codec,
        seen=seen,
        n_unseen=n_unseen,
        static=static,
        incumbent=incumbent,
        reach=reach,
        uses_local=uses_local,
        first_row=count,
        place=place,
    )
    filled = _Filled(arrays, slots.U)

    def fill(filled: _Filled, slot: tuple) -> tuple[_Filled, Array]:
        i, shift = slot
        slot_key = jax.random.fold_in(key, i)
        u = _proposal(batch, filled, i, shift, slot_key)
        return _believe(batch, filled, u, count + i, slot_key), u

    if running is not None:
        rows = running.rows_before(count)

        def wait_for(i: Int[Array, ""], filled: _Filled) -> _Filled:
            row_key = jax.random.fold_in(key, rows[i])
            return _believe(batch, filled, running.U[i], rows[i], row_key)

        filled = lax.fori_loop(0, running.n, wait_for, filled)
    return _fill_slots(fill, filled, shifts)


def _proposal(
    batch: _Batch,
    filled: _Filled,
    i: Int[Array, ""],
    shift: Float[Array, " s"],
    key: PRNGKeyArray,
) -> Float[Array, " d"]:
    """The point for slot `i`: where the acquisition is highest, or one that explores."""
    optimizer, codec = batch.optimizer, batch.codec
    place = batch.place + i
    local = batch.uses_local & region.is_local(place, optimizer.n_local)
    posterior = _model_of(eqx.combine(filled.models, batch.static), local)
    box = region.box(batch.incumbent, batch.reach, local, codec)
    start = maximise.candidates(
        shift, batch.incumbent, box, optimizer.n_candidates, codec
    )
    n_greedy, drawn = optimizer.n_greedy, None
    if n_greedy is not None:
        drawn = ~local & explore.is_drawn(place, n_greedy)
        # Before constraints move rows about: none may come from near the incumbent.
        start = jnp.where(drawn, maximise.net(shift, optimizer.n_candidates), start)
    start = _feasible(codec, start, key)
    taken = jnp.arange(filled.U.shape[0], dtype=jnp.int32) < batch.first_row + i

    def is_known(points: Float[Array, "m d"]) -> Bool[Array, " m"]:
        # A corner of the cube that is best is where every start would end, trial after
        # trial. Elsewhere the last steps of a polish may be small, but not nothing.
        return maximise.is_repeated(points, filled.U, taken)

    def highest() -> Float[Array, " d"]:
        acquire = optimizer.acquisition.bound(
            posterior,
            codec.features(start),
            posterior.mask & ~batch.seen.recorded,
            posterior.incumbent(),
            jax.random.fold_in(key, 1),
        )

        def score(points: Float[Array, "m d"]) -> Float[Array, " m"]:
            value = _as_scores(acquire(codec.features(points)), points.shape[0])
            return _unless_taken(codec, value, points, filled.U, taken)

        return maximise.maximise(
            score,
            start,
            box,
            ~codec.is_discrete,
            optimizer.n_restarts,
            optimizer.n_lbfgs_steps,
            codec,
            is_known,
        )

    if n_greedy is None:
        return highest()

    def at_random() -> Float[Array, " d"]:
        mean, std = posterior.mean_and_std(codec.features(start))
        uniform = hashed_uniform(jax.random.fold_in(key, 2), mean.shape, mean.dtype)
        y_max = posterior.incumbent()
        order = explore.order(place, n_greedy, mean, std, y_max, uniform)
        order = _unless_taken(codec, order, start, filled.U, taken)
        return start[jnp.argmax(order)]

    return lax.cond(drawn, at_random, highest)


def _believe(
    batch: _Batch,
    filled: _Filled,
    u: Float[Array, " d"],
    row: Int[Array, ""],
    key: PRNGKeyArray,
) -> _Filled:
    """The batch with a hallucinated result at `u`, in `row` of the record.

    It is the global model's: a quadratic promises too much at some distance, and the
    slots that search everywhere would believe it.
    """
    models = eqx.combine(filled.models, batch.static)
    features = batch.codec.features(u[None, :])
    posterior = _model_of(models, jnp.asarray(False))
    mean, std = posterior.mean_and_std(features)
    result = batch.optimizer.hallucination(mean, std, key, posterior.incumbent())
    result = _as_belief(result).astype(mean.dtype)
    models = _grown(models, features[0], result, row - batch.n_unseen)
    is_row = jnp.arange(filled.U.shape[0], dtype=jnp.int32) == row
    U = jnp.where(is_row[:, None], u[None, :], filled.U)
    return _Filled(eqx.filter(models, eqx.is_array), U)


def _as_belief(result: Any) -> Float[Array, ""]:
    """What a hallucination returned; raises `SettingError` where it is no number."""
    try:
        array = jnp.asarray(result)
    except (TypeError, ValueError):
        array = None
    if array is None or array.size != 1:
        got = repr(result) if array is None else f"shape {array.shape}"
        raise SettingError(f"expected hallucination to return one number, got {got}")
    return array.reshape(())


def _as_scores(values: Any, m: int) -> Float[Array, " m"]:
    """What an acquisition returned; raises `SettingError` where it is no score a point."""
    if jnp.shape(values) != (m,):
        raise SettingError(
            f"expected acquisition to return a score for each of {m} points, got shape "
            f"{jnp.shape(values)}"
        )
    return values


def _seen(
    slots: _Slots, best_row: Int[Array, ""], n_free: int
) -> tuple[_Slots, Int[Array, ""], Int[Array, ""] | int]:
    """What the models see of the record, with `n_free` rows for the batch.

    With the best trial's row in it, and how many trials are left out.
    """
    subset = modelled(slots.U, slots.targets, slots.recorded, best_row, n_free)
    if subset is None:
        return slots, best_row, 0
    rows, hold = subset
    seen = _Slots(*(column[rows] for column in slots))
    seen = seen._replace(recorded=hold, succeeded=seen.succeeded & hold)
    n_unseen = jnp.sum(slots.recorded) - jnp.sum(hold)
    return seen, jnp.argmax(rows == best_row), n_unseen.astype(jnp.int32)


def _models(
    optimizer: "BayesianSearch",
    codec: Codec,
    slots: _Slots,
    hyper: Hyperparameters,
    so_far: region.Progress,
    reach: Float[Array, ""],
    alone: bool,
) -> tuple[Posterior, Bool[Array, ""]]:
    """The posterior that a batch needs, and whether it may use the local one.

    One for a proposal that is `alone`, with no other one to believe in; else the global
    and the local one, stacked.
    """
    F, t = codec.features(slots.U), slots.targets
    kernel = kernel_for(optimizer.kernel, codec)
    nugget = nugget_for(optimizer.jitter, t.shape[0], t.dtype)

    def posterior(local: Local | None) -> Posterior:
        return condition(kernel, hyper, F, t, slots.recorded, nugget, local)

    if optimizer.n_local == 0 or codec.is_discrete.all():
        return posterior(None), jnp.asarray(False)
    centre, value = F[so_far.best_row], t[so_far.best_row]
    corner2 = region.corner2(reach, codec)
    taylor = expand(F, t, slots.succeeded, centre, value, corner2)
    noise = jnp.exp(hyper.log_noise)
    has_slope = (noise < region.MAX_NOISE_VARIANCE) & ~noise_shows(
        taylor, F, t, slots.succeeded, value, noise
    )
    uses_local = has_slope & ~so_far.on_plateau
    if optimizer.n_parallel == 1:
        uses_local = uses_local & region.is_local(so_far.failures, optimizer.n_local)
    if alone:
        return posterior(Local(taylor, value, uses_local)), uses_local
    stacked = eqx.filter_vmap(lambda use: posterior(Local(taylor, value, use)))
    return stacked(jnp.asarray([False, True])), uses_local


def _model_of(models: Posterior, local: Bool[Array, ""]) -> Posterior:
    """The model for a local or a global slot, of one or of the stacked two."""
    if models.t.ndim == 1:
        return models
    arrays, fixed = eqx.partition(models, eqx.is_array)
    picked = jax.tree.map(lambda a: a[local.astype(jnp.int32)], arrays)
    return eqx.combine(picked, fixed)


def _grown(
    models: Posterior, f: Float[Array, " p"], result: Float[Array, ""], row: Array
) -> Posterior:
    """One model or the stacked two with one more observation, at the features `f`."""
    if models.t.ndim == 1:
        return models.append(f, result, row)
    return eqx.filter_vmap(lambda model: model.append(f, result, row))(models)


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


def _never_twice(
    codec: Codec,
    batch: Float[Array, "q d"],
    slots: _Slots,
    running: _Running | None,
    count: Int[Array, ""],
) -> Float[Array, "q d"]:
    """A batch in a finite space without points that were proposed before.

    While there are others: candidates may have been too few to hold one.
    """
    U = slots.U if running is None else running.put_before(count, slots.U)
    rows = jnp.arange(U.shape[0], dtype=jnp.int32)

    def replace(U: Array, slot: tuple) -> tuple[Array, Array]:
        i, u = slot
        u = maximise.untaken(codec, u, U, rows < count + i)
        return jnp.where((rows == count + i)[:, None], u[None, :], U), u

    return _fill_slots(replace, U, batch)


def _unless_taken(
    codec: Codec,
    score: Float[Array, " m"],
    points: Float[Array, "m d"],
    U: Float[Array, "n d"],
    recorded: Bool[Array, " n"],
) -> Float[Array, " m"]:
    """-inf for points that were proposed before, in a space where points repeat.

    Where none of these is new, the best of them is proposed again.
    """
    if not codec.is_discrete.all():
        return score
    is_point = jnp.isfinite(score)
    taken = maximise.is_taken(points, U, recorded) & is_point
    return jnp.where(taken & jnp.any(is_point & ~taken), -jnp.inf, score)
