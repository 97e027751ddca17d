"""Acquisitions against scipy, deep tails and both precisions included.

The reference for log(phi(z) + z Phi(z)) is computed in double precision without any
cancellation: below -1 Mills' ratio Q(x) / phi(x) = 1 / (x + t), x = -z, with the
continued fraction t = 1 / (x + 2 / (x + 3 / (x + ...))) (Laplace), so that
phi(z) + z Phi(z) = phi(z) t / (x + t), and its logarithm has the slope 1 / t. The same
fraction serves the information that a maximum gives, z phi(z) / (2 Phi(z)) - log Phi(z).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from hyperopt_jax import EI, PI, UCB, LogEI, MaxValueEntropy
from hyperopt_jax._numerics import log_expected_excess, log_truncation_information

precisions = pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])


def fraction(x: np.ndarray) -> np.ndarray:
    """t of the module's docstring, for x >= 1."""
    t = np.zeros_like(x)
    for k in range(3000, 1, -1):
        t = k / (x + t)
    return 1 / (x + t)


def log_excess(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log(phi(z) + z Phi(z)) and its derivative."""
    x = np.maximum(-z, 1.0)
    t = fraction(x)
    tail = stats.norm.logpdf(x) + np.log(t / (x + t))
    z_direct = np.maximum(z, -1.0)
    excess = stats.norm.pdf(z_direct) + z_direct * special.ndtr(z_direct)
    direct = z > -1
    value = np.where(direct, np.log(excess), tail)
    return value, np.where(direct, special.ndtr(z_direct) / excess, 1 / t)


@eqx.filter_jit
def score(acquisition, mean, std, y_max):
    return acquisition(mean, std, y_max)


@eqx.filter_jit
def gradients(acquisition, mean, std, y_max):
    def total(mean, std):
        return jnp.sum(acquisition(mean, std, y_max))

    return jax.grad(total, argnums=(0, 1))(mean, std)


@jax.jit
def log_excess_and_slope(z):
    return jax.vmap(jax.value_and_grad(log_expected_excess))(z)


def as_float(x) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))


def wide_copy(x) -> np.ndarray:
    """What is left of x in the precision of the test, as float64."""
    return np.asarray(x, np.float64)


def relative(value, expected) -> float:
    return float(np.max(np.abs(wide_copy(value) / expected - 1)))


def test_the_reference_is_scipys_mills_ratio():
    x = np.asarray([1.0, 1.5, 4.0, 20.0, 1e4])
    mills = np.sqrt(np.pi / 2) * special.erfcx(x / np.sqrt(2))
    assert relative(1 / (x + fraction(x)), mills) < 1e-14
    # Both branches meet at -1.
    below, above = log_excess(np.asarray([-1.0, np.nextafter(-1, 0)]))
    assert np.ptp(below) < 1e-14
    assert np.ptp(above) < 1e-14


# Means and uncertainties around an incumbent of 0.3, with |z| up to 6.
RNG = np.random.default_rng(0)
STD = np.exp(RNG.uniform(-3, 2, 200))
MEAN = 0.3 + STD * RNG.uniform(-6, 6, 200)
XI = 0.05


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def case(request):
    """Mean, std, incumbent, and z and the gap in float64, with the tolerance."""
    with jax.enable_x64(request.param):
        mean, std = as_float(MEAN), as_float(STD)
        gap = wide_copy(mean) - XI - 0.3
        yield mean, std, 0.3, gap, 1e-13 if request.param else 1e-6


class TestFormulas:
    """Absolute errors, in units of std where the score is one of results."""

    def test_ucb(self, case):
        mean, std, y_max, _, tolerance = case
        expected = wide_copy(mean) + 1.3 * wide_copy(std)
        error = wide_copy(score(UCB(kappa=1.3), mean, std, y_max)) - expected
        assert np.abs(error / wide_copy(std)).max() < 20 * tolerance

    def test_ei(self, case):
        mean, std, y_max, gap, tolerance = case
        s = wide_copy(std)
        expected = gap * stats.norm.cdf(gap / s) + s * stats.norm.pdf(gap / s)
        error = wide_copy(score(EI(xi=XI), mean, std, y_max)) - expected
        assert np.abs(error / s).max() < 20 * tolerance

    def test_pi(self, case):
        mean, std, y_max, gap, tolerance = case
        expected = stats.norm.cdf(gap / wide_copy(std))
        error = wide_copy(score(PI(xi=XI), mean, std, y_max)) - expected
        assert np.abs(error).max() < 20 * tolerance

    def test_log_ei(self, case):
        mean, std, y_max, gap, tolerance = case
        s = wide_copy(std)
        expected = log_excess(gap / s)[0] + np.log(s)
        error = wide_copy(score(LogEI(xi=XI), mean, std, y_max)) - expected
        # float32 loses 1e-5 of the value where Mills' ratio is used: up to 25.
        assert np.abs(error).max() < 500 * tolerance


class TestGradients:
    """Against closed forms, by mean and by std."""

    def test_ucb(self, case):
        mean, std, y_max, _, _ = case
        by_mean, by_std = gradients(UCB(kappa=1.3), mean, std, y_max)
        assert (wide_copy(by_mean) == 1).all()
        assert np.allclose(by_std, 1.3)

    def test_ei(self, case):
        mean, std, y_max, gap, tolerance = case
        z = gap / wide_copy(std)
        by_mean, by_std = gradients(EI(xi=XI), mean, std, y_max)
        assert np.abs(by_mean - special.ndtr(z)).max() < 30 * tolerance
        assert np.abs(by_std - stats.norm.pdf(z)).max() < 30 * tolerance

    def test_pi(self, case):
        mean, std, y_max, gap, tolerance = case
        s = wide_copy(std)
        z = gap / s
        by_mean, by_std = gradients(PI(xi=XI), mean, std, y_max)
        expected = stats.norm.pdf(z) / s
        assert np.abs((by_mean - expected) * s).max() < 20 * tolerance
        assert np.abs((by_std + z * expected) * s).max() < 50 * tolerance

    def test_log_ei(self, case):
        mean, std, y_max, gap, tolerance = case
        s = wide_copy(std)
        z = gap / s
        slope = log_excess(z)[1]
        by_mean, by_std = gradients(LogEI(xi=XI), mean, std, y_max)
        assert relative(by_mean, slope / s) < 200 * tolerance
        assert np.abs(by_std * s - (1 - z * slope)).max() < 3000 * tolerance

    def test_log_ei_by_differences(self, x64):
        mean, std, h = as_float(MEAN), as_float(STD), 1e-6
        by_mean, by_std = gradients(LogEI(), mean, std, 0.3)
        for gradient, ahead, behind in (
            (by_mean, (mean + h * std, std), (mean - h * std, std)),
            (by_std, (mean, std * (1 + h)), (mean, std * (1 - h))),
        ):
            rise = score(LogEI(), *ahead, 0.3) - score(LogEI(), *behind, 0.3)
            slope = np.asarray(rise / (2 * h * std))
            assert np.allclose(slope, gradient, rtol=1e-5, atol=1e-7)


# The intervals of z on which the implementation changes its formula, and the deep tail.
TAILS = [
    (-1e4, -1e3),
    (-1e3, -100.0),
    (-100.0, -30.01),
    (-29.99, -10.01),
    (-9.99, -5.0),
    (-5.0, -1.001),
    (-0.999, 5.0),
]


class TestTails:
    @precisions
    @pytest.mark.parametrize("interval", TAILS, ids=str)
    def test_log_excess(self, wide, interval):
        with jax.enable_x64(wide):
            z = as_float(np.linspace(*interval, 501))
            value, slope = log_excess_and_slope(z)
            expected, expected_slope = log_excess(wide_copy(z))
            error = np.abs(wide_copy(value) - expected) / np.maximum(
                np.abs(expected), 1
            )
            # In float32 Mills' ratio costs 1e-5 of the value and 1e-3 of the slope from
            # -10 to -5.
            assert error.max() < (1e-12 if wide else 2e-5)
            assert relative(slope, expected_slope) < (3e-10 if wide else 1e-3)

    def test_log_excess_is_as_accurate_as_documented_in_single_precision(self):
        z = jnp.linspace(-10.0, 0.0, 2001)
        value, slope = log_excess_and_slope(z)
        expected, expected_slope = log_excess(wide_copy(z))
        assert relative(value, expected) < 2e-5
        assert relative(slope, expected_slope) < 1e-3

    def test_log_excess_is_as_accurate_as_documented_in_double_precision(self, x64):
        z = jnp.linspace(-30.0, -20.0, 2001)
        value, slope = log_excess_and_slope(z)
        expected, expected_slope = log_excess(wide_copy(z))
        assert relative(value, expected) < 3e-10
        assert relative(slope, expected_slope) < 3e-10

    @precisions
    @pytest.mark.parametrize("std", [1e-4, 1.0, 1e3])
    def test_log_ei_down_to_ten_thousand_standard_deviations(self, wide, std):
        with jax.enable_x64(wide):
            s = as_float(np.full(400, std))
            mean = -s * as_float(np.geomspace(1e-2, 1e4, 400))
            z = wide_copy(mean) / wide_copy(s)
            expected, slope = log_excess(z)
            expected = expected + np.log(wide_copy(s))
            value = wide_copy(score(LogEI(), mean, s, 0.0))
            error = np.abs(value - expected) / np.maximum(np.abs(expected), 1)
            assert error.max() < (1e-12 if wide else 2e-5)
            by_mean, by_std = gradients(LogEI(), mean, s, 0.0)
            tolerance = 1e-9 if wide else 1e-3
            assert relative(by_mean, slope / wide_copy(s)) < tolerance
            assert relative(by_std, (1 - z * slope) / wide_copy(s)) < 10 * tolerance
            assert (np.diff(wide_copy(value)) < 0).all()

    @precisions
    def test_pi_in_the_tail_of_the_normal_law(self, wide):
        # PI keeps its relative accuracy until it underflows.
        with jax.enable_x64(wide):
            z = as_float(np.linspace(-35 if wide else -12, 5, 300))
            value = score(PI(xi=0.0), z, jnp.ones_like(z), 0.0)
            assert relative(value, special.ndtr(wide_copy(z))) < (
                1e-12 if wide else 3e-5
            )

    @precisions
    def test_ei_is_zero_and_never_negative_far_below(self, wide):
        with jax.enable_x64(wide):
            z = as_float(np.linspace(-100, 0, 2000))
            value = wide_copy(score(EI(xi=0.0), z, jnp.ones_like(z), 0.0))
            assert value.min() >= 0
            assert value[0] == 0
            exact = np.exp(log_excess(wide_copy(z))[0])
            assert np.abs(value - exact).max() < (1e-15 if wide else 1e-6)
            for gradient in gradients(EI(xi=0.0), z, jnp.ones_like(z), 0.0):
                assert np.isfinite(gradient).all()


class TestCertainty:
    """The limits at std = 0, where the formulas divide by zero."""

    GAPS = np.asarray([-2.0, -1e-3, 1e-3, 0.7])

    @precisions
    def test_limits(self, wide):
        with jax.enable_x64(wide):
            mean, nothing = as_float(self.GAPS), jnp.zeros(4)
            positive = wide_copy(mean) > 0
            ei = score(EI(xi=0.0), mean, nothing, 0.0)
            assert np.array_equal(wide_copy(ei), np.maximum(wide_copy(mean), 0))
            assert np.array_equal(score(PI(xi=0.0), mean, nothing, 0.0), positive)
            log_ei = wide_copy(score(LogEI(), mean, nothing, 0.0))
            assert np.allclose(log_ei[positive], np.log(self.GAPS[positive]), atol=1e-5)
            assert (log_ei[~positive] < -1e10).all()
            by_mean, by_std = gradients(EI(xi=0.0), mean, nothing, 0.0)
            assert np.array_equal(by_mean, positive)
            assert np.isfinite(by_std).all()
            by_mean, by_std = gradients(LogEI(), mean, nothing, 0.0)
            assert np.isfinite(by_mean).all()
            assert (wide_copy(by_mean) > 0).all()


def log_information(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log(z phi / (2 Phi) - log Phi) and its derivative, in three pieces."""
    x = np.maximum(np.abs(z), 1.0)
    t = fraction(x)
    pdf, beyond = stats.norm.pdf(x), special.ndtr(-x)

    mid = np.clip(z, -1.0, 1.0)
    r = stats.norm.pdf(mid) / special.ndtr(mid)
    h = mid * r / 2 - special.log_ndtr(mid)
    value, slope = np.log(h), -r * (1 + mid * (mid + r)) / (2 * h)

    # Above, over phi: -log(1 - Q) / phi is Q / phi = 1 / (x + t) times a series in Q.
    cdf = 1 - beyond
    safe = np.maximum(beyond, 1e-300)
    h_up = x / (2 * cdf) - np.log1p(-safe) / safe / (x + t)
    up = stats.norm.logpdf(x) + np.log(h_up)
    slope_up = -(1 + x * (x + pdf / cdf)) / (2 * cdf * h_up)

    # Below, with 1 / R = x + t; 1 - x t without cancellation is u t, t = 1 / (x + u).
    h_low = 0.5 * np.log(2 * np.pi) + np.log(x + t) - x * t / 2
    u = np.zeros_like(x)
    for k in range(3000, 1, -1):
        u = k / (x + u)
    slope_low = -(x + t) * u * t / (2 * h_low)
    return (
        np.where(z > 1, up, np.where(z < -1, np.log(h_low), value)),
        np.where(z > 1, slope_up, np.where(z < -1, slope_low, slope)),
    )


@jax.jit
def log_information_and_slope(z):
    return jax.vmap(jax.value_and_grad(log_truncation_information))(z)


MAXIMA = [
    *((-high, -low) for low, high in [(1.001, 6.99), (7.01, 9.99), (10.01, 29.99)]),
    *((-high, -low) for low, high in [(30.01, 100.0), (100.0, 1e4)]),
    (-0.999, 0.999),
    *[(1.001, 9.99), (10.01, 29.99), (30.01, 1e3), (1e3, 1e4)],
]


class TestMaxValueEntropy:
    def test_is_what_a_truncation_takes_from_the_entropy(self):
        # H(N(0, 1)) - H(N(0, 1) below z), by scipy's truncated normal.  -40 is as good as -inf.
        z = np.linspace(-5, 4, 37)
        lost = [stats.norm.entropy() - stats.truncnorm(-40, b).entropy() for b in z]
        value = np.exp(log_information(z)[0])
        assert np.allclose(value, lost, rtol=1e-6, atol=1e-12)

    @precisions
    @pytest.mark.parametrize("interval", MAXIMA, ids=str)
    def test_both_tails(self, wide, interval):
        with jax.enable_x64(wide):
            z = as_float(np.linspace(*interval, 501))
            value, slope = log_information_and_slope(z)
            expected, expected_slope = log_information(wide_copy(z))
            error = np.abs(wide_copy(value) - expected) / np.maximum(
                np.abs(expected), 1
            )
            assert error.max() < (2e-11 if wide else 5e-5)
            assert relative(slope, expected_slope) < (1e-7 if wide else 5e-3)

    @precisions
    def test_falls_steadily_and_stays_finite(self, wide):
        with jax.enable_x64(wide):
            far = np.geomspace(1.0, 1e30, 121)
            z = as_float(
                np.concatenate([-far[::-1], np.linspace(-0.95, 0.95, 39), far])
            )
            value, slope = log_information_and_slope(z)
            assert np.isfinite(value).all()
            assert np.isfinite(slope).all()
            assert (wide_copy(slope) < 0).all()
            usual = np.abs(wide_copy(z)) < 1e4
            assert (np.diff(wide_copy(value)[usual]) < 0).all()

    def test_of_a_mean_and_a_deviation(self, case):
        mean, std, y_max, gap, tolerance = case
        s = wide_copy(std)
        z = -(gap + XI) / s
        value = wide_copy(score(MaxValueEntropy(), mean, std, y_max))
        expected, slope = log_information(z)
        assert np.abs(value - expected).max() < 500 * tolerance
        by_mean, by_std = gradients(MaxValueEntropy(), mean, std, y_max)
        assert relative(by_mean * s, -slope) < 50_000 * tolerance
        assert np.abs(by_std * s + z * slope).max() < 50_000 * tolerance
