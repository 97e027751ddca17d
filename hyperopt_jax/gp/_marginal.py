"""The kernel matrix of the recorded trials and the marginal likelihood."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from hyperopt_jax._numerics import (
    LOG_2PI,
    cholesky_of_symmetric,
    inverse_lower,
    matmul,
    rounding_of,
)
from hyperopt_jax.gp._hyper import Hyperparameters
from hyperopt_jax.kernels import BaseKernel


def gram(
    kernel: BaseKernel,
    hyper: Hyperparameters,
    U: Float[Array, "n d"],
    mask: Bool[Array, " n"],
    nugget: Float[Array, ""],
) -> Float[Array, "n n"]:
    """Covariance of the observations; rows outside `mask` are those of the identity.

    K = a k(U, U) + (noise + nugget) I. Identity rows leave the likelihood and the
    posterior of the others exactly as they are, in any precision. The nugget is absolute
    and rounding goes with the variance, so there is a little more for that: without it
    float32 could not factor the matrices of smooth functions, whose variance grows.
    """
    eye = jnp.eye(U.shape[0], dtype=bool)
    amplitude = jnp.exp(hyper.log_amplitude)
    covariance = kernel(U, U, jnp.exp(hyper.log_length_scale))
    rounding = 1 + rounding_of(U.shape[0], U.dtype)
    own = amplitude * kernel.variance * rounding + jnp.exp(hyper.log_noise) + nugget
    diagonal = jnp.where(mask, own, 1.0)
    both = mask[:, None] & mask[None, :]
    off_diagonal = jnp.where(both, amplitude * covariance, 0.0)
    return jnp.where(eye, diagonal[:, None], off_diagonal)


@jax.custom_vjp
def gaussian_nll(K: Float[Array, "n n"], t: Float[Array, " n"]) -> Float[Array, ""]:
    """-log N(t; 0, K), without the n/2 log(2 pi): t'K^-1 t / 2 + log det(K) / 2.

    The gradient is the closed form dK = (K^-1 - a a') / 2 with a = K^-1 t, at a fraction
    of what differentiating through the factorisation costs to compile and to run.
    """
    return _nll_and_residuals(K, t)[0]


def _nll_and_residuals(K: Array, t: Array) -> tuple[Array, tuple[Array, Array]]:
    L = cholesky_of_symmetric(K)
    # L^-T on its own, so that its product with L^-1 runs along rows: XLA would fold the
    # transpose into the product, which then takes twice as long.
    inverse_t = lax.optimization_barrier(inverse_lower(L).T)
    whitened = matmul(t, inverse_t)
    nll = 0.5 * jnp.sum(whitened**2) + jnp.sum(jnp.log(jnp.diagonal(L)))
    return nll, (inverse_t, whitened)


def _nll_gradient(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    inverse_t, whitened = residuals
    a = matmul(inverse_t, whitened)
    K_inverse = matmul(inverse_t, inverse_t.T)
    return 0.5 * g * (K_inverse - a[:, None] * a[None, :]), g * a


gaussian_nll.defvjp(_nll_and_residuals, _nll_gradient)


def log_marginal_likelihood(
    kernel: BaseKernel,
    hyper: Hyperparameters,
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    mask: Bool[Array, " n"],
    nugget: Float[Array, ""],
) -> Float[Array, ""]:
    """log p(t | U) of the masked targets, all constants included.

    Source: Rasmussen & Williams (2006), eq. 2.30.
    """
    K = gram(kernel, hyper, U, mask, nugget)
    n = jnp.sum(mask, dtype=t.dtype)
    return -gaussian_nll(K, jnp.where(mask, t, 0.0)) - 0.5 * n * LOG_2PI
