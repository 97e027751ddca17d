"""What a kind of search space must say about itself."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped


class Space(eqx.Module):
    """One searched parameter: a leaf of the pytree that describes a search.

    A kind of space is written for *single values*: the codec batches it over the
    parameters of the same kind and over the trials, so that a thousand parameters
    compile like two. Bounds and values are array leaves, so they can be `vmap`ped.

    A kind gives `dtype`, `decode` (unit interval -> value), `encode` (back) and
    `transform` (nearest value of the space). `decode` of a uniform number is the law
    that random search draws from, and distances in the unit interval are what a model
    sees. A kind with finitely many values also gives `is_discrete`, `n_values`, `nth` and
    `points`.
    """

    @property
    @abc.abstractmethod
    def dtype(self) -> jnp.dtype:
        """The dtype of a value."""

    @abc.abstractmethod
    def decode(self, u: Float[Array, ""]) -> Shaped[Array, ""]:
        """The value at `u` in [0, 1], with this space's dtype."""

    @abc.abstractmethod
    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        """Where in [0, 1] `value` lies; `decode(encode(value))` gives it back."""

    @abc.abstractmethod
    def transform(self, value: Any) -> Shaped[Array, "..."]:
        """`value`, of any shape, as this space would return it."""

    @property
    def is_discrete(self) -> bool:
        """Whether the space holds finitely many values."""
        return False

    def n_values(self) -> Float[Array, ""]:
        """How many values the space holds; inf for an interval."""
        return jnp.asarray(jnp.inf)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        """The value with this index in rising order, of a space with finitely many."""
        raise NotImplementedError(f"{type(self).__name__} has no nth value")

    def sample(
        self, key: PRNGKeyArray, shape: tuple[int, ...] = ()
    ) -> Shaped[Array, "..."]:
        """Independent values of this space, with the given shape.

        ```python
        LogSpace(1e-5, 1e-1).sample(jax.random.key(0), (3,))
        ```
        """
        u = jax.random.uniform(key, shape).reshape(-1)
        return jax.vmap(self.decode)(u).reshape(shape)
