"""The posterior of a Gaussian process, and growing it by one row."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hyperopt_jax._numerics import cholesky, inverse_lower, matmul, rounding_of
from hyperopt_jax.gp._hyper import Hyperparameters
from hyperopt_jax.gp._taylor import Taylor
from hyperopt_jax.kernels import BaseKernel

# Functions drawn from a process, one column each.
Paths = Callable[[Float[Array, "m d"]], Float[Array, "m n"]]


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

    What `exactly_through_draws` returns has a column of targets and weights for each draw,
    and so a column of means.
    """

    kernel: BaseKernel
    hyper: Hyperparameters
    local: Local | None
    U: Float[Array, "n d"]
    t: Float[Array, "n *draws"]
    mask: Bool[Array, " n"]
    nugget: Float[Array, ""]
    L_inverse: Float[Array, "n n"]
    weights: Float[Array, "n *draws"]

    def mean_and_std(
        self, U: Float[Array, "m d"]
    ) -> tuple[Float[Array, "m *draws"], Float[Array, " m"]]:
        """Mean and standard deviation of the noise-free function at the rows of `U`.

        m = k' K^-1 t and s^2 = a - |L^-1 k|^2, never below a relative floor where
        rounding would make it zero or negative.
        """
        whitened, mean = self._whitened_and_mean(U)
        return mean, jnp.sqrt(self._variance_left(U, whitened))

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

    def one_more(
        self, U: Float[Array, "m d"]
    ) -> tuple[Float[Array, "m rows"], Float[Array, "m rows"]]:
        """What one more observation at a row of `U` would make of the means.

        Each row of the two is for one row u of `U`: the mean now, and by how much it moves
        with each standard deviation of the new result, at the observations (-inf and 0
        where there is none), at the centre of a local model and, last, at u itself. An
        observation at u moves the mean at x by cov(f(x), f(u)) / sqrt(var(f(u)) + s), with
        s the variance of the noise; covariances with the observations' rows are
        s K^-1 k(u), which is all that the noise hides.

        Source: Frazier, Powell & Dayanik, INFORMS J. Computing 21 (2009).
        """
        whitened, mean = self._whitened_and_mean(U)
        variance = self._variance_left(U, whitened)
        s = self._own_noise()
        unit = 1 / jnp.sqrt(variance + s)
        moved = s * matmul(whitened, self.L_inverse) * unit[:, None]
        known = self._known_means()
        # The centre of a local model, of which the value is known, is no row.
        moved = jnp.pad(moved, ((0, 0), (0, len(known) - moved.shape[1])))
        known = jnp.broadcast_to(known[None, :], moved.shape)
        return (
            jnp.concatenate([known, mean[:, None]], axis=1),
            jnp.concatenate([moved, (variance * unit)[:, None]], axis=1),
        )

    def incumbent(self) -> Float[Array, ""]:
        """The largest mean at an observation; the prior's where there is none.

        Without noise that is the best result. With noise the best result owes much to
        luck, and no mean may ever come near it.
        """
        return jnp.where(self.mask.any(), jnp.max(self._known_means()), 0.0)

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
                # K^-1 t is a sum over the rows r of L^-1: each adds r (r't).
                self.weights + new_row * jnp.sum(new_row * targets),
            ),
        )

    def without(self, rows: Bool[Array, " n"]) -> "Posterior":
        """The posterior without the observations in `rows`, which came after all others.

        Rows of L^-1 depend on earlier ones alone, so dropping the last ones is exact.
        """
        eye = jnp.eye(rows.shape[0], dtype=self.L_inverse.dtype)
        L_inverse = jnp.where(rows[:, None], eye, self.L_inverse)
        t = jnp.where(rows, 0.0, self.t)
        return eqx.tree_at(
            lambda p: (p.t, p.mask, p.L_inverse, p.weights),
            self,
            (t, self.mask & ~rows, L_inverse, _weights(L_inverse, t)),
        )

    def paths(self, key: PRNGKeyArray, n: int, n_features: int) -> Paths:
        """`n` functions drawn from this posterior, smooth enough to climb.

        Each is a path of the prior plus what the observations say of it,

            f(x) = g(x) + k(x, U) K^-1 (t - g(U) - e),

        with g a path of the prior and e a draw of the noise. The path of a stationary
        prior is made of `n_features` random cosines and sines, which all `n` share; that
        of a local model is exactly a quadratic, without its remainder, which belongs to
        each point alone.

        Raises:
            SettingError: a kernel without spectral draws.

        Source: Wilson et al., ICML 2020 (arXiv 2002.09309), eq. 13.
        """
        prior_key, noise_key = jax.random.split(key)
        prior = self._prior_paths(prior_key, n, n_features)
        deviation = jnp.broadcast_to(jnp.sqrt(self._noise(self.U)), self.t.shape)
        noise = jax.random.normal(noise_key, (self.t.shape[0], n), self.t.dtype)
        miss = self.t[:, None] - prior(self.U) - deviation[:, None] * noise
        miss = jnp.where(self.mask[:, None], miss, 0.0)
        weights = matmul(self.L_inverse.T, matmul(self.L_inverse, miss))

        def path(U: Float[Array, "m d"]) -> Float[Array, "m n"]:
            k = jnp.where(self.mask[None, :], self._covariance(U, self.U), 0.0)
            return prior(U) + matmul(k, weights) + self._prior_mean()

        return path

    def exactly_through_draws(
        self, imagined: Bool[Array, " n"], key: PRNGKeyArray, n: int
    ) -> tuple["Posterior", Float[Array, " n"]]:
        """The noise-free posterior given the function's values at all rows, in `n` joint
        draws of them, and the largest of the values in each draw.

        The draws are from the posterior of the observations outside `imagined`, rows
        that came after all others and whose targets are not used. Given results with
        noise of variance s, the values at their own rows have the mean t - s K^-1 t and
        the covariance s (I - s K^-1); the values at the imagined rows follow from them.
        """
        known = self.without(imagined)
        s = self._own_noise()
        rows = self.t.shape[0]
        normal = jax.random.normal(key, (rows, n), self.t.dtype)
        rounding = jnp.asarray(rounding_of(rows, s.dtype), s.dtype)
        both = known.mask[:, None] & known.mask[None, :]
        K_inverse = matmul(known.L_inverse.T, known.L_inverse)
        eye = jnp.eye(rows, dtype=s.dtype)
        spread = cholesky(eye - jnp.where(both, s * K_inverse, 0.0), rounding)
        values = (known.t - s * known.weights)[:, None] + jnp.sqrt(s) * matmul(
            spread, normal
        )
        values = jnp.where(known.mask[:, None], values, 0.0)

        silent = jnp.full_like(s, -jnp.inf)
        exact = eqx.tree_at(lambda p: p.hyper.log_noise, self, silent)
        L_inverse = exact._inverse_factor()
        whitened = matmul(L_inverse, values)
        whitened = jnp.where(imagined[:, None], normal, whitened)
        values = lax.linalg.triangular_solve(
            L_inverse, whitened, left_side=True, lower=True
        )
        best = jnp.max(jnp.where(self.mask[:, None], values, -jnp.inf), axis=0)
        if self.local is not None:
            # The centre, of which the value is known, is no row.
            best = self.local.instead_of(best, jnp.maximum(best, 0.0))
        exact = eqx.tree_at(
            lambda p: (p.t, p.L_inverse, p.weights),
            exact,
            (values, L_inverse, matmul(L_inverse.T, whitened)),
        )
        return exact, best + self._prior_mean()

    def conditioned(self) -> "Posterior":
        """The same with `L_inverse` and `weights` worked out from the other fields."""
        mask = self.mask
        if self.local is not None:
            mask = mask & (~self.local.in_use | self.local.taylor.is_elsewhere(self.U))
        t = jnp.where(mask, self.t - self._prior_mean(), 0.0)
        prior = eqx.tree_at(lambda p: (p.t, p.mask), self, (t, mask))
        L_inverse = prior._inverse_factor()
        return eqx.tree_at(
            lambda p: (p.L_inverse, p.weights),
            prior,
            (L_inverse, _weights(L_inverse, t)),
        )

    def _inverse_factor(self) -> Float[Array, "n n"]:
        """L^-1 of the covariance of the observations, worked out anew."""
        mask, dtype = self.mask, self.t.dtype
        n = mask.shape[0]
        # Scaled to a unit diagonal: the local prior grows from nothing at its centre.
        variance = self._observed_variance(self.U)
        inverse = 1 / jnp.sqrt(jnp.where(mask, variance, 1.0))
        both = mask[:, None] & mask[None, :] & ~jnp.eye(n, dtype=bool)
        scaled = self._covariance(self.U, self.U) * inverse[:, None] * inverse[None, :]
        K = jnp.where(both, scaled, jnp.eye(n, dtype=dtype))
        rounding = jnp.asarray(rounding_of(n, dtype), dtype)
        return inverse_lower(cholesky(K, rounding)) * inverse[None, :]

    def _prior_paths(self, key: PRNGKeyArray, n: int, n_features: int) -> Paths:
        """`n` paths of the prior, without its mean."""
        angle_key, weight_key, local_key = jax.random.split(key, 3)
        scale = jnp.exp(self.hyper.log_length_scale)
        angles = self.kernel.angles(angle_key, n_features, self.U.shape[1], scale)
        weights = jax.random.normal(weight_key, (2 * n_features, n), self.t.dtype)
        variance = jnp.exp(self.hyper.log_amplitude) * self.kernel.variance
        weights = weights * jnp.sqrt(variance / n_features)

        def stationary(U: Float[Array, "m d"]) -> Float[Array, "m n"]:
            a = angles(U)
            return matmul(jnp.concatenate([jnp.cos(a), jnp.sin(a)], axis=1), weights)

        if self.local is None:
            return stationary
        local, quadratic = self.local, self.local.taylor.paths(local_key, n)
        return lambda U: local.instead_of(stationary(U), quadratic(U))

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
        return self._variance(U) + self._noise(U)

    def _whitened_and_mean(
        self, U: Float[Array, "m d"]
    ) -> tuple[Float[Array, "m n"], Float[Array, "m *draws"]]:
        """L^-1 k for each row of `U`, and the mean there."""
        k = jnp.where(self.mask[None, :], self._covariance(U, self.U), 0.0)
        mean = matmul(k, self.weights) + self._prior_mean()
        return matmul(k, self.L_inverse.T), mean

    def _variance_left(
        self, U: Float[Array, "m d"], whitened: Float[Array, "m n"]
    ) -> Float[Array, " m"]:
        """Posterior variance of the function at the rows of `U`."""
        prior = self._variance(U)
        floor = 4 * jnp.finfo(prior.dtype).eps
        # The second floor is for a point about which there is nothing left to know.
        tiny = float(jnp.finfo(prior.dtype).tiny) ** 0.5
        explained = jnp.sum(whitened**2, axis=1)
        variance = jnp.maximum(prior - explained, floor * prior + tiny)
        if self.local is None:
            return variance
        return variance + self.local.instead_of(
            jnp.zeros_like(prior), self.local.taylor.remainder(U)
        )

    def _known_means(self) -> Float[Array, " rows"]:
        """Means at the observations (-inf where there is none) and at a local centre.

        At an observation K_f K^-1 t = t - s K^-1 t, with s the variance of the noise.
        """
        known = self.t - self._own_noise() * self.weights + self._prior_mean()
        known = jnp.where(self.mask, known, -jnp.inf)
        if self.local is None:
            return known
        centre = self.local.instead_of(-jnp.inf, self.local.value)
        return jnp.concatenate([known, centre[None]])

    def _own_noise(self) -> Float[Array, ""]:
        """Variance of the noise alone.

        What a local model leaves out is part of the function, and so is what the nugget
        rounds off.
        """
        s = jnp.exp(self.hyper.log_noise)
        if self.local is None:
            return s
        return self.local.instead_of(s, jnp.zeros_like(s))

    def _noise(self, U: Float[Array, "m d"]) -> Float[Array, "*m"]:
        """What the variance of an observation has on top of `_variance`."""
        noise = jnp.exp(self.hyper.log_noise) + self.nugget
        if self.local is None:
            return noise
        return self.local.instead_of(noise, self.local.taylor.remainder(U))

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
