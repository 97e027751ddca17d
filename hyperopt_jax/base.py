"""The contract of every search, and its two drivers."""

import abc
import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from hyperopt_jax import _drive, _progress
from hyperopt_jax._best import BestSoFar
from hyperopt_jax._checks import (
    check_int,
    check_key,
    check_one_study,
    inside_program,
    is_concrete,
)
from hyperopt_jax._evaluate import Evaluator, Objective, check_objective, hashable
from hyperopt_jax.errors import ParamsError, SettingError, UnknownSettingError
from hyperopt_jax.spaces import (
    given_points,
    is_stack,
    n_columns,
    unravel,
    with_numbers,
)


class OptimizerState(eqx.Module):
    """Everything that a search knows: an immutable pytree of arrays, with its space."""

    space: eqx.AbstractVar[PyTree]

    def __repr__(self) -> str:
        return eqx.tree_pformat(self.in_space(with_numbers(self.space)))

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed.

        Raises:
            TypeError: a field that the state does not have.
        """
        return dataclasses.replace(self, **changes)

    def in_space(self, space: PyTree) -> Self:
        """A copy with another space, or with None in its place.

        Made without the constructor, so nothing is checked or converted again.
        """
        children, structure = jax.tree_util.tree_flatten_with_path(
            self, is_leaf=lambda node: node is not self
        )
        own = (jax.tree_util.GetAttrKey("space"),)
        return jax.tree.unflatten(
            structure, [space if path == own else child for path, child in children]
        )


class BatchCompleted(NamedTuple):
    """What a callback of `Optimizer.optimize` is told after each batch.

    `trials`: numbers of the trials (q,); `params`, `results`: the batch; `best_params`,
    `best_result`: the best trial of this call so far (None and nan before the first
    success); `seconds`: wall time of the batch; `state`: the state after it, for
    checkpoints.
    """

    trials: np.ndarray
    params: PyTree
    results: Float[Array, " q"]
    best_params: PyTree | None
    best_result: float
    seconds: float
    state: OptimizerState


Callback = Callable[[BatchCompleted], bool | None]


class Settings(TypedDict, total=False):
    """The settings of every search, for editors and type checkers."""

    n_parallel: int
    maximize: bool


class Optimizer(eqx.Module):
    """A search: settings only, immutable, equal by value.

    A new search is a dataclass with the settings `n_parallel` and `maximize`, the class
    method `init` and the two pure methods `get_next_params` and `update_state`; the two
    drivers, resuming and evaluators come with this class. A search with a memory also
    says how many trials it holds (`n_told`), how many more it can take (`n_left`), and
    may run early trials on smaller buffers (`capacity`, `shrink`, `regrow`). One whose
    proposals are a fixed list puts the points that a run starts with into it (`enqueue`).
    """

    n_parallel: eqx.AbstractVar[int]
    maximize: eqx.AbstractVar[bool]

    @classmethod
    @abc.abstractmethod
    def init(
        cls, space: PyTree, *args: Any, **settings: Any
    ) -> tuple[OptimizerState, Self]:
        """A fresh state and the search itself, for a pytree of spaces.

        A search may take more than the space by position, as a size or a key.
        """

    @abc.abstractmethod
    def get_next_params(self, state: Any, key: PRNGKeyArray) -> PyTree:
        """The next batch to evaluate: a pytree like the space, leaves (n_parallel,)."""

    @abc.abstractmethod
    def update_state(
        self, state: Any, key: PRNGKeyArray, results: Float[Array, " q"], params: PyTree
    ) -> Any:
        """The state with the results of a batch added."""

    def n_told(self, state: Any) -> Int[Array, ""] | int:
        """How many trials the state remembers; 0 for a search without memory."""
        return 0

    def n_left(self, state: Any) -> int | None:
        """How many more trials the state can take; None for no limit.

        For a traced state, which cannot be counted, the limit of a fresh one.
        """
        return None

    def capacity(self, n_told: int) -> int | None:
        """The size of buffers on which the batch after `n_told` trials runs."""
        return None

    def shrink(self, state: Any, capacity: int | None) -> Any:
        """The state on buffers of `capacity` rows (which hold all it remembers)."""
        return state

    def regrow(self, state: Any, small: Any) -> Any:
        """What `small` knows, on the buffers of `state`."""
        return small

    def enqueue(
        self, state: Any, X: Float[Array, "m c"]
    ) -> tuple[Any, Float[Array, "k c"]]:
        """The state of a search that begins with the points `X`.

        With those of them that a driver must put in the place of proposals: all, unless
        the search proposes them itself.
        """
        return state, X

    def optimize(
        self,
        state: Any,
        key: PRNGKeyArray,
        func: Objective,
        n_iterations: int | None = None,
        *,
        callback: Callback | None = None,
        progress_bar: bool = False,
        evaluate: Evaluator | None = None,
        first_trial: int | None = None,
        start_points: PyTree | None = None,
    ) -> tuple[Any, tuple[list[PyTree], list[Float[Array, " q"]]]]:
        """Runs the search as a Python loop, one compiled step a batch.

        Equals `optimize_scan` bit for bit; use it to watch, to stop early, or to run an
        objective that JAX cannot trace.

        Args:
            state: what `init` returned, or the state of an earlier run to go on with.
            key: the study's key. The trial with number t is evaluated with
                `jax.random.fold_in(key, t)`, in every driver and batch width.
            func: `func(key, params) -> float`, traced once and vmapped over the batch.
            n_iterations: number of batches; None fills the buffer or ends the grid.
            callback: called with a `BatchCompleted` after each batch; returning True
                (and nothing else) stops the run; what it raises comes through.
            progress_bar: shows progress in trials (needs tqdm).
            evaluate: `(func, keys, params) -> results (q,)`, run on the host instead of
                the compiled step; `hyperopt_jax.python_loop` for plain Python.
            first_trial: number of the first trial; None continues after those that the
                state remembers.
            start_points: points of the space to evaluate before any proposal: a pytree
                like the space with leaves (m,), or a list of configurations. They are
                the first m trials of the run, in every other respect trials like any
                others; the search proposes the rest of a batch that they do not fill.

        Returns:
            The state, and lists with the parameters (leaves (q,)) and the results (q,)
            of each batch. Whatever ends the run early, Ctrl-C too, carries them for the
            batches before it: `state, (params_hist, results_hist) = error.study`.

        Raises:
            ObjectiveError: wrong signature or result, or an objective that cannot be
                traced.
            ExhaustedError: a grid with fewer points left than asked for.
            ParamsError: no key; start points of another structure or outside the space.
            SettingError: more start points than the run has trials, or an argument out
                of its range.
        """
        n_iterations = self._check_run(state, key, func, n_iterations)
        for name, value in (("callback", callback), ("evaluate", evaluate)):
            if value is not None and not callable(value):
                raise SettingError(f"expected {name} to be a function, got {value!r}")
        state, given = self._given(state, start_points, n_iterations)
        q = self.n_parallel
        n_told = self._first_trial(state, first_trial)
        first = 0 if n_told is None else n_told
        taken = self._rows_taken(state, n_told)
        params_hist: list[PyTree] = []
        results_hist: list[Array] = []
        best = BestSoFar(self.maximize)
        # Inside another program the bar would be full before that program runs.
        shown = progress_bar and is_concrete(state, key) and not inside_program()
        run: Any = None
        with (
            _progress.progress(shown, n_iterations * q, "trial") as bar,
            _kept(lambda: (state, (params_hist, results_hist))),
        ):
            if evaluate is None and n_iterations:
                func = hashable(func)
                run = _drive.runner(self, state, key, func)
            for i in range(n_iterations):
                started = time.perf_counter()
                number = first + i * q
                rows = None if given is None else given[i]
                if evaluate is None:
                    told = None if taken is None else taken + i * q
                    state, params, results = self._one(
                        run, state, key, func, number, told, rows
                    )
                else:
                    state, params, results, _ = _drive.step(
                        self, state, key, func, jnp.int32(number), evaluate, rows
                    )
                params_hist.append(params)
                results_hist.append(results)
                if bar is not None:
                    jax.block_until_ready(results)
                    _progress.report(bar, (i + 1) * q)
                if callback is not None:
                    if not is_concrete(params, results):
                        raise SettingError(
                            "expected no callback inside of a compiled program, got "
                            f"{callback!r}; call optimize outside of jit"
                        )
                    best.see(params, results)
                    event = BatchCompleted(
                        np.arange(number, number + q),
                        params,
                        results,
                        best.params,
                        best.result,
                        time.perf_counter() - started,
                        state,
                    )
                    if _is_true(callback(event)):
                        break
        return state, (params_hist, results_hist)

    def optimize_scan(
        self,
        state: Any,
        key: PRNGKeyArray,
        func: Objective,
        n_iterations: int | None = None,
        *,
        progress_bar: bool = False,
        first_trial: int | None = None,
        start_points: PyTree | None = None,
    ) -> tuple[Any, tuple[PyTree, Float[Array, "t q"]]]:
        """Runs the search as one compiled program (`lax.scan`).

        Works under `jit` and `vmap`. Arguments as in `optimize`; the histories come
        stacked, parameters with leaves (n_iterations, n_parallel) and results
        (n_iterations, n_parallel). Where the state is traced, its trials cannot be
        counted: with `n_iterations=None` the run is as long as that of a fresh state,
        and `first_trial` says how many trials the state remembers (buffers that grow
        with the study then work under `vmap` too).

        Raises:
            ObjectiveError: wrong signature or result, or an objective that cannot be
                traced.
            ExhaustedError: a grid with fewer points left than asked for.
            ParamsError: no key; start points of another structure or outside the space.
            SettingError: more start points than the run has trials, or an argument out
                of its range.
        """
        n_iterations = self._check_run(state, key, func, n_iterations)
        state, given = self._given(state, start_points, n_iterations)
        n_told = self._first_trial(state, first_trial)
        taken = self._rows_taken(state, n_told)
        segments = _drive.plan(self, taken, n_iterations)
        first = self.n_told(state) if n_told is None else n_told
        if not segments:
            return state, self._empty_history(state)
        # Inside another program the bar would be gone before that program runs.
        shown = progress_bar and is_concrete(state, key) and not inside_program()
        with _progress.progress(shown, n_iterations, "batch") as bar:
            number = None if bar is None else _progress.as_number(bar)
            first = jnp.asarray(first, jnp.int32)
            func = hashable(func)
            run = _drive.runner(self, state, key, func)
            state, X, results, _ = run(
                self, state, key, func, first, segments, number, given
            )
            if bar is not None:
                jax.block_until_ready(results)
                _progress.report(bar, n_iterations)
        return state, (unravel(state.space, X), results)

    def _empty_history(self, state: Any) -> tuple[PyTree, Float[Array, "0 q"]]:
        table = jnp.zeros((0, self.n_parallel, n_columns(state.space)))
        return unravel(state.space, table), jnp.zeros((0, self.n_parallel))

    def _one(
        self,
        run: Callable[..., Any],
        state: Any,
        key: PRNGKeyArray,
        func: Objective,
        number: int,
        told: int | None,
        given: Float[Array, "q c"] | None,
    ) -> tuple[Any, PyTree, Float[Array, " q"]]:
        """One compiled batch."""
        segments = _drive.plan(self, told, 1)
        first = jnp.asarray(number, jnp.int32)
        given = None if given is None else given[None]
        state, X, results, _ = run(self, state, key, func, first, segments, given=given)
        return state, unravel(state.space, X[0]), results[0]

    def _check_run(
        self, state: Any, key: Any, func: Objective, n_iterations: int | None
    ) -> int:
        """Checks what a driver is given; the number of batches to run."""
        check_objective(func)
        check_key(key)
        left = self.n_left(state)
        check_one_study(is_stack(state.space))
        if n_iterations is None:
            if left is None:
                raise SettingError(
                    f"expected n_iterations for {type(self).__name__}, which has no end "
                    f"of its own, got None"
                )
            return math.ceil(left / self.n_parallel)
        return check_int("n_iterations", n_iterations, 0)

    def _given(
        self, state: Any, start_points: PyTree | None, n_iterations: int
    ) -> tuple[Any, Float[Array, "t q c"] | None]:
        """The state to start from, and what its batches are given (`_drive.step`)."""
        if start_points is None:
            return state, None
        X = given_points(state.space, start_points)
        n_batches = math.ceil(X.shape[0] / self.n_parallel)
        if n_batches > n_iterations:
            raise SettingError(
                f"expected at least {n_batches} iteration(s) of {self.n_parallel} for "
                f"{X.shape[0]} start point(s), got {n_iterations}"
            )
        state, X = self.enqueue(state, X)
        return state, _drive.by_batch(X, n_iterations, self.n_parallel)

    def _first_trial(self, state: Any, first_trial: int | None) -> int | None:
        """Number of the first trial of a run; None where only the program can tell."""
        if first_trial is not None:
            number = check_int("first_trial", first_trial, 0)
            if number >= _drive.MAX_TRIALS:
                raise SettingError(
                    f"expected first_trial < {_drive.MAX_TRIALS}, got {number}"
                )
            return number
        return self._rows_taken(state, None)

    def _rows_taken(self, state: Any, first_trial: int | None) -> int | None:
        """How many trials a state holds; what `first_trial` promises where it is traced."""
        n_told = self.n_told(state)
        return int(n_told) if is_concrete(n_told) else first_trial


@contextlib.contextmanager
def _kept(
    study: Callable[[], tuple[Any, tuple[list[PyTree], list[Array]]]],
) -> Iterator[None]:
    """Hands the study so far to whatever ends it early, as its attribute `study`."""
    try:
        yield
    except BaseException as error:
        state, histories = study()
        if is_concrete(state, *histories):
            # Some exceptions of other libraries take no attributes.
            with contextlib.suppress(AttributeError):
                error.study = state, histories  # type: ignore[attr-defined]
            if histories[1]:
                error.add_note(
                    f"The {len(histories[1])} batch(es) before this are kept: state, "
                    f"(params_hist, results_hist) = error.study of this exception, "
                    f"which is sys.last_value in a notebook."
                )
        raise


def _is_true(answer: Any) -> bool:
    """Whether a callback asked to stop, and did not just happen to return something."""
    is_truth = isinstance(answer, (bool, np.bool_, np.ndarray, jax.Array))
    return is_truth and np.asarray(answer).dtype == bool and bool(np.all(answer))


def make(optimizer: type[Optimizer], settings: Mapping[str, Any]) -> Any:
    """`optimizer(**settings)`; raises `UnknownSettingError` for a name it lacks."""
    names = [field.name for field in dataclasses.fields(optimizer)]
    unknown = [name for name in settings if name not in names]
    if unknown:
        raise UnknownSettingError(
            f"{optimizer.__name__} has no setting {', '.join(map(repr, unknown))}; "
            f"expected some of {', '.join(names)}"
        )
    return optimizer(**settings)


def check_results(results: Any, n_rows: int) -> Float[Any, " q"]:
    """`results` as (q,) floats, one a row of params, NumPy's unless they were JAX's.

    Those of a history are put one after the other. Raises `ParamsError` where they are
    not that.
    """
    try:
        if not is_concrete(results):
            results = jnp.asarray(results)
        array = results if isinstance(results, jax.Array) else np.asarray(results)
        # Text, dates and complex numbers, of which NumPy would make real ones.
        if array.dtype.kind in "USMmc":
            raise TypeError(f"no real numbers: {array.dtype}")
        # NumPy would make NaNs of these, and so failed trials of forgotten results.
        if array.dtype.kind == "O" and any(item is None for item in np.ravel(array)):
            raise TypeError("None is no number; a failed trial has nan")
        with np.errstate(over="ignore"):  # infinity, and so a failed trial
            array = array.astype(jnp.result_type(float))
        array = array.reshape(-1) if array.ndim in (0, 2) else array
    except (OverflowError, TypeError, ValueError) as error:
        raise ParamsError(
            f"expected numbers for results, nan for a failed trial, got {results!r}"
        ) from error
    if array.shape != (n_rows,):
        raise ParamsError(
            f"expected results of shape ({n_rows},), one for each of the params, got "
            f"{array.shape}"
        )
    return array
