"""Acquisitions and hallucinations: shapes, order, certainty, and bad settings.

The formulas are compared with scipy in tests/oracle. Acquisitions that draw from the
posterior are searched with in tests/unit/test_sampled_acquisitions.py.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hyperopt_jax import (
    EI,
    PI,
    UCB,
    BaseAcquisition,
    BaseHallucination,
    ConstantHallucination,
    KnowledgeGradient,
    LogEI,
    LogNoisyEI,
    MaxValueEntropy,
    MeanHallucination,
    SampleHallucination,
    UCBHallucination,
)
from hyperopt_jax.errors import SettingError

ACQUISITIONS = {
    "ucb": UCB(),
    "ei": EI(),
    "pi": PI(),
    "logei": LogEI(),
    "max-value": MaxValueEntropy(),
    "log-noisy-ei": LogNoisyEI(),
    "knowledge-gradient": KnowledgeGradient(),
}
each = pytest.mark.parametrize("name", ACQUISITIONS)
precisions = pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])


@eqx.filter_jit
def score(acquisition: BaseAcquisition, mean, std, y_max=None):
    return acquisition(mean, std, y_max)


@eqx.filter_jit
def gradients(acquisition: BaseAcquisition, mean, std, y_max):
    def total(mean, std, y_max):
        return jnp.sum(acquisition(mean, std, y_max))

    return jax.grad(total, argnums=(0, 1, 2))(mean, std, y_max)


def as_float(x) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))


class TestScores:
    @each
    @precisions
    def test_shape_and_dtype(self, name, wide):
        with jax.enable_x64(wide):
            scores = score(
                ACQUISITIONS[name], as_float([0.0, 1.0]), as_float([1.0, 2.0])
            )
            assert scores.shape == (2,)
            assert scores.dtype == jnp.result_type(float)

    @each
    def test_the_largest_mean_is_the_incumbent_by_default(self, name):
        mean, std = as_float([0.3, -1.0, 0.7]), as_float([0.1, 2.0, 0.5])
        default = score(ACQUISITIONS[name], mean, std)
        assert np.array_equal(default, score(ACQUISITIONS[name], mean, std, 0.7))

    @each
    def test_grows_with_the_mean(self, name):
        mean = jnp.linspace(-3.0, 3.0, 50)
        assert np.all(np.diff(score(ACQUISITIONS[name], mean, jnp.ones(50), 0.0)) > 0)

    @pytest.mark.parametrize("name", ["ucb", "ei", "logei", "max-value"])
    def test_grows_with_the_uncertainty(self, name):
        std = jnp.linspace(0.1, 3.0, 50)
        scores = score(ACQUISITIONS[name], jnp.full(50, -1.0), std, 0.0)
        assert np.all(np.diff(scores) > 0)

    def test_defaults(self):
        assert UCB().kappa == 2.0
        assert EI().xi == PI().xi == 0.01
        assert LogEI().xi == 0.0

    @pytest.mark.parametrize("kind", [EI, PI, LogEI])
    def test_xi_moves_the_incumbent(self, kind):
        mean, std = as_float([-0.5, 0.2]), as_float([0.3, 1.0])
        moved = score(kind(xi=0.25), mean, std, 0.1)
        assert np.allclose(moved, score(kind(xi=0.0), mean, std, 0.35), rtol=1e-6)

    def test_kappa(self):
        scores = score(UCB(kappa=0.5), as_float([1.0, 2.0]), as_float([2.0, 0.0]))
        assert scores.tolist() == [2.0, 2.0]

    def test_logei_is_the_logarithm_of_ei(self):
        mean, std = jnp.linspace(-3.0, 3.0, 40), jnp.linspace(0.2, 2.0, 40)
        assert np.allclose(
            np.exp(score(LogEI(), mean, std, 0.5)),
            score(EI(xi=0.0), mean, std, 0.5),
            rtol=1e-4,
        )

    def test_logei_still_orders_points_where_ei_is_zero(self):
        mean = jnp.linspace(-1000.0, -50.0, 50)
        assert np.all(np.asarray(score(EI(), mean, jnp.ones(50), 0.0)) == 0)
        assert np.all(np.diff(score(LogEI(), mean, jnp.ones(50), 0.0)) > 0)

    def test_vmap_over_the_settings(self):
        mean, std = as_float([0.0, 1.0]), as_float([1.0, 1.0])
        xis = as_float([0.0, 0.5])
        together = jax.jit(jax.vmap(lambda xi: EI(xi=xi)(mean, std, 0.0)))(xis)
        for scores, xi in zip(together, xis, strict=True):
            assert np.allclose(scores, score(EI(xi=float(xi)), mean, std, 0.0))

    def test_an_acquisition_of_ones_own(self):
        class Greedy(BaseAcquisition):
            def evaluate(self, mean, std, y_max):
                return mean - y_max

        assert Greedy()(as_float([1.0, 3.0]), as_float([1.0, 1.0])).tolist() == [-2, 0]
        with pytest.raises(TypeError, match="abstract"):
            BaseAcquisition()


# Gaps to the incumbent and uncertainties from nothing to huge, all pairs of them.
GREEDY = ACQUISITIONS | {"ei": EI(xi=0.0), "pi": PI(xi=0.0)}
GAPS = np.concatenate([-np.logspace(-30, 18, 33), [0.0], np.logspace(-30, 18, 33)])
STDS = np.concatenate([[0.0], np.logspace(-37, 12, 50)])


class TestCertainty:
    @staticmethod
    def values_and_gradients(name):
        """The pairs, and value, gradient by the mean and gradient by the std for each."""
        gap, std = map(as_float, map(np.ravel, np.meshgrid(GAPS, STDS)))
        y_max = as_float(0.0)
        value = score(GREEDY[name], gap, std, y_max)
        by_mean, by_std, _ = gradients(GREEDY[name], gap, std, y_max)
        return tuple(map(np.asarray, (gap, std, value, by_mean, by_std)))

    @each
    @precisions
    def test_value_and_gradient(self, name, wide):
        with jax.enable_x64(wide):
            gap, std, value, by_mean, by_std = self.values_and_gradients(name)
            assert np.isfinite(value).all()
            assert np.isfinite(by_mean).all()
            assert by_mean.min() >= -1e-6
            # What a search can meet, in units of the results' standard deviation.
            usual = (np.abs(gap) < 1e4) & (std > 1e-6)
            assert np.isfinite(by_std[usual]).all()

    @pytest.mark.parametrize(
        ("name", "wide"),
        [
            ("ucb", False),
            ("ei", False),
            ("pi", False),
            ("logei", False),
            ("max-value", False),
            *((name, True) for name in ACQUISITIONS),
        ],
    )
    def test_gradient_by_the_std_for_every_std(self, name, wide):
        with jax.enable_x64(wide):
            *_, by_std = self.values_and_gradients(name)
            assert np.isfinite(by_std).all()

    @precisions
    def test_values_without_uncertainty(self, wide):
        with jax.enable_x64(wide):
            mean, std = as_float([-1.0, 0.0, 0.5, 2.0]), jnp.zeros(4)
            y_max = as_float(0.5)
            ei = score(EI(xi=0.0), mean, std, y_max)
            assert ei.tolist() == [0.0, 0.0, 0.0, 1.5]
            assert score(PI(xi=0.0), mean, std, y_max).tolist() == [0, 0, 0, 1]
            assert score(UCB(), mean, std, y_max).tolist() == mean.tolist()
            log_ei = np.asarray(score(LogEI(), mean, std, y_max))
            # Both losers are beyond the floor of the uncertainty: no order there.
            assert log_ei[0] <= log_ei[1] < log_ei[2] < log_ei[3]
            assert log_ei[3] == pytest.approx(math.log(1.5), rel=1e-5)

    @precisions
    def test_the_gradient_without_uncertainty_still_points_uphill(self, wide):
        with jax.enable_x64(wide):
            mean, std = as_float([-1.0, 2.0]), jnp.zeros(2)
            by_mean, _, by_y_max = gradients(LogEI(), mean, std, as_float(0.5))
            assert (by_mean > 0).all()
            assert by_y_max < 0
            by_mean, _, by_y_max = gradients(EI(xi=0.0), mean, std, as_float(0.5))
            assert by_mean.tolist() == [0.0, 1.0]
            assert by_y_max == -1

    @pytest.mark.parametrize("name", ["ucb", "ei", "pi"])
    @precisions
    def test_small_uncertainty_is_continuous(self, name, wide):
        with jax.enable_x64(wide):
            mean = as_float([-1.0, 2.0])
            without = score(ACQUISITIONS[name], mean, jnp.zeros(2), as_float(0.5))
            little = score(
                ACQUISITIONS[name], mean, as_float([1e-9] * 2), as_float(0.5)
            )
            assert np.allclose(without, little, atol=1e-6)


class TestArgmax:
    MEAN = as_float([0.1, 0.9, 0.5, 0.9, 0.2])
    STD = as_float([0.5, 0.1, 0.5, 0.2, 2.0])

    @each
    @pytest.mark.parametrize("n_points", [1, 3, 5])
    def test_order(self, name, n_points):
        seen = jnp.zeros(5, bool)
        best = ACQUISITIONS[name].get_argmax(self.MEAN, self.STD, seen, n_points)
        scores = np.asarray(score(ACQUISITIONS[name], self.MEAN, self.STD))
        assert best.shape == (n_points,)
        assert jnp.issubdtype(best.dtype, jnp.integer)
        assert best.tolist() == np.argsort(-scores, kind="stable")[:n_points].tolist()

    @each
    def test_seen_points_are_passed_over(self, name):
        acquisition = ACQUISITIONS[name]
        first, second = acquisition.get_argmax(
            self.MEAN, self.STD, jnp.zeros(5, bool), 2
        ).tolist()
        seen = jnp.arange(5) == first
        assert acquisition.get_argmax(self.MEAN, self.STD, seen).tolist() == [second]

    def test_seen_points_fill_up(self):
        seen = jnp.asarray([True, True, False, True, True])
        best = UCB().get_argmax(self.MEAN, self.STD, seen, 5).tolist()
        assert best[0] == 2
        assert sorted(best) == [0, 1, 2, 3, 4]

    def test_under_jit(self):
        best = jax.jit(lambda seen: EI().get_argmax(self.MEAN, self.STD, seen, 2))(
            jnp.zeros(5, bool)
        )
        assert best.shape == (2,)

    @pytest.mark.parametrize("n_points", [0, -1, 6, 1.5, True, "all"], ids=str)
    def test_number_of_points(self, n_points):
        with pytest.raises(SettingError, match="n_points") as caught:
            UCB().get_argmax(self.MEAN, self.STD, jnp.zeros(5, bool), n_points)
        assert repr(n_points) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (UCB, "kappa"),
        (EI, "xi"),
        (PI, "xi"),
        (LogEI, "xi"),
        (UCBHallucination, "kappa"),
    ],
)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "much", None], ids=str)
def test_bad_settings(kind, setting, value):
    with pytest.raises(SettingError, match=setting) as caught:
        kind(**{setting: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("kind", [UCB, EI, PI, LogEI])
def test_whole_numbers(kind):
    expected = kind()(as_float([1.0, 2.0]), as_float([1.0, 3.0]), 1.0)
    scores = kind()(np.asarray([1, 2]), [1, 3], 1)
    assert scores.dtype == expected.dtype
    assert np.array_equal(scores, expected)


@pytest.mark.parametrize(("kind", "setting"), [(UCB, "kappa"), (EI, "xi")])
def test_a_setting_is_one_number(kind, setting):
    with pytest.raises(SettingError, match=rf"single number for {setting}.*\(3,\)"):
        kind(**{setting: jnp.zeros(3)})


class TestHallucinations:
    MEAN, STD, Y_MAX = as_float([0.5]), as_float([2.0]), as_float(1.25)

    def pretend(self, hallucination, seed=0):
        result = hallucination(self.MEAN, self.STD, jax.random.key(seed), self.Y_MAX)
        assert result.shape == ()
        assert result.dtype == self.MEAN.dtype
        return float(result)

    def test_values(self):
        assert self.pretend(MeanHallucination()) == 0.5
        assert self.pretend(UCBHallucination()) == 4.5
        assert self.pretend(UCBHallucination(kappa=0.5)) == 1.5
        assert self.pretend(ConstantHallucination()) == 1.25
        assert self.pretend(ConstantHallucination(-3.0)) == -3.0
        assert self.pretend(ConstantHallucination(value=0.0)) == 0.0

    def test_sample_follows_the_key(self):
        results = [self.pretend(SampleHallucination(), seed) for seed in (0, 0, 1)]
        assert results[0] == results[1] != results[2]

    def test_sample_has_the_law_of_the_posterior(self):
        keys = jax.random.split(jax.random.key(3), 4000)
        hallucinate = jax.jit(jax.vmap(SampleHallucination(), (None, None, 0, None)))
        results = hallucinate(self.MEAN, self.STD, keys, self.Y_MAX)
        assert stats.kstest(np.asarray(results), "norm", (0.5, 2.0)).pvalue > 1e-3

    @pytest.mark.parametrize("value", [math.nan, math.inf, "low"], ids=str)
    def test_constant_is_a_number(self, value):
        with pytest.raises(SettingError, match="value") as caught:
            ConstantHallucination(value)
        assert repr(value) in str(caught.value)

    def test_base_is_abstract(self):
        with pytest.raises(TypeError, match="abstract"):
            BaseHallucination()

    def test_sixty_four_bits(self, x64):
        for hallucination in (
            MeanHallucination(),
            SampleHallucination(),
            UCBHallucination(),
            ConstantHallucination(),
            ConstantHallucination(1.0),
        ):
            result = hallucination(
                as_float([0.5]), as_float([2.0]), jax.random.key(0), as_float(1.0)
            )
            assert result.dtype == "float64"
