"""The posterior of a Gaussian process, and growing it by one row."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperopt_jax._numerics import cholesky, inverse_lower, matmul
from hyperopt_jax.gp._hyper import Hyperparameters
from hyperopt_jax.gp._taylor import Taylor
from hyperopt_jax.kernels import BaseKernel


class Local(NamedTuple):
    """A local model, its value at the centre, and whether to use it.

    That is data, so that one program serves the trials of both kinds.
    """

    taylor: Taylor
    value: Float[Array, ""]
    in_use: Bool[Array, ""]

    def instead_of(self, stationary: Array | float, local: Array) -> Array:
        """`local` where this model is in use, else `stationary`."""
        return jnp.where(self.in_use, local, stationary)


class Posterior(eqx.Module):
    """A Gaussian process conditioned on the rows of `U` inside `mask`.

    Its prior is the stationary one of `kernel` and `hyper`, with mean 0, or where
    `local` is in use that of its Taylor expansion.

    Holds the inverse Cholesky factor: predicting many points is then one matrix product,
    and one more observation is one more row (Rasmussen & Williams 2006, alg. 2.1, with
    L^-1 kept). Rows outside `mask` are rows of the identity and change nothing.
    """

    kernel: BaseKernel
    hyper: Hyperparameters
    local: Local | None
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
        k = jnp.where(self.mask[None, :], self._covariance(U, self.U), 0.0)
        prior = self._variance(U)
        explained = jnp.sum(matmul(k, self.L_inverse.T) ** 2, axis=1)
        floor = 4 * jnp.finfo(k.dtype).eps
        # The second floor is for a point about which there is nothing left to know.
        tiny = float(jnp.finfo(k.dtype).tiny) ** 0.5
        variance = jnp.maximum(prior - explained, floor * prior + tiny)
        mean = matmul(k, self.weights)
        if self.local is not None:
            variance = variance + self.local.instead_of(
                jnp.zeros_like(prior), self.local.taylor.remainder(U)
            )
        return mean + self._prior_mean(), jnp.sqrt(variance)

    def mean_and_covariance(
        self, U: Float[Array, "m d"]
    ) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
        """Joint mean and covariance of the noise-free function at the rows of `U`.

        The remainder of a local model is left out: it belongs to each point alone.
        """
        k = jnp.where(self.mask[None, :], self._covariance(U, self.U), 0.0)
        whitened = matmul(k, self.L_inverse.T)
        covariance = self._covariance(U, U) - matmul(whitened, whitened.T)
        return matmul(k, self.weights) + self._prior_mean(), covariance

    def append(
        self, u: Float[Array, " d"], t: Float[Array, ""], row: Int[Array, ""]
    ) -> "Posterior":
        """The posterior with the observation `t` at `u` in the unused row `row`.

        One row of L^-1 instead of a new factorisation: with l = L^-1 k and
        s = sqrt(k(u, u) + noise - |l|^2), the row is (-l' L^-1 / s, 1 / s).
        """
        k = jnp.where(self.mask, self._covariance(u[None, :], self.U)[0], 0.0)
        own = self._observed_variance(u[None, :])[0]
        whitened = matmul(self.L_inverse, k)
        # Never below the nugget: a repeated point must not divide by zero.
        left = jnp.maximum(own - jnp.sum(whitened**2), self.nugget * own)
        scale = jnp.sqrt(left)
        new_row = -matmul(whitened, self.L_inverse) / scale
        is_row = jnp.arange(self.mask.shape[0], dtype=jnp.int32) == row
        new_row = jnp.where(is_row, 1 / scale, new_row)
        L_inverse = jnp.where(is_row[:, None], new_row[None, :], self.L_inverse)
        targets = jnp.where(is_row, t - self._prior_mean(), self.t)
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

    def conditioned(self) -> "Posterior":
        """The same with `L_inverse` and `weights` worked out from the other fields."""
        mask = self.mask
        if self.local is not None:
            mask = mask & (~self.local.in_use | self.local.taylor.is_elsewhere(self.U))
        t = jnp.where(mask, self.t - self._prior_mean(), 0.0)
        # Scaled to a unit diagonal: the local prior grows from nothing at its centre.
        variance = self._observed_variance(self.U)
        inverse = 1 / jnp.sqrt(jnp.where(mask, variance, 1.0))
        both = mask[:, None] & mask[None, :] & ~jnp.eye(t.shape[0], dtype=bool)
        scaled = self._covariance(self.U, self.U) * inverse[:, None] * inverse[None, :]
        K = jnp.where(both, scaled, jnp.eye(t.shape[0], dtype=t.dtype))
        rounding = jnp.asarray(t.shape[0] * float(jnp.finfo(t.dtype).eps) / 4, t.dtype)
        L_inverse = inverse_lower(cholesky(K, rounding)) * inverse[None, :]
        return eqx.tree_at(
            lambda p: (p.t, p.mask, p.L_inverse, p.weights),
            self,
            (t, mask, L_inverse, _weights(L_inverse, t)),
        )

    def _covariance(
        self, U: Float[Array, "m d"], V: Float[Array, "n d"]
    ) -> Float[Array, "m n"]:
        k = self.kernel(U, V, jnp.exp(self.hyper.log_length_scale))
        k = jnp.exp(self.hyper.log_amplitude) * k
        if self.local is None:
            return k
        return self.local.instead_of(k, self.local.taylor.cross(U, V))

    def _variance(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        amplitude = jnp.exp(self.hyper.log_amplitude) * self.kernel.variance
        variance = amplitude * jnp.ones_like(U[:, 0])
        if self.local is None:
            return variance
        return self.local.instead_of(variance, self.local.taylor.variance(U))

    def _observed_variance(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        """Variance of an observation at the rows of `U`."""
        noise = jnp.exp(self.hyper.log_noise) + self.nugget
        if self.local is None:
            return self._variance(U) + noise
        remainder = self.local.taylor.remainder(U)
        return self._variance(U) + self.local.instead_of(noise, remainder)

    def _prior_mean(self) -> Array | float:
        return (
            0.0 if self.local is None else self.local.instead_of(0.0, self.local.value)
        )


def condition(
    kernel: BaseKernel,
    hyper: Hyperparameters,
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    mask: Bool[Array, " n"],
    nugget: Float[Array, ""],
    local: Local | None = None,
) -> Posterior:
    """The posterior given the targets `t` at the rows of `U` inside `mask`."""
    n = U.shape[0]
    L_inverse, weights = jnp.eye(n, dtype=t.dtype), jnp.zeros_like(t)
    prior = Posterior(kernel, hyper, local, U, t, mask, nugget, L_inverse, weights)
    return prior.conditioned()


def _weights(
    L_inverse: Float[Array, "n n"], t: Float[Array, " n"]
) -> Float[Array, " n"]:
    """K^-1 t."""
    return matmul(matmul(L_inverse, t), L_inverse)
