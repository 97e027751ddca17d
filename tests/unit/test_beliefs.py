"""What a Bayesian search says of the objective, and proposals beside running trials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperopt_jax as hj
from hyperopt_jax.errors import OutsideBoundsWarning, ParamsError, SettingError
from hyperopt_jax.problems import Branin

KEY = jax.random.key(0)
SPACE = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}


def height(params):
    return 5e3 + 1e3 * jnp.sin(3 * params["x"]) * params["y"]


def studied(n=20, noise=0.0, maximize=True, **settings):
    state, search = hj.BayesianSearch.tuned(
        SPACE, n + 10, maximize=maximize, n_parallel=1, **settings
    )
    U = jax.random.uniform(KEY, (n, 2))
    params = {"x": U[:, 0], "y": U[:, 1]}
    results = height(params) + noise * jax.random.normal(KEY, (n,))
    return search.update_state(state, KEY, results, params), search, params, results


def apart(a, b):
    return float(jnp.abs(a["x"][0] - b["x"][0]) + jnp.abs(a["y"][0] - b["y"][0]))


class TestPosterior:
    @pytest.mark.parametrize("maximize", [True, False])
    def test_goes_through_noise_free_results_in_their_units(self, maximize):
        state, search, params, results = studied(maximize=maximize)
        mean, std = search.posterior(state, params)
        # Of the worst results only the rank counts, so the good half must agree.
        good = results > jnp.median(results)
        good = good if maximize else ~good
        np.testing.assert_allclose(mean[good], results[good], atol=15)
        assert (std[good] < 30).all()

    def test_is_less_sure_far_from_the_trials(self):
        state, search, params, _ = studied(n=6)
        near = {name: column + 1e-3 for name, column in params.items()}
        corners = {"x": jnp.asarray([0.0, 1.0]), "y": jnp.asarray([0.0, 1.0])}
        _, std_near = search.posterior(state, near)
        _, std_far = search.posterior(state, corners)
        assert std_near.max() < std_far.max()

    def test_failed_trials_are_left_out(self):
        state, search, params, _ = studied()
        at = {"x": jnp.asarray([0.3]), "y": jnp.asarray([0.7])}
        before = search.posterior(state, at)
        failed = search.update_state(state, KEY, jnp.asarray([jnp.nan]), at)
        failed = failed.replace(
            log_length_scale=state.log_length_scale,
            log_amplitude=state.log_amplitude,
            log_noise=state.log_noise,
        )
        np.testing.assert_allclose(search.posterior(failed, at), before, rtol=1e-5)

    def test_before_any_trial_it_is_the_prior(self):
        state, search = hj.BayesianSearch.tuned(SPACE, 20)
        mean, std = search.posterior(state, {"x": jnp.ones(3) / 2, "y": jnp.zeros(3)})
        np.testing.assert_allclose(mean, 0.0, atol=1e-6)
        np.testing.assert_allclose(std, 1.0, rtol=1e-3)

    def test_draws_have_the_mean_and_the_deviation_of_the_posterior(self):
        state, search, _, _ = studied(n=8)
        at = {"x": jnp.asarray([0.05, 0.5, 0.95]), "y": jnp.asarray([0.9, 0.1, 0.99])}
        mean, std = search.posterior(state, at)
        samples = search.sample_posterior(state, KEY, at, 4000)
        assert samples.shape == (4000, 3)
        np.testing.assert_allclose(
            samples.mean(0), mean, atol=5 * std.max() / 4000**0.5
        )
        np.testing.assert_allclose(samples.std(0), std, rtol=0.1)

    @pytest.mark.parametrize("n", [1, 20])
    def test_draws_at_the_trials_themselves_are_finite(self, n):
        # There the posterior covariance is what rounding leaves of a difference: here, of
        # a large variance and next to no noise, less than nothing.
        state, search, params, results = studied(n=60, ranked=0.0)
        state = state.replace(
            log_amplitude=jnp.float32(5.0),
            log_length_scale=jnp.full(2, 1.0, jnp.float32),
            log_noise=jnp.float32(-18.4),
        )
        at = jax.tree.map(lambda leaf: leaf[-n:], params)
        samples = search.sample_posterior(state, KEY, at, 50)
        assert np.isfinite(samples).all()
        # The rest of the spread is rounding, too.
        error = np.abs(np.asarray(samples) - np.asarray(results[-n:])).max()
        assert error < 0.5 * float(jnp.ptp(results))

    def test_neighbours_are_drawn_together(self):
        state, search, _, _ = studied(n=3)
        at = {"x": jnp.asarray([0.9, 0.901]), "y": jnp.asarray([0.9, 0.9])}
        samples = search.sample_posterior(state, KEY, at, 500)
        assert np.corrcoef(samples.T)[0, 1] > 0.99

    def test_bad_input(self):
        state, search, params, _ = studied(n=3)
        with pytest.raises(ParamsError):
            search.posterior(state, {"x": jnp.zeros(2)})
        with pytest.raises(SettingError, match="n_samples"):
            search.sample_posterior(state, KEY, params, 0)
        with pytest.raises(ParamsError, match="expected one key"):
            search.sample_posterior(state, 0, params)

    def test_nowhere(self):
        state, search, params, _ = studied(n=3)
        nowhere = jax.tree.map(lambda leaf: leaf[:0], params)
        mean, std = search.posterior(state, nowhere)
        assert mean.shape == std.shape == (0,)
        assert search.sample_posterior(state, KEY, nowhere, 4).shape == (4, 0)


class TestRecommend:
    def test_without_noise_it_is_the_best_seen(self):
        state, search, _, _ = studied()
        assert search.recommend(state) == search.best_params(state)

    @pytest.mark.slow
    def test_with_noise_it_is_better_than_the_best_seen(self):
        # Regret of the recommended against that of the luckiest trial, over studies.
        problem = Branin().moved(jax.random.key(5)).noisy(6.0)
        keys = jax.random.split(jax.random.key(3), 24)
        state, search = hj.BayesianSearch.tuned(
            problem.space, 50, n_parallel=1, maximize=False
        )

        def regrets(key):
            told, _ = search.optimize_scan(state, key, problem)
            chosen = search.recommend(told), search.best_params(told)
            return jnp.stack(
                [problem.value(jnp.stack([p["x0"], p["x1"]])) for p in chosen]
            )

        recommended, luckiest = jnp.mean(jax.jit(jax.vmap(regrets))(keys), axis=0)
        assert recommended < luckiest

    def test_ignores_failed_trials(self):
        state, search, _, _ = studied(n=5)
        at = {"x": jnp.asarray([0.5]), "y": jnp.asarray([1.0])}
        state = search.update_state(state, KEY, jnp.asarray([jnp.inf]), at)
        assert float(search.recommend(state)["y"]) != 1.0


class TestPending:
    def test_proposals_keep_away_from_running_trials(self):
        state, search, _, _ = studied()
        alone = search.get_next_params(state, KEY)
        beside = search.get_next_params(state, KEY, pending=alone)
        assert apart(alone, beside) > 1e-3

    @pytest.mark.slow
    def test_a_batch_is_what_asynchronous_workers_get(self):
        # Slot by slot, a batch of hallucinated results is the same as pending trials.
        state, search, _, _ = studied(n_local=0)
        first = search.get_next_params(state, KEY)
        second = search.get_next_params(state, KEY, pending=first)
        third = search.get_next_params(
            state,
            KEY,
            pending=jax.tree.map(lambda *a: jnp.concatenate(a), first, second),
        )
        assert (
            min(apart(first, second), apart(second, third), apart(first, third)) > 1e-3
        )

    @pytest.mark.slow
    def test_the_initial_design_sees_them_too(self):
        state, search = hj.BayesianSearch.tuned(SPACE, 40, n_parallel=1)
        pending = search.get_next_params(state, KEY)
        for i in range(2):
            new = search.get_next_params(state, jax.random.key(i), pending=pending)
            gaps = jnp.abs(new["x"] - pending["x"]) + jnp.abs(new["y"] - pending["y"])
            assert gaps.min() > 0.05
            pending = jax.tree.map(lambda *a: jnp.concatenate(a), pending, new)

    def test_nothing_is_remembered(self):
        state, search, _, _ = studied()
        alone = search.get_next_params(state, KEY)
        search.get_next_params(state, KEY, pending=alone)
        again = search.get_next_params(state, KEY)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, alone, again))

    @pytest.mark.parametrize("q", [1, 4])
    def test_every_point_once_in_a_space_larger_than_the_candidates(self, q):
        space = {
            "a": hj.QLinearSpace(1, 16),
            "b": hj.DiscreteSpace([0.1, 0.5, 0.7, 0.9]),
        }
        state, search = hj.BayesianSearch.tuned(
            space, 64, n_parallel=q, n_candidates=8, n_hparam_steps=1
        )
        _, (params, _) = search.optimize_scan(
            state, KEY, lambda key, p: p["b"] * p["a"].astype(float)
        )
        a, b = (np.asarray(params[name]).ravel() for name in "ab")
        assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == 64

    def test_no_duplicates_in_a_finite_space(self):
        space = {"a": hj.DiscreteSpace([1, 2, 3])}
        state, search = hj.BayesianSearch.tuned(space, 10, n_parallel=1)
        told = {"a": jnp.asarray([1])}
        state = search.update_state(state, KEY, jnp.zeros(1), told)
        new = search.get_next_params(state, KEY, pending={"a": jnp.asarray([2])})
        assert int(new["a"][0]) == 3

    def test_values_from_outside_are_warned_of(self):
        state, search, _, _ = studied(n=3)
        far = {"x": jnp.asarray([7.0]), "y": jnp.asarray([0.5])}
        for ask in (
            lambda: search.get_next_params(state, KEY, pending=far),
            lambda: search.posterior(state, far),
            lambda: search.sample_posterior(state, KEY, far),
        ):
            with pytest.warns(
                OutsideBoundsWarning, match="1 of x.* takes each for the"
            ):
                ask()

    def test_of_another_space(self):
        state, search, _, _ = studied(n=3)
        with pytest.raises(ParamsError):
            search.get_next_params(state, KEY, pending={"z": jnp.zeros(1)})
