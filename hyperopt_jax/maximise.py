"""Maximising a score over the unit cube: candidates, then box-constrained L-BFGS.

Every loop has a static length and evaluates the score exactly once a step, for all
starts at once: no line search inside a loop, so it compiles fast and costs the same
under `vmap`.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax._numerics import hashed_uniform, normal_quantile, squared_distance
from hyperopt_jax.spaces import Codec

Score = Callable[[Float[Array, "m d"]], Float[Array, " m"]]


class Box(NamedTuple):
    """The part of the unit cube in which a maximum is sought, by its corners."""

    low: Float[Array, " d"]
    high: Float[Array, " d"]


# Distances from the incumbent at which candidates are laid, from a new neighbourhood
# down to a last polish.
LOCAL_SCALES = (1e-4, 0.3)

# How many points of a finite space are looked at in search of an untried one, and how
# many at once.
MAX_TRIES, BLOCK = 2**20, 512

# How many other points are looked at where the best ones have been tried.
N_OTHERS = 16

# How close in the cube two places of one discrete value may come by rounding.
BETWEEN_VALUES = 1e-6


def net(shift: Float[Array, " s"], n: int) -> Float[Array, "n d"]:
    """`n` points that fill the unit cube evenly, in d = s - 1 dimensions.

    Multiples of an irrational direction, moved by the uniform numbers `shift`, modulo 1
    (Richtmyer 1951; Cranley & Patterson 1976): each point alone is uniform, and there are
    no further random bits to make.
    """
    return _moved_net(shift, n)[:, :-1]


def at_centres_of_cells(
    net: Float[Array, "m d"], n_cells: int, codec: Codec
) -> Float[Array, "m d"]:
    """`net` drawn together to where the centres of `n_cells` equal cubes would lie.

    Cubes that share the volume of the unit cube have sides of n^(-1/d), and their centres
    stay half of that away from its faces. So a few points in many dimensions keep near
    the centre, from where everything is nearest, and many in few fill the cube. Choices
    have no centre and stay as they are.
    """
    is_number = ~codec.is_nominal
    width = 1 - n_cells ** (-1 / max(int(is_number.sum()), 1))
    return jnp.where(is_number[None, :], 0.5 + width * (net - 0.5), net)


def draw_order(shift: Float[Array, " s"], n: int) -> Float[Array, " n"]:
    """Distinct numbers whose largest picks one row of `net(shift, n)` at random.

    They are the coordinate that `net` leaves out, so the row picked stays uniform.
    """
    return _moved_net(shift, n)[:, -1]


def candidates(
    shift: Float[Array, " s"],
    incumbent: Float[Array, " d"],
    box: Box,
    n: int,
    codec: Codec | None = None,
) -> Float[Array, "n d"]:
    """`n` points of a box: half fill it, half surround the incumbent.

    Both halves are a `net` in one dimension more, which the local half uses for the
    scale of its normal offsets: log-uniform over `LOCAL_SCALES`, in widths of the box.
    With a `codec`, choices near the incumbent are drawn anew instead of moved.
    """
    moved = _moved_net(shift, n)
    points, extra = moved[:, :-1], moved[:, -1:]
    low, high = np.log(LOCAL_SCALES)
    scale = jnp.exp(low + (high - low) * extra)
    edge = jnp.finfo(incumbent.dtype).eps
    offsets = scale * normal_quantile(jnp.clip(points, edge, 1 - edge))
    width = (box.high - box.low)[None, :]
    offsets = offsets * width
    if codec is None:
        around = incumbent[None, :] + offsets
    else:
        around = codec.perturb(incumbent[None, :], offsets, points)
    is_near = np.arange(n)[:, None] % 2 == 1
    chosen = jnp.where(is_near, around, box.low[None, :] + points * width)
    return jnp.clip(chosen, box.low[None, :], box.high[None, :])


def _moved_net(shift: Float[Array, " s"], n: int) -> Float[Array, "n s"]:
    fixed = jnp.asarray(_richtmyer(n, shift.shape[0]), shift.dtype)
    return (fixed + shift[None, :]) % 1.0


@functools.cache
def _richtmyer(n: int, d: int) -> np.ndarray:
    """Row i is i (sqrt 2, sqrt 3, sqrt 5, ...) modulo 1, with the first `d` primes.

    A Sobol sequence serves as well, but importing the one there is takes as long as
    importing all of this package.
    """
    return np.arange(n)[:, None] * np.sqrt(_primes(d))[None, :] % 1.0


def _primes(count: int) -> np.ndarray:
    """The first `count` prime numbers."""
    # The k-th is below k (ln k + ln ln k) from the sixth on (Rosser & Schoenfeld 1962).
    k = max(count, 6)
    sieve = np.ones(math.ceil(k * (math.log(k) + math.log(math.log(k)))) + 1, bool)
    sieve[:2] = False
    for i in range(2, math.isqrt(len(sieve)) + 1):
        if sieve[i]:
            sieve[i * i :: i] = False
    return np.flatnonzero(sieve)[:count]


def enumerated(codec: Codec, points: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """`points`, or every point of the space in turn where it is no larger than that.

    The sizes are data, so this is one program for every set of bounds.
    """
    n = points.shape[0]
    every = _nth(codec, jnp.arange(n, dtype=points.dtype))
    return jnp.where(_size(codec) <= n, every, codec.snap(points))


def untaken(
    codec: Codec,
    u: Float[Array, " d"],
    taken: Float[Array, "n d"],
    mask: Bool[Array, " n"],
) -> Float[Array, " d"]:
    """`u`, or another point of an all-discrete space if `u` is taken.

    That is, if it is a row of `taken` inside `mask`. Points are looked at in turn, or at
    random where there are more than `MAX_TRIES`, until one is free and satisfies the
    constraints. `u` as it came where none does.
    """
    size = _size(codec)
    in_turn = size <= MAX_TRIES
    block = jnp.arange(BLOCK, dtype=u.dtype)

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        _, found, first = carry
        return ~found & (first < jnp.minimum(size, MAX_TRIES))

    def look(carry: tuple) -> tuple:
        u, _, first = carry
        seed = jnp.stack([jnp.uint32(0), first.astype(jnp.uint32)])
        drawn = hashed_uniform(seed, (BLOCK, u.shape[0]), u.dtype)
        points = jnp.where(in_turn, _nth(codec, first + block), drawn)
        points, X = codec.snapped(points)
        free = codec.is_allowed(X) & ~is_taken(points, taken, mask)
        # The last block counts on from the end to points that were looked at before.
        found = jnp.any(free)
        return jnp.where(found, points[jnp.argmax(free)], u), found, first + BLOCK

    found = ~is_taken(u[None, :], taken, mask)[0]
    return lax.while_loop(unfinished, look, (u, found, jnp.zeros((), u.dtype)))[0]


def _size(codec: Codec) -> Float[Array, ""]:
    """How many points an all-discrete space has: combinations of its values."""
    return jnp.prod(codec.n_values())


def _nth(codec: Codec, index: Float[Array, " n"]) -> Float[Array, "n d"]:
    """Points of an all-discrete space by their number.

    Which is written in the mixed radix of the numbers of values.
    """
    n_values = codec.n_values()
    place = jnp.concatenate([jnp.ones(1, index.dtype), jnp.cumprod(n_values)[:-1]])
    digits = jnp.floor(index[:, None] / place[None, :]) % n_values[None, :]
    return codec.encode(codec.nth(digits))


def is_taken(
    U: Float[Array, "m d"],
    taken: Float[Array, "n d"],
    mask: Bool[Array, " n"],
    within: float = BETWEEN_VALUES,
) -> Bool[Array, " m"]:
    """Which rows of `U` equal a row of `taken` inside `mask`, to rounding."""
    return times_taken(U, taken, mask, within) > 0


def is_repeated(
    U: Float[Array, "m d"], taken: Float[Array, "n d"], mask: Bool[Array, " n"]
) -> Bool[Array, " m"]:
    """`is_taken` where there are intervals, in which two points may be very near."""
    return is_taken(U, taken, mask, 4 * float(jnp.finfo(U.dtype).eps))


def times_taken(
    U: Float[Array, "m d"],
    taken: Float[Array, "n d"],
    mask: Bool[Array, " n"],
    within: float = BETWEEN_VALUES,
) -> Int[Array, " m"]:
    """How many rows of `taken` inside `mask` each row of `U` equals, to rounding."""
    same = jnp.all(jnp.abs(U[:, None, :] - taken[None, :, :]) < within, axis=-1)
    return jnp.sum(same & mask[None, :], axis=1, dtype=jnp.int32)


def clearance(
    U: Float[Array, "m d"], others: Float[Array, "n d"], mask: Bool[Array, " n"]
) -> Float[Array, " m"]:
    """How far each row of `U` is from the nearest of `others` inside `mask`.

    Measured on the torus, where opposite faces touch, as sum_j 4 sin^2(pi (u_j - v_j)):
    on the cube itself the farthest points would all lie in its corners. inf where
    `mask` is empty.
    """
    squared = squared_distance(_on_torus(U), _on_torus(others))
    return jnp.min(jnp.where(mask[None, :], squared, jnp.inf), axis=1)


def _on_torus(U: Float[Array, "n d"]) -> Float[Array, "n 2d"]:
    return jnp.concatenate([jnp.cos(2 * jnp.pi * U), jnp.sin(2 * jnp.pi * U)], axis=1)


def maximise(
    score: Score,
    start: Float[Array, "m d"],
    box: Box,
    is_free: np.ndarray,
    n_restarts: int,
    n_steps: int,
    codec: Codec | None = None,
    is_known: Callable[[Float[Array, "m d"]], Bool[Array, " m"]] | None = None,
) -> Float[Array, " d"]:
    """The best point of `box` found from the `n_restarts` best rows of `start`.

    Coordinates outside the static mask `is_free` stay as they are in `start`, so a
    discrete coordinate is scored at the value that will be evaluated. With the `codec` of
    a space with conditions or constraints, refined points that break a constraint are
    pulled back towards where they started.

    Where every start ends at points that `is_known` says the search has been to, the best
    row of `start` that is none of them, if it is among the first few.
    """
    values = _finite(score(start))
    _, chosen = lax.top_k(values, min(n_restarts, start.shape[0]))
    seeds = start[chosen]
    if n_steps == 0 or not is_free.any():
        return seeds[0]
    free = jnp.asarray(is_free, seeds.dtype)[None, :]
    low, width = box.low[None, :], (box.high - box.low)[None, :]
    # A coordinate without room stands in the middle of the nothing it has.
    inside = jnp.where(width > 0, (seeds - low) / jnp.where(width > 0, width, 1.0), 0.5)
    refined, losses = box_lbfgs(
        lambda V: -score(low + V * width), inside, n_steps, free
    )
    # A coordinate that may not move is told exactly as it came.
    refined = jnp.where(free > 0, low + refined * width, seeds)
    if codec is not None and (codec.has_constraints or codec.is_conditional):
        refined = codec.pulled_back(seeds, refined)
        losses = -score(refined)
    if is_known is None:
        return refined[jnp.argmin(losses)]
    known = is_known(refined)

    def elsewhere() -> Float[Array, " d"]:
        # Not all of them are compared with all that is known: a `vmap` does this for every
        # proposal, needed or not.
        there = is_repeated(start, refined, known)
        _, rows = lax.top_k(
            jnp.where(there, -jnp.inf, values), min(N_OTHERS, start.shape[0])
        )
        others = start[rows]
        return others[jnp.argmin(is_known(others))]

    return lax.cond(
        jnp.all(known),
        elsewhere,
        lambda: refined[jnp.argmin(jnp.where(known, jnp.inf, losses))],
    )


def box_lbfgs(
    loss: Score,
    start: Float[Array, "r d"],
    n_steps: int,
    free: Float[Array, "1 d"],
) -> tuple[Float[Array, "r d"], Float[Array, " r"]]:
    """Minimises `loss` over the unit cube from each row of `start`; with the losses.

    L-BFGS whose memory is as long as the run, so that the inverse Hessian is kept as a
    matrix and a step is three products with it (Nocedal & Wright 2006, eq. 6.17 and
    6.20), on the coordinates that are not pressed against the box, with projection of
    every step and backtracking to the Armijo condition. One step is one evaluation of
    the loss for all rows: a rejected step shortens the next one. Never returns a row
    with a larger loss than it started from.
    """
    r, d = start.shape
    eye = jnp.eye(d, dtype=start.dtype)[None]

    def value_and_gradient(U: Array) -> tuple[Array, Array]:
        value, pullback = jax.vjp(loss, U)
        (gradient,) = pullback(jnp.ones_like(value))
        return value, jnp.where(jnp.isfinite(gradient), gradient, 0.0) * free

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        U, value, gradient, direction, length, H, curved = carry
        trial = jnp.clip(U + length[:, None] * direction, 0.0, 1.0)
        new_value, new_gradient = value_and_gradient(trial)
        move, change = trial - U, new_gradient - gradient
        slope = _dot(gradient, move)
        # The first evaluation, at the start, has nothing to be compared with.
        first = jnp.isinf(value)
        ok = (new_value <= value + 1e-4 * slope) & ((slope < 0) | first)
        ok = ok & jnp.isfinite(new_value)
        learns = ok & ~first & (_dot(move, change) > 1e-10 * _dot(change, change))
        H = _updated(H, move, change, learns, curved, eye)
        curved = curved | learns
        take = ok[:, None]
        U = jnp.where(take, trial, U)
        gradient = jnp.where(take, new_gradient, gradient)
        # Without curvature yet, the first move is at most a tenth of the cube.
        cautious = jnp.minimum(1.0, 0.1 / (jnp.max(jnp.abs(gradient), 1) + 1e-30))
        carry = (
            U,
            jnp.where(ok, new_value, value),
            gradient,
            jnp.where(take, _direction(U, gradient, H), direction),
            jnp.where(ok, jnp.where(curved, 1.0, cautious), 0.3 * length),
            H,
            curved,
        )
        return carry, None

    carry = (
        start,
        jnp.full(r, jnp.inf, start.dtype),
        jnp.zeros_like(start),
        jnp.zeros_like(start),
        jnp.zeros(r, start.dtype),
        jnp.broadcast_to(eye, (r, d, d)),
        jnp.zeros(r, bool),
    )
    carry, _ = lax.scan(step, carry, None, length=n_steps + 1)
    return carry[0], carry[1]


def _updated(
    H: Float[Array, "r d d"],
    s: Float[Array, "r d"],
    y: Float[Array, "r d"],
    learns: Bool[Array, " r"],
    curved: Bool[Array, " r"],
    eye: Float[Array, "1 d d"],
) -> Float[Array, "r d d"]:
    """The BFGS update of the inverse Hessian H, where the pair (s, y) may be learnt.

    H + (1 + y'Hy / s'y) ss' / s'y - (s (Hy)' + Hy s') / s'y. The first pair rescales
    the identity it starts from by s'y / y'y.
    """
    sy, yy = _dot(s, y), _dot(y, y)
    scale = jnp.where(learns & ~curved, sy / jnp.where(learns, yy, 1.0), 1.0)
    H = jnp.where((learns & ~curved)[:, None, None], scale[:, None, None] * eye, H)
    Hy = _times(H, y)
    inverse = jnp.where(learns, 1 / jnp.where(learns, sy, 1.0), 0.0)
    ss = (inverse * (1 + inverse * _dot(y, Hy)))[:, None, None]
    sHy = inverse[:, None, None] * s[:, :, None] * Hy[:, None, :]
    return H + ss * s[:, :, None] * s[:, None, :] - sHy - sHy.mT


def _direction(U: Array, gradient: Array, H: Array) -> Array:
    """A descent direction: -H g on the coordinates that may move, else -g there."""
    pressed = ((U <= 0) & (gradient > 0)) | ((U >= 1) & (gradient < 0))
    g = jnp.where(pressed, 0.0, gradient)
    newton = jnp.where(pressed, 0.0, -_times(H, g))
    descends = _dot(newton, g) < 0
    return jnp.where(descends[:, None], newton, -g)


def _times(H: Float[Array, "r d d"], x: Float[Array, "r d"]) -> Float[Array, "r d"]:
    return jnp.sum(H * x[:, None, :], axis=-1)


def _dot(a: Float[Array, "r d"], b: Float[Array, "r d"]) -> Float[Array, " r"]:
    return jnp.sum(a * b, axis=-1)


def _finite(values: Float[Array, " m"]) -> Float[Array, " m"]:
    """A score that is not a number loses against every other."""
    return jnp.where(jnp.isnan(values), -jnp.inf, values)
