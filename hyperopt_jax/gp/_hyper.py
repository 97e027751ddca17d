"""The numbers that a Gaussian process learns, their priors and their bounds."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


class Hyperparameters(eqx.Module):
    """Natural logarithms of the length scales, the signal variance and the noise."""

    log_length_scale: Float[Array, " d"]
    log_amplitude: Float[Array, ""]
    log_noise: Float[Array, ""]


LENGTH_SCALE_BOUNDS = (math.log(0.01), math.log(200.0))
AMPLITUDE_BOUNDS = (-4.0, 5.0)
NOISE_BOUNDS = (math.log(1e-8), math.log(2.0))

# Gaussian priors on the logarithms, as mean and standard deviation. The length scales
# lengthen with the square root of the dimension, so that a typical distance between two
# points stays a typical number of length scales (Hvarfner et al., arXiv 2402.02229). The
# deviation there is sqrt(3), with which lengths may collapse to a hundredth of the cube
# where results are noisy or mere ranks: benchmarks/findings.md.
LENGTH_SCALE_MEAN, LENGTH_SCALE_STD = math.sqrt(2) - 3, 1.0
AMPLITUDE_MEAN, AMPLITUDE_STD = 0.0, 3.0
NOISE_MEAN, NOISE_STD = -5.0, 4.0


def bounds(like: Hyperparameters) -> tuple[Hyperparameters, Hyperparameters]:
    """The lowest and the highest hyperparameters, with the shapes of `like`."""

    def full(i: int) -> Hyperparameters:
        return Hyperparameters(
            jnp.full_like(like.log_length_scale, LENGTH_SCALE_BOUNDS[i]),
            jnp.full_like(like.log_amplitude, AMPLITUDE_BOUNDS[i]),
            jnp.full_like(like.log_noise, NOISE_BOUNDS[i]),
        )

    return full(0), full(1)


def length_scale_mean(n_dimensions: ArrayLike) -> Float[Array, ""]:
    """Prior mean of a log length scale: sqrt(2) - 3 + log(d) / 2."""
    return LENGTH_SCALE_MEAN + 0.5 * jnp.log(n_dimensions)


def prior_penalty(
    hyper: Hyperparameters, n_dimensions: ArrayLike | None = None
) -> Float[Array, ""]:
    """Minus the log prior density on the logarithms, up to a constant.

    `n_dimensions` is how many length scales count at once: all of them where it is None,
    fewer where parameters are conditional.
    """

    def half_square(value: Array, mean: ArrayLike, std: float) -> Float[Array, ""]:
        return 0.5 * jnp.sum(((value - mean) / std) ** 2)

    d = hyper.log_length_scale.shape[0] if n_dimensions is None else n_dimensions
    return (
        half_square(hyper.log_length_scale, length_scale_mean(d), LENGTH_SCALE_STD)
        + half_square(hyper.log_amplitude, AMPLITUDE_MEAN, AMPLITUDE_STD)
        + half_square(hyper.log_noise, NOISE_MEAN, NOISE_STD)
    )
