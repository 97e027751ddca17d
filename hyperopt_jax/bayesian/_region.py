"""Which proposals polish the incumbent, and how far from it they may go.

All of it is read off the record, so nothing has to be remembered: a resumed, warm-started
or repeated study makes the same choices.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax._numerics import MAX_COMPARED_ROWS
from hyperopt_jax.maximise import Box
from hyperopt_jax.spaces import Codec

# After a cycle's local trials failed, this many search everywhere before the next cycle.
GLOBAL_TRIALS = 2

# The region reaches this many times as far as the recent improvements were long, and each
# round without one halves that (Powell 1994, COBYLA; Eriksson et al. 2019, TuRBO).
GROWTH, SHRINK = 1.5, 0.5

# How long counts half as much with each improvement since, so that one small improvement
# does not end the large ones.
FADING = 0.5

FIRST_STEP = 0.3
MAX_CYCLES = 3

# Where noise is more than a tenth of the results' spread, differences between
# neighbours say nothing about a slope.
MAX_NOISE_VARIANCE = 1e-2


class Progress(NamedTuple):
    """What the record says of the search so far."""

    best_row: Int[Array, ""]
    step: Float[Array, ""]
    failures: Int[Array, ""]
    on_plateau: Bool[Array, ""]


def progress(
    U: Float[Array, "n d"],
    loss: Float[Array, " n"],
    count: Int[Array, ""],
) -> Progress:
    """The incumbent's row (that of the smallest `loss`, inf where there is none), how
    far recent improvements moved in any coordinate (faded, the largest counts), how many
    trials were told since the last one, and whether another point has exactly the
    incumbent's result: there is no slope to follow on a plateau.
    """
    # Not the targets, in which results that differ by little may be one.
    t = -loss
    rows = jnp.arange(t.shape[0], dtype=jnp.int32)
    best_row = jnp.argmax(t).astype(jnp.int32)
    # The incumbent before each trial is the last one that was better than all before it.
    record = _over_earlier(t, lax.max, -jnp.inf)
    leads = t > record
    before = _over_earlier(jnp.where(leads, rows, 0), lax.max, 0)
    improves = leads & (record > -jnp.inf)
    counted = jnp.flip(improves).astype(U.dtype)
    since = jnp.flip(_over_earlier(counted, lax.add, 0))
    move = jnp.max(jnp.abs(U - U[before]), axis=1)
    faded = jnp.max(jnp.where(improves, move * FADING**since, -1.0))
    step = jnp.where(faded < 0, jnp.asarray(FIRST_STEP, U.dtype), faded)
    elsewhere = jnp.any(U - U[best_row][None, :], axis=1)
    on_plateau = jnp.any(jnp.isfinite(t) & (t == t[best_row]) & elsewhere)
    failures = jnp.maximum(count - 1 - best_row, 0)
    return Progress(best_row, step, failures, on_plateau)


def _over_earlier(values: Array, operation: Any, nothing: float) -> Array:
    """`operation` over all entries before each one; `nothing` where there is none.

    A window as long as the array: one kernel, which a cumulative operation is not. But
    thousands of them would look at millions of pairs.
    """
    n = values.shape[0]
    start = jnp.asarray(nothing, values.dtype)
    if n > MAX_COMPARED_ROWS:
        return jnp.append(start, lax.associative_scan(operation, values)[:-1])
    return lax.reduce_window(values[:-1], start, operation, (n,), (1,), [(n, 0)])


def is_local(place: Int[Array, ""], n_local: int) -> Bool[Array, ""]:
    """Whether the trial at this place of the cycle is one of its `n_local` local ones."""
    return place % (n_local + GLOBAL_TRIALS) < n_local


def reach(
    so_far: Progress, n_local: int, n_at_once: Int[Array, ""] | int
) -> Float[Array, ""]:
    """How far from the incumbent a local trial may go, in any coordinate.

    It halves with each round without an improvement. A round is `n_at_once` trials, a
    batch and those that still run: they learn nothing from each other.
    """
    rounds, cycle = so_far.failures // n_at_once, n_local + GLOBAL_TRIALS
    halvings = rounds % cycle + jnp.minimum(rounds // cycle, MAX_CYCLES)
    step = so_far.step
    shrunk = GROWTH * step * SHRINK ** halvings.astype(step.dtype)
    # Below this a move is lost in the rounding of a coordinate.
    least = 16 * float(jnp.finfo(step.dtype).eps)
    return jnp.clip(shrunk, least, 0.5)


def corner2(reach: Float[Array, ""], codec: Codec) -> Float[Array, ""]:
    """How far the corners of the region are from the incumbent in the unit cube, squared.

    Choices stay as they are, however many columns they have before a model.
    """
    return int((~codec.is_nominal).sum()) * reach**2


def box(
    incumbent: Float[Array, " d"],
    reach: Float[Array, ""],
    local: Bool[Array, ""],
    codec: Codec,
) -> Box:
    """The region around the incumbent for a local trial, else the whole cube.

    Choices stay as they are in a region.
    """
    if codec.is_nominal.any():
        reach = jnp.where(codec.is_nominal, 0.0, reach)
    low = jnp.maximum(incumbent - reach, 0.0)
    high = jnp.minimum(incumbent + reach, 1.0)
    return Box(jnp.where(local, low, 0.0), jnp.where(local, high, 1.0))
