"""The small helpers: distances, the Cholesky ladder, the normal law, ranks.

How accurate the tails are is in tests/oracle/test_acquisition_scipy.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from jax import lax
from scipy import stats
from scipy.spatial.distance import cdist

from hyperopt_jax import _numerics as numerics

precisions = pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])

cholesky = jax.jit(numerics.cholesky)
squared_distance = jax.jit(numerics.squared_distance)
masked_rank = jax.jit(numerics.masked_rank)
log_excess_and_slope = jax.jit(
    jax.vmap(jax.value_and_grad(numerics.log_expected_excess))
)


def as_float(x) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))


def points(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, d))


class TestSquaredDistance:
    @precisions
    @pytest.mark.parametrize("d", [1, 8, 9, 30])
    def test_equals_scipy(self, wide, d):
        x, y = points(6, d), points(4, d, 1)
        with jax.enable_x64(wide):
            r2 = squared_distance(as_float(x), as_float(y))
            assert r2.dtype == jnp.result_type(float)
        expected = cdist(x, y, "sqeuclidean")
        assert np.allclose(r2, expected, rtol=1e-12 if wide else 1e-5)

    @precisions
    @pytest.mark.parametrize("d", [1, 8, 9, 30])
    def test_scaled_and_its_gradient(self, wide, d):
        x, y, scale = points(6, d), points(4, d, 1), 0.1 + 10 * points(d, 1, 2)[:, 0]
        with jax.enable_x64(wide):
            args = as_float(x), as_float(y), as_float(1 / scale)
            r2 = squared_distance(*args)
            slope = jax.grad(lambda s: squared_distance(*args[:2], s).sum())(args[2])
        rtol = 1e-11 if wide else 1e-4
        assert np.allclose(r2, cdist(x / scale, y / scale, "sqeuclidean"), rtol=rtol)
        squares = ((x[:, None] - y[None]) ** 2).sum((0, 1))
        assert np.allclose(slope, 2 * squares / scale, rtol=rtol)

    @pytest.mark.parametrize("d", [3, 30])
    def test_never_negative_and_zero_on_the_diagonal(self, d):
        x = as_float(100 + points(8, d))
        r2 = np.asarray(squared_distance(x, x))
        assert r2.min() >= 0
        assert np.diag(r2).max() <= 1e-5

    def test_near_duplicates_in_few_dimensions(self):
        x = as_float([[0.5, 0.5]])
        y = x + as_float([[1e-6, 0.0]])
        step = float(y[0, 0]) - 0.5
        assert float(squared_distance(x, y)[0, 0]) == pytest.approx(step**2, rel=1e-5)

    def test_a_common_offset_costs_few_digits(self):
        x, y = points(5, 30), points(5, 30, 1)
        r2 = squared_distance(as_float(x + 10), as_float(y + 10))
        assert np.allclose(r2, cdist(x, y, "sqeuclidean"), rtol=1e-4)


class TestMatmul:
    def test_asks_for_full_precision(self):
        a = jnp.zeros((2, 2))
        (product,) = [
            equation
            for equation in jax.make_jaxpr(numerics.matmul)(a, a).jaxpr.eqns
            if equation.primitive.name == "dot_general"
        ]
        highest = lax.Precision.HIGHEST
        assert product.params["precision"] in (highest, (highest, highest))


class TestInverseLower:
    @precisions
    @pytest.mark.parametrize("n", [1, 7, 64, 65, 100, 201])
    def test_equals_numpy(self, wide, n):
        L = np.linalg.cholesky(np.exp(-cdist(points(n, 3), points(n, 3))))
        with jax.enable_x64(wide):
            inverse = jax.jit(numerics.inverse_lower)(as_float(L))
            batch = jax.jit(jax.vmap(numerics.inverse_lower))(as_float([L, 2 * L]))
        expected = np.linalg.inv(L)
        atol = (1e-13 if wide else 1e-5) * np.abs(expected).max()
        assert np.allclose(inverse, expected, atol=atol)
        assert np.allclose(batch, [expected, expected / 2], atol=atol)
        assert not np.triu(inverse, 1).any()


def of_rank(rank: int, n: int = 6) -> np.ndarray:
    factor = np.random.default_rng(rank).normal(size=(n, rank))
    return factor @ factor.T


class TestCholesky:
    @precisions
    def test_well_conditioned(self, wide):
        K = of_rank(6) + np.eye(6)
        with jax.enable_x64(wide):
            L = cholesky(as_float(K), as_float(1e-6))
        expected = np.linalg.cholesky(K + 1e-6 * np.eye(6))
        assert np.allclose(L, expected, atol=1e-13 if wide else 1e-5)

    @precisions
    def test_climbs_until_it_can_factor(self, wide):
        # Smallest eigenvalue -3 * jitter: the jitter must be raised once, and only once.
        jitter = 1e-3
        vectors, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
        K = (vectors * [-3 * jitter, 1, 1, 1, 1, 1]) @ vectors.T
        with jax.enable_x64(wide):
            L = np.asarray(cholesky(as_float(K), as_float(jitter)), np.float64)
        raised = L @ L.T - K
        atol = 1e-12 if wide else 1e-5
        assert np.allclose(raised, 10 * jitter * np.eye(6), rtol=0, atol=atol)

    def test_repeated_rows_in_single_precision(self):
        x = as_float(np.repeat(points(3, 2), 4, axis=0))
        K = jnp.exp(-squared_distance(x, x))
        L = np.asarray(cholesky(K, as_float(1e-7)))
        assert np.isfinite(L).all()
        assert np.allclose(L @ L.T, K, atol=2e-3)

    @pytest.mark.parametrize("bad", [0, 3, 5])
    def test_gives_up_with_nan(self, bad):
        K = np.eye(6)
        K[bad, bad] = -5.0
        L = cholesky(as_float(K), as_float(1e-6))
        assert np.isnan(L[-1, -1])

    def test_nan_in_nan_out(self):
        L = cholesky(jnp.full((3, 3), jnp.nan), as_float(1e-6))
        assert np.isnan(L[-1, -1])

    def test_the_last_rung(self):
        # Needs jitter * 10**4, the last of five tries; jitter * 10**5 comes too late.
        K = np.diag([1.0, -0.5e-2])
        assert np.isfinite(cholesky(as_float(K), as_float(1e-6))).all()
        assert np.isnan(cholesky(as_float(10 * K), as_float(1e-6))[-1, -1])

    def test_each_matrix_of_a_batch_gets_its_own_jitter(self):
        easy, hard = np.eye(3), np.diag([1.0, 1.0, -5e-4])
        L = jax.vmap(numerics.cholesky, in_axes=(0, None))(
            as_float(np.stack([easy, hard])), as_float(1e-4)
        )
        assert np.allclose(L[0] @ L[0].T, easy + 1e-4 * np.eye(3), atol=1e-7)
        assert np.allclose(L[1] @ L[1].T, hard + 1e-3 * np.eye(3), atol=1e-7)


class TestNormalLaw:
    @precisions
    def test_quantile_equals_scipy(self, wide):
        p = np.concatenate([np.linspace(0.001, 0.999, 201), [1e-5, 1 - 1e-5]])
        with jax.enable_x64(wide):
            quantile = numerics.normal_quantile(as_float(p))
        # An error of one rounding in p is one over the density in the quantile.
        z = stats.norm.ppf(p)
        rounding = np.finfo(np.float64 if wide else np.float32).eps
        assert (
            np.abs(np.asarray(quantile) - z)
            <= 8 * rounding * (1 + 1 / stats.norm.pdf(z))
        ).all()

    @precisions
    def test_equals_scipy(self, wide):
        z = np.linspace(-8, 8, 201)
        with jax.enable_x64(wide):
            pdf, cdf = (
                numerics.normal_pdf(as_float(z)),
                numerics.normal_cdf(as_float(z)),
            )
            z = np.asarray(as_float(z), np.float64)
        # Relative: the lower tail keeps its digits.
        rtol = 1e-13 if wide else 1e-5
        assert np.allclose(pdf, stats.norm.pdf(z), rtol=rtol, atol=0)
        assert np.allclose(cdf, stats.norm.cdf(z), rtol=rtol, atol=0)

    @precisions
    @pytest.mark.parametrize("switch", [-1.0, -10.0, -30.0])
    def test_log_excess_is_smooth_where_the_formulas_meet(self, wide, switch):
        with jax.enable_x64(wide):
            z = as_float(np.linspace(switch - 0.05, switch + 0.05, 101))
            value, slope = map(np.asarray, log_excess_and_slope(z))
            z = np.asarray(z)
        assert np.all(np.diff(value) > 0)
        # Two neighbours differ as the slope says, across the border too.
        steps = np.diff(value) / np.diff(z) / ((slope[1:] + slope[:-1]) / 2)
        assert np.allclose(steps, 1, rtol=0, atol=1e-5 if wide else 0.1)
        assert np.allclose(slope[1:], slope[:-1], rtol=3e-3)

    @precisions
    def test_log_excess_is_finite_for_huge_arguments(self, wide):
        # Beyond, the value itself is larger than the largest float.
        with jax.enable_x64(wide):
            top = 1e150 if wide else 1e18
            z = as_float([-top, -1e6, 0.0, 1e6, top])
            value, slope = log_excess_and_slope(z)
        assert np.isfinite(value).all()
        assert np.isfinite(slope).all()
        assert (np.asarray(slope) > 0).all()

    def test_log_excess_is_finite_for_every_float(self):
        value, slope = log_excess_and_slope(as_float([-1e20, -3e38]))
        assert np.isfinite(value).all()
        assert np.isfinite(slope).all()


N_VALUES = 9


class TestMaskedRank:
    """Against scipy's ranks: the smallest of a tie, and the largest."""

    def check(self, values, mask):
        n_smaller, n_equal = masked_rank(as_float(values), jnp.asarray(mask))
        kept = np.asarray(values, np.float32)[mask]
        lowest, highest = (stats.rankdata(kept, method=m) for m in ("min", "max"))
        np.testing.assert_array_equal(n_smaller[mask], lowest - 1)
        np.testing.assert_array_equal(n_equal[mask], highest - lowest + 1)

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(
        values=st.lists(
            st.sampled_from([-1.0, 0.0, 1.0])
            | st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
            min_size=N_VALUES,
            max_size=N_VALUES,
        ),
        mask=st.lists(st.booleans(), min_size=N_VALUES, max_size=N_VALUES),
    )
    def test_few(self, values, mask):
        self.check(values, np.asarray(mask))

    @pytest.mark.parametrize("count", [0, 1, 7, 3000, 3001])
    def test_thousands(self, count):
        values = np.round(np.random.default_rng(0).normal(size=3001), 1)
        self.check(values, np.arange(3001) < count)


class TestHashedUniform:
    @staticmethod
    @jax.jit
    def numbers(seeds):
        keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(3), seed))(seeds)
        return jax.vmap(lambda k: numerics.hashed_uniform(k, (2, 4), jnp.float32))(keys)

    def test_shape_dtype_and_range(self):
        numbers = numerics.hashed_uniform(jax.random.key(0), (3, 5), jnp.float32)
        assert numbers.shape == (3, 5)
        assert numbers.dtype == "float32"
        many = self.numbers(jnp.arange(4000))
        assert many.min() >= 0
        assert many.max() < 1

    def test_sixty_four_bits(self, x64):
        numbers = numerics.hashed_uniform(jax.random.key(0), (4000,), jnp.float64)
        assert numbers.dtype == "float64"
        assert 0 <= numbers.min() < numbers.max() < 1
        # The digits that single precision does not have are as uniform, and unrelated.
        beyond = np.asarray(numbers) * 2**24 % 1
        assert stats.kstest(beyond, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(beyond, numbers)[0, 1]) < 0.08

    def test_follows_the_key_of_either_kind(self):
        shape, dtype = (8,), jnp.float32
        new, again, raw, other = (
            numerics.hashed_uniform(key, shape, dtype)
            for key in (
                jax.random.key(5),
                jax.random.key(5),
                jax.random.PRNGKey(5),
                jax.random.key(6),
            )
        )
        assert np.array_equal(new, again)
        assert np.array_equal(new, raw)
        assert not np.any(np.asarray(new) == np.asarray(other))

    def test_each_place_is_uniform_over_keys(self):
        many = np.asarray(self.numbers(jnp.arange(4000))).reshape(4000, -1)
        p_values = [stats.kstest(column, "uniform").pvalue for column in many.T]
        assert min(p_values) > 1e-3 / len(p_values)

    def test_places_and_neighbouring_keys_are_unrelated(self):
        many = np.asarray(self.numbers(jnp.arange(4001))).reshape(4001, -1)
        both = np.hstack([many[:-1], many[1:]])
        correlation = np.corrcoef(both.T) - np.eye(both.shape[1])
        # Standard error 0.016; five of them for 120 pairs.
        assert np.abs(correlation).max() < 0.08

    def test_a_million_samples_are_uniform_in_pairs(self):
        numbers = numerics.hashed_uniform(jax.random.key(7), (500_000, 2), jnp.float32)
        first, second = np.asarray(numbers).T
        counts = np.histogram2d(first, second, bins=32, range=[(0, 1)] * 2)[0]
        assert stats.chisquare(counts.ravel()).pvalue > 1e-3
        # And in the last of the 24 bits.
        last = np.asarray(numbers * 2**24).astype(int) & 1
        assert abs(last.mean() - 0.5) < 0.0025

    def test_one_key_fills_the_interval(self):
        numbers = numerics.hashed_uniform(jax.random.key(1), (4000,), jnp.float32)
        assert stats.kstest(np.asarray(numbers), "uniform").pvalue > 1e-3
        assert len(np.unique(numbers)) > 3990
