"""The Gaussian process against scikit-learn's GaussianProcessRegressor.

Kernel on both sides: amplitude * Matern(nu, one length scale a dimension) + noise.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor, kernels as sk

from hyperopt_jax import Matern, gp
from hyperopt_jax.gp import Hyperparameters

pytestmark = pytest.mark.usefixtures("x64")

N, CAPACITY, D = 12, 20, 3
SMOOTHNESS = [0.5, 1.5, 2.5, math.inf]
NUGGET = 1e-7
TOLERANCE = 1e-6

LENGTHS, AMPLITUDE, NOISE = (0.4, 0.9, 2.5), 1.7, 0.03
THETA = np.log([*LENGTHS, AMPLITUDE, NOISE])

each = pytest.mark.parametrize("nu", SMOOTHNESS)


@pytest.fixture
def data():
    """Inputs, targets and test points, as numpy arrays."""
    rng = np.random.default_rng(3)
    X = rng.uniform(size=(N, D))
    X[1] = X[0] + 1e-4  # a near-duplicate
    y = np.sin(5 * X[:, 0]) + X[:, 1] ** 2 + 0.2 * rng.normal(size=N)
    return X, y, np.vstack([rng.uniform(size=(7, D)), X[:2]])


def unpack(theta) -> Hyperparameters:
    return Hyperparameters(theta[:D], theta[D], theta[D + 1])


def buffers(X, y):
    """The data scattered over larger buffers, with rubbish in the free rows."""
    rng = np.random.default_rng(4)
    U, t = rng.uniform(size=(CAPACITY, D)), 100 * rng.normal(size=CAPACITY)
    rows = np.sort(rng.permutation(CAPACITY)[:N])
    U[rows], t[rows] = X, y
    mask = np.isin(np.arange(CAPACITY), rows)
    return jnp.asarray(U), jnp.asarray(t), jnp.asarray(mask)


def reference(nu, X, y) -> GaussianProcessRegressor:
    kernel = sk.ConstantKernel(AMPLITUDE) * sk.Matern(LENGTHS, nu=nu)
    regressor = GaussianProcessRegressor(
        kernel + sk.WhiteKernel(NOISE), alpha=NUGGET, optimizer=None
    )
    return regressor.fit(X, y)


@eqx.filter_jit
def condition(kernel, theta, U, t, mask):
    return gp.condition(kernel, unpack(theta), U, t, mask, jnp.asarray(NUGGET))


@eqx.filter_jit
def predict(posterior, at):
    return posterior.mean_and_std(at)


@eqx.filter_jit
def likelihood_and_gradient(kernel, theta, U, t, mask):
    def likelihood(theta):
        return gp.log_marginal_likelihood(
            kernel, unpack(theta), U, t, mask, jnp.asarray(NUGGET)
        )

    return jax.value_and_grad(likelihood)(theta)


@each
def test_posterior(nu, data):
    X, y, at = data
    expected_mean, expected_std = reference(nu, X, y).predict(at, return_std=True)
    # scikit-learn's WhiteKernel counts as part of the function; ours is noise-free.
    expected_std = np.sqrt(expected_std**2 - NOISE)

    posterior = condition(Matern(nu=nu), jnp.asarray(THETA), *buffers(X, y))
    mean, std = predict(posterior, jnp.asarray(at))
    assert np.abs(mean - expected_mean).max() < TOLERANCE
    assert np.abs(std - expected_std).max() < TOLERANCE


@each
@pytest.mark.parametrize("shift", [0.0, -1.5], ids=["short", "shorter"])
def test_likelihood_and_gradient(nu, shift, data):
    X, y, _ = data
    theta = THETA + shift
    # scikit-learn orders its logarithms: amplitude, lengths, noise.
    order = [D, *range(D), D + 1]
    expected, gradient = reference(nu, X, y).log_marginal_likelihood(
        theta[order], eval_gradient=True
    )
    value, slope = likelihood_and_gradient(
        Matern(nu=nu), jnp.asarray(theta), *buffers(X, y)
    )
    assert float(value) == pytest.approx(expected, abs=TOLERANCE)
    assert np.abs(np.asarray(slope)[order] - gradient).max() < TOLERANCE


def filled_from_the_front(X, y):
    """The same buffers with the free rows at the end, where `append` needs them."""
    U, t, mask = buffers(X, y)
    front = np.argsort(~np.asarray(mask), kind="stable")
    return U[front], t[front], mask[front]


append = eqx.filter_jit(gp.Posterior.append)


@each
def test_append_equals_refactorising(nu, data):
    X, y, at = data
    U, t, mask = filled_from_the_front(X, y)
    kernel, theta = Matern(nu=nu), jnp.asarray(THETA)
    new, results = np.random.default_rng(5).uniform(size=(3, D)), np.arange(3) / 2

    grown = condition(kernel, theta, U, t, mask)
    for i in range(3):
        u, result = jnp.asarray(new[i]), jnp.asarray(results[i])
        grown = append(grown, u, result, jnp.int32(N + i))
    rows = np.arange(N, N + 3)
    again = condition(
        kernel,
        theta,
        U.at[rows].set(new),
        t.at[rows].set(results),
        mask.at[rows].set(True),
    )
    assert np.array_equal(grown.mask, again.mask)
    assert np.allclose(grown.L_inverse, again.L_inverse, rtol=0, atol=1e-8)
    assert np.allclose(grown.weights, again.weights, rtol=0, atol=1e-8)
    mean, std = predict(grown, jnp.asarray(at))
    mean_again, std_again = predict(again, jnp.asarray(at))
    assert np.abs(mean - mean_again).max() < 1e-9
    assert np.abs(std - std_again).max() < 1e-9

    points, targets = np.vstack([X, new]), np.concatenate([y, results])
    expected = reference(nu, points, targets).predict(at)
    assert np.abs(mean - expected).max() < TOLERANCE


def test_append_of_a_repeated_point_stays_finite(data):
    X, y, at = data
    U, t, mask = filled_from_the_front(X, y)
    theta = jnp.asarray([*THETA[:-1], math.log(1e-12)])
    posterior = condition(Matern(nu=math.inf), theta, U, t, mask)
    for i in range(4):
        posterior = append(posterior, U[0], t[0], jnp.int32(N + i))
    for part in predict(posterior, jnp.asarray(at)):
        assert np.isfinite(part).all()
