"""Some of n things."""

import itertools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import Space, of_own_shape
from hyperopt_jax.spaces._permutation import SORTED_FROM, ranks_of
from hyperopt_jax.spaces._simplex import check_size

# The canonical keys of what is in a subset and of what is not. Near one another, so that
# a small move of the keys swaps members.
IN, OUT = 0.55, 0.45


class SubsetSpace(Space):
    """k of the things 0, ..., n - 1, all n! / (k! (n - k)!) subsets equally likely.

    Use it for features, sensors, groups of layers. The value is an `int32` array of k
    indices in rising order; `jnp.zeros(n, bool).at[value].set(True)` is the mask. Each
    thing has a coordinate of the cube and the k largest are in. A model sees indicator
    columns with one length scale, scaled so that subsets with as little in common as
    possible are at distance 1.

    Args:
        n: whole number >= 2.
        k: whole number from 1 to n - 1.

    Raises:
        SpaceError: another `n` or `k`.

    ```python
    space = {"features": SubsetSpace(10, 3)}
    ```
    """

    n: int = eqx.field(static=True)
    k: int = eqx.field(static=True)

    def __init__(self, n: int, k: int):
        self.n = check_size("SubsetSpace", n, 2)
        self.k = check_size("SubsetSpace", k, 1)
        if k >= n:
            raise SpaceError(f"expected SubsetSpace with k < n, got k={k} and n={n}")

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.dtype(jnp.int32)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.k,)

    @property
    def cube_shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def is_discrete(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        count = math.comb(self.n, self.k)
        limit = float(jnp.finfo(jax.dtypes.canonicalize_dtype(float)).max)
        return jnp.asarray(float(count) if count < limit else math.inf)

    def decode(self, u: Float[Array, " n"]) -> Int[Array, " k"]:
        if self.n > SORTED_FROM:
            return jnp.sort(lax.top_k(u, self.k)[1]).astype(jnp.int32)
        # The k largest keys are those before which all but k come, in the order of -u.
        inside = ranks_of(-u) < self.k
        upto = np.tri(self.n, dtype=bool)
        place = jnp.sum(inside[None, :] & upto, axis=1, dtype=jnp.int32) - 1
        things = jnp.arange(self.n, dtype=jnp.int32)
        slots = jnp.arange(self.k, dtype=jnp.int32)
        stands = inside[None, :] & (place[None, :] == slots[:, None])
        return jnp.sum(jnp.where(stands, things[None, :], 0), axis=1, dtype=jnp.int32)

    def encode(self, value: Any) -> Float[Array, " n"]:
        members = jnp.round(value).astype(jnp.int32)
        inside = jnp.any(
            jnp.arange(self.n, dtype=jnp.int32)[:, None] == members[None, :], axis=1
        )
        return jnp.where(inside, IN, OUT).astype(jnp.result_type(float))

    def transform(self, value: Any) -> Int[Array, "... k"]:
        value = jnp.asarray(value).astype(jnp.result_type(float))
        members = jnp.clip(jnp.round(value), 0, self.n - 1).astype(jnp.int32)
        flat = members.reshape(-1, self.k)
        # A thing that is named twice leaves its second place to the first that is out.
        back = jax.vmap(lambda m: self.decode(self.encode(m.astype(value.dtype))))(flat)
        return back.reshape(value.shape)

    def features(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        return (u - OUT) * self._scale

    @property
    def feature_groups(self) -> tuple[int, ...]:
        return (0,) * self.n

    @property
    def neutral_feature(self) -> float:
        return self.k / self.n * (IN - OUT) * self._scale

    @property
    def _scale(self) -> float:
        return 1 / ((IN - OUT) * math.sqrt(2 * min(self.k, self.n - self.k)))

    def nth(self, index: Float[Array, ""]) -> Int[Array, " k"]:
        """The subset with this index in the order of a dictionary."""
        n, k = self.n, self.k
        # How many subsets have the next thing in: of m things left, j - 1 of m - 1.
        ways = np.array(
            [
                [
                    min(math.comb(n - 1 - i, j - 1) if j else 0, 2**31 - 1)
                    for j in range(k + 1)
                ]
                for i in range(n)
            ],
            np.int32,
        )

        def take(carry: tuple, ways: Int[Array, " k1"]) -> tuple[tuple, Any]:
            index, missing = carry
            inside = index < ways[missing]
            index = jnp.where(inside, index, index - ways[missing])
            return (index, missing - inside.astype(jnp.int32)), inside

        start = (index.astype(jnp.int32), jnp.int32(k))
        _, inside = lax.scan(take, start, jnp.asarray(ways))
        return self.decode(inside.astype(jnp.result_type(float)))

    @of_own_shape
    def contains(self, value: Any) -> Bool[Array, "..."]:
        rising = jnp.all(value[..., 1:] > value[..., :-1], axis=-1)
        whole = jnp.round(value) == value if value.dtype.kind == "f" else value == value
        return rising & jnp.all(whole & (value >= 0) & (value < self.n), axis=-1)

    def points(self) -> Int[Array, "c k"]:
        """All subsets, in the order of a dictionary."""
        return jnp.asarray(
            list(itertools.combinations(range(self.n), self.k)), jnp.int32
        )
