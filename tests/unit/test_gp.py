"""The Gaussian process: padding, priors, fitting. Its numbers: tests/oracle."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import RBF, Matern, gp
from hyperopt_jax.bayesian._state import nugget_for
from hyperopt_jax.gp import Hyperparameters, _hyper

fit = eqx.filter_jit(gp.fit)
likelihood = eqx.filter_jit(gp.log_marginal_likelihood)


@eqx.filter_jit
def predict(kernel, hyper, U, t, mask, nugget, at):
    return gp.condition(kernel, hyper, U, t, mask, nugget).mean_and_std(at)


def hyper(lengths=(0.3, 0.6), amplitude=1.5, noise=0.01) -> Hyperparameters:
    return Hyperparameters(
        *(
            jnp.log(jnp.asarray(v, jnp.result_type(float)))
            for v in (lengths, amplitude, noise)
        )
    )


def data(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    U = rng.uniform(size=(n, 2))
    t = np.sin(6 * U[:, 0]) + 0.1 * rng.normal(size=n)
    return jnp.asarray(U, jnp.result_type(float)), jnp.asarray(
        t, jnp.result_type(float)
    )


def padded(U, t, n: int, seed: int = 1):
    """The same data in buffers of n rows, with rubbish in the free ones."""
    rng = np.random.default_rng(seed)
    rubbish = jnp.asarray(rng.uniform(size=(n - len(t), 2)), U.dtype)
    return (
        jnp.concatenate([U, rubbish]),
        jnp.concatenate([t, 1e3 * rubbish[:, 0]]),
        jnp.arange(n) < len(t),
    )


@eqx.filter_jit
def all_numbers(kernel, hyper, U, t, mask, nugget, at):
    """The posterior, the likelihood and the fitted hyperparameters."""
    args = kernel, hyper, U, jnp.where(mask, t, 0.0), mask, nugget
    return (
        gp.condition(kernel, hyper, U, t, mask, nugget).mean_and_std(at),
        gp.log_marginal_likelihood(kernel, hyper, U, t, mask, nugget),
        gp.fit(*args, 10),
    )


class TestPadding:
    @pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
    def test_changes_no_number(self, wide):
        with jax.enable_x64(wide):
            U, t = data(6)
            nugget, at = jnp.asarray(1e-6, U.dtype), U[:3] + 0.05
            small = all_numbers(Matern(), hyper(), U, t, jnp.ones(6, bool), nugget, at)
            big = all_numbers(Matern(), hyper(), *padded(U, t, 16), nugget, at)
            tolerance = 1e-12 if wide else 1e-3
            for a, b in zip(*map(jax.tree.leaves, (small, big)), strict=True):
                assert np.allclose(a, b, atol=tolerance)

    def test_free_rows_are_rows_of_the_identity(self):
        U, t = data(3)
        U, _, mask = padded(U, t, 5)
        K = gp.gram(Matern(), hyper(), U, mask, jnp.float32(1e-6))
        assert np.array_equal(K[3:, 3:], np.eye(2))
        assert np.array_equal(K[:3, 3:], np.zeros((3, 2)))
        assert np.allclose(np.diag(K)[:3], 1.5 + 0.01 + 1e-6, rtol=1e-6)

    def test_rows_anywhere(self):
        U, t = data(6)
        mask = jnp.asarray([True, False, True, True, False, False])
        nugget, at = jnp.float32(1e-6), U + 0.03
        scattered = predict(Matern(), hyper(), U, t, mask, nugget, at)
        rows = np.flatnonzero(mask)
        gathered = predict(
            Matern(), hyper(), U[rows], t[rows], jnp.ones(3, bool), nugget, at
        )
        for a, b in zip(scattered, gathered, strict=True):
            assert np.allclose(a, b, atol=1e-5)

    def test_no_data_is_the_prior(self):
        U, t = data(4)
        nothing = jnp.zeros(4, bool)
        mean, std = predict(Matern(), hyper(), U, t, nothing, jnp.float32(1e-6), U)
        assert np.array_equal(mean, np.zeros(4))
        assert np.allclose(std, math.sqrt(1.5), rtol=1e-6)
        assert (
            float(likelihood(Matern(), hyper(), U, t, nothing, jnp.float32(1e-6))) == 0
        )


class TestPosterior:
    def test_goes_through_noise_free_data(self, x64):
        U, t = data(6)
        sure = hyper(noise=1e-10)
        mask, nugget = jnp.ones(6, bool), jnp.asarray(1e-10)
        mean, std = predict(Matern(), sure, U, t, mask, nugget, U)
        assert np.allclose(mean, t, atol=1e-6)
        assert std.max() < 1e-4

    @pytest.mark.parametrize("kernel", [Matern(nu=0.5), RBF()], ids=["matern", "rbf"])
    def test_survives_repeated_points_without_noise(self, kernel):
        U, t = data(3)
        U, t = jnp.tile(U, (8, 1)), jnp.tile(t, 8)
        sure = hyper(lengths=(5.0, 5.0), noise=1e-8)
        mask, nugget = jnp.ones(24, bool), jnp.float32(1e-6)
        mean, std = predict(kernel, sure, U, t, mask, nugget, U)
        assert np.isfinite(mean).all()
        assert np.isfinite(std).all()
        assert (std > 0).all()

    def test_far_away_is_the_prior(self):
        U, t = data(6)
        mask, nugget = jnp.ones(6, bool), jnp.float32(1e-6)
        mean, std = predict(RBF(), hyper(), U, t, mask, nugget, U + 100)
        assert np.allclose(mean, 0, atol=1e-6)
        assert np.allclose(std, math.sqrt(1.5), rtol=1e-5)

    @pytest.mark.parametrize("noise", [1e-10, 0.01, 1.0])
    def test_the_incumbent_is_the_largest_mean_at_an_observation(self, noise, x64):
        U, t = data(12)
        t = t.at[3].add(2.0)  # a lucky one
        U, t, mask = padded(U, t, 20)
        args = Matern(), hyper(noise=noise), U, t, mask, jnp.asarray(1e-10)
        incumbent = eqx.filter_jit(lambda *args: gp.condition(*args).incumbent())
        mean, _ = predict(*args, U[:12])
        np.testing.assert_allclose(incumbent(*args), mean.max(), rtol=1e-6)
        luck = t[:12].max() - incumbent(*args)
        assert luck < 1e-6 if noise == 1e-10 else luck > 0.01
        nothing = (*args[:4], jnp.zeros(20, bool), args[5])
        assert incumbent(*nothing) == 0.0


@eqx.filter_jit
def objective(kernel, h, U, t, mask, nugget):
    """The log posterior density of the hyperparameters, up to a constant."""
    likelihood = gp.log_marginal_likelihood(kernel, h, U, t, mask, nugget)
    return likelihood - gp.prior_penalty(h)


class TestFit:
    @staticmethod
    def fitted(seed: int, n_times: int):
        """Hyperparameters after `n_times` 100 steps each, first those of the start."""
        U, t = data(20, seed)
        rest = U, t, jnp.ones(20, bool), jnp.asarray(1e-8)
        found = [hyper(lengths=(1.0, 1.0), amplitude=1.0, noise=0.3)]
        for _ in range(n_times):
            found.append(fit(Matern(), found[-1], *rest, 100))
        return found, rest

    @pytest.mark.parametrize("seed", range(3))
    def test_raises_the_posterior_density(self, seed, x64):
        found, rest = self.fitted(seed, 3)
        densities = [objective(Matern(), h, *rest) for h in found]
        assert densities[0] + 1 < densities[1]
        assert densities[1] < densities[3] + 1e-3

    def test_finds_the_relevant_dimension(self, x64):
        found = self.fitted(0, 2)[0][-1]
        used, unused = np.exp(found.log_length_scale)
        assert used < 1
        assert unused > 3 * used
        assert 1e-4 < np.exp(found.log_noise) < 0.1

    def test_ends_where_the_gradient_vanishes(self, x64):
        found, rest = self.fitted(0, 5)

        @eqx.filter_jit
        def slope(h):
            return jax.grad(lambda h: objective(Matern(), h, *rest))(h)

        start, end = (
            max(np.abs(s).max() for s in jax.tree.leaves(slope(h)))
            for h in (found[0], found[-1])
        )
        assert end < 0.05 < 1 < start

    def test_float32_factors_what_it_finds_for_a_smooth_function(self):
        """Its variance grows, and what rounding needs on the diagonal grows with it."""
        U = np.random.default_rng(0).uniform(size=(64, 2)).astype(np.float32)
        U[32:] = 0.5 + (U[32:] - 0.5) / 100
        t = -np.sum((U - 0.5) ** 2, axis=1)
        mask, nugget = jnp.ones(64, bool), nugget_for(1e-6, 64, jnp.float32)
        given = jnp.asarray(U), jnp.asarray((t - t.mean()) / t.std()), mask, nugget
        start = hyper(lengths=(1.0, 1.0), amplitude=1.0, noise=0.01)
        found = fit(Matern(), start, *given, 600)
        assert np.isfinite(objective(Matern(), found, *given))
        assert float(found.log_amplitude) > 1  # else this test says nothing

    def test_a_step_without_a_gradient_moves_nothing(self):
        U, t = data(5)
        start, nugget = hyper(), jnp.float32(1e-6)
        bad = t.at[2].set(jnp.nan)
        found = fit(Matern(), start, U, bad, jnp.ones(5, bool), nugget, 5)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(start), strict=True):
            assert np.array_equal(a, b)

    def test_stays_inside_the_bounds(self):
        U, _ = data(8)
        for t in (jnp.zeros(8), 1e6 * U[:, 0]):
            nugget = jnp.float32(1e-6)
            found = fit(RBF(), hyper(), U, t, jnp.ones(8, bool), nugget, 100)
            for value, (low, high) in (
                (found.log_length_scale, _hyper.LENGTH_SCALE_BOUNDS),
                (found.log_amplitude, _hyper.AMPLITUDE_BOUNDS),
                (found.log_noise, _hyper.NOISE_BOUNDS),
            ):
                assert (value >= np.float32(low)).all()
                assert (value <= np.float32(high)).all()

    def test_keeps_its_structure(self):
        U, t = data(5)
        args = (U, t, jnp.ones(5, bool), jnp.float32(1e-6))
        found = fit(Matern(), hyper(), *args, 5)
        assert jax.tree.map(jax.typeof, found) == jax.tree.map(jax.typeof, hyper())


class TestPrior:
    def test_lengths_grow_with_the_square_root_of_the_dimension(self):
        one, many = gp.length_scale_mean(1), gp.length_scale_mean(64)
        assert many - one == pytest.approx(math.log(8))

    def test_counts_as_many_dimensions_as_it_is_told(self):
        h = hyper(lengths=(0.3, 0.6, 0.9))
        of_all = float(gp.prior_penalty(h))
        assert float(gp.prior_penalty(h, 3)) == of_all
        shorter = gp.length_scale_mean(2) - gp.length_scale_mean(3)
        moved = Hyperparameters(
            h.log_length_scale + shorter, h.log_amplitude, h.log_noise
        )
        assert float(gp.prior_penalty(moved, 2)) == pytest.approx(of_all, rel=1e-5)

    def test_is_smallest_at_its_mean(self):
        def penalty(length, amplitude, noise):
            return float(
                gp.prior_penalty(
                    Hyperparameters(
                        jnp.full(3, length), jnp.float32(amplitude), jnp.float32(noise)
                    )
                )
            )

        mean = gp.length_scale_mean(3), 0.0, -5.0
        assert penalty(*mean) == pytest.approx(0, abs=1e-9)
        for i, std in enumerate((1.0, 3.0, 4.0)):
            away = list(mean)
            away[i] += std
            assert penalty(*away) == pytest.approx(1.5 if i == 0 else 0.5, rel=1e-5)
