"""What every acquisition does."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax._checks import check_int
from hyperopt_jax._numerics import as_floats
from hyperopt_jax.errors import SettingError
from hyperopt_jax.gp import Posterior

Scores = Callable[[Float[Array, "m d"]], Float[Array, " m"]]


class BaseAcquisition(eqx.Module):
    """Scores points by posterior mean and standard deviation; higher is better.

    Write a new one by giving `evaluate`, elementwise, finite with a finite gradient for
    every `std >= 0`. One that looks at more of the posterior gives `bound` as well.
    """

    @abc.abstractmethod
    def evaluate(
        self,
        mean: Float[Array, "..."],
        std: Float[Array, "..."],
        y_max: Float[Array, "..."],
    ) -> Float[Array, "..."]:
        """The score, elementwise."""

    def __call__(
        self, mean: Float[Array, " n"], std: Float[Array, " n"], y_max: Any = None
    ) -> Float[Array, " n"]:
        """The scores of n points; `y_max=None` takes the largest mean as incumbent."""
        mean, std = as_floats(mean), as_floats(std)
        y_max = jnp.max(mean) if y_max is None else jnp.asarray(y_max, mean.dtype)
        return self.evaluate(mean, std, y_max)

    def bound(
        self,
        posterior: Posterior,
        candidates: Float[Array, "c d"],
        imagined: Bool[Array, " n"],
        y_max: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> Scores:
        """The scores of points, `(m, d) -> (m,)`, under a posterior.

        A search calls it once for each slot of a batch and maximises what it returns.

        Args:
            posterior: what is known; points are rows of features, as in `posterior.U`.
            candidates: points from which the maximisation starts; NaN where a space with
                constraints has no feasible one.
            imagined: rows of `posterior` whose results are hallucinated, because their
                trials still run or come earlier in the batch. They come after all others.
            y_max: the largest mean at a trial, hallucinated results included; the best
                result where there is no noise.
            key: of whatever is random.
        """
        return lambda points: self(*posterior.mean_and_std(points), y_max)

    def get_argmax(
        self,
        mean: Float[Array, " n"],
        std: Float[Array, " n"],
        seen_mask: Bool[Array, " n"],
        n_points: int = 1,
    ) -> Int[Array, " n_points"]:
        """Indices of the `n_points` best points that are not in `seen_mask`.

        With fewer unseen points than asked for, seen ones fill the rest.

        Raises:
            SettingError: `n_points` not between 1 and the number of points.
        """
        n_points = check_int("n_points", n_points, 1)
        if n_points > jnp.shape(mean)[0]:
            raise SettingError(
                f"expected n_points <= {jnp.shape(mean)[0]}, the number of points, "
                f"got {n_points}"
            )
        scores = self(mean, std)
        return lax.top_k(jnp.where(seen_mask, -jnp.inf, scores), n_points)[1]
