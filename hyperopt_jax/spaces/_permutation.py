"""Orders of n things."""

import itertools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax.spaces._base import Space, of_own_shape
from hyperopt_jax.spaces._simplex import check_size

# Up to this many keys are compared pair by pair, which compiles much faster than a sort.
SORTED_FROM = 64


class PermutationSpace(Space):
    """An order of 0, ..., n - 1, all n! equally likely.

    Use it for schedules, tours, the order of layers or of preprocessing steps. The value
    p is an `int32` array: p[i] is what stands at place i. Each thing has a coordinate of
    the cube (a random key), and things are sorted by it; the canonical key is
    (place + 1/2) / n. A model sees the places, with one length scale, such that an order
    and its reverse are at distance 1 (Spearman's distance).

    Args:
        n: whole number >= 2.

    Raises:
        SpaceError: another `n`.

    Source: Bean, ORSA Journal on Computing 6 (1994), for random keys.

    ```python
    space = {"order": PermutationSpace(5)}
    ```
    """

    n: int = eqx.field(static=True)

    def __init__(self, n: int):
        self.n = check_size("PermutationSpace", n, 2)

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.dtype(jnp.int32)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def cube_shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def is_discrete(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        return jnp.asarray(_factorial(self.n))

    def decode(self, u: Float[Array, " n"]) -> Int[Array, " n"]:
        return order_of(u)

    def encode(self, value: Any) -> Float[Array, " n"]:
        places = order_of(value).astype(jnp.result_type(float))
        return (places + 0.5) / self.n

    def transform(self, value: Any) -> Int[Array, "... n"]:
        # The order of the given numbers: a permutation is its own.
        return jnp.argsort(jnp.argsort(jnp.asarray(value), axis=-1), axis=-1).astype(
            jnp.int32
        )

    @of_own_shape
    def contains(self, value: Any) -> Bool[Array, "..."]:
        return jnp.all(self.transform(value).astype(value.dtype) == value, axis=-1)

    def features(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        n = self.n
        # Places differ by n(n^2 - 1)/3 in squares where an order is reversed.
        return u * (n * math.sqrt(3 / (n * (n * n - 1))))

    @property
    def feature_groups(self) -> tuple[int, ...]:
        return (0,) * self.n

    @property
    def neutral_feature(self) -> float:
        return 0.5 * self.n * math.sqrt(3 / (self.n * (self.n**2 - 1)))

    def nth(self, index: Float[Array, ""]) -> Int[Array, " n"]:
        """The permutation with this index in the order of a dictionary (Lehmer code)."""
        n = self.n
        # Beyond what int32 holds the leading digits of an index are 0.
        place = np.array(
            [min(math.factorial(n - 1 - i), 2**31 - 1) for i in range(n)], np.int32
        )
        radix = jnp.arange(n, 0, -1, dtype=jnp.int32)
        digits = (index.astype(jnp.int32) // jnp.asarray(place)) % radix
        after = jnp.arange(n, dtype=jnp.int32)

        def insert(k: Int[Array, ""], order: Int[Array, " n"]) -> Int[Array, " n"]:
            i = n - 1 - k
            # Things later on that are no smaller than this one move up by one.
            return order + ((after > i) & (order >= digits[i])).astype(jnp.int32)

        return lax.fori_loop(0, n, insert, digits)

    def points(self) -> Int[Array, "f n"]:
        """All permutations, in the order of a dictionary."""
        return jnp.asarray(list(itertools.permutations(range(self.n))), jnp.int32)


def order_of(keys: Any) -> Int[Array, " n"]:
    """The places of `keys` in rising order; the first of two equal ones comes first."""
    n = keys.shape[0]
    if n > SORTED_FROM:
        return jnp.argsort(keys).astype(jnp.int32)
    place = ranks_of(keys)
    things = jnp.arange(n, dtype=jnp.int32)
    stands = place[None, :] == things[:, None]
    return jnp.sum(jnp.where(stands, things[None, :], 0), axis=1, dtype=jnp.int32)


def ranks_of(keys: Any) -> Int[Array, " n"]:
    """How many of `keys` come before each, in the order of `order_of`."""
    things = jnp.arange(keys.shape[0], dtype=jnp.int32)
    earlier = things[None, :] < things[:, None]
    before = (keys[None, :] < keys[:, None]) | (
        (keys[None, :] == keys[:, None]) & earlier
    )
    return jnp.sum(before, axis=1, dtype=jnp.int32)


def _factorial(n: int) -> float:
    """n!, or inf where it is beyond the float range."""
    limit = float(jnp.finfo(jax.dtypes.canonicalize_dtype(float)).max)
    return (
        float(math.factorial(n)) if math.lgamma(n + 1) < math.log(limit) else math.inf
    )
