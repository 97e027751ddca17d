"""Hallucinations, which stand in for results that are not in yet."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax._checks import check_scalar, float_setting


class BaseHallucination(eqx.Module):
    """Stands in for the result of a trial that is proposed but not in yet.

    Any callable `(mean (1,), std (1,), key, y_max) -> scalar` can be a hallucination.
    """

    @abc.abstractmethod
    def __call__(
        self,
        mean: Float[Array, " 1"],
        std: Float[Array, " 1"],
        key: PRNGKeyArray,
        y_max: Float[Array, ""],
    ) -> Float[Array, ""]:
        """The result to pretend, given the posterior at the proposed point."""


class MeanHallucination(BaseHallucination):
    """The posterior mean (kriging believer).

    Source: Ginsbourger, Le Riche & Carraro (2010), Kriging is well-suited to parallelize
    optimization.
    """

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        return jnp.reshape(mean, ())


class SampleHallucination(BaseHallucination):
    """A draw from the posterior, mean + std N(0, 1) (randomised kriging believer).

    Source: arXiv 2603.01470.
    """

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        noise = jax.random.normal(key, (), mean.dtype)
        return jnp.reshape(mean, ()) + jnp.reshape(std, ()) * noise


class UCBHallucination(BaseHallucination):
    """An optimistic result, mean + kappa std.

    Args:
        kappa: number >= 0.

    Raises:
        SettingError: `kappa` negative or not finite.
    """

    kappa: float = float_setting("kappa", 2.0, low=0.0)

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        return jnp.reshape(mean, ()) + self.kappa * jnp.reshape(std, ())


class ConstantHallucination(BaseHallucination):
    """Always the same result (constant liar).

    Args:
        value: the result, in standard deviations of the results from their mean, higher
            is better; None takes the incumbent `y_max`.

    Raises:
        SettingError: `value` not a finite number.

    Source: Ginsbourger, Le Riche & Carraro (2010), Kriging is well-suited to parallelize
    optimization.
    """

    value: float | None = None

    def __check_init__(self):
        if self.value is not None:
            check_scalar("value", self.value, float("-inf"))

    def __call__(self, mean: Array, std: Array, key: Any, y_max: Array) -> Array:
        value = y_max if self.value is None else self.value
        return jnp.reshape(jnp.asarray(value, mean.dtype), ())
