"""Which trials a model is conditioned on where there are too many for all of them.

The cost of a Gaussian process grows with the cube of its rows, and most of a long record
says little about where to go next.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

MAX_ROWS = 1024

# Of the rows, this part goes to the best trials, and as much to those nearest the
# incumbent: they decide where a proposal goes. The others say how the rest of the space
# looks, so they are spread evenly over the record.
SHARE = 4


def modelled(
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    recorded: Bool[Array, " n"],
    best_row: Int[Array, ""],
    n_free: int = 0,
) -> tuple[Int[Array, " m"], Bool[Array, " m"]] | None:
    """The rows that a model sees, and which of them hold a trial; None for all.

    The trials come first, in their order, and then at least `n_free` rows without one.
    """
    if U.shape[0] <= MAX_ROWS + n_free:
        return None
    seen = _chosen(U, t, recorded, best_row)
    rows = jnp.argsort(~seen, stable=True)[: MAX_ROWS + n_free]
    return rows.astype(jnp.int32), seen[rows]


def _chosen(
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    recorded: Bool[Array, " n"],
    best_row: Int[Array, ""],
) -> Bool[Array, " n"]:
    """All recorded trials if there are at most `MAX_ROWS`, else that many of them."""
    share = MAX_ROWS // SHARE
    best = _largest(t, recorded, share)
    away = jnp.sum((U - U[best_row][None, :]) ** 2, axis=1)
    near = _largest(-away, recorded & ~best, share)
    rest = recorded & ~best & ~near
    left = MAX_ROWS - 2 * share
    rank = jnp.cumsum(rest, dtype=jnp.int32)
    total = jnp.maximum(rank[-1], left)
    spread = rest & (rank * left // total > (rank - 1) * left // total)
    return best | near | spread


def _largest(
    score: Float[Array, " n"], among: Bool[Array, " n"], k: int
) -> Bool[Array, " n"]:
    """The `k` rows `among` which the score is largest, or all where there are fewer."""
    _, rows = lax.top_k(jnp.where(among, score, -jnp.inf), k)
    return jnp.zeros_like(among).at[rows].set(True) & among
