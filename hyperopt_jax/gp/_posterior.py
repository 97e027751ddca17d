"""The posterior of a Gaussian process, and growing it by one row."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax._numerics import cholesky, inverse_lower, matmul
from hyperopt_jax.gp._hyper import Hyperparameters
from hyperopt_jax.gp._marginal import gram
from hyperopt_jax.kernels import BaseKernel


class Posterior(eqx.Module):
    """A Gaussian process conditioned on the rows of `U` inside `mask`.

    Holds the inverse Cholesky factor: predicting many points is then one matrix product,
    and one more observation is one more row (Rasmussen & Williams 2006, alg. 2.1, with
    L^-1 kept). Rows outside `mask` are rows of the identity and change nothing.
    """

    kernel: BaseKernel
    hyper: Hyperparameters
    U: Float[Array, "n d"]
    t: Float[Array, " n"]
    mask: Bool[Array, " n"]
    nugget: Float[Array, ""]
    L_inverse: Float[Array, "n n"]
    weights: Float[Array, " n"]

    def mean_and_std(
        self, U: Float[Array, "m d"]
    ) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
        """Mean and standard deviation of the noise-free function at the rows of `U`.

        m = k' K^-1 t and s^2 = a - |L^-1 k|^2, never below a relative floor where
        rounding would make it zero or negative.
        """
        k = self._cross(U)
        amplitude = jnp.exp(self.hyper.log_amplitude)
        explained = jnp.sum(matmul(k, self.L_inverse.T) ** 2, axis=1)
        floor = 4 * jnp.finfo(k.dtype).eps
        variance = amplitude * jnp.maximum(1 - explained / amplitude, floor)
        return matmul(k, self.weights), jnp.sqrt(variance)

    def append(
        self, u: Float[Array, " d"], t: Float[Array, ""], row: Int[Array, ""]
    ) -> "Posterior":
        """The posterior with the observation `t` at `u` in the unused row `row`.

        One row of L^-1 instead of a new factorisation: with l = L^-1 k and
        s = sqrt(k(u, u) + noise - |l|^2), the row is (-l' L^-1 / s, 1 / s).
        """
        k = self._cross(u[None, :])[0]
        own = (
            jnp.exp(self.hyper.log_amplitude)
            + jnp.exp(self.hyper.log_noise)
            + self.nugget
        )
        whitened = matmul(self.L_inverse, k)
        # Never below the nugget: a repeated point must not divide by zero.
        scale = jnp.sqrt(jnp.maximum(own - jnp.sum(whitened**2), self.nugget))
        new_row = -matmul(whitened, self.L_inverse) / scale
        is_row = jnp.arange(self.mask.shape[0], dtype=jnp.int32) == row
        new_row = jnp.where(is_row, 1 / scale, new_row)
        L_inverse = jnp.where(is_row[:, None], new_row[None, :], self.L_inverse)
        targets = jnp.where(is_row, t, self.t)
        return eqx.tree_at(
            lambda p: (p.U, p.t, p.mask, p.L_inverse, p.weights),
            self,
            (
                jnp.where(is_row[:, None], u[None, :], self.U),
                targets,
                self.mask | is_row,
                L_inverse,
                _weights(L_inverse, targets),
            ),
        )

    def _cross(self, U: Float[Array, "m d"]) -> Float[Array, "m n"]:
        correlation = self.kernel(U, self.U, jnp.exp(self.hyper.log_length_scale))
        return jnp.exp(self.hyper.log_amplitude) * jnp.where(
            self.mask[None, :], correlation, 0.0
        )


def condition(
    kernel: BaseKernel,
    hyper: Hyperparameters,
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    mask: Bool[Array, " n"],
    nugget: Float[Array, ""],
) -> Posterior:
    """The posterior given the targets `t` at the rows of `U` inside `mask`."""
    t = jnp.where(mask, t, 0.0)
    K = gram(kernel, hyper, U, mask, jnp.zeros_like(nugget))
    L_inverse = inverse_lower(cholesky(K, nugget))
    weights = _weights(L_inverse, t)
    return Posterior(kernel, hyper, U, t, mask, nugget, L_inverse, weights)


def _weights(
    L_inverse: Float[Array, "n n"], t: Float[Array, " n"]
) -> Float[Array, " n"]:
    """K^-1 t."""
    return matmul(matmul(L_inverse, t), L_inverse)
