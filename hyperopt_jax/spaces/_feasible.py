"""Points that satisfy hard constraints: checks, rejection, and steps back."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax._numerics import matmul
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._layout import Rule
from hyperopt_jax.spaces._tables import unravel

if TYPE_CHECKING:
    from hyperopt_jax.spaces._codec import Codec

# How many points are drawn at most in search of a feasible one, and how many at once.
MAX_TRIES, ROUND = 2**20, 4096
N_ROUNDS = MAX_TRIES // ROUND

# How many feasible candidates are wanted, and how many do once that took some rounds.
PLENTY, ENOUGH, PATIENCE = 256, 16, 8

# Where the feasible part of the way to a refined point is looked for.
STEPS_BACK = (1.0, 0.5, 0.25, 0.0625, 0.0)


def holds(rule: Rule, X: Float[Array, "n k"]) -> Bool[Array, " n"]:
    """Which rows of values, of the rule's own leaves, satisfy it."""
    ok = jnp.ones(X.shape[0], bool)
    if rule.A is not None and rule.b is not None:
        ok = ok & jnp.all(matmul(X, rule.A.T.astype(X.dtype)) <= rule.b[None, :], 1)
    if rule.predicate is None:
        return ok
    predicate = rule.predicate

    def check(params: Any) -> Bool[Array, ""]:
        kept = predicate(params)
        if jnp.shape(kept) != ():
            raise SpaceError(
                f"expected the predicate of a ConstrainedSpace to return one truth "
                f"value, got shape {jnp.shape(kept)}"
            )
        return jnp.asarray(kept).astype(bool)

    try:
        return ok & jax.vmap(check)(unravel(rule.space, X))
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
    ) as error:
        raise SpaceError(
            f"expected a predicate that JAX can trace, got "
            f"{getattr(predicate, '__name__', predicate)!r}, which branches on a value; "
            f"write & and | for `and` and `or`, and jnp.where for `if`"
        ) from error


def sampled(
    codec: "Codec", key: PRNGKeyArray, n: int
) -> tuple[Float[Array, "n d"], Bool[Array, ""]]:
    """`n` independent points, uniform on the feasible part of the cube."""
    pool = jnp.zeros((n, codec.n_coordinates), jnp.result_type(float))
    pool, found = _search(codec, key, pool, jnp.int32(0), n, n)
    return _repeated(pool, found), found > 0


def replaced(
    codec: "Codec", U: Float[Array, "n d"], key: PRNGKeyArray
) -> tuple[Float[Array, "n d"], Bool[Array, ""]]:
    """The snapped rows `U`, infeasible ones replaced by feasible ones drawn anew."""
    n = U.shape[0]
    ok = codec.is_feasible(U)
    own, n_own = _collected(jnp.zeros_like(U), jnp.int32(0), U, ok)
    pool, found = _search(codec, key, own, n_own, min(n, PLENTY), min(n, ENOUGH))
    # The pool begins with the feasible rows of `U`: new ones first, where there are any.
    n_new = found - n_own
    rank = jnp.cumsum(~ok, dtype=jnp.int32) - 1
    place = jnp.where(n_new > 0, n_own + rank % jnp.maximum(n_new, 1), rank)
    return jnp.where(ok[:, None], U, _repeated(pool, found)[place]), found > 0


def pulled_back(
    codec: "Codec", start: Float[Array, "r d"], end: Float[Array, "r d"]
) -> Float[Array, "m d"]:
    """Feasible points on the way from `start`, which is feasible, to `end`."""
    steps = jnp.asarray(STEPS_BACK, start.dtype)[:, None, None]
    way = start[None] + steps * (end - start)[None]
    way = codec.snap(way.reshape(-1, start.shape[1]))
    back = jnp.tile(start, (len(STEPS_BACK), 1))
    return jnp.where(codec.is_feasible(way)[:, None], way, back)


def _search(
    codec: "Codec",
    key: PRNGKeyArray,
    pool: Float[Array, "c d"],
    found: Int[Array, ""],
    plenty: int,
    enough: int,
) -> tuple[Float[Array, "c d"], Int[Array, ""]]:
    """`pool` with feasible ones among uniform points added after its `found` rows.

    Stops with `plenty`, with `enough` after some rounds, or after `MAX_TRIES` points.
    Where none is found by then there is a last chance with draws that do not depend on
    `key`: those in which `probe` found a point when the search began.
    """
    shape = ROUND, codec.n_coordinates
    seed = jax.random.bits(key, (), jnp.uint32)

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        _, found, i = carry
        wanted = jnp.where(i < PATIENCE, plenty, enough)
        return ((i < N_ROUNDS) & (found < wanted)) | ((found == 0) & (i < 2 * N_ROUNDS))

    def draw(carry: tuple) -> tuple:
        pool, found, i = carry
        base = jax.random.key(jnp.where(i < N_ROUNDS, seed, jnp.uint32(0)))
        fresh = jax.random.uniform(
            jax.random.fold_in(base, i % N_ROUNDS), shape, pool.dtype
        )
        fresh = codec.snap(fresh)
        return *_collected(pool, found, fresh, codec.is_feasible(fresh)), i + 1

    pool, found, _ = lax.while_loop(unfinished, draw, (pool, found, jnp.int32(0)))
    return pool, found


def probe(codec: "Codec") -> Bool[Array, ""]:
    """Whether the draws of the last chance of `_search` hold a feasible point."""
    shape, dtype = (ROUND, codec.n_coordinates), jnp.result_type(float)

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        return ~carry[0] & (carry[1] < N_ROUNDS)

    def draw(carry: tuple) -> tuple:
        key = jax.random.fold_in(jax.random.key(jnp.uint32(0)), carry[1])
        fresh = codec.snap(jax.random.uniform(key, shape, dtype))
        return jnp.any(codec.is_feasible(fresh)), carry[1] + 1

    return lax.while_loop(unfinished, draw, (jnp.asarray(False), jnp.int32(0)))[0]


def _collected(
    pool: Float[Array, "c d"],
    found: Int[Array, ""],
    U: Float[Array, "n d"],
    ok: Bool[Array, " n"],
) -> tuple[Float[Array, "c d"], Int[Array, ""]]:
    """`pool` with the rows of `U` that are `ok` after its first `found`, while it lasts."""
    capacity = pool.shape[0]
    place = found + jnp.cumsum(ok, dtype=jnp.int32) - 1
    place = jnp.where(ok, place, capacity)
    pool = pool.at[place].set(U, mode="drop")
    return pool, jnp.minimum(found + jnp.sum(ok, dtype=jnp.int32), capacity)


def _repeated(pool: Float[Array, "c d"], found: Int[Array, ""]) -> Float[Array, "c d"]:
    """The first `found` rows of `pool`, over and over."""
    rows = jnp.arange(pool.shape[0], dtype=jnp.int32)
    return pool[rows % jnp.maximum(found, 1)]
