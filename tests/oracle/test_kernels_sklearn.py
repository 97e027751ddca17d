"""Sums, products, weights and periodic kernels against scikit-learn's.

Alone as matrices, and inside the Gaussian process, whose prior variance is then not 1.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor, kernels as sk

from hyperopt_jax import RBF, Matern, Periodic, gp
from hyperopt_jax.gp import Hyperparameters

pytestmark = pytest.mark.usefixtures("x64")

# Ours, and theirs at length scale `s`, the tuned one of the first part.
PAIRS = {
    "weight": (2.5 * Matern(0.4), lambda s: 2.5 * sk.Matern(s, nu=2.5)),
    "sum": (
        RBF(0.8) + 0.3 * Matern(0.2, nu=1.5),
        lambda s: sk.RBF(s) + sk.ConstantKernel(0.3) * sk.Matern(s / 4, nu=1.5),
    ),
    "product": (
        Matern(0.3, nu=0.5) * RBF(0.6),
        lambda s: sk.Matern(s, nu=0.5) * sk.RBF(2 * s),
    ),
    "nested": (
        (RBF(0.5) + 2.0 * RBF(1.0)) * (0.7 * Matern(1.5, nu=math.inf)),
        lambda s: (
            (sk.RBF(s) + sk.ConstantKernel(2.0) * sk.RBF(2 * s))
            * (sk.ConstantKernel(0.7) * sk.RBF(3 * s))
        ),
    ),
}
PERIODIC = {
    "periodic": (
        Periodic(0.9, period=0.4),
        lambda s: sk.ExpSineSquared(s, periodicity=0.4),
    ),
    "locally periodic": (
        RBF(0.5) * Periodic(1.0, period=0.3),
        lambda s: sk.RBF(s) * sk.ExpSineSquared(2 * s, periodicity=0.3),
    ),
    "with a trend": (
        1.5 * Matern(0.6) + 0.5 * Periodic(0.6, period=0.25),
        lambda s: (
            sk.ConstantKernel(1.5) * sk.Matern(s, nu=2.5)
            + sk.ConstantKernel(0.5) * sk.ExpSineSquared(s, periodicity=0.25)
        ),
    ),
}
# scikit-learn's periodic kernel takes the sine of a distance, ours that of each column:
# they agree in one dimension.
CASES = [(name, 3) for name in PAIRS] + [(name, 1) for name in [*PAIRS, *PERIODIC]]
cases = pytest.mark.parametrize(("name", "d"), CASES)

AMPLITUDE, NOISE, NUGGET = 1.7, 0.02, 1e-8


def points(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, d))


@cases
@pytest.mark.parametrize("scale", [None, 0.35])
def test_matrix(name, d, scale):
    ours, theirs = (PAIRS | PERIODIC)[name]
    x, y = points(6, d), points(5, d, 1)
    expected = theirs(ours.length_scale if scale is None else scale)
    k = ours(jnp.asarray(x), jnp.asarray(y), scale)
    np.testing.assert_allclose(k, expected(x, y), rtol=1e-10)
    assert float(ours.variance) == pytest.approx(expected.diag(x)[0])


@eqx.filter_jit
def posterior(kernel, hyper, U, t, mask, at):
    nugget = jnp.asarray(NUGGET)
    model = gp.condition(kernel, hyper, U, t, mask, nugget)
    evidence = gp.log_marginal_likelihood(kernel, hyper, U, t, mask, nugget)
    return *model.mean_and_std(at), evidence


@cases
def test_gaussian_process(name, d):
    ours, theirs = (PAIRS | PERIODIC)[name]
    X, at = points(10, d), points(7, d, 1)
    y = np.sin(5 * X[:, 0])
    scale = 0.35
    regressor = GaussianProcessRegressor(
        sk.ConstantKernel(AMPLITUDE) * theirs(scale) + sk.WhiteKernel(NOISE),
        alpha=NUGGET,
        optimizer=None,
    ).fit(X, y)
    expected_mean, expected_std = regressor.predict(at, return_std=True)
    # scikit-learn's WhiteKernel counts as part of the function; ours is noise-free.
    expected_std = np.sqrt(expected_std**2 - NOISE)

    hyper = Hyperparameters(
        *(jnp.log(jnp.asarray(v)) for v in (np.full(d, scale), AMPLITUDE, NOISE))
    )
    U = jnp.asarray(np.vstack([X, points(4, d, 2)]))
    t = jnp.asarray(np.concatenate([y, np.full(4, 9.0)]))
    mean, std, evidence = posterior(
        ours, hyper, U, t, jnp.arange(14) < 10, jnp.asarray(at)
    )
    np.testing.assert_allclose(mean, expected_mean, atol=1e-6)
    np.testing.assert_allclose(std, expected_std, atol=1e-6)
    expected = regressor.log_marginal_likelihood(regressor.kernel_.theta)
    assert float(evidence) == pytest.approx(expected, abs=1e-6)
