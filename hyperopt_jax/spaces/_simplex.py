"""Weights that sum to one."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import Space, of_own_shape


class SimplexSpace(Space):
    """n non-negative numbers that sum to 1, uniform on the simplex (flat Dirichlet).

    Use it for mixture weights, ensembles, data mixes. The numbers break a stick: of what
    is left, the i-th of n takes the part 1 - u_i^(1 / (n - i)) with n - 1 coordinates u, which is one to one and gives the uniform law. A model sees the
    numbers themselves over sqrt(2), with one length scale, so corners are at distance 1.

    Args:
        n: whole number >= 2.

    Raises:
        SpaceError: another `n`.

    Source: Connor & Mosimann, JASA 64 (1969), for the independence of the parts.

    ```python
    space = {"mix": SimplexSpace(3)}
    ```
    """

    n: int = eqx.field(static=True)

    def __init__(self, n: int):
        self.n = check_size("SimplexSpace", n, 2)

    @property
    def dtype(self) -> jnp.dtype:
        return jnp.result_type(float)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def cube_shape(self) -> tuple[int, ...]:
        return (self.n - 1,)

    @property
    def _powers(self) -> np.ndarray:
        """n - i for the i-th piece: how many are cut from what is left before it."""
        return np.arange(self.n - 1, 0, -1)

    def decode(self, u: Float[Array, " n1"]) -> Float[Array, " n"]:
        # Near 0, where floats are dense, the part that is kept is small too. At 0 itself
        # the slope is infinite, and given as 0.
        safe = jnp.where(u > 0, u, 1.0)
        log_kept = jnp.log(safe) / jnp.asarray(self._powers, u.dtype)
        log_kept = jnp.where(u > 0, log_kept, -jnp.inf)
        earlier = np.tri(self.n, self.n - 1, k=-1, dtype=bool)
        before = jnp.sum(jnp.where(earlier, log_kept[None, :], 0.0), axis=1)
        pieces = -jnp.expm1(log_kept) * jnp.exp(before[:-1])
        return jnp.append(pieces, jnp.exp(before[-1]))

    def encode(self, value: Float[Array, " n"]) -> Float[Array, " n1"]:
        # What is left before each piece is taken.
        later = np.tri(self.n, dtype=bool).T
        left = jnp.sum(jnp.where(later, value[None, :], 0.0), axis=1)
        kept = left[1:] / jnp.where(left[:-1] > 0, left[:-1], 1.0)
        return jnp.clip(kept, 0.0, 1.0) ** jnp.asarray(self._powers, value.dtype)

    def transform(self, value: Any) -> Float[Array, "... n"]:
        value = jnp.maximum(jnp.asarray(value).astype(self.dtype), 0.0)
        total = jnp.sum(value, axis=-1, keepdims=True)
        return jnp.where(total > 0, value / jnp.where(total > 0, total, 1), 1 / self.n)

    @of_own_shape
    def contains(self, value: Any) -> Bool[Array, "..."]:
        rounding = 8 * self.n * jnp.finfo(self.dtype).eps
        sums = jnp.abs(jnp.sum(value, axis=-1) - 1) <= rounding
        return sums & jnp.all(value >= 0, axis=-1)

    def features(self, u: Float[Array, " n1"]) -> Float[Array, " n"]:
        return self.decode(u) / math.sqrt(2)

    @property
    def feature_groups(self) -> tuple[int, ...]:
        return (0,) * self.n

    @property
    def neutral_feature(self) -> float:
        return 1 / self.n / math.sqrt(2)


def check_size(kind: str, n: Any, least: int) -> int:
    """`n` as an int of at least `least`; raises `SpaceError`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
        raise SpaceError(f"expected {kind} of a whole number >= {least}, got {n!r}")
    return int(n)
