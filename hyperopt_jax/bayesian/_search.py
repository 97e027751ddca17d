"""The settings of a Bayesian search and its part of the contract."""

import math
from collections.abc import Callable
from typing import Any, Self, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from hyperopt_jax import history
from hyperopt_jax._checks import (
    bool_setting,
    check_choice,
    check_instance,
    check_int,
    check_key,
    check_number,
    check_state,
    float_setting,
    int_setting,
    is_concrete,
)
from hyperopt_jax._evaluate import Results
from hyperopt_jax._warn import warn
from hyperopt_jax.acquisition import (
    PI,
    BaseAcquisition,
    LogEI,
    MeanHallucination,
    SampleHallucination,
)
from hyperopt_jax.base import Optimizer, check_results, make
from hyperopt_jax.bayesian import _compiled
from hyperopt_jax.bayesian._settings import BayesianSettings
from hyperopt_jax.bayesian._state import BayesianSearchState, buffer_size
from hyperopt_jax.errors import (
    AllFailedWarning,
    BufferFullWarning,
    OutsideBoundsWarning,
    ParamsError,
    SettingError,
)
from hyperopt_jax.kernels import BaseKernel, Matern, periodic_parts
from hyperopt_jax.spaces import (
    as_table,
    check_precision,
    check_space,
    codec_of,
    has_discrete,
    is_conditional,
    n_columns,
    n_groups,
    outside,
    ravel,
    unravel,
)

LOG_NOISE_START = -5.0

# How many local trials in a row `tuned` takes, at most: one for each parameter where
# all are real numbers; two where steps and choices may interrupt the slope, since what
# polishes is then taken from the search for the best of them.
MAX_LOCAL, MIXED_LOCAL = 20, 2

# What becomes of values from outside the space.
TAKEN_FOR_NEAREST = "the model takes each for the nearest one of the space"


class BayesianSearch(Optimizer):
    """Bayesian optimisation with a Gaussian process, compiled as one program.

    Use it where a trial costs more than a few milliseconds: it needs far fewer trials
    than random search. `BayesianSearch.tuned` is the configuration to start with;
    `BayesianSearch.init` keeps the classic defaults.

    The surrogate models the standardised results, the worst of them by their rank only,
    over the unit cube (log spaces in their logarithm, discrete parameters at the values
    that will be evaluated). Each update tunes length scales, signal variance and noise by
    Adam on the log posterior, every time while the record is small and then each time it
    has grown by a fifth; after a batch or a history as often as its trials would one by one,
    ten times at most. A batch is filled one by one, each proposal standing in with a
    hallucinated result for the next. Failed trials count as the worst result seen where
    the next proposal is made, and nowhere else. Beyond 1024 trials the surrogate sees
    that many of them: the best quarter, as many nearest to the best one, and an even
    spread of the others. The record keeps all.

    Args:
        jitter: variance (of results of variance 1) added to the diagonal, > 0.
        kernel: a `BaseKernel`; its `length_scale` is where tuning starts.
        acquisition: a `BaseAcquisition`, in units of standardised results.
        n_candidates: points scored for each proposal, >= 1.
        n_restarts: how many of the best candidates L-BFGS refines, >= 1.
        n_lbfgs_steps: steps of L-BFGS, each one evaluation, >= 0.
        n_hparam_steps: steps of Adam when tuning, >= 0; 0 keeps the hyperparameters.
        n_warmup: observations before the surrogate is used, >= 0.
        n_local: trials in a row that polish the best one found, >= 0; two that search
            everywhere follow. One trial at a time, each improvement begins anew; batches
            go by trial number. 0 searches everywhere.
        n_greedy: trials in a row, of those that search everywhere, that maximise the
            acquisition, >= 0; two that explore follow, drawn at random: one as often as
            an improvement by a standard deviation of the results is expected there, one
            whatever is expected. Begins anew as `n_local` does. None never explores.
        ranked: share of the results, from the worst, of which the surrogate sees the
            rank only, in [0, 1].
        maximize: whether higher results are better.
        n_parallel: trials a batch, >= 1.
        hallucination: stands in for the results of a batch that is being filled.
        warmup: "random" draws the first observations independently; "spread" begins
            with the centre and puts each as far from the others as candidates allow, in
            the part of the space where the centres of as many equal cells would lie.

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

    jitter: float = float_setting("jitter", 1e-6, low=0.0, strict=True)
    kernel: BaseKernel = Matern(length_scale=1.0, nu=0.5)
    acquisition: BaseAcquisition = PI(xi=0.01)
    n_candidates: int = int_setting("n_candidates", 1000, low=1)
    n_restarts: int = int_setting("n_restarts", 2, low=1)
    n_lbfgs_steps: int = int_setting("n_lbfgs_steps", 10, low=0)
    n_hparam_steps: int = int_setting("n_hparam_steps", 20, low=0)
    n_warmup: int = int_setting("n_warmup", 1, low=0)
    maximize: bool = bool_setting("maximize", True)
    n_parallel: int = int_setting("n_parallel", 4, low=1)
    hallucination: Callable[..., Any] = SampleHallucination()
    warmup: str = eqx.field(static=True, default="random")
    n_local: int = int_setting("n_local", 0, low=0)
    n_greedy: int | None = int_setting("n_greedy", None, low=0)
    ranked: float = float_setting("ranked", 0.25, low=0.0, high=1.0)

    def __check_init__(self):
        check_instance("kernel", self.kernel, BaseKernel)
        length_scale = self.kernel.length_scale
        check_number("the length_scale of kernel", length_scale, 0.0, strict=True)
        check_instance("acquisition", self.acquisition, BaseAcquisition)
        check_choice("warmup", self.warmup, ("random", "spread"))
        stand_in = self.hallucination
        if not callable(stand_in) or isinstance(stand_in, type):
            raise SettingError(
                f"expected hallucination to be callable as (mean, std, key, y_max), "
                f"such as MeanHallucination(), got {stand_in!r}"
            )

    @classmethod
    def init(
        cls, space: PyTree, n_max: int = 200, **settings: Unpack[BayesianSettings]
    ) -> tuple[BayesianSearchState, Self]:
        """A state with room for `n_max` trials, and the search.

        With settings that are to be compared with hyperoptax's, not the best ones: with
        few trials `PI` may end behind random search. `tuned` is what to start with.

        Raises:
            SpaceError: no space in the pytree, something else among them, or bounds of
                another precision than JAX has now.
            SettingError: `n_max` or a setting out of its range.
            UnknownSettingError: a setting that this search does not have.
        """
        check_space(space)
        check_precision(space)
        optimizer = make(cls, settings)
        # Concrete even where init is traced: a fresh study's size is then known, and
        # its first trials run on small buffers under jit and vmap too.
        with jax.ensure_compile_time_eval():
            trials = history.empty(check_int("n_max", n_max, 1), n_columns(space))
        # NumPy's where they can be: JAX would compile each of these in every new process.
        start, dtype = optimizer.kernel.length_scale, trials.y.dtype
        n = n_groups(space)
        of_parameters = [("length_scale", start)]
        of_parameters += [
            ("period", k.period) for k in periodic_parts(optimizer.kernel)
        ]
        for name, value in of_parameters:
            if np.shape(value) not in ((), (n,)):
                raise SettingError(
                    f"expected one {name} for the kernel, or {n} for this space, got "
                    f"shape {np.shape(value)}"
                )
        xp = np if is_concrete(start) else jnp
        lengths = xp.broadcast_to(xp.log(xp.asarray(start, dtype)), (n,))
        numbers = lengths, *(np.array(n, dtype) for n in (0.0, LOG_NOISE_START))
        log_length_scale, log_amplitude, log_noise, status = jax.device_put(
            (*numbers, np.zeros((), np.int32))
        )
        state = BayesianSearchState(
            space,
            *trials,
            log_length_scale=log_length_scale,
            log_amplitude=log_amplitude,
            log_noise=log_noise,
            status=status,
        )
        return state, optimizer

    @classmethod
    def tuned(
        cls, space: PyTree, n_max: int = 200, **settings: Unpack[BayesianSettings]
    ) -> tuple[BayesianSearchState, Self]:
        """The recommended configuration; like `init`, with other defaults.

        Matern 5/2, `LogEI`, more starts and longer refinement from fewer candidates, and
        the posterior mean as hallucination. Where every parameter is a real number: a
        spread-out initial design of 5 trials and a local trial for each parameter (at
        most 20). Where some are discrete: d + 1 initial trials (at least 5, at most 10),
        two local ones beside real numbers, and the worse half of the results by rank
        only. In conditional spaces with discrete parameters no local ones, but two trials
        that explore after every two without an improvement. The design never takes more
        than a quarter of `n_max`.

        Args:
            space: pytree of spaces.
            n_max: room for this many trials, >= 1.
            settings: any setting of `BayesianSearch`; overrides the recommended one.
                `n_parallel` stays at its default of 4.

        Raises:
            SpaceError, SettingError, UnknownSettingError: as in `init`.
        """
        check_space(space)
        d = n_groups(space)
        quarter = max(1, check_int("n_max", n_max, 1) // 4)
        # Where choices and steps decide, neighbours tell little about each other, and a
        # design that covers the space tells more.
        discrete, conditional = has_discrete(space), is_conditional(space)
        recommended: BayesianSettings = {
            "kernel": Matern(length_scale=0.5 * math.sqrt(d), nu=2.5),
            "acquisition": LogEI(),
            "n_candidates": 512,
            "n_restarts": 4,
            "n_lbfgs_steps": 12,
            "n_warmup": min(quarter, max(5, min(d + 1, 10)) if discrete else 5),
            "hallucination": MeanHallucination(),
            "warmup": "spread",
            "n_local": _n_local(d, discrete, conditional),
            "n_greedy": 2 if conditional else None,
            "ranked": 0.5 if discrete else 0.25,
        }
        chosen: BayesianSettings = {**recommended, **settings}
        return cls.init(space, n_max, **chosen)

    def get_next_params(
        self,
        state: BayesianSearchState,
        key: PRNGKeyArray,
        params: PyTree | None = None,
        results: Results | None = None,
        *,
        pending: PyTree | None = None,
    ) -> PyTree:
        """The next batch: a pytree like the space, leaves (n_parallel,).

        Args:
            state: what the search knows.
            key: another key, another proposal.
            params, results: where given, told to the search first, for this proposal
                only.
            pending: configurations that are still being evaluated, a list of them or a
                batch with leaves (p,): each stands in with a hallucinated result, so that
                the proposals of asynchronous workers keep apart. An empty list where none
                is; up to 8 of them take one program, up to 32 another one, and so on.

        Raises:
            StateError: a state of another search.
            ParamsError: no key; `params` without `results`, or ones that do not fit; `pending`
                of another space.

        ```python
        state, search = BayesianSearch.tuned({"x": LinearSpace(0.0, 1.0)}, n_max=20)
        running = search.get_next_params(state, jax.random.key(0))
        others = search.get_next_params(state, jax.random.key(1), pending=running)
        ```
        """
        check_state(self, state, BayesianSearchState)
        check_key(key)
        if (params is None) != (results is None):
            raise ParamsError("expected params and results together, got one of them")
        if params is not None and results is not None:
            state = self.update_state(state, key, results, params)
        running = None if pending is None else as_table(state.space, pending)
        if running is not None:
            _warn_of_values_outside(state, running, TAKEN_FOR_NEAREST)
        n_more = self.n_parallel + (0 if running is None else running.shape[0])
        size = _size_for(state, n_more)
        return unravel(
            state.space, _compiled.propose(self, _gathered(state), key, size, running)
        )

    def update_state(
        self,
        state: BayesianSearchState,
        key: PRNGKeyArray,
        results: Results,
        params: PyTree,
    ) -> BayesianSearchState:
        """The state with a batch of any length added, hyperparameters tuned.

        A result that is not finite is recorded as a failed trial. A full buffer keeps
        what it has, with a `BufferFullWarning`: only the free rows are written, first
        results first. A value from outside the bounds (of a study with others, say) is
        recorded as it is, with an `OutsideBoundsWarning`; the model takes it for the
        nearest one inside.

        Args:
            results: (q,) numbers, or the (t, q) of a history.
            params: the pytree that was proposed, a history of such, a list of
                configurations, or a raw (q, n_columns) table. Of a space that is a list itself, a list of arrays
                is the pytree.

        Raises:
            StateError: a state of another search.
            ParamsError: params of another space, or results that do not fit them.
        """
        check_state(self, state, BayesianSearchState)
        X = as_table(state.space, params, lost_too=True)
        y = check_results(results, X.shape[0])
        _warn_of_values_outside(
            state, X, f"they are recorded as they are, and {TAKEN_FOR_NEAREST}"
        )
        _warn_of_no_room(state, X.shape[0])
        size = _size_for(state, X.shape[0])
        told = _compiled.tell(self, _gathered(state), y, X, size)
        return told.in_space(state.space)

    def best_result(self, state: BayesianSearchState) -> Float[Array, ""]:
        """The best recorded result; -inf (or inf, minimising) before any success."""
        check_state(self, state, BayesianSearchState)
        return _compiled.best(state.trials, self.maximize)[0]

    def best_params(self, state: BayesianSearchState) -> PyTree:
        """The parameters of the best recorded trial, with scalar leaves.

        While no trial has succeeded, those of the first, with an `AllFailedWarning`.

        Raises:
            StateError: a state of another search.
            ParamsError: no trial yet.
        """
        check_state(self, state, BayesianSearchState)
        _check_any_trial(state)
        return unravel(state.space, _compiled.best(state.trials, self.maximize)[1])

    def recommend(self, state: BayesianSearchState) -> PyTree:
        """The recorded configuration with the best posterior mean, with scalar leaves.

        Where results are noisy the best one seen owes much to luck; the surrogate sees
        through it. Where it sees none this is `best_params`.

        Raises:
            StateError: a state of another search.
            ParamsError: no trial yet.
        """
        check_state(self, state, BayesianSearchState)
        _check_any_trial(state)
        values = _compiled.recommended(self, _gathered(state), _size_for(state, 0))
        return unravel(state.space, values)

    def history(
        self, state: BayesianSearchState
    ) -> tuple[PyTree, Float[np.ndarray, " n"]]:
        """All recorded trials, the first one first: their parameters and results.

        Leaves (n,) and results (n,), NaN where a trial failed: what `update_state` of
        another study, `best_trial` and `decode_choices` take.

        Raises:
            StateError: a state of another search.
            ParamsError: a traced state, whose trials cannot be counted.

        ```python
        from hyperopt_jax import decode_choices

        state, search = BayesianSearch.tuned({"x": LinearSpace(0.0, 1.0)}, n_max=20)
        told = {"x": jnp.array([0.1, 0.4])}
        state = search.update_state(state, jax.random.key(0), [0.5, 0.25], told)
        params, results = search.history(state)
        rows = decode_choices(state.space, params)  # for pandas.DataFrame(rows)
        ```
        """
        check_state(self, state, BayesianSearchState)
        n = _n_told(state)
        if not isinstance(n, int):
            raise ParamsError(
                "expected a concrete state for history, got a traced one; inside a "
                "program use its rows of X and y where mask is set"
            )
        # NumPy's: a NaN that is put on the device by itself is an error under
        # jax_debug_nans.
        y, failed = np.asarray(state.y)[:n], np.asarray(state.failed)[:n]
        results = np.where(failed, np.nan, y).astype(y.dtype)
        return unravel(state.space, np.asarray(state.X)[:n]), results

    def posterior(
        self, state: BayesianSearchState, params: PyTree
    ) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        """What the surrogate expects at `params`: mean and standard deviation (m,).

        In the units of the results, without their noise. Of the worst results the
        surrogate sees the rank only (`ranked`), so there the mean may be far off. Failed
        trials are left out. A value from outside the space is taken for the nearest one
        of it, with an `OutsideBoundsWarning`.

        Args:
            state: what the search knows.
            params: pytree like the space with leaves (m,), a list of configurations, or
                a raw table.

        Raises:
            StateError: a state of another search.
            ParamsError: params of another space.

        ```python
        state, search = BayesianSearch.tuned({"x": LinearSpace(0.0, 1.0)}, n_max=20)
        trials = {"x": jnp.array([0.1, 0.4, 0.9])}
        results = jnp.sin(6 * trials["x"])
        state = search.update_state(state, jax.random.key(0), results, trials)
        mean, std = search.posterior(state, {"x": jnp.linspace(0.0, 1.0, 100)})
        ```
        """
        check_state(self, state, BayesianSearchState)
        X = ravel(state.space, params)
        _warn_of_values_outside(state, X, TAKEN_FOR_NEAREST)
        return _compiled.mean_and_std(self, _gathered(state), X, _size_for(state, 0))

    def sample_posterior(
        self,
        state: BayesianSearchState,
        key: PRNGKeyArray,
        params: PyTree,
        n_samples: int = 1,
    ) -> Float[Array, "n_samples m"]:
        """Joint draws of the objective at `params`, as the surrogate sees it.

        A little noise is added to each point, or rounding would leave no joint law: in
        single precision, up to a hundredth of the surrogate's standard deviation far from
        all trials on a thousand points close together. For slopes and maxima of draws use
        few points, or double precision.

        Args:
            state: what the search knows.
            key: of the draws.
            params: pytree like the space with leaves (m,), or a raw table; the cost
                grows with m cubed.
            n_samples: number of draws, >= 1.

        Raises:
            StateError: a state of another search.
            ParamsError: no key, or params of another space.
            SettingError: `n_samples` below 1.
        """
        check_state(self, state, BayesianSearchState)
        check_key(key)
        n_samples = check_int("n_samples", n_samples, 1)
        X = ravel(state.space, params)
        _warn_of_values_outside(state, X, TAKEN_FOR_NEAREST)
        if X.shape[0] == 0:
            return jnp.zeros((n_samples, 0), X.dtype)
        return _compiled.draws(
            self, _gathered(state), key, X, n_samples, _size_for(state, 0)
        )

    def n_told(self, state: BayesianSearchState) -> Int[Array, ""] | int:
        check_state(self, state, BayesianSearchState)
        return _n_told(state)

    def n_left(self, state: BayesianSearchState) -> int:
        n_told = self.n_told(state)
        n_max = state.mask.shape[0]
        return n_max - int(n_told) if is_concrete(state.mask) else n_max

    def capacity(self, n_told: int) -> int:
        return buffer_size(n_told + self.n_parallel)

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


def _n_local(d: int, discrete: bool, conditional: bool) -> int:
    """How many local trials in a row `tuned` takes in a space of `d` parameters."""
    if not discrete:
        return min(d, MAX_LOCAL)
    # Those between the trials that explore must search everywhere.
    return 0 if conditional else MIXED_LOCAL


def _gathered(state: BayesianSearchState) -> BayesianSearchState:
    """`state` as programs take it, with the codec of its space in the space's place."""
    return state.in_space(codec_of(state.space))


def _warn_of_values_outside(
    state: BayesianSearchState, X: Float[Array, "q c"], consequence: str
) -> None:
    """Warns where values lie outside the bounds; silent in a trace."""
    if not is_concrete(state.space, X):
        return
    counts = outside(state.space, X)
    if counts:
        told = ", ".join(f"{n} of {name or 'the value'}" for name, n in counts.items())
        warn(
            f"expected values of the space, got some that are out of its bounds or between "
            f"its values ({told}); {consequence}",
            OutsideBoundsWarning,
        )


def _warn_of_no_room(state: BayesianSearchState, n_more: int) -> None:
    """Warns where results are told for which no row is left; silent in a trace."""
    n_told, n_max = _n_told(state), state.mask.shape[0]
    if isinstance(n_told, int) and n_told + n_more > n_max:
        warn(
            f"expected room for {n_more} more result(s), got a state that holds "
            f"{n_told} of at most {n_max}; what does not fit is not kept: start a "
            f"study with a larger n_max and tell it the history of this one",
            BufferFullWarning,
        )


def _check_any_trial(state: BayesianSearchState) -> None:
    if not is_concrete(state.mask, state.failed):
        return
    if not _n_told(state):
        raise ParamsError(
            "expected a state with at least one trial, got one without; run the search "
            "or tell it results first"
        )
    if np.all(np.asarray(state.failed) == np.asarray(state.mask)):
        warn(
            f"expected a trial with a finite result, got {_n_told(state)} failed trial(s) "
            f"and no other; the parameters are those of the first: evaluate the objective "
            f"at them by hand to see what fails",
            AllFailedWarning,
        )


def _n_told(state: BayesianSearchState) -> Int[Array, ""] | int:
    if is_concrete(state.mask):
        return int(np.count_nonzero(np.asarray(state.mask)))
    return state.trials.n_recorded


def _size_for(state: BayesianSearchState, n_more: int) -> int | None:
    """The buffer size that `n_more` trials need; None where it cannot be known."""
    n_told = _n_told(state)
    return buffer_size(n_told + n_more) if isinstance(n_told, int) else None
