"""Kernels: their formulas, their gradients at zero distance, and bad settings."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from hyperopt_jax import RBF, BaseKernel, Matern
from hyperopt_jax.errors import SettingError

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
        assert np.allclose(np.diag(K), 1, rtol=0, atol=1e-12)
        assert np.allclose(K, K.T, rtol=0, atol=1e-12)
        assert np.linalg.eigvalsh(K).min() > -1e-12
        assert K.min() >= 0

    @each
    def test_far_points_are_unrelated(self, name):
        far = call(KERNELS[name], jnp.zeros((1, 2)), jnp.full((1, 2), 1e6))
        assert float(far[0, 0]) == 0

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

    def test_defaults(self):
        assert RBF().length_scale == Matern().length_scale == 1.0
        assert Matern().nu == 2.5
        assert Matern(0.3, 1.5) == Matern(length_scale=0.3, nu=1.5)

    def test_base_is_abstract(self):
        with pytest.raises(TypeError, match="abstract"):
            BaseKernel()

    def test_a_kernel_of_ones_own(self):
        class RationalQuadratic(BaseKernel):
            length_scale: float = 1.0

            def correlation(self, r2):
                return 1 / (1 + r2 / 2)

        k = call(RationalQuadratic(), jnp.zeros((1, 2)), jnp.ones((3, 2)), 0.5)
        assert np.allclose(k, np.full((1, 3), 1 / 5))

    def test_vmap_over_the_length_scale(self):
        x = as_float(points(3, 2))
        scales = jnp.asarray([0.5, 2.0])
        together = jax.jit(jax.vmap(lambda s: Matern(length_scale=s)(x, x)))(scales)
        for k, scale in zip(together, scales, strict=True):
            assert np.allclose(k, call(Matern(float(scale)), x, x), atol=1e-6)
