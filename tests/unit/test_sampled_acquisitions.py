"""Acquisitions that look at all of the posterior: what they are, and searches with them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import hyperopt_jax as hj
from hyperopt_jax import gp
from hyperopt_jax.errors import SettingError
from tests import zoo

KEY = jax.random.key(5)
DRAWN = ["thompson", "max-value", "log-noisy-ei"]
each = pytest.mark.parametrize("name", [*DRAWN, "knowledge-gradient"])
precisions = pytest.mark.parametrize(
    "wide",
    [
        pytest.param(False, id="float32"),
        pytest.param(True, id="float64", marks=pytest.mark.slow),
    ],
)

N, CAPACITY, D = 6, 9, 2


def points(n: int, seed: int) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(size=(n, D)), jnp.result_type(float))


@eqx.filter_jit
def posterior(noise=0.05, kernel=hj.Matern(), n_imagined=0, local=False):
    """A posterior of N rows, more hallucinated ones, and which those are."""
    U = points(CAPACITY, 0)
    t = jnp.sin(6 * U[:, 0]) + U[:, 1]
    known = jnp.arange(CAPACITY) < N
    hyper = gp.Hyperparameters(
        *(jnp.log(jnp.asarray(v, U.dtype)) for v in ((0.3, 0.5), 1.0, noise))
    )
    expansion = None
    if local:
        best = jnp.argmax(jnp.where(known, t, -jnp.inf))
        taylor = gp.expand(U, t, known, U[best], t[best], jnp.asarray(1.0, t.dtype))
        expansion = gp.Local(taylor, t[best], jnp.asarray(True))
    nugget = jnp.asarray(1e-6, U.dtype)
    model = gp.condition(kernel, hyper, U, t, known, nugget, expansion)
    for row in range(N, N + n_imagined):
        model = model.append(U[row], jnp.asarray(0.3, U.dtype), row)
    return model, model.mask & ~known


@eqx.filter_jit
def scores(acquisition, model, imagined, at, key=KEY):
    y_max = jnp.max(jnp.where(model.mask, model.t, -jnp.inf))
    return acquisition.bound(model, points(64, 3), imagined, y_max, key)(at)


class TestScores:
    @each
    @precisions
    @pytest.mark.parametrize(
        "local",
        [
            pytest.param(False, id="global"),
            pytest.param(True, id="local", marks=pytest.mark.slow),
        ],
    )
    def test_finite_with_finite_gradients_at_the_trials_too(self, name, wide, local):
        with jax.enable_x64(wide):
            model, imagined = posterior(1e-8, n_imagined=2, local=local)
            at = jnp.concatenate([points(20, 1), model.U])
            acquisition = zoo.ACQUISITIONS[name]

            @eqx.filter_jit
            def value_and_slope(model, at):
                return jax.value_and_grad(
                    lambda at: scores(acquisition, model, imagined, at).sum()
                )(at)

            value = scores(acquisition, model, imagined, at)
            assert value.shape == (29,)
            assert value.dtype == at.dtype
            assert np.isfinite(value).all()
            assert np.isfinite(value_and_slope(model, at)[1]).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("name", DRAWN)
    def test_the_same_key_gives_the_same_function(self, name):
        model, imagined = posterior(1e-6, n_imagined=1)
        at, acquisition = points(7, 1), zoo.ACQUISITIONS[name]
        once = scores(acquisition, model, imagined, at)
        assert np.array_equal(once, scores(acquisition, model, imagined, at))
        other = scores(acquisition, model, imagined, at, jax.random.key(6))
        assert not np.allclose(once, other)
        alone = [scores(acquisition, model, imagined, u[None, :])[0] for u in at]
        np.testing.assert_allclose(alone, once, rtol=1e-4, atol=1e-5)

    @pytest.mark.slow
    @each
    def test_candidates_that_are_nothing_do_no_harm(self, name):
        model, imagined = posterior()
        y_max = jnp.max(jnp.where(model.mask, model.t, -jnp.inf))
        nothing = jnp.full((8, D), jnp.nan)
        bound = zoo.ACQUISITIONS[name].bound(model, nothing, imagined, y_max, KEY)
        assert np.isfinite(bound(points(5, 1))).all()

    @pytest.mark.parametrize("name", ["thompson", "max-value"])
    def test_a_kernel_without_spectral_draws(self, name):
        class RationalQuadratic(hj.RadialKernel):
            length_scale: float = 1.0

            def correlation(self, r2):
                return 1 / (1 + r2 / 2)

        model, imagined = posterior(kernel=RationalQuadratic())
        with pytest.raises(SettingError, match="spectral draws, got RationalQuadratic"):
            scores(zoo.ACQUISITIONS[name], model, imagined, points(3, 1))


class TestThompson:
    @pytest.mark.slow
    def test_picks_a_point_as_often_as_it_is_the_best(self, x64):
        model, imagined = posterior()
        at = points(5, 2)

        @jax.jit
        def picks(keys):
            def one(key):
                acquisition = hj.ThompsonSampling(n_features=16)
                return jnp.argmax(scores(acquisition, model, imagined, at, key))

            return jax.vmap(one)(keys)

        picked = picks(jax.random.split(KEY, 20_000))
        mean, covariance = model.mean_and_covariance(at)
        draws = np.random.default_rng(0).multivariate_normal(mean, covariance, 20_000)
        best = np.bincount(draws.argmax(1), minlength=5) / 20_000
        shares = np.bincount(picked, minlength=5) / 20_000
        assert (best > 0.02).sum() >= 3
        # Six standard deviations of the difference of two shares.
        np.testing.assert_allclose(shares, best, atol=6 * 0.5 * (2 / 20_000) ** 0.5)

    def test_leaves_hallucinated_results_out(self):
        at, acquisition = points(5, 2), hj.ThompsonSampling(n_features=16)
        alone = scores(acquisition, *posterior(), at)
        among = scores(acquisition, *posterior(n_imagined=2), at)
        np.testing.assert_allclose(among, alone, rtol=1e-4, atol=1e-4)

    def test_means_and_deviations_are_not_enough(self):
        with pytest.raises(SettingError, match="posterior for ThompsonSampling"):
            hj.ThompsonSampling()(jnp.zeros(2), jnp.ones(2))
        with pytest.raises(SettingError, match="n_features >= 1, got 0"):
            hj.ThompsonSampling(n_features=0)


class TestMaxValueEntropy:
    @pytest.mark.slow
    def test_is_the_mean_information_over_draws_of_the_maximum(self, x64):
        # An independent estimate: maxima of exact joint draws at the candidates.
        model, imagined = posterior(noise=1e-6)
        at, start = points(6, 2), points(64, 3)
        acquisition = hj.MaxValueEntropy(n_draws=4000, n_features=2048)
        mean, covariance = model.mean_and_covariance(start)
        rng = np.random.default_rng(0)
        draws = rng.multivariate_normal(mean, covariance, 4000, method="eigh")
        noise = 1e-6 + float(model.nugget)
        y_max = float(jnp.max(jnp.where(model.mask, model.t, -jnp.inf)))
        maxima = np.maximum(draws.max(1), y_max + 5 * noise**0.5)
        mean, std = (np.asarray(a)[:, None] for a in model.mean_and_std(at))
        single = acquisition.evaluate(
            jnp.asarray(mean), jnp.asarray(std), maxima[None, :]
        )
        expected = np.log(np.exp(single).mean(1))
        ours = scores(acquisition, model, imagined, at)
        np.testing.assert_allclose(ours, expected, atol=0.15)

    def test_bad_settings(self):
        with pytest.raises(SettingError, match="n_draws >= 1, got 0"):
            hj.MaxValueEntropy(n_draws=0)
        with pytest.raises(SettingError, match="n_features >= 1, got -1"):
            hj.MaxValueEntropy(n_features=-1)


class TestLogNoisyEI:
    @pytest.mark.parametrize("n_imagined", [0, 2])
    @pytest.mark.parametrize("noise", [1e-6, 0.05, 0.5])
    def test_is_the_expected_rise_of_the_maximum(self, noise, n_imagined, x64):
        model, imagined = posterior(noise, n_imagined=n_imagined)
        at = points(5, 2)
        ours = scores(hj.LogNoisyEI(n_draws=4000), model, imagined, at)
        # Joint draws at all trials and at the points, given the real results alone.
        rows = np.flatnonzero(model.mask)
        known = model.without(imagined)
        both = jnp.concatenate([model.U[rows], at])
        mean, covariance = known.mean_and_covariance(both)
        rng = np.random.default_rng(0)
        draws = rng.multivariate_normal(mean, covariance, 200_000, method="eigh")
        best = draws[:, : len(rows)].max(1, keepdims=True)
        rise = np.maximum(draws[:, len(rows) :] - best, 0).mean(0)
        likely = rise > 1e-3
        assert likely.sum() >= 2
        np.testing.assert_allclose(np.exp(ours)[likely], rise[likely], rtol=0.1)

    @pytest.mark.parametrize("local", [False, True])
    def test_without_noise_one_at_a_time_it_is_log_ei(self, local, x64):
        model, imagined = posterior(1e-8, local=local)
        at = points(9, 2)
        known = jnp.arange(CAPACITY) < N
        t = jnp.sin(6 * model.U[:, 0]) + model.U[:, 1]
        y_max = jnp.max(jnp.where(known, t, -jnp.inf))
        expected = hj.LogEI()(*model.mean_and_std(at), y_max)
        ours = scores(hj.LogNoisyEI(n_draws=3), model, imagined, at)
        np.testing.assert_allclose(ours, expected, rtol=2e-2, atol=2e-2)

    def test_values_are_seen_through_their_noise(self, x64):
        # One lucky result among many of the same point: it is no incumbent to beat.
        U = jnp.asarray([[0.5, 0.5]] * 8 + [[0.2, 0.7]])
        t = jnp.asarray([3.0] + [0.0] * 7 + [0.0])
        hyper = gp.Hyperparameters(jnp.zeros(2), jnp.zeros(()), jnp.log(jnp.asarray(1)))
        known = jnp.arange(9) < 8
        model = gp.condition(hj.Matern(), hyper, U, t, known, jnp.asarray(1e-6))
        nobody = jnp.zeros(9, bool)
        _, best = model.exactly_through_draws(nobody, KEY, 2000)
        mean, _ = model.mean_and_std(U[:1])
        assert float(best.mean()) < 1.0
        assert float(jnp.abs(best.mean() - mean[0])) < 0.1

    def test_given_a_mean_and_a_deviation_it_is_log_ei(self):
        mean, std = jnp.asarray([0.1, -3.0]), jnp.asarray([0.5, 1.0])
        assert np.array_equal(
            hj.LogNoisyEI()(mean, std, 0.4), hj.LogEI()(mean, std, 0.4)
        )

    def test_bad_settings(self):
        with pytest.raises(SettingError, match="n_draws >= 1, got 0"):
            hj.LogNoisyEI(n_draws=0)


class TestKnowledgeGradient:
    @pytest.mark.parametrize("n_imagined", [0, 2])
    @pytest.mark.parametrize("noise", [1e-4, 0.05, 0.5])
    def test_is_the_expected_rise_of_the_best_mean(self, noise, n_imagined, x64):
        model, imagined = posterior(noise, n_imagined=n_imagined)
        at = jnp.concatenate([points(7, 2), model.U[:3]])
        ours = scores(hj.KnowledgeGradient(), model, imagined, at)

        # The same by brute force: a trial at each point with each of many results.
        z = np.linspace(-7, 7, 1401)
        weights = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
        rows = model.U[: N + n_imagined]
        now = model.mean_and_std(rows)[0].max()

        @jax.jit
        def best_mean(u, result):
            grown = model.append(u, result, CAPACITY - 1)
            return grown.mean_and_std(jnp.concatenate([rows, u[None, :]]))[0].max()

        rises = []
        for u in at:
            mean, std = (a[0] for a in model.mean_and_std(u[None, :]))
            results = mean + jnp.sqrt(std**2 + noise) * z
            best = jax.vmap(lambda result, u=u: best_mean(u, result))(results)
            rises.append(weights @ np.asarray(best) - now)
        rises = np.array(rises)
        likely = rises > 1e-4
        assert likely.sum() >= 4
        np.testing.assert_allclose(np.exp(ours)[likely], rises[likely], rtol=0.03)

    @pytest.mark.parametrize("local", [False, True])
    def test_without_noise_it_is_log_ei(self, local, x64):
        model, imagined = posterior(1e-8, local=local)
        at = points(9, 2)
        t = jnp.sin(6 * model.U[:, 0]) + model.U[:, 1]
        y_max = jnp.max(jnp.where(jnp.arange(CAPACITY) < N, t, -jnp.inf))
        expected = hj.LogEI()(*model.mean_and_std(at), y_max)
        ours = scores(hj.KnowledgeGradient(), model, imagined, at)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)

    def test_with_noise_it_looks_again_at_what_was_seen_once(self, x64):
        # Two points with nearly the same mean, one seen twenty times and one once.
        U = jnp.asarray([[0.1, 0.1]] * 20 + [[0.9, 0.9]])
        t = jnp.asarray([0.5] * 20 + [0.8])
        hyper = gp.Hyperparameters(
            jnp.log(jnp.asarray([0.2, 0.2])), jnp.zeros(()), jnp.log(jnp.asarray(0.5))
        )
        known = jnp.ones(21, bool)
        model = gp.condition(hj.Matern(), hyper, U, t, known, jnp.asarray(1e-9))
        often, once = scores(
            hj.KnowledgeGradient(), model, ~known, U[jnp.array([0, -1])]
        )
        assert once > often + 1.0

    def test_given_a_mean_and_a_deviation_it_is_log_ei(self):
        mean, std = jnp.asarray([0.1, -3.0]), jnp.asarray([0.5, 1.0])
        assert np.array_equal(
            hj.KnowledgeGradient()(mean, std, 0.4), hj.LogEI()(mean, std, 0.4)
        )

    def test_before_any_trial_the_incumbent_is_what_it_is_told(self):
        model, imagined = posterior()
        nothing, at = model.without(model.mask), points(3, 1)
        y_max = jnp.asarray(0.2)
        ours = hj.KnowledgeGradient().bound(nothing, at, imagined, y_max, KEY)(at)
        mean, std = nothing.mean_and_std(at)
        learnt = std**2 / jnp.sqrt(std**2 + 0.05)
        np.testing.assert_allclose(ours, hj.LogEI()(mean, learnt, 0.2), rtol=1e-4)


def mixed():
    return {
        "x": hj.LinearSpace(0.0, 1.0),
        "rate": hj.LogSpace(1e-3, 1.0),
        "kind": hj.ChoiceSpace(["a", "b", "c"]),
    }


def height(key, params):
    bonus = 0.1 * (params["kind"] == 1).astype(params["x"].dtype)
    return bonus - (params["x"] - 0.3) ** 2 - (jnp.log10(params["rate"]) + 1) ** 2


def study(name, q, n_max=12, **settings):
    fast = zoo.FAST | {"acquisition": zoo.ACQUISITIONS[name]} | settings
    return hj.BayesianSearch.tuned(mixed(), n_max, n_parallel=q, **fast)


def told(name, q, **settings):
    """A study with eight trials drawn at random."""
    state, search = study(name, q, **settings)
    params = hj.spaces.sample(state.space, KEY, 8)
    return search.update_state(state, KEY, height(KEY, params), params), search


class TestSearches:
    @pytest.mark.optimised
    @each
    def test_loop_equals_scan_and_both_stay_inside(self, name):
        state, search = study(name, 4)
        ended, (params, results) = search.optimize_scan(state, KEY, height)
        looped, (_, listed) = search.optimize(state, KEY, height)
        assert np.array_equal(results, jnp.stack(listed))
        assert eqx.tree_equal(ended, looped)
        for leaf, low, high in (("x", 0, 1), ("rate", 1e-3, 1), ("kind", 0, 2)):
            assert ((params[leaf] >= low) & (params[leaf] <= high)).all()
        # A slot of the same batch does not repeat another.
        proposals = np.stack([np.ravel(params["x"]), np.ravel(params["rate"])], 1)
        assert len(np.unique(proposals, axis=0)) == 12
        # Where the optimum is 0.1, and random points are down to -4.
        assert float(results.max()) > -0.1

    @pytest.mark.slow
    @each
    def test_one_at_a_time_in_double_precision_under_vmap_and_jit(self, name, x64):
        def run(key):
            state, search = study(name, 1, n_local=2)
            return search.optimize_scan(state, key, height, 8)[1][1]

        together = jax.jit(jax.vmap(run))(jax.random.split(KEY, 2))
        assert together.dtype == jnp.float64
        assert np.isfinite(together).all()
        assert not np.array_equal(together[0], together[1])

    @pytest.mark.slow
    @each
    def test_beside_running_trials(self, name):
        state, search = told(name, 2)
        running = search.get_next_params(state, KEY)
        # With the same key Thompson sampling draws the same function again.
        others = search.get_next_params(state, jax.random.key(4), pending=running)
        rows = np.concatenate(
            [np.stack(jax.tree.leaves(params), 1) for params in (running, others)]
        )
        assert len(np.unique(rows, axis=0)) == len(rows)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["thompson", "log-noisy-ei"])
    def test_hallucinated_results_do_not_matter(self, name, x64):
        proposals = []
        for lie in (hj.MeanHallucination(), hj.ConstantHallucination(3.0)):
            state, search = told(name, 4, hallucination=lie)
            proposals.append(search.get_next_params(state, KEY))
        for leaf in mixed():
            np.testing.assert_allclose(
                proposals[0][leaf], proposals[1][leaf], rtol=1e-3
            )

    @pytest.mark.slow
    @each
    def test_in_a_space_with_constraints(self, name):
        space = hj.ConstrainedSpace(
            {"a": hj.LinearSpace(0.0, 1.0), "b": hj.LinearSpace(0.0, 1.0)},
            lambda p: p["a"] + p["b"] <= 0.8,
        )
        state, search = hj.BayesianSearch.tuned(
            space, 10, n_parallel=2, **zoo.FAST, acquisition=zoo.ACQUISITIONS[name]
        )
        _, (params, _) = search.optimize_scan(state, KEY, lambda k, p: p["a"] * p["b"])
        assert (params["a"] + params["b"] <= 0.8 + 1e-6).all()

    @pytest.mark.slow
    @each
    def test_in_a_finite_space_nothing_repeats(self, name):
        space = {"a": hj.QLinearSpace(0, 3), "b": hj.DiscreteSpace([8, 16, 4])}
        state, search = hj.BayesianSearch.tuned(
            space, 12, n_parallel=2, **zoo.FAST, acquisition=zoo.ACQUISITIONS[name]
        )
        _, (params, _) = search.optimize_scan(
            state, KEY, lambda key, p: (p["a"] * p["b"]).astype(jnp.float32)
        )
        pairs = set(zip(np.ravel(params["a"]), np.ravel(params["b"]), strict=True))
        assert len(pairs) == 12


@each
def test_settings_compare_by_value(name):
    acquisition = zoo.ACQUISITIONS[name]
    again = dataclasses.replace(acquisition)
    assert acquisition == again
    assert hash(acquisition) == hash(again)
