"""Trials that explore, whatever the model has made of a part of the space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, kstest, norm

import hyperopt_jax as hj
from hyperopt_jax.bayesian import _explore as explore

KEY = jax.random.key(5)
UNIT = {"x": hj.LinearSpace(0.0, 1.0)}
TWO_BRANCHES = hj.ConditionalSpace(
    {"a": {"x": hj.LinearSpace(0.0, 1.0)}, "b": {"y": hj.LinearSpace(0.0, 1.0)}}
)


def proposals(n_failures, n=400, **settings):
    """Where the next trial goes, over keys, that many trials after the best one."""
    state, search = hj.BayesianSearch.tuned(
        UNIT, 20, n_parallel=1, n_local=0, n_warmup=1, **settings
    )
    # The same trials in another order, so that all cases are one program.
    x = jnp.roll(jnp.append(jnp.linspace(0.22, 0.29, 8), 0.3), -n_failures)
    state = search.update_state(state, KEY, -((x - 0.3) ** 2), {"x": x})
    keys = jax.random.split(KEY, n)
    return jax.vmap(lambda key: search.get_next_params(state, key)["x"][0])(keys)


@pytest.mark.optimised
def test_greedy_trials_are_those_of_a_search_that_never_explores():
    for n_failures in (4, 5, 8):
        greedy, plain = proposals(n_failures, n_greedy=2), proposals(n_failures)
        assert jnp.array_equal(greedy, plain)


def test_weights_are_expected_improvements_by_a_standard_deviation():
    mean, std = jnp.asarray([0.0, 0.5, -2.0, 0.0]), jnp.asarray([1.0, 0.5, 2.0, 1e-3])
    uniform = jax.random.uniform(KEY, (20_000, 4), minval=1e-7)
    z = (np.asarray(mean) - 0.2 - 1.0) / np.asarray(std)
    improvement = np.asarray(std) * (norm.pdf(z) + z * norm.cdf(z))

    def counts(place):
        order = jax.vmap(lambda u: explore.order(place, 2, mean, std, 0.2, u))(uniform)
        return np.bincount(np.argmax(order, axis=1), minlength=4)

    weighted, even = counts(jnp.int32(6)), counts(jnp.int32(7))
    expected = 20_000 * improvement / improvement.sum()
    assert weighted[3] == 0
    assert chisquare(weighted[:3], expected[:3] / expected[:3].sum() * 20_000)[1] > 1e-3
    assert chisquare(even).pvalue > 1e-3


def test_one_trial_is_drawn_where_much_is_expected():
    greedy, drawn = (np.asarray(proposals(n, n_greedy=2)) for n in (5, 6))
    assert drawn.std() > greedy.std() + 0.1
    # Nothing more is expected among the trials that there are.
    assert np.mean((drawn > 0.2) & (drawn < 0.32)) < 0.06
    assert len(np.unique(drawn)) > 300


def test_one_trial_is_drawn_at_random():
    drawn = np.asarray(proposals(7, n_greedy=2))
    assert kstest(drawn, "uniform").pvalue > 1e-3
    assert kstest(np.asarray(proposals(8, n_greedy=2)), "uniform").pvalue < 1e-9


@pytest.mark.slow
def test_drawn_trials_are_uniform_where_a_constraint_holds():
    # A constraint moves candidates about, those near the best trial too.
    space = hj.ConstrainedSpace(
        {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)},
        lambda params: params["x"] + params["y"] <= 1.0,
    )
    state, search = hj.BayesianSearch.tuned(
        space, 20, n_parallel=1, n_local=0, n_warmup=1, n_greedy=0
    )
    x = jnp.asarray([0.3, 0.2])  # the best one, and one failure since
    state = search.update_state(state, KEY, jnp.asarray([1.0, 0.0]), {"x": x, "y": x})
    drawn = jax.vmap(lambda key: search.get_next_params(state, key))(
        jax.random.split(KEY, 400)
    )
    # In the triangle, (1 - x)^2 is uniform.
    assert kstest((1 - np.asarray(drawn["x"][:, 0])) ** 2, "uniform").pvalue > 1e-3


@pytest.mark.slow
def test_drawn_trials_do_not_repeat_in_a_finite_space():
    space = hj.ConditionalSpace({"a": {"n": hj.QLinearSpace(1, 5)}, "b": {}, "c": {}})
    state, search = hj.BayesianSearch.tuned(space, 7, n_parallel=1, n_greedy=0)
    state, _ = search.optimize_scan(state, KEY, lambda key, params: jnp.zeros(()))
    assert len(np.unique(np.asarray(state.X), axis=0)) == 7


def test_only_conditional_spaces_explore_unasked():
    for space, n_greedy in ((TWO_BRANCHES, 2), (UNIT, None)):
        assert hj.BayesianSearch.tuned(space, 20)[1].n_greedy == n_greedy


@pytest.mark.slow
def test_a_branch_that_begins_badly_is_not_given_up():
    def height(key, params):
        # Branch b is better, in a sixth of its width, where no initial design goes.
        a = -((params["a"]["x"] - 0.4) ** 2)
        b = jnp.where(params["b"]["y"] > 5 / 6, 1.0, -3.0)
        return jnp.where(params["choice"] == 0, a, b)

    def best(key, n_greedy):
        state, search = hj.BayesianSearch.tuned(
            TWO_BRANCHES, 60, n_parallel=1, n_greedy=n_greedy
        )
        return search.optimize_scan(state, key, height)[1][1].max()

    keys = jax.random.split(KEY, 20)
    found = {n: jax.vmap(lambda k, n=n: best(k, n))(keys) > 0.5 for n in (2, None)}
    assert found[2].sum() >= found[None].sum() + 5, (found[2].sum(), found[None].sum())
