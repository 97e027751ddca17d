"""Points that satisfy hard constraints: checks, rejection, and steps back."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax._numerics import hashed_uniform, matmul
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._layout import Rule, columns_of
from hyperopt_jax.spaces._tables import unravel

if TYPE_CHECKING:
    from hyperopt_jax.spaces._codec import Codec

# How many points are drawn at most in search of a feasible one, and in what blocks: the
# draws of a block depend on its number only.
MAX_TRIES, BLOCK = 2**20, 512
N_BLOCKS = MAX_TRIES // BLOCK
MANY_BLOCKS, PROBED_BLOCKS, COUNTED = 64, 8, 64

# Independent points are looked for as long as `MAX_TRIES` draws bring this many of them.
LEAST_FOUND = 4

# How many feasible candidates are wanted, and how many do once that took some blocks.
PLENTY, ENOUGH, PATIENCE = 256, 16, 64

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
        if isinstance(kept, (bool, np.bool_)):
            raise SpaceError(
                f"expected the predicate of a ConstrainedSpace to depend on the values, got "
                f"{kept} for all of them; a choice is an index in a predicate: compare it "
                f"with space.index(...)"
            )
        if not isinstance(kept, (np.ndarray, jax.Array)) or (
            jnp.shape(kept) != () or jnp.asarray(kept).dtype != bool
        ):
            # A number would be true wherever it is not zero, negative ones too.
            got = getattr(kept, "aval", None) or f"{kept!r}"
            raise SpaceError(
                f"expected the predicate of a ConstrainedSpace to return one truth "
                f"value, such as p['x'] <= 1, got {got}"
            )
        return jnp.asarray(kept)

    try:
        return ok & jax.vmap(lambda x: check(unravel(rule.space, x)))(X)
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
    ) as error:
        raise SpaceError(
            f"expected a predicate that JAX can trace, got "
            f"{getattr(predicate, '__name__', predicate)!r}, which needs a concrete "
            f"number; write & and | for `and` and `or`, jnp.where for `if`, and "
            f"jax.numpy for numpy, math and float()"
        ) from error


def sampled(
    codec: "Codec", key: PRNGKeyArray, n: int
) -> tuple[Float[Array, "n d"], Bool[Array, ""]]:
    """`n` independent points, uniform on the feasible part of the cube.

    Some of them repeat where `MAX_TRIES` draws hold fewer than `LEAST_FOUND` feasible ones.
    """
    pool, found = _search(codec, key, None, n, n, n)
    return _repeated(pool, found), found > 0


def filled(
    codec: "Codec", U: Float[Array, "n d"], key: PRNGKeyArray
) -> tuple[Float[Array, "n d"], Bool[Array, ""]]:
    """The feasible rows of `U`, snapped, then feasible ones drawn anew, then repeats."""
    n = U.shape[0]
    pool, found = _search(codec, key, U, n, min(n, PLENTY), min(n, ENOUGH))
    return _repeated(pool, found), found > 0


def pulled_back(
    codec: "Codec", start: Float[Array, "r d"], end: Float[Array, "r d"]
) -> Float[Array, "m d"]:
    """Feasible points on the way from `start`, which is feasible, to `end`."""
    steps = jnp.asarray(STEPS_BACK, start.dtype)[:, None, None]
    way = start[None] + steps * (end - start)[None]
    way, X = codec.snapped(way.reshape(-1, start.shape[1]))
    back = jnp.tile(start, (len(STEPS_BACK), 1))
    return jnp.where(codec.is_allowed(X)[:, None], way, back)


def marks(codec: "Codec") -> np.ndarray:
    """What a row holds, column by column, for which no feasible point was found.

    NaN, and the smallest integer in place of a whole number: NaN would become 0 there,
    which looks like a value. Truth values and shorter integers have nothing to spare.
    """
    row = np.full(codec.n_columns, np.nan)
    for kind, leaves in zip(codec.kinds, codec.columns, strict=True):
        if _is_long_integer(kind.dtype):
            row[columns_of(leaves, codec.widths["values"])] = np.iinfo(np.int32).min
    return row


def lost(codec: "Codec", X: Float[Array, "n c"]) -> Bool[Array, " n"]:
    """Which rows of values, as an objective was given them, are none but `marks`."""
    dtypes = [kind.dtype for kind in codec.kinds]
    if any(jnp.issubdtype(t, jnp.floating) or _is_long_integer(t) for t in dtypes):
        row = jnp.asarray(marks(codec), X.dtype)
        return jnp.any(jnp.isnan(X) | (row[None, :] == X), axis=1)
    # No column could keep its mark, but then nothing feasible was proposed either.
    return ~codec.is_allowed(X)


def _is_long_integer(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.signedinteger) and np.dtype(dtype).itemsize >= 4


def _search(
    codec: "Codec",
    key: PRNGKeyArray,
    first: Float[Array, "n d"] | None,
    capacity: int,
    plenty: int,
    enough: int,
) -> tuple[Float[Array, "c d"], Int[Array, ""]]:
    """Up to `capacity` feasible points, snapped; the rows found, and how many.

    Looks at the rows `first`, then at uniform points until there are `plenty`, or
    `enough` after some blocks, or `MAX_TRIES` were drawn; without `first` it goes on while
    points are found. Where none is found by then there is a last chance with draws that do
    not depend on `key`: those in which `probe` found a point when the search began.
    """
    seed = jax.random.bits(key, (), jnp.uint32)
    n_blocks = max(1, min(-(-capacity // BLOCK), MANY_BLOCKS))
    if first is None:
        given, start = None, 0
    else:
        # Before anything is drawn the rows given are looked at, by the same code.
        n_blocks = -(-first.shape[0] // BLOCK)
        given = jnp.pad(first, ((0, n_blocks * BLOCK - first.shape[0]), (0, 0)))
        start = -1
    size, n_rounds = n_blocks * BLOCK, N_BLOCKS // n_blocks

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        _, found, i = carry
        wanted = jnp.where(i * n_blocks < PATIENCE, plenty, enough)
        budget = 0 if given is not None else (found + LEAST_FOUND - 1) // LEAST_FOUND
        missing = (found < wanted) & (i // n_rounds <= budget)
        return missing | ((found == 0) & (i < 2 * n_rounds))

    def look(carry: tuple) -> tuple:
        pool, found, i = carry
        number = jnp.maximum(i, 0) % n_rounds
        is_last_chance = (found == 0) & (i >= n_rounds)
        U = _draw(codec, jnp.where(is_last_chance, 0, seed), number, n_blocks)
        if given is None:
            sample = hashed_uniform(jax.random.fold_in(key, i), U.shape, U.dtype)
            U = jnp.where(is_last_chance, U, sample)
        else:
            U = jnp.where(i < 0, given, U)
        U, X = codec.snapped(U)
        ok = codec.is_allowed(X)
        if given is not None:
            ok = ok & ((i >= 0) | (jnp.arange(size, dtype=jnp.int32) < capacity))
        U, n = _compacted(U, ok)
        pool = lax.dynamic_update_slice(pool, U, (found, jnp.int32(0)))
        return pool, jnp.minimum(found + n, capacity), i + 1

    # Room for a whole round behind the last row that counts.
    pool = jnp.zeros((capacity + size, codec.n_coordinates), jnp.result_type(float))
    carry = pool, jnp.int32(0), jnp.int32(start)
    pool, found, _ = lax.while_loop(unfinished, look, carry)
    return pool[:capacity], found


def probe(codec: "Codec") -> Bool[Array, ""]:
    """Whether the draws of the last chance of `_search` hold a feasible point."""

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        return ~carry[0] & (carry[1] < N_BLOCKS // PROBED_BLOCKS)

    def look(carry: tuple) -> tuple:
        U = _draw(codec, jnp.uint32(0), carry[1], PROBED_BLOCKS)
        return jnp.any(codec.is_feasible(U)), carry[1] + 1

    return lax.while_loop(unfinished, look, (jnp.asarray(False), jnp.int32(0)))[0]


def _draw(
    codec: "Codec", seed: Int[Array, ""], number: Int[Array, ""], n_blocks: int
) -> Float[Array, "m d"]:
    """Round `number` of uniform points: that many blocks of them."""
    shape = BLOCK, codec.n_coordinates
    seed = jnp.asarray(seed).astype(jnp.uint32)

    def block(i: Int[Array, ""]) -> Float[Array, "b d"]:
        words = jnp.stack([seed, i.astype(jnp.uint32)])
        return hashed_uniform(words, shape, jnp.result_type(float))

    blocks = number * n_blocks + jnp.arange(n_blocks, dtype=jnp.int32)
    return jax.vmap(block)(blocks).reshape(-1, shape[1])


def _compacted(
    U: Float[Array, "n d"], ok: Bool[Array, " n"]
) -> tuple[Float[Array, "n d"], Int[Array, ""]]:
    """The rows that are `ok` first, in their order, and how many they are."""
    count = _running_count(ok)
    wanted = jnp.arange(1, ok.shape[0] + 1, dtype=jnp.int32)
    # Row s is the one at which the count reaches s + 1: a gather, less code than a
    # scatter or a sort.
    source = jnp.searchsorted(count, wanted)
    return U[jnp.minimum(source, ok.shape[0] - 1)], count[-1]


def _running_count(ok: Bool[Array, " n"]) -> Int[Array, " n"]:
    """How many are true up to each place; in two steps, which compile to little code."""
    blocks = ok.reshape(-1, COUNTED)
    upto = np.tri(COUNTED, dtype=bool)
    within = jnp.sum(blocks[:, None, :] & upto[None], axis=2, dtype=jnp.int32)
    before = np.tri(blocks.shape[0], k=-1, dtype=bool)
    above = jnp.sum(jnp.where(before, within[None, :, -1], 0), 1, dtype=jnp.int32)
    return (within + above[:, None]).reshape(-1)


def _repeated(pool: Float[Array, "c d"], found: Int[Array, ""]) -> Float[Array, "c d"]:
    """The first `found` rows of `pool`, over and over."""
    rows = jnp.arange(pool.shape[0], dtype=jnp.int32)
    return pool[rows % jnp.maximum(found, 1)]
