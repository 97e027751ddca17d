"""THE step of a study (ask, evaluate, tell), its keys, and the loops around it.

Both drivers run the same step body. Keys are derived from the study's key by trial
number, so the Python loop, the scan, a resumed run and another batch width give the
same trial the same key.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from hyperopt_jax._blas_threads import on_one_blas_thread
from hyperopt_jax._checks import is_concrete
from hyperopt_jax._evaluate import (
    Evaluator,
    Objective,
    as_results,
    is_formula,
    vectorised,
)
from hyperopt_jax._progress import report_from_loop
from hyperopt_jax._quick_compile import can_compile_quickly, compiled_quickly
from hyperopt_jax.spaces import (
    Codec,
    codec_of,
    codec_told,
    is_constrained,
    is_lost,
    ravel,
    shapes_of,
    unravel,
)

if TYPE_CHECKING:
    from hyperopt_jax.base import Optimizer, OptimizerState


# Trials take the first of the numbers that are folded into a study's key; asking and
# telling take the next ones.
MAX_TRIALS = 2**30
_ASK, _TELL = MAX_TRIALS, 2 * MAX_TRIALS


class Keys(eqx.Module):
    """The keys of one batch, from the study's key and the number of its first trial.

    Trial t has `fold_in(key, t)`; the batch is asked for and told with keys of its own.
    """

    ask: PRNGKeyArray
    tell: PRNGKeyArray
    trials: PRNGKeyArray

    def __init__(self, key: PRNGKeyArray, first_trial: Int[Array, ""], q: int):
        first = jnp.asarray(first_trial).astype(jnp.uint32)
        offsets = [*range(q), _ASK, _TELL]
        # All at once: a hash is the largest piece of code in a small program.
        numbers = first + jnp.asarray(np.array(offsets, np.uint32))
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
        self.trials, self.ask, self.tell = keys[:q], keys[q], keys[q + 1]


class Segment(eqx.Module):
    """A stretch of a study that runs on buffers of one size."""

    capacity: int | None = eqx.field(static=True)
    n_steps: int = eqx.field(static=True)


def step(
    optimizer: "Optimizer",
    state: "OptimizerState",
    key: PRNGKeyArray,
    func: Objective,
    first_trial: Int[Array, ""],
    evaluate: Evaluator = vectorised,
    given: Float[Array, "q c"] | None = None,
) -> tuple["OptimizerState", PyTree, Float[Array, " q"], Any]:
    """One batch: ask, evaluate, tell. Returns the new state, the params, the results.

    And, within a program, the params as a table (q, c). The rows of `given` that are not
    NaN take the place of what the search proposes.
    """
    keys = _keys(key, first_trial, optimizer.n_parallel)
    space, q = state.space, optimizer.n_parallel
    state, keys = _state_apart(state), _apart(keys)
    params, X = optimizer.get_next_params(state, keys.ask), None
    if given is not None or not is_concrete(keys, params):
        # One barrier for all parameters, and for each one that the objective takes its
        # own: a thousand that it leaves alone cost a program nothing.
        X = ravel(space, params, lost_too=True)
        if given is not None:
            X = jnp.where(jnp.isnan(given), X, given)
        X = _apart(X)
        params = unravel(space, X)
    outputs = evaluate(func, keys.trials, _each_apart(params))
    results = _apart(as_results(outputs, q))
    if is_constrained(space):
        # Where the search found no feasible point, whatever the objective says of none.
        rows = ravel(space, params, lost_too=True) if X is None else X
        lost = is_lost(codec_of(space), rows)
        xp = np if is_concrete(lost, results) else jnp
        results = xp.where(lost, xp.nan, results)
    state = optimizer.update_state(state, keys.tell, results, params)
    return _state_apart(state), params, results, X


# One program and not ten, where a step is not part of a larger one.
_keys = eqx.filter_jit(Keys)


def _apart(values: PyTree) -> PyTree:
    """`values` behind a barrier, where they are part of a program.

    It keeps the compiler from fusing the objective, the search and the loop around them:
    each then rounds alike wherever it stands.
    """
    return values if is_concrete(values) else lax.optimization_barrier(values)


def _each_apart(params: PyTree) -> PyTree:
    """`params` behind a barrier each, which goes where a program does not use them."""
    if is_concrete(params):
        return params
    return jax.tree.map(lax.optimization_barrier, params)


def _state_apart(state: "OptimizerState") -> "OptimizerState":
    """`_apart`, but for the space: a loop need not carry what no step changes."""
    return _apart(state.in_space(None)).in_space(state.space)


def _run(
    codec: Codec,
    optimizer: "Optimizer",
    state: "OptimizerState",
    key: PRNGKeyArray,
    func: Objective,
    first_trial: Int[Array, ""],
    segments: tuple[Segment, ...],
    bar: Int[Array, ""] | None = None,
    given: Float[Array, "t q c"] | None = None,
) -> tuple[
    "OptimizerState",
    Float[Array, "t q d"],
    Float[Array, "t q"],
    Int[Array, ""] | None,
]:
    """A whole stretch of a study as one program: a scan a segment.

    Returns the state without its space, and the histories of parameters, as a table, and
    of results; and with a `bar` when it would be moved next.
    """
    q, space = optimizer.n_parallel, state.space

    def body(carry: tuple, batch: tuple) -> tuple[tuple, tuple[Array, Array]]:
        (small, report_due), (i, rows) = carry, batch
        small, _, results, X = step(
            optimizer,
            small.in_space(space),
            key,
            func,
            first_trial + i * q,
            given=rows,
        )
        if bar is not None:
            report_due = report_from_loop(bar, i + 1, report_due)
        return (small.in_space(None), report_due), (X, results)

    done, histories = 0, []
    report_due = None if bar is None else jnp.int32(1)
    for segment in segments:
        small = optimizer.shrink(state, segment.capacity).in_space(None)
        end = done + segment.n_steps
        rows = None if given is None else given[done:end]
        steps = jnp.arange(done, end, dtype=jnp.int32)
        with codec_told(space, codec):
            (small, report_due), history = lax.scan(
                body, (small, report_due), (steps, rows)
            )
        state = optimizer.regrow(state, small.in_space(space))
        histories.append(history)
        done = end
    tables, results = zip(*histories, strict=True)
    told = state.in_space(None)
    return told, jnp.concatenate(tables), jnp.concatenate(results), report_due


def _beside_its_space(program: Callable[..., Any]) -> Callable[..., Any]:
    """Runs `program`, a compiled `_run`, with the codec in the place of the space.

    The program then neither takes nor returns the bounds of every leaf, of which a
    thousand would take longer to compile than a search.
    """

    def run(
        optimizer: "Optimizer", state: "OptimizerState", *args: Any, **kwargs: Any
    ) -> tuple["OptimizerState", Any, Any, Any]:
        codec = codec_of(state.space)
        told, *histories = program(codec, optimizer, state, *args, **kwargs)
        return told.in_space(state.space), *histories

    return run


_run_as_usual = _beside_its_space(on_one_blas_thread(eqx.filter_jit(_run)))
_run_compiled_quickly = _beside_its_space(on_one_blas_thread(compiled_quickly(_run)))


def runner(
    optimizer: "Optimizer", state: "OptimizerState", key: PRNGKeyArray, func: Objective
) -> Callable[..., Any]:
    """What runs a stretch of a study with the objective `func`, called like `_run`.

    Compiled in less time where the objective does not suffer from it.
    """
    if is_concrete(state, key) and can_compile_quickly():
        light = _is_formula(func, state.space, key, optimizer.n_parallel)
        # In somebody's program it is a tracer, and that program is compiled as it is.
        if is_concrete(light) and light:
            return _run_compiled_quickly
    return _run_as_usual


@eqx.filter_jit
def _is_formula(
    func: Objective, space: PyTree, key: PRNGKeyArray, q: int
) -> Bool[Array, ""]:
    """`is_formula` for batches of a study, remembered as compiled programs are."""
    keys = Keys(key, jnp.int32(0), q).trials
    return jnp.asarray(is_formula(func, keys, shapes_of(space, q)))


def by_batch(
    X: Float[Array, "m c"], n_iterations: int, q: int
) -> Float[Any, "t q c"] | None:
    """The points `X` as the first of a run, batch by batch, and NaN after them."""
    m, c = X.shape
    if m == 0:
        return None
    # NumPy's where it can be: a NaN that JAX makes is an error under jax_debug_nans.
    xp = np if is_concrete(X) else jnp
    rest = np.full((n_iterations * q - m, c), np.nan, X.dtype)
    return xp.concatenate([X, rest]).reshape(n_iterations, q, c)


def plan(
    optimizer: "Optimizer", n_told: int | None, n_iterations: int
) -> tuple[Segment, ...]:
    """The segments of `n_iterations` batches after `n_told` trials.

    Which size a batch runs at depends on its trial number alone, so a study that is cut
    and resumed runs every batch at the size of the uninterrupted one. Where the state is
    traced (`n_told` is None) everything runs at full size.
    """
    if n_told is None:
        return (Segment(None, n_iterations),) if n_iterations else ()
    sizes = [
        optimizer.capacity(n_told + i * optimizer.n_parallel)
        for i in range(n_iterations)
    ]
    starts = [i for i, size in enumerate(sizes) if i == 0 or size != sizes[i - 1]]
    ends = [*starts[1:], n_iterations]
    return tuple(Segment(sizes[a], b - a) for a, b in zip(starts, ends, strict=False))
