"""The programs that a Bayesian search compiles, when it is not part of a larger one.

Each works on the first `size` rows of the record, or on all of them where that is None.
"""

import functools
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hyperopt_jax import history
from hyperopt_jax._blas_threads import on_one_blas_thread
from hyperopt_jax._checks import is_concrete
from hyperopt_jax._lean_jit import lean_jit
from hyperopt_jax._quick_compile import compiled_quickly
from hyperopt_jax.bayesian import _ask, _beliefs, _tell
from hyperopt_jax.bayesian._state import BayesianSearchState, buffer_size

if TYPE_CHECKING:
    from hyperopt_jax.bayesian._search import BayesianSearch

_program = functools.partial(compiled_quickly, jit=lean_jit)


# Programs for 1, 4, 16, ... batches that are told at a time, and for 8, 32, ... trials that
# still run: workers that finish when they like would compile one for each number.
SMALLEST_PENDING = 8


def propose(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    key: PRNGKeyArray,
    size: int | None,
    pending: Float[Array, "p c"] | None,
) -> Float[Array, "q c"]:
    """The next batch as a table of values, while the trials `pending` still run."""
    running = None
    if pending is not None:
        n_running, table = _filled_up(SMALLEST_PENDING, pending)
        running = table, n_running
    return _propose(optimizer, state, key, size, running)


@on_one_blas_thread
@_program
def _propose(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    key: PRNGKeyArray,
    size: int | None,
    pending: tuple[Float[Array, "p c"], Int[Array, ""]] | None,
) -> Float[Array, "q c"]:
    small = optimizer.shrink(state, size)
    return _ask.propose(optimizer, small, key, pending)


def tell(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    results: Float[Array, " q"],
    X: Float[Array, "q c"],
    size: int | None,
) -> BayesianSearchState:
    """The state with a batch added, but for its space, which the caller has."""
    n_new, X, results = _filled_up(optimizer.n_parallel, X, results)
    return _tell_first(optimizer, state, results, X, n_new, size)


@on_one_blas_thread
@_program
def _tell_first(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    results: Float[Array, " q"],
    X: Float[Array, "q c"],
    n_new: Int[Array, ""],
    size: int | None,
) -> BayesianSearchState:
    small = _tell.tell(optimizer, optimizer.shrink(state, size), results, X, n_new)
    return optimizer.regrow(state, small).in_space(None)


def _filled_up(smallest: int, *tables: Float[Array, "n *c"]) -> tuple[Any, ...]:
    """How many rows `tables` have, and these with some below that do not count.

    In a trace they stay as they are: the program around is one for this number anyway.
    """
    n = len(tables[0])
    m = buffer_size(n, smallest)
    if m != n and is_concrete(tables):
        # Some of their own rows once more, and so nothing that could not be told.
        return np.int32(n), *(np.resize(t, (m, *t.shape[1:])) for t in tables)
    return np.int32(n), *tables


@_program
def best(
    trials: history.Trials, maximize: bool
) -> tuple[Float[Array, ""], Float[Array, " c"]]:
    """The best result, and the values that gave it."""
    least = jnp.min(history.losses(trials, maximize))
    row = history.best_row(trials, maximize)
    return -least if maximize else least, trials.X[row]


@_program
def recommended(
    optimizer: "BayesianSearch", state: BayesianSearchState, size: int | None
) -> Float[Array, " c"]:
    """The values of the recorded trial with the best posterior mean."""
    small = optimizer.shrink(state, size)
    return small.X[_beliefs.recommended_row(optimizer, small)]


@_program
def mean_and_std(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    X: Float[Array, "m c"],
    size: int | None,
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Posterior mean and standard deviation of the objective at the values `X`."""
    return _beliefs.mean_and_std(optimizer, optimizer.shrink(state, size), X)


@_program
def draws(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    key: PRNGKeyArray,
    X: Float[Array, "m c"],
    n_samples: int,
    size: int | None,
) -> Float[Array, "s m"]:
    """Joint draws of the objective at the values `X`."""
    small = optimizer.shrink(state, size)
    return _beliefs.draws(optimizer, small, key, X, n_samples)
