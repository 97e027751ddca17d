"""Bayesian search: a Gaussian process proposes, the results teach it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from hyperopt_jax import history, maximise
from hyperopt_jax._checks import (
    check_choice,
    check_instance,
    check_int,
    check_number,
    check_state,
    is_concrete,
)
from hyperopt_jax._numerics import hashed_uniform, masked_quartiles
from hyperopt_jax.acquisition import (
    PI,
    BaseAcquisition,
    LogEI,
    MeanHallucination,
    SampleHallucination,
)
from hyperopt_jax.base import Optimizer, OptimizerState, check_results, make
from hyperopt_jax.errors import ParamsError, SettingError, Status
from hyperopt_jax.gp import Hyperparameters, condition, fit
from hyperopt_jax.kernels import BaseKernel, Matern
from hyperopt_jax.spaces import Codec, check_space, n_params, ravel, unravel

# Trials run on buffers of 128, 512, 2048, ... rows, so that a trial costs what the
# trials so far make it cost, and not what `n_max` would. Each size is compiled anew, so
# there are few, and a usual study needs one.
SMALLEST_BUFFER, BUFFER_GROWTH = 128, 4

# The hyperparameters are tuned again each time the record has grown by a fifth; every
# update while it is small.
REFITS_PER_DOUBLING = 4

LOG_NOISE_START = -5.0


class BayesianSearchState(OptimizerState):
    """What a Bayesian search knows.

    `X (n_max, n_params)`: parameter values as the user sees them; `y (n_max,)`: raw
    results, 0 for a failed trial; `mask (n_max,)`: rows that hold a trial; `failed
    (n_max,)`: those whose result was not finite. `log_length_scale (n_params,)`,
    `log_amplitude`, `log_noise`: logarithms of the surrogate's hyperparameters, lengths
    in the unit cube, variances in units of the results' variance. `status`:
    `Status.BUFFER_FULL` once results had to be dropped.
    """

    space: PyTree
    X: Float[Array, "n_max n_params"]
    y: Float[Array, " n_max"]
    mask: Bool[Array, " n_max"]
    failed: Bool[Array, " n_max"]
    log_length_scale: Float[Array, " n_params"]
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


class BayesianSearch(Optimizer):
    """Bayesian optimisation with a Gaussian process, compiled as one program.

    Use it where a trial costs more than a few milliseconds: it needs far fewer trials
    than random search. `BayesianSearch.tuned` is the configuration to start with;
    `BayesianSearch.init` keeps the classic defaults.

    The surrogate models the standardised results over the unit cube (log spaces in
    their logarithm, discrete parameters at the values that will be evaluated). Each
    update tunes length scales, signal variance and noise by Adam on the log posterior,
    every time while the record is small and then each time it has grown by a fifth. A
    batch is filled one by one, each proposal standing in with a hallucinated result for
    the next. Failed trials count as the worst result seen where the next proposal is
    made, and nowhere else.

    Args:
        jitter: variance (of results of variance 1) added to the diagonal, > 0.
        kernel: a `BaseKernel`; its `length_scale` is where tuning starts.
        acquisition: a `BaseAcquisition`, in units of standardised results.
        n_candidates: points scored for each proposal, >= 1.
        n_restarts: how many of the best candidates L-BFGS refines, >= 1.
        n_lbfgs_steps: steps of L-BFGS, each one evaluation, >= 0.
        n_hparam_steps: steps of Adam when tuning, >= 0; 0 keeps the hyperparameters.
        n_warmup: observations before the surrogate is used, >= 0.
        maximize: whether higher results are better.
        n_parallel: trials a batch, >= 1.
        hallucination: stands in for the results of a batch that is being filled.
        warmup: "random" draws the first observations independently; "spread" begins
            with the centre and puts each as far from the others as candidates allow.

    Raises:
        SettingError: a setting out of its range.

    Source: Snoek, Larochelle & Adams, NeurIPS 2012 (arXiv 1206.2944); Ginsbourger et al.
    (2010) for the batch.

    ```python
    space = {"lr": LogSpace(1e-5, 1e-1), "dropout": LinearSpace(0.0, 0.5)}
    state, optimizer = BayesianSearch.tuned(space, n_max=40, n_parallel=1)
    state, (params, results) = optimizer.optimize_scan(
        state, jax.random.key(0), lambda key, p: -jnp.log10(p["lr"] / 1e-3) ** 2
    )
    optimizer.best_params(state)
    ```
    """

    jitter: float = 1e-6
    kernel: BaseKernel = Matern(length_scale=1.0, nu=0.5)
    acquisition: BaseAcquisition = PI(xi=0.01)
    n_candidates: int = eqx.field(static=True, default=1000)
    n_restarts: int = eqx.field(static=True, default=2)
    n_lbfgs_steps: int = eqx.field(static=True, default=10)
    n_hparam_steps: int = eqx.field(static=True, default=20)
    n_warmup: int = eqx.field(static=True, default=1)
    maximize: bool = eqx.field(static=True, default=True)
    n_parallel: int = eqx.field(static=True, default=4)
    hallucination: Callable[..., Any] = SampleHallucination()
    warmup: str = eqx.field(static=True, default="random")

    def __check_init__(self):
        check_number("jitter", self.jitter, 0.0, strict=True)
        check_instance("kernel", self.kernel, BaseKernel)
        check_instance("acquisition", self.acquisition, BaseAcquisition)
        for name in ("n_candidates", "n_restarts", "n_parallel"):
            check_int(name, getattr(self, name), 1)
        for name in ("n_lbfgs_steps", "n_hparam_steps", "n_warmup"):
            check_int(name, getattr(self, name), 0)
        check_choice("maximize", self.maximize, (True, False))
        check_choice("warmup", self.warmup, ("random", "spread"))
        if not callable(self.hallucination):
            raise SettingError(
                f"expected hallucination to be callable as (mean, std, key, y_max), "
                f"got {self.hallucination!r}"
            )

    @classmethod
    def init(
        cls, space: PyTree, n_max: int = 200, **settings: Any
    ) -> tuple[BayesianSearchState, Self]:
        """A state with room for `n_max` trials, and the search.

        Raises:
            SpaceError: no space in the pytree, or something else among them.
            SettingError: `n_max` or a setting out of its range.
            UnknownSettingError: a setting that this search does not have.
        """
        check_space(space)
        optimizer = make(cls, settings)
        d = n_params(space)
        # Concrete even where init is traced: a fresh study's size is then known, and
        # its first trials run on small buffers under jit and vmap too.
        with jax.ensure_compile_time_eval():
            trials = history.empty(check_int("n_max", n_max, 1), d)
        start = jnp.log(jnp.asarray(optimizer.kernel.length_scale, trials.y.dtype))
        state = BayesianSearchState(
            space,
            *trials,
            log_length_scale=jnp.broadcast_to(start, (d,)),
            log_amplitude=jnp.zeros((), start.dtype),
            log_noise=jnp.asarray(LOG_NOISE_START, start.dtype),
            status=jnp.zeros((), jnp.int32),
        )
        return state, optimizer

    @classmethod
    def tuned(
        cls, space: PyTree, n_max: int = 200, **settings: Any
    ) -> tuple[BayesianSearchState, Self]:
        """The recommended configuration; like `init`, with other defaults.

        Matern 5/2, `LogEI`, a spread-out initial design of about d + 1 trials (at most a
        quarter of `n_max`), more starts and longer refinement from fewer candidates, and
        the posterior mean as hallucination. Settings given here override it.
        """
        check_space(space)
        d = n_params(space)
        quarter = max(1, check_int("n_max", n_max, 1) // 4)
        recommended = {
            "kernel": Matern(length_scale=0.5 * math.sqrt(d), nu=2.5),
            "acquisition": LogEI(),
            "n_candidates": 512,
            "n_restarts": 4,
            "n_lbfgs_steps": 12,
            "n_warmup": min(quarter, max(5, min(d + 1, 10))),
            "hallucination": MeanHallucination(),
            "warmup": "spread",
        }
        return cls.init(space, n_max, **{**recommended, **settings})

    def get_next_params(
        self,
        state: BayesianSearchState,
        key: PRNGKeyArray,
        params: PyTree | None = None,
        results: Float[Array, " q"] | None = None,
    ) -> PyTree:
        """The next batch: a pytree like the space, leaves (n_parallel,).

        `params` and `results`, where given, are told to the search first, for this
        proposal only.

        Raises:
            StateError: a state of another search.
            ParamsError: `params` without `results`, or ones that do not fit.
        """
        check_state(self, state, BayesianSearchState)
        if (params is None) != (results is None):
            raise ParamsError("expected params and results together, got one of them")
        if params is not None and results is not None:
            state = self.update_state(state, key, results, params)
        size = self._size_for(state, self.n_parallel)
        return unravel(state.space, _propose_jit(self, state, key, size))

    def update_state(
        self,
        state: BayesianSearchState,
        key: PRNGKeyArray,
        results: Float[Array, " q"],
        params: PyTree,
    ) -> BayesianSearchState:
        """The state with a batch of any length added, hyperparameters tuned.

        A result that is not finite is recorded as a failed trial. A full buffer keeps
        what it has: only the free rows are written, first results first.

        Args:
            results: (q,) numbers.
            params: the pytree that was proposed, or a raw (q, n_params) table.

        Raises:
            StateError: a state of another search.
            ParamsError: params of another space, or results that do not fit them.
        """
        check_state(self, state, BayesianSearchState)
        X = ravel(state.space, params)
        results = check_results(results, X.shape[0])
        size = self._size_for(state, X.shape[0])
        return _tell_jit(self, state, results, X, size)

    def _size_for(self, state: BayesianSearchState, n_more: int) -> int | None:
        """The buffer size that `n_more` trials need; None where it cannot be known."""
        if not is_concrete(state.mask):
            return None
        return _buffer_size(int(self.n_told(state)) + n_more)

    def best_result(self, state: BayesianSearchState) -> Float[Array, ""]:
        """The best recorded result; -inf (or inf, minimising) before any success."""
        check_state(self, state, BayesianSearchState)
        trials = state.trials
        best = jnp.min(history.losses(trials, self.maximize))
        return -best if self.maximize else best

    def best_params(self, state: BayesianSearchState) -> PyTree:
        """The parameters of the best recorded trial, with scalar leaves."""
        check_state(self, state, BayesianSearchState)
        row = history.best_row(state.trials, self.maximize)
        return unravel(state.space, state.X[row])

    def n_told(self, state: BayesianSearchState) -> Int[Array, ""] | int:
        check_state(self, state, BayesianSearchState)
        if is_concrete(state.mask):
            return int(np.count_nonzero(np.asarray(state.mask)))
        return state.trials.n_recorded

    def n_left(self, state: BayesianSearchState) -> int:
        n_told = self.n_told(state)
        n_max = state.mask.shape[0]
        return n_max - int(n_told) if is_concrete(state.mask) else n_max

    def capacity(self, n_told: int) -> int:
        return _buffer_size(n_told + self.n_parallel)

    def shrink(
        self, state: BayesianSearchState, capacity: int | None
    ) -> BayesianSearchState:
        if capacity is None or capacity >= state.mask.shape[0]:
            return state
        cut = {name: getattr(state, name)[:capacity] for name in history.Trials._fields}
        return state.replace(**cut)

    def regrow(
        self, state: BayesianSearchState, small: BayesianSearchState
    ) -> BayesianSearchState:
        n = small.mask.shape[0]
        if n == state.mask.shape[0]:
            return small
        grown = {
            name: getattr(state, name).at[:n].set(getattr(small, name))
            for name in history.Trials._fields
        }
        return small.replace(**grown)


@eqx.filter_jit
def _propose_jit(
    optimizer: BayesianSearch,
    state: BayesianSearchState,
    key: PRNGKeyArray,
    size: int | None,
) -> Float[Array, "q d"]:
    return _propose(optimizer, optimizer.shrink(state, size), key)


@eqx.filter_jit
def _tell_jit(
    optimizer: BayesianSearch,
    state: BayesianSearchState,
    results: Float[Array, " q"],
    X: Float[Array, "q d"],
    size: int | None,
) -> BayesianSearchState:
    small = _tell(optimizer, optimizer.shrink(state, size), results, X)
    return optimizer.regrow(state, small)


class _Slots(NamedTuple):
    """The record in the unit cube, with free rows at the end for the batch."""

    U: Float[Array, "n d"]
    targets: Float[Array, " n"]
    recorded: Bool[Array, " n"]
    succeeded: Bool[Array, " n"]


def _propose(
    optimizer: BayesianSearch, state: BayesianSearchState, key: PRNGKeyArray
) -> Float[Array, "q d"]:
    """The next batch as a table of values."""
    codec, trials = Codec(state.space), state.trials
    pad = (0, optimizer.n_parallel - 1)
    slots = _Slots(
        jnp.pad(_in_cube(codec, trials), (pad, (0, 0)), constant_values=0.5),
        jnp.pad(_targets(trials, optimizer.maximize), pad),
        jnp.pad(trials.mask, pad),
        jnp.pad(trials.succeeded, pad),
    )
    shape = (optimizer.n_parallel, codec.n_params + 1)
    shifts = hashed_uniform(key, shape, slots.U.dtype)
    no_model = (trials.n_recorded < optimizer.n_warmup) | ~jnp.any(trials.succeeded)
    U = lax.cond(
        no_model,
        lambda: _warm_up(optimizer, codec, slots, trials.n_recorded, shifts),
        lambda: _model_based(
            optimizer, codec, slots, trials.n_recorded, state.hyper, shifts, key
        ),
    )
    return codec.decode(U)


def _warm_up(
    optimizer: BayesianSearch,
    codec: Codec,
    slots: _Slots,
    count: Int[Array, ""],
    shifts: Float[Array, "q s"],
) -> Float[Array, "q d"]:
    """A batch chosen without a model, one slot after the other."""
    centre = jnp.full((1, codec.n_params), 0.5, slots.U.dtype)

    def fill(carry: tuple, slot: tuple) -> tuple[tuple, Array]:
        U, recorded = carry
        i, shift = slot
        net = maximise.net(shift, optimizer.n_candidates)
        if optimizer.warmup == "spread":
            # Before there is anything to be far from, all are equal and the first wins.
            net = jnp.concatenate([centre, net[1:]])
            points = _feasible(codec, net)
            score = maximise.clearance(points, U, recorded)
        else:
            points = _feasible(codec, net)
            score = -jnp.arange(points.shape[0], dtype=points.dtype)
        u = points[jnp.argmax(_unless_taken(codec, score, points, U, recorded))]
        is_row = jnp.arange(U.shape[0], dtype=jnp.int32) == count + i
        U = jnp.where(is_row[:, None], u[None, :], U)
        return (U, recorded | is_row), u

    return _fill_slots(fill, (slots.U, slots.recorded), shifts)


def _model_based(
    optimizer: BayesianSearch,
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
        optimizer.kernel, hyper, U, t, recorded, _nugget(optimizer, n, t.dtype)
    )
    best_row = jnp.argmax(jnp.where(ok, t, -jnp.inf))
    incumbent = U[best_row]

    def fill(carry: tuple, slot: tuple) -> tuple[tuple, Array]:
        posterior, y_max = carry
        i, shift = slot

        def score(points: Float[Array, "m d"]) -> Float[Array, " m"]:
            mean, std = posterior.mean_and_std(points)
            value = optimizer.acquisition(mean, std, y_max)
            return _unless_taken(codec, value, points, posterior.U, posterior.mask)

        start = maximise.candidates(shift, incumbent, optimizer.n_candidates)
        u = maximise.maximise(
            score,
            _feasible(codec, start),
            ~codec.is_discrete,
            optimizer.n_restarts,
            optimizer.n_lbfgs_steps,
        )
        mean, std = posterior.mean_and_std(u[None, :])
        slot_key = jax.random.fold_in(key, i)
        result = optimizer.hallucination(mean, std, slot_key, y_max)
        result = jnp.asarray(result, t.dtype).reshape(())
        posterior = posterior.append(u, result, count + i)
        return (posterior, jnp.maximum(y_max, result)), u

    return _fill_slots(fill, (posterior, t[best_row]), shifts)


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


def _tell(
    optimizer: BayesianSearch,
    state: BayesianSearchState,
    results: Float[Array, " q"],
    X: Float[Array, "q d"],
) -> BayesianSearchState:
    """The state with a batch added and the hyperparameters tuned."""
    trials, had_room = history.append(state.trials, X, results)
    hyper = state.hyper
    if optimizer.n_hparam_steps:
        hyper = lax.cond(
            _refit_due(state.trials.n_recorded, trials.n_recorded),
            lambda: _tuned_hyper(optimizer, state, trials),
            lambda: hyper,
        )
    full = jnp.asarray(Status.BUFFER_FULL, jnp.int32)
    return state.replace(
        **trials._asdict(),
        log_length_scale=hyper.log_length_scale,
        log_amplitude=hyper.log_amplitude,
        log_noise=hyper.log_noise,
        status=jnp.where(had_room, state.status, full),
    )


def _tuned_hyper(
    optimizer: BayesianSearch, state: BayesianSearchState, trials: history.Trials
) -> Hyperparameters:
    U = _in_cube(Codec(state.space), trials)
    t = jnp.where(trials.succeeded, _targets(trials, optimizer.maximize), 0.0)
    nugget = _nugget(optimizer, U.shape[0], t.dtype)
    return fit(
        optimizer.kernel,
        state.hyper,
        U,
        t,
        trials.succeeded,
        nugget,
        optimizer.n_hparam_steps,
    )


def _refit_due(before: Int[Array, ""], after: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether the record passed a mark of a scale with `REFITS_PER_DOUBLING` marks."""

    def mark(n: Int[Array, ""]) -> Array:
        n = jnp.maximum(n, 1).astype(jnp.float32)
        return jnp.floor(REFITS_PER_DOUBLING * jnp.log2(n) + 1e-4)

    return (after >= 2) & (mark(after) > mark(before))


def _in_cube(codec: Codec, trials: history.Trials) -> Float[Array, "c d"]:
    """The recorded points in the unit cube; the middle of it where there is none.

    Values told from outside the bounds go to the nearest face.
    """
    U = codec.encode(trials.X)
    known = trials.mask[:, None] & ~jnp.isnan(U)
    return jnp.clip(jnp.where(known, U, 0.5), 0.0, 1.0)


def _targets(trials: history.Trials, maximize: bool) -> Float[Array, " c"]:
    """What the surrogate models: standardised results, higher is better.

    The bad side is winsorised at the upper quartile plus one and a half times the
    interquartile range, so that one disaster does not flatten everything else. Failed
    trials stand at the worst target; free rows at 0.
    """
    ok = trials.succeeded
    count = jnp.sum(ok, dtype=jnp.int32)
    loss = jnp.where(ok, history.losses(trials, maximize), 0.0)
    q1, q3 = masked_quartiles(loss, ok, count)
    cap = q3 + 1.5 * (q3 - q1)
    # Results may be near an end of the float range: scale before anything is squared.
    # The scaled results span at least two fifths of [0, 1], so their variance is safe
    # to take from the two moments at once.
    best = jnp.min(jnp.where(ok, loss, jnp.inf))
    spread = jnp.where(cap > best, cap - best, 1.0)
    excess = jnp.where(ok, (jnp.minimum(loss, cap) - best) / spread, 0.0)
    moments = jnp.sum(jnp.stack([excess, excess**2]), axis=1)
    mean, square = moments / jnp.maximum(count, 1).astype(loss.dtype)
    variance = square - mean**2
    std = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    targets = jnp.where(ok, (mean - excess) / std, 0.0)
    failed = trials.mask & ~ok
    return jnp.where(failed, jnp.min(targets), targets)


def _nugget(optimizer: BayesianSearch, n: int, dtype: Any) -> Float[Array, ""]:
    """What is added to the diagonal: the jitter, and what rounding needs at `n` rows."""
    return jnp.asarray(optimizer.jitter + 0.25 * n * float(jnp.finfo(dtype).eps), dtype)


def _feasible(codec: Codec, points: Float[Array, "m d"]) -> Float[Array, "m d"]:
    """`points` at values that can be evaluated; all of them where the space is small."""
    if codec.is_discrete.all():
        return maximise.enumerated(codec, points)
    return codec.snap(points)


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


def _buffer_size(n_rows: int) -> int:
    """The smallest buffer that holds `n_rows`."""
    size = SMALLEST_BUFFER
    while size < n_rows:
        size *= BUFFER_GROWTH
    return size
