"""Which proposals explore, for searches whose model may have given up a part too early.

A branch of a conditional space that began badly looks flat to a Gaussian process, and
expected improvement would then refine what it has for ever. So after `n_greedy` trials
without an improvement two explore: the first one asks for a large improvement (one of
several targets: Jones 2001), the second one is drawn at random, whatever the model says
(Hutter et al. 2011, SMAC).
"""

from jaxtyping import Array, Bool, Int

# How much better than the best result the first of the two asks to be, in standard
# deviations of the results.
LARGE_IMPROVEMENT = 1.0

EXPLORING_TRIALS = 2


def asks_for_much(place: Int[Array, ""], n_greedy: int) -> Bool[Array, ""]:
    """Whether the proposal at this place of the cycle is after a large improvement."""
    return place % (n_greedy + EXPLORING_TRIALS) == n_greedy


def is_drawn(place: Int[Array, ""], n_greedy: int) -> Bool[Array, ""]:
    """Whether the proposal at this place of the cycle is drawn at random."""
    return place % (n_greedy + EXPLORING_TRIALS) == n_greedy + 1
