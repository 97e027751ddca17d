"""The programs that a Bayesian search compiles, when it is not part of a larger one.

Each works on the first `size` rows of the record, or on all of them where that is None.
"""

import functools
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax import history
from hyperopt_jax._blas_threads import on_one_blas_thread
from hyperopt_jax._lean_jit import lean_jit
from hyperopt_jax._quick_compile import compiled_quickly
from hyperopt_jax.bayesian import _ask, _beliefs, _tell
from hyperopt_jax.bayesian._state import BayesianSearchState

if TYPE_CHECKING:
    from hyperopt_jax.bayesian._search import BayesianSearch

_program = functools.partial(compiled_quickly, jit=lean_jit)


@on_one_blas_thread
@_program
def propose(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    key: PRNGKeyArray,
    size: int | None,
    pending: Float[Array, "p c"] | None,
) -> Float[Array, "q c"]:
    """The next batch as a table of values."""
    return _ask.propose(optimizer, optimizer.shrink(state, size), key, pending)


@on_one_blas_thread
@_program
def tell(
    optimizer: "BayesianSearch",
    state: BayesianSearchState,
    results: Float[Array, " q"],
    X: Float[Array, "q c"],
    size: int | None,
) -> BayesianSearchState:
    """The state with a batch added, but for its space, which the caller has."""
    small = _tell.tell(optimizer, optimizer.shrink(state, size), results, X)
    return optimizer.regrow(state, small).in_space(None)


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
