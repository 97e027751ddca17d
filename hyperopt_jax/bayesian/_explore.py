"""Proposals that explore, for searches whose model may have given up a part too early.

A branch of a conditional space that began badly looks flat to a Gaussian process, and
expected improvement would then refine what it has for ever. So after `n_greedy` trials
without an improvement two are drawn from points all over the space: the first one as
often as the model expects a large improvement there, the second one with equal chances,
whatever the model says (Hutter et al. 2011, SMAC). The maximum of such an expectation
lies at the ends of ranges, where least is known; a draw lies in between as well.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax.acquisition import LogEI

# How much better than the incumbent a large improvement is, in standard deviations of
# the results.
LARGE_IMPROVEMENT = 1.0

EXPLORING_TRIALS = 2


def is_drawn(place: Int[Array, ""], n_greedy: int) -> Bool[Array, ""]:
    """Whether the proposal at this place of the cycle is drawn at random."""
    return place % (n_greedy + EXPLORING_TRIALS) >= n_greedy


def order(
    place: Int[Array, ""],
    n_greedy: int,
    mean: Float[Array, " m"],
    std: Float[Array, " m"],
    y_max: Float[Array, ""],
    uniform: Float[Array, " m"],
) -> Float[Array, " m"]:
    """Numbers whose largest draws one of m points for this place of the cycle.

    With the chances that `uniform` numbers give by their Gumbel noise, which makes the
    largest of log weights a draw by these weights (Gumbel 1954): the expected large
    improvements, or all the same.
    """
    gumbel = -jnp.log(-jnp.log(uniform))
    log_weight = LogEI(xi=LARGE_IMPROVEMENT)(mean, std, y_max)
    is_first = place % (n_greedy + EXPLORING_TRIALS) == n_greedy
    return jnp.where(is_first, log_weight, 0.0) + gumbel
