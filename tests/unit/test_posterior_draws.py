"""Paths, rows taken back, and draws of the values at the trials.

Everything against the joint posterior worked out in NumPy from its textbook formula.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import RBF, Matern, gp
from hyperopt_jax.gp import Hyperparameters

KEY = jax.random.key(0)
N, N_IMAGINED, CAPACITY, D = 6, 2, 11, 2
AMPLITUDE, NOISE, NUGGET = 1.4, 0.05, 1e-6
LENGTHS = (0.3, 0.5)

pytestmark = pytest.mark.usefixtures("x64")


def data():
    rng = np.random.default_rng(0)
    U = rng.uniform(size=(CAPACITY, D))
    return U, np.sin(6 * U[:, 0]) + U[:, 1]


def hyper(noise=NOISE) -> Hyperparameters:
    return Hyperparameters(
        *(jnp.log(jnp.asarray(v)) for v in (LENGTHS, AMPLITUDE, noise))
    )


@eqx.filter_jit
def model(kernel=Matern(), noise=NOISE, local=None, n=N):
    U, t = map(jnp.asarray, data())
    rows = jnp.arange(CAPACITY) < n
    nugget = jnp.asarray(NUGGET)
    return gp.condition(kernel, hyper(noise), U, t, rows, nugget, local)


@eqx.filter_jit
def quadratic(in_use=True) -> gp.Local:
    U, t = map(jnp.asarray, data())
    known = jnp.arange(CAPACITY) < N
    best = jnp.argmax(jnp.where(known, t, -jnp.inf))
    taylor = gp.expand(U, t, known, U[best], t[best], jnp.asarray(1.0, t.dtype))
    return gp.Local(taylor, t[best], jnp.asarray(in_use))


@eqx.filter_jit
def grown(posterior):
    """With the rows after the first N hallucinated."""
    U, _ = data()
    for row in range(N, N + N_IMAGINED):
        posterior = posterior.append(jnp.asarray(U[row]), jnp.asarray(7.0), row)
    return posterior, (jnp.arange(CAPACITY) >= N) & posterior.mask


def joint(kernel, noise, at):
    """Mean and covariance of the function at `at`, given the first N results."""
    U, t = data()
    scale = np.asarray(LENGTHS)

    def k(a, b):
        return AMPLITUDE * np.asarray(kernel(jnp.asarray(a), jnp.asarray(b), scale))

    X = U[:N]
    K = k(X, X) + (noise + NUGGET) * np.eye(N)
    cross = np.linalg.solve(K, k(X, at)).T
    return cross @ t[:N], k(at, at) - cross @ k(X, at)


def assert_moments(samples, mean, covariance):
    """Of 20,000 columns, to five of their standard errors."""
    n, spread = samples.shape[1], np.sqrt(np.diag(covariance))
    assert (abs(samples.mean(1) - mean) < 5 * spread / n**0.5 + 1e-6).all()
    error = abs(np.cov(samples) - covariance)
    assert (error < 5 * np.outer(spread, spread) * (2 / n) ** 0.5 + 1e-6).all()


AT = np.random.default_rng(1).uniform(size=(4, D))

# Two parts of a sum, so that the draws' variance is not 1 either.
KERNELS = {
    "matern": Matern(),
    "rbf": RBF(),
    "sum": Matern(1.0, nu=1.5) + 0.5 * RBF(1.0),
}


class TestPaths:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", KERNELS)
    def test_have_the_law_of_the_posterior(self, name):
        # Fresh frequencies for each path: those that share them are dependent.
        @eqx.filter_jit
        def draws(posterior, keys):
            return jax.vmap(lambda k: posterior.paths(k, 1, 8)(jnp.asarray(AT))[:, 0])(
                keys
            ).T

        samples = draws(model(KERNELS[name]), jax.random.split(KEY, 20_000))
        assert_moments(np.asarray(samples), *joint(KERNELS[name], NOISE, AT))

    @pytest.mark.slow
    def test_of_the_local_model_have_its_law(self):
        posterior = model(local=quadratic())
        samples = posterior.paths(KEY, 20_000, 1)(jnp.asarray(AT))
        mean, covariance = posterior.mean_and_covariance(jnp.asarray(AT))
        assert_moments(np.asarray(samples), np.asarray(mean), np.asarray(covariance))

    def test_of_the_local_model_are_quadratics(self):
        path = model(local=quadratic()).paths(KEY, 1, 4)
        line = jnp.linspace(0.0, 1.0, 9)[:, None] * jnp.asarray([[0.6, -0.8]])
        third = np.diff(np.asarray(path(0.3 + line))[:, 0], 3)
        assert np.abs(third).max() < 1e-9

    def test_a_local_model_not_in_use_changes_nothing(self):
        at = jnp.asarray(AT)
        plain = model().paths(KEY, 3, 16)(at)
        unused = model(local=quadratic(False)).paths(KEY, 3, 16)(at)
        np.testing.assert_allclose(unused, plain, rtol=1e-12)

    def test_go_through_noise_free_results(self):
        U, t = data()
        paths = model(noise=1e-12).paths(KEY, 5, 64)(jnp.asarray(U[:N]))
        np.testing.assert_allclose(paths, np.tile(t[:N, None], 5), atol=1e-2)

    def test_are_functions_of_a_point_alone(self):
        path = model().paths(KEY, 2, 16)
        at = jnp.asarray(AT)
        one_by_one = jnp.concatenate([path(u[None, :]) for u in at])
        np.testing.assert_allclose(one_by_one, path(at), rtol=1e-9)
        np.testing.assert_allclose(jax.jit(path)(at), path(at), rtol=1e-9)

    def test_have_the_gradient_of_their_differences(self):
        path, h = model().paths(KEY, 1, 16), 1e-6
        u, v = jnp.asarray(AT[:1]), jnp.asarray([[0.6, -0.8]])
        slope = jnp.sum(jax.grad(lambda u: path(u)[0, 0])(u) * v)
        rise = path(u + h * v) - path(u - h * v)
        np.testing.assert_allclose(rise[0, 0] / (2 * h), slope, rtol=1e-6)

    def test_at_the_observations_the_gradient_is_finite(self):
        path = model(Matern(nu=0.5)).paths(KEY, 2, 16)
        slope = jax.grad(lambda U: path(U).sum())(jnp.asarray(data()[0]))
        assert np.isfinite(slope).all()


class TestRowsTakenBack:
    @pytest.mark.parametrize("local", [False, True])
    def test_equals_never_having_had_them(self, local):
        posterior = model(local=quadratic() if local else None)
        more, imagined = grown(posterior)
        again, at = more.without(imagined), jnp.asarray(AT)
        for a, b in zip(
            again.mean_and_std(at), posterior.mean_and_std(at), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-9)
        assert np.array_equal(again.mask, posterior.mask)
        np.testing.assert_allclose(again.L_inverse, posterior.L_inverse, rtol=1e-9)


class TestValuesAtTheTrials:
    def drawn(self, noise, local=None, n=20_000):
        posterior, imagined = grown(model(noise=noise, local=local))
        return posterior, *posterior.exactly_through_draws(imagined, KEY, n)

    @pytest.mark.parametrize("noise", [NOISE, 1.0])
    def test_have_their_joint_law(self, noise):
        posterior, exact, _ = self.drawn(noise)
        rows = np.flatnonzero(posterior.mask)
        assert len(rows) == N + N_IMAGINED
        mean, covariance = joint(Matern(), noise, data()[0][rows])
        assert_moments(np.asarray(exact.t)[rows], mean, covariance)

    def test_are_the_results_where_there_is_no_noise(self):
        _, exact, best = self.drawn(1e-16, n=3)
        t = data()[1]
        np.testing.assert_allclose(exact.t[:N], np.tile(t[:N, None], 3), atol=1e-6)
        np.testing.assert_allclose(
            best, np.maximum(t[:N].max(), exact.t[N : N + N_IMAGINED].max(0))
        )

    @pytest.mark.parametrize("noise", [1e-10, NOISE])
    def test_the_posterior_goes_through_them(self, noise):
        posterior, exact, _ = self.drawn(noise, n=7)
        means, std = exact.mean_and_std(posterior.U)
        assert means.shape == (CAPACITY, 7)
        seen = np.asarray(posterior.mask)
        np.testing.assert_allclose(means[seen], exact.t[seen], atol=5e-3)
        assert (std[seen] < 3e-3).all()
        assert (std[~seen] > 3e-2).all()

    def test_the_local_model_takes_results_as_they_are(self):
        local = quadratic()
        posterior, exact, best = self.drawn(NOISE, local, n=20_000)
        known = np.flatnonzero(posterior.mask)[: N - 1]
        rises = data()[1][known] - float(local.value)
        np.testing.assert_allclose(exact.t[known, 0], rises, atol=1e-6)
        # The centre has no row of its own but is the incumbent that must be beaten.
        assert (best >= local.value - 1e-12).all()
        rows = slice(N, N + N_IMAGINED)
        before = model(local=local)
        mean, covariance = before.mean_and_covariance(posterior.U[rows])
        remainder = local.taylor.remainder(posterior.U[rows])
        assert_moments(
            np.asarray(exact.t)[rows] + float(local.value),
            np.asarray(mean),
            np.asarray(covariance) + np.diag(remainder),
        )

    def test_the_hallucinated_results_do_not_matter(self):
        posterior, imagined = grown(model())
        other = posterior.without(imagined)
        for row, result in ((N, -3.0), (N + 1, 0.0)):
            other = other.append(jnp.asarray(data()[0][row]), jnp.asarray(result), row)
        one, best = posterior.exactly_through_draws(imagined, KEY, 4)
        two, rival = other.exactly_through_draws(imagined, KEY, 4)
        np.testing.assert_allclose(one.weights, two.weights, rtol=1e-9)
        np.testing.assert_allclose(best, rival, rtol=1e-12)


@pytest.mark.slow
def test_single_precision_keeps_up():
    with jax.enable_x64(False):
        U, t = (jnp.asarray(a, jnp.float32) for a in data())
        h = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), hyper(1e-8))
        posterior = gp.condition(
            RBF(), h, U, t, jnp.arange(CAPACITY) < N, jnp.float32(1e-6)
        )
        at = jnp.asarray(AT, jnp.float32)
        path = posterior.paths(KEY, 3, 64)(at)
        nobody = jnp.zeros(CAPACITY, bool)
        exact, best = posterior.exactly_through_draws(nobody, KEY, 3)
        for array in (path, exact.weights, best):
            assert array.dtype == jnp.float32
            assert np.isfinite(array).all()
        mean, _ = posterior.mean_and_std(at)
        means, _ = exact.mean_and_std(at)
        np.testing.assert_allclose(means, np.tile(mean[:, None], 3), atol=2e-2)
