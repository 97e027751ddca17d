"""Maximum a posteriori hyperparameters by Adam."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float

from hyperopt_jax.gp._hyper import Hyperparameters, prior_penalty
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
) -> Hyperparameters:
    """`n_steps` of Adam on the log posterior of the hyperparameters, from `start`.

    Maximises log p(t | U, hyper) + log p(hyper) over the logarithms, inside their
    bounds. A step whose gradient is not finite (a kernel matrix that float32 cannot
    factor) moves nothing.
    """

    def loss(hyper: Hyperparameters) -> Float[Array, ""]:
        K = gram(kernel, hyper, U, mask, nugget)
        return gaussian_nll(K, t) + prior_penalty(hyper)

    adam = optax.adam(LEARNING_RATE)

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        hyper, moments = carry
        gradient = jax.grad(loss)(hyper)
        finite = jnp.isfinite(sum(jnp.sum(g) for g in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: jnp.where(finite, g, 0.0), gradient)
        # optax counts its steps in integers and raises a float to them.
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = adam.update(gradient, moments)
        return (optax.apply_updates(hyper, updates).clipped(), moments), None

    (hyper, _), _ = lax.scan(step, (start, adam.init(start)), None, length=n_steps)
    return hyper
