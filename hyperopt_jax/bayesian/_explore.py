"""Which proposals are drawn at random, for models that may have given up a part too early.

A branch of a conditional space that began badly looks flat to a Gaussian process, and
expected improvement would then refine what it has for ever. So after `n_greedy` trials
without an improvement two are drawn, whatever the model says (Hutter et al. 2011, SMAC).
What the model knows least about would serve less: that is the corners of a branch, beyond
which there is nothing.
"""

from jaxtyping import Array, Bool, Int

DRAWN_TRIALS = 2


def is_drawn(place: Int[Array, ""], n_greedy: int) -> Bool[Array, ""]:
    """Whether the proposal at this place of the cycle is drawn at random."""
    return place % (n_greedy + DRAWN_TRIALS) >= n_greedy
