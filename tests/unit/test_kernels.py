"""Kernels: their formulas, their gradients at zero distance, and bad settings.

Sums, products and periodic kernels are compared with scikit-learn in tests/oracle.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

import hyperopt_jax as hj
from hyperopt_jax import (
    RBF,
    BaseKernel,
    BayesianSearch,
    LinearSpace,
    Matern,
    Periodic,
    Product,
    RadialKernel,
    Scaled,
    Sum,
)
from hyperopt_jax.bayesian._state import kernel_for
from hyperopt_jax.errors import SettingError
from hyperopt_jax.kernels import TiedKernel
from hyperopt_jax.spaces import codec_of
from tests import zoo

INF = math.inf
KERNELS = {
    "rbf": RBF(),
    "matern_1/2": Matern(nu=0.5),
    "matern_3/2": Matern(nu=1.5),
    "matern_5/2": Matern(nu=2.5),
    "matern_inf": Matern(nu=INF),
}
FORMULAS = {
    "rbf": lambda r: np.exp(-(r**2) / 2),
    "matern_1/2": lambda r: np.exp(-r),
    "matern_3/2": lambda r: (1 + math.sqrt(3) * r) * np.exp(-math.sqrt(3) * r),
    "matern_5/2": lambda r: (
        (1 + math.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-math.sqrt(5) * r)
    ),
    "matern_inf": lambda r: np.exp(-(r**2) / 2),
}
each = pytest.mark.parametrize("name", KERNELS)
precisions = pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])


@eqx.filter_jit
def call(kernel: BaseKernel, x, y, length_scale=None):
    return kernel(x, y, length_scale)


def points(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, d))


def as_float(x) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))


class TestValues:
    @each
    @precisions
    @pytest.mark.parametrize("d", [3, 12])
    def test_formula(self, name, wide, d):
        x, y = points(5, d), points(4, d, 1)
        scale = np.linspace(0.5, 2.0, d)
        with jax.enable_x64(wide):
            k = call(KERNELS[name], as_float(x), as_float(y), as_float(scale))
            assert k.dtype == jnp.result_type(float)
            assert k.shape == (5, 4)
        expected = FORMULAS[name](cdist(x / scale, y / scale))
        assert np.allclose(k, expected, rtol=0, atol=1e-14 if wide else 1e-6)

    @each
    def test_scalar_and_own_length_scale(self, name):
        x, y = as_float(points(3, 2)), as_float(points(3, 2, 1))
        kernel = KERNELS[name]
        longer = eqx.tree_at(lambda k: k.length_scale, kernel, 2.0)
        assert np.array_equal(call(kernel, x, y), call(kernel, x, y, 1.0))
        assert np.array_equal(call(longer, x, y), call(kernel, x, y, 2.0))
        assert np.array_equal(
            call(kernel, x, y, 2.0), call(kernel, x, y, as_float([2.0, 2.0]))
        )

    @each
    @pytest.mark.parametrize("d", [2, 12])
    def test_symmetric_of_unit_variance_and_positive(self, name, d, x64):
        x = points(30, d)
        K = np.asarray(call(KERNELS[name], as_float(x), as_float(x), 0.5))
        # A distance that is a product's rounding away from 0: half of the digits.
        assert np.allclose(np.diag(K), 1, rtol=0, atol=1e-7)
        assert np.allclose(K, K.T, rtol=0, atol=1e-12)
        assert np.linalg.eigvalsh(K).min() > -1e-7
        assert K.min() >= 0

    @each
    def test_far_points_are_unrelated(self, name):
        far = call(KERNELS[name], jnp.zeros((1, 2)), jnp.full((1, 2), 1e6))
        assert float(far[0, 0]) == 0

    @pytest.mark.parametrize("scale", [1e-37, 1e-20, 1e20, 1e37])
    @pytest.mark.parametrize("name", KERNELS)
    def test_length_scales_at_the_ends_of_the_float_range(self, name, scale):
        x = jnp.asarray(points(4, 3), jnp.float32)
        K = KERNELS[name](x, x, scale)
        assert np.allclose(K, np.eye(4) if scale < 1 else 1.0)

    def test_smoother_kernels_are_flatter_at_the_origin(self):
        x, y = jnp.zeros((1, 1)), jnp.full((1, 1), 0.05)
        names = ["matern_1/2", "matern_3/2", "matern_5/2", "matern_inf"]
        values = [float(call(KERNELS[name], x, y)[0, 0]) for name in names]
        assert values == sorted(values)

    def test_rbf_is_the_limit_of_matern(self):
        x, y = as_float(points(3, 2)), as_float(points(4, 2, 1))
        assert np.array_equal(call(RBF(), x, y), call(Matern(nu=INF), x, y))


class TestGradients:
    @each
    @precisions
    def test_finite_where_points_coincide(self, name, wide):
        @eqx.filter_jit
        def gradients(x, scale):
            return jax.grad(
                lambda x, scale: jnp.sum(KERNELS[name](x, x, scale)), argnums=(0, 1)
            )(x, scale)

        with jax.enable_x64(wide):
            repeated = as_float(np.repeat(points(2, 3), 2, axis=0))
            for x in (repeated, as_float(np.full((3, 3), 0.5))):
                by_x, by_scale = gradients(x, as_float([0.1, 1.0, 10.0]))
                assert np.isfinite(by_x).all()
                assert np.isfinite(by_scale).all()
            # All points equal: nothing changes to first order, whatever the scale.
            assert np.array_equal(by_scale, np.zeros(3))
            assert np.array_equal(by_x, np.zeros((3, 3)))

    @each
    @pytest.mark.parametrize("d", [3, 12])
    def test_equal_to_differences(self, name, d, x64):
        x, y = as_float(points(3, d)), as_float(points(2, d, 1))
        weights = as_float(points(3, 2, 2))
        scale = as_float(np.linspace(0.5, 1.5, d))

        @eqx.filter_jit
        def value_and_gradient(x, scale):
            return jax.value_and_grad(
                lambda x, s: jnp.sum(weights * KERNELS[name](x, y, s)), argnums=(0, 1)
            )(x, scale)

        _, gradients = value_and_gradient(x, scale)
        rng = np.random.default_rng(0)
        direction = as_float(rng.normal(size=x.shape)), as_float(rng.normal(size=d))
        h = 1e-5
        ahead = value_and_gradient(x + h * direction[0], scale + h * direction[1])[0]
        behind = value_and_gradient(x - h * direction[0], scale - h * direction[1])[0]
        slope = sum(np.sum(g * v) for g, v in zip(gradients, direction, strict=True))
        assert (ahead - behind) / (2 * h) == pytest.approx(float(slope), rel=1e-7)

    @pytest.mark.parametrize("nu", [1.5, 2.5, INF])
    def test_slope_at_zero_distance(self, nu, x64):
        # dk / d(r^2) at 0: -3/2, -5/6, -1/2; forward and backward mode agree.
        slope = {1.5: -1.5, 2.5: -5 / 6, INF: -0.5}[nu]
        kernel = Matern(nu=nu)
        assert jax.grad(kernel.correlation)(0.0) == pytest.approx(slope)
        _, tangent = jax.jvp(kernel.correlation, (jnp.zeros(()),), (jnp.ones(()),))
        assert tangent == pytest.approx(slope)


class TestSettings:
    @pytest.mark.parametrize("nu", [2.0, 0, -0.5, "smooth", None, math.nan], ids=str)
    def test_smoothness(self, nu):
        with pytest.raises(SettingError, match="not supported") as caught:
            Matern(nu=nu)
        assert repr(nu) in str(caught.value)

    @pytest.mark.parametrize("kind", [RBF, Matern])
    @pytest.mark.parametrize(
        "scale", [0, -1.0, math.nan, INF, "long", [1.0, 0.0]], ids=str
    )
    def test_length_scale(self, kind, scale):
        with pytest.raises(SettingError, match="length_scale") as caught:
            kind(length_scale=scale)
        assert repr(scale) in str(caught.value)

    @pytest.mark.parametrize("kernel", [RBF(), Matern(), Periodic()])
    def test_whole_numbers(self, kernel):
        x = np.asarray([[0, 1], [2, 3]])
        assert np.array_equal(kernel(x, x[:1]), kernel(1.0 * x, 1.0 * x[:1]))

    def test_defaults(self):
        assert RBF().length_scale == Matern().length_scale == 1.0
        assert Matern().nu == 2.5
        assert Matern(0.3, 1.5) == Matern(length_scale=0.3, nu=1.5)

    @pytest.mark.parametrize("base", [BaseKernel, RadialKernel])
    def test_bases_are_abstract(self, base):
        with pytest.raises(TypeError, match="abstract"):
            base()

    def test_a_kernel_of_ones_own(self):
        class RationalQuadratic(RadialKernel):
            length_scale: float = 1.0

            def correlation(self, r2):
                return 1 / (1 + r2 / 2)

        for length_scale in (0.0, -1.0, math.nan):
            with pytest.raises(SettingError, match="length_scale of kernel"):
                BayesianSearch(kernel=RationalQuadratic(length_scale))
        pair = {"x": LinearSpace(0.0, 1.0), "y": LinearSpace(0.0, 1.0)}
        for kernel in (RationalQuadratic(jnp.ones(3)), Matern(jnp.ones((1, 2)))):
            with pytest.raises(SettingError, match="or 2 for this space, got shape"):
                BayesianSearch.init(pair, kernel=kernel)
        state, _ = BayesianSearch.init(pair, kernel=Matern(jnp.full(2, 0.5)))
        assert np.allclose(state.hyper.log_length_scale, math.log(0.5))
        with pytest.raises(SettingError, match="spectral draws, got RationalQuadratic"):
            RationalQuadratic().angles(jax.random.key(0), 4, 2, jnp.ones(2))
        k = call(RationalQuadratic(), jnp.zeros((1, 2)), jnp.ones((3, 2)), 0.5)
        assert np.allclose(k, np.full((1, 3), 1 / 5))

    def test_vmap_over_the_length_scale(self):
        x = as_float(points(3, 2))
        scales = jnp.asarray([0.5, 2.0])
        together = jax.jit(jax.vmap(lambda s: Matern(length_scale=s)(x, x)))(scales)
        for k, scale in zip(together, scales, strict=True):
            assert np.allclose(k, call(Matern(float(scale)), x, x), atol=1e-6)


every = pytest.mark.parametrize("name", zoo.KERNELS)


class TestEveryKernel:
    """What the surrogate and its paths rely on, for every row of the zoo."""

    SCALE = (0.5, 1.0, 2.0)

    @every
    def test_positive_with_its_variance_on_the_diagonal(self, name, x64):
        x = as_float(points(30, 3))
        K = np.asarray(call(zoo.KERNELS[name], x, x, as_float(self.SCALE)))
        variance = float(zoo.KERNELS[name].variance)
        assert np.allclose(np.diag(K), variance, rtol=1e-12)
        assert np.allclose(K, K.T, rtol=0, atol=1e-12)
        assert np.linalg.eigvalsh(K).min() > -1e-12

    @every
    @precisions
    def test_finite_gradients_where_points_coincide(self, name, wide):
        @eqx.filter_jit
        def gradients(x, scale):
            return jax.grad(
                lambda x, s: jnp.sum(zoo.KERNELS[name](x, x, s)), argnums=(0, 1)
            )(x, scale)

        with jax.enable_x64(wide):
            x = as_float(np.repeat(points(2, 3), 2, axis=0))
            for slope in gradients(x, as_float(self.SCALE)):
                assert np.isfinite(slope).all()

    @every
    def test_own_length_scale_is_the_default(self, name):
        x, y = as_float(points(3, 2)), as_float(points(4, 2, 1))
        kernel = zoo.KERNELS[name]
        expected = call(kernel, x, y, kernel.length_scale)
        assert np.array_equal(call(kernel, x, y), expected)

    @every
    def test_cosines_of_random_angles_average_to_the_kernel(self, name):
        kernel, scale = zoo.KERNELS[name], as_float(self.SCALE)
        x = as_float(points(6, 3))
        angles = kernel.angles(jax.random.key(0), 20_000, 3, scale)(x)
        average = np.cos(angles[:, None, :] - angles[None, :, :]).mean(-1)
        # Eight standard errors of an average of 20,000 cosines.
        expected = np.asarray(call(kernel, x, x, scale)) / kernel.variance
        assert np.allclose(average, expected, atol=8 / math.sqrt(2 * 20_000))

    @pytest.mark.slow
    @every
    def test_angles_are_the_same_functions_under_jit(self, name):
        kernel, scale = zoo.KERNELS[name], as_float(self.SCALE)

        def angles(x):
            return kernel.angles(jax.random.key(1), 5, 3, scale)(x)

        x = as_float(points(4, 3))
        assert np.allclose(jax.jit(angles)(x), angles(x), rtol=1e-4, atol=1e-4)
        one_by_one = jax.vmap(lambda u: angles(u[None, :])[0])(x)
        assert np.allclose(one_by_one, angles(x), rtol=1e-4, atol=1e-4)

    @every
    def test_tied_columns_share_a_length_scale(self, name):
        kernel = zoo.KERNELS[name]
        tied = TiedKernel(kernel.length_scale, kernel, (0, 1, 1))
        x, y = as_float(points(3, 3)), as_float(points(2, 3, 1))
        expected = call(kernel, x, y, as_float([0.5, 2.0, 2.0]))
        assert np.array_equal(call(tied, x, y, as_float([0.5, 2.0])), expected)
        assert tied.variance == kernel.variance
        key, scales = jax.random.key(0), as_float([0.5, 2.0])
        assert np.array_equal(
            tied.angles(key, 7, 3, scales)(x),
            kernel.angles(key, 7, 3, scales[jnp.asarray([0, 1, 1])])(x),
        )


class TestAlgebra:
    X, Y = as_float(points(4, 2)), as_float(points(3, 2, 1))

    def test_operators(self):
        one, two = RBF(0.5), Matern(0.2)
        assert one + two == Sum(one, two)
        assert one * two == Product(one, two)
        assert 2.0 * one == one * 2.0 == Scaled(2.0, one)
        for number in (np.float64(2.0), np.float32(2.0), jnp.asarray(2.0)):
            for kernel in (number * one, one * number):
                assert isinstance(kernel, Scaled)
                assert kernel.kernel == one
        assert hash(one + two) == hash(RBF(0.5) + Matern(0.2))

    def test_values(self):
        one, two = RBF(0.5), Matern(0.2, nu=0.5)
        k1, k2 = call(one, self.X, self.Y), call(two, self.X, self.Y)
        assert np.allclose(call(one + two, self.X, self.Y), k1 + k2, rtol=1e-6)
        assert np.allclose(call(one * two, self.X, self.Y), k1 * k2, rtol=1e-6)
        assert np.allclose(call(3.0 * one, self.X, self.Y), 3 * k1, rtol=1e-6)

    @pytest.mark.parametrize("scale", [0.3, (0.3, 0.6)], ids=str)
    def test_parts_keep_the_ratio_of_their_length_scales(self, scale):
        # Tuned to `scale`, the first part has it and the second a quarter of it.
        scale = as_float(scale)
        one, two = RBF(2.0), Matern(0.5)
        k1, k2 = call(one, self.X, self.Y, scale), call(two, self.X, self.Y, scale / 4)
        assert (one + two).length_scale == (one * two).length_scale == 2.0
        assert np.allclose(call(one + two, self.X, self.Y, scale), k1 + k2, rtol=1e-5)
        assert np.allclose(call(one * two, self.X, self.Y, scale), k1 * k2, rtol=1e-5)

    def test_a_periodic_kernel_repeats(self, x64):
        kernel, x = Periodic(0.6, period=0.25), jnp.zeros((1, 1))
        y = jnp.asarray([[0.05], [0.3], [-0.2], [0.25], [0.125]])
        k = np.asarray(call(kernel, x, y))[0]
        assert np.allclose(k[:3], k[0], rtol=1e-12)
        assert k[3] == pytest.approx(1.0)
        assert k[4] == pytest.approx(math.exp(-2 / 0.6**2))

    def test_a_period_for_each_column(self):
        both = call(Periodic(0.7, period=as_float([0.5, 2.0])), self.X, self.Y)
        parts = [
            call(Periodic(0.7, period=p), self.X[:, i : i + 1], self.Y[:, i : i + 1])
            for i, p in enumerate((0.5, 2.0))
        ]
        assert np.allclose(both, parts[0] * parts[1], rtol=1e-5)

    def test_points_may_be_whole_numbers(self):
        X = jnp.arange(3)[:, None]
        for kernel in (RBF(1.5) + RBF(0.5), RBF(0.5) * RBF(1.5), 2.0 * (RBF() + RBF())):
            floats = X.astype(float)
            assert np.array_equal(call(kernel, X, X), call(kernel, floats, floats))

    def test_a_period_for_each_parameter_of_a_mixed_space(self):
        space = {
            "a": hj.LinearSpace(0.0, 1.0),
            "c": hj.ChoiceSpace(["x", "y", "z"]),
            "q": hj.QLinearSpace(0, 23),
        }
        codec = codec_of(space)
        inner = Periodic(1.0, period=[0.5, 1.0, 2.0])
        tied = kernel_for(2.0 * inner, codec)
        F = codec.features(
            jax.random.uniform(jax.random.key(0), (5, codec.n_coordinates))
        )
        columns = Periodic(1.0, period=as_float([0.5, 1.0, 1.0, 1.0, 2.0]))
        assert F.shape == (5, 5)
        np.testing.assert_allclose(call(tied, F, F), 2 * call(columns, F, F), rtol=1e-6)
        with pytest.raises(SettingError, match=r"one period .* or 3 for this space"):
            hj.BayesianSearch.tuned(space, 9, kernel=RBF() * Periodic(1.0, [1.0, 2.0]))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: -1.0 * RBF(), "weight to be > 0, got -1.0"),
            (
                lambda: Scaled(jnp.ones(2), RBF()),
                r"weight to be a single number, got sh",
            ),
            (lambda: "a" * RBF(), "number for weight, got 'a'"),
            (lambda: Scaled(2.0, 3.0), "kernel to be a BaseKernel instance, got 3.0"),
            (lambda: Sum(RBF(), 1.0), "second to be a BaseKernel instance, got 1.0"),
            (lambda: RBF() + RBF([1.0, 2.0]), r"of second to be a single number"),
            (lambda: RBF([1.0, 2.0]) * RBF(), r"of first to be a single .*\(2,\)"),
            (lambda: Periodic(period=0.0), "period to be > 0, got 0.0"),
            (lambda: Periodic(-1.0), "length_scale to be > 0, got -1.0"),
        ],
    )
    def test_bad_parts(self, make, message):
        with pytest.raises(SettingError, match=message):
            make()

    def test_only_kernels_add(self):
        with pytest.raises(TypeError):
            RBF() + 1.0
        with pytest.raises(TypeError):
            1 + RBF()

    def test_python_sums_them(self):
        parts = [RBF(), Matern(), 0.5 * RBF()]
        assert eqx.tree_equal(sum(parts), parts[0] + parts[1] + parts[2])

    def test_vmap_over_a_weight(self):
        weights = as_float([0.5, 2.0])
        together = jax.vmap(lambda w: (RBF() + w * Matern())(self.X, self.Y))(weights)
        for k, weight in zip(together, weights, strict=True):
            alone = call(RBF() + float(weight) * Matern(), self.X, self.Y)
            assert np.allclose(k, alone, rtol=1e-5)
