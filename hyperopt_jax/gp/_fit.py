"""Maximum a posteriori hyperparameters by Adam."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Bool, Float

from hyperopt_jax.gp._hyper import Hyperparameters, bounds, prior_penalty
from hyperopt_jax.gp._marginal import gaussian_nll, gram
from hyperopt_jax.kernels import BaseKernel

LEARNING_RATE = 0.1


def fit(
    kernel: BaseKernel,
    start: Hyperparameters,
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    mask: Bool[Array, " n"],
    nugget: Float[Array, ""],
    n_steps: int,
    n_dimensions: ArrayLike | None = None,
) -> Hyperparameters:
    """`n_steps` of Adam on the log posterior of the hyperparameters, from `start`.

    Maximises log p(t | U, hyper) + log p(hyper) over the logarithms, inside their
    bounds; `n_dimensions` is that of `prior_penalty`. A step whose gradient is not
    finite (a kernel matrix that float32 cannot factor) moves nothing.
    """

    # One flat vector: an optimizer step is then a handful of kernels, whatever it tunes.
    theta, unravel = ravel_pytree(start)
    low, high = (ravel_pytree(bound)[0] for bound in bounds(start))

    def loss(theta: Float[Array, " p"]) -> Float[Array, ""]:
        hyper = unravel(theta)
        K = gram(kernel, hyper, U, mask, nugget)
        return gaussian_nll(K, t) + prior_penalty(hyper, n_dimensions)

    adam = optax.adam(LEARNING_RATE)

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        theta, moments = carry
        gradient = jax.grad(loss)(theta)
        finite = jnp.isfinite(jnp.sum(gradient))
        gradient = jnp.where(finite, gradient, 0.0)
        # optax counts its steps in integers and raises a float to them.
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = adam.update(gradient, moments)
        return (jnp.clip(theta + updates, low, high), moments), None

    carry = (theta, adam.init(theta))
    (theta, _), _ = lax.scan(step, carry, None, length=n_steps)
    return unravel(theta)
