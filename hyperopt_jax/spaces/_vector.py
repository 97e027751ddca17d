"""An array of independent values of one space."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import Space, of_own_shape
from hyperopt_jax.spaces._layout import is_searched


class VectorSpace(Space):
    """An array whose entries are independent values of one space.

    Use it for per-layer rates, weights, mixing coefficients: one leaf of the given shape
    instead of a list of leaves. A model has a length scale for each entry.

    Args:
        space: a space of any kind; its own `shape` follows `shape`.
        shape: an int or a tuple of ints >= 1.

    Raises:
        SpaceError: `space` is not a leaf, or `shape` has no entry.

    ```python
    space = {"rates": VectorSpace(LogSpace(1e-4, 1e-1), 3)}
    ```
    """

    space: Space
    length: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, space: Space, shape: int | tuple[int, ...]):
        length = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        if not isinstance(space, Space) or not is_searched(space):
            raise SpaceError(
                f"expected a searched Space for VectorSpace, got {space!r}"
            )
        whole = all(type(n) is int or isinstance(n, np.integer) for n in length)
        if not length or not whole or min(length) < 1:
            raise SpaceError(
                f"expected a VectorSpace.shape of whole numbers >= 1, got {shape!r}"
            )
        self.space, self.length = space, tuple(int(n) for n in length)

    @property
    def dtype(self) -> jnp.dtype:
        return self.space.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.length + self.space.shape

    @property
    def cube_shape(self) -> tuple[int, ...]:
        return self.length + self.space.cube_shape

    @property
    def is_discrete(self) -> bool:
        return self.space.is_discrete

    @property
    def is_nominal(self) -> bool:
        return self.space.is_nominal

    @property
    def sees_places(self) -> bool:
        return self.space.sees_places

    @property
    def neutral_feature(self) -> float:
        return self.space.neutral_feature

    @property
    def bare(self) -> Space:
        return VectorSpace(self.space.bare, self.length)

    @property
    def feature_groups(self) -> tuple[int, ...]:
        own = self.space.feature_groups
        n_own = max(own) + 1
        return tuple(i * n_own + g for i in range(self._n) for g in own)

    @property
    def _n(self) -> int:
        return math.prod(self.length)

    def n_values(self) -> Float[Array, ""]:
        return self.space.n_values().astype(jnp.result_type(float)) ** self._n

    def decode(self, u: Float[Array, "..."]) -> Shaped[Array, "..."]:
        return self._each(self.space.decode, u, self.space.cube_shape, self.shape)

    def encode(self, value: Shaped[Array, "..."]) -> Float[Array, "..."]:
        return self._each(self.space.encode, value, self.space.shape, self.cube_shape)

    def features(self, u: Float[Array, "..."]) -> Float[Array, " p"]:
        return self._each(self.space.features, u, self.space.cube_shape, (-1,))

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, "..."]:
        # The last entry varies fastest.
        m = self.space.n_values()
        place = m ** jnp.arange(self._n - 1, -1, -1, dtype=m.dtype)
        digits = jnp.floor(index / place) % m
        return self._each(self.space.nth, digits, (), self.shape)

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        return self.space.transform(value)

    @of_own_shape
    def contains(self, value: Any) -> Bool[Array, "..."]:
        inside = self.space.contains(value)
        own = range(inside.ndim - len(self.length), inside.ndim)
        return jnp.all(inside, axis=tuple(own))

    def points(self) -> Shaped[Array, "n ..."]:
        """All arrays, the last entry varying fastest."""
        one = np.asarray(self.space.points())
        index = np.indices((one.shape[0],) * self._n).reshape(self._n, -1).T
        return jnp.asarray(one[index].reshape(-1, *self.shape))

    def _each(
        self, function: Any, array: Any, inner: tuple[int, ...], shape: tuple[int, ...]
    ) -> Any:
        """`function` on each of the entries, which have the shape `inner`."""
        return jax.vmap(function)(array.reshape(self._n, *inner)).reshape(shape)


def entry_of(space: Space) -> Space:
    """The space of the entries of an array, or of an array of arrays; else the space."""
    while isinstance(space, VectorSpace):
        space = vars(space)["space"]
    return space
