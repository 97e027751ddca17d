"""Kinds of space as a user would write them: they work like those of the package."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperopt_jax.spaces import Space


class PowersOfTwo(Space):
    """2**low, ..., 2**high, all equally likely."""

    low: Float[Array, ""]
    high: Float[Array, ""]

    def __init__(self, low, high):
        self.low, self.high = (
            jnp.asarray(end).astype(jnp.result_type(float)) for end in (low, high)
        )

    @property
    def dtype(self):
        return jnp.dtype(jnp.int32)

    @property
    def is_discrete(self):
        return True

    def n_values(self):
        return self.high - self.low + 1

    def decode(self, u):
        return self._power(self.low + jnp.floor(u * self.n_values()))

    def encode(self, value):
        exponent = jnp.round(jnp.log2(value.astype(self.low.dtype)))
        return (exponent - self.low + 0.5) / self.n_values()

    def transform(self, value):
        value = jnp.asarray(value).astype(self.low.dtype)
        return self._power(jnp.round(jnp.log2(jnp.maximum(value, 1.0))))

    def nth(self, index):
        return self._power(self.low + index)

    def points(self):
        return self._power(jnp.arange(float(self.low), float(self.high) + 1))

    def _power(self, exponent):
        exponent = jnp.clip(exponent, self.low, self.high).astype(jnp.int32)
        return jnp.left_shift(1, exponent)


class Direction(Space):
    """An angle from 0 to 2 pi, whose ends are one for a model."""

    @property
    def dtype(self):
        return jnp.result_type(float)

    def decode(self, u):
        return 2 * jnp.pi * u

    def encode(self, value):
        return value / (2 * jnp.pi)

    def transform(self, value):
        return jnp.clip(jnp.asarray(value).astype(self.dtype), 0.0, 2 * jnp.pi)

    def features(self, u):
        return 0.5 * jnp.stack([jnp.cos(2 * jnp.pi * u), jnp.sin(2 * jnp.pi * u)])

    @property
    def feature_groups(self):
        return (0, 0)

    @property
    def neutral_feature(self):
        return 0.0


class Between(Space):
    """The numbers between two of Python's own, kept as they came."""

    low: float
    high: float

    @property
    def dtype(self):
        return jnp.result_type(float)

    def decode(self, u):
        return self.low + u * (self.high - self.low)

    def encode(self, value):
        return (value - self.low) / (self.high - self.low)

    def transform(self, value):
        return jnp.asarray(value).astype(self.dtype)
