"""What the surrogate makes of results."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm, rankdata

from hyperopt_jax import history
from hyperopt_jax.bayesian._targets import targets_of


def trials_of(y, failed=()):
    y = jnp.asarray(y, float)
    failed = jnp.isin(jnp.arange(y.size), jnp.asarray(failed, int))
    return history.Trials(jnp.zeros((y.size, 1)), y, jnp.ones(y.size, bool), failed)


def standardised(z):
    return (z - z.mean()) / z.std()


@pytest.mark.parametrize("maximize", [True, False])
def test_all_ranked_are_normal_quantiles(maximize):
    y = np.array([3.0, 1.0, 1.0, 7.0, -2.0, 100.0])
    t = targets_of(trials_of(y), maximize, 1.0).t
    rank = (rankdata(y) - 0.5) / y.size
    expected = standardised(norm.ppf(rank if maximize else 1 - rank))
    np.testing.assert_allclose(t, expected, atol=1e-5)


@pytest.mark.parametrize("maximize", [True, False])
def test_none_ranked_are_standardised_results(maximize):
    y = np.array([3.0, 1.0, 1.0, 7.0, -2.0, 100.0])
    t = targets_of(trials_of(y), maximize, 0.0).t
    np.testing.assert_allclose(t, standardised(y if maximize else -y), atol=1e-5)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    y=st.lists(st.floats(-100, 100, width=16), min_size=7, max_size=7),
    ranked=st.sampled_from([0.25, 0.5, 0.75]),
)
def test_order_is_kept_and_the_better_results_come_back(y, ranked):
    t, location, scale = targets_of(trials_of(y), False, ranked)
    y, t = np.asarray(y, np.float32), np.asarray(t)
    assert np.isfinite(t).all()
    order = np.argsort(y, kind="stable")
    assert (np.diff(t[order]) <= 1e-5).all()
    keeps = rankdata(y, method="min") - 1 <= (1 - ranked) * (y.size - 1)
    loss = 8 * (location - scale * t[keeps])
    # Half floats a thousandth of the widest apart keep three digits.
    np.testing.assert_allclose(loss, y[keeps], atol=2e-4 * max(np.ptp(y), 1e-3))


@pytest.mark.parametrize("ranked", [0.25, 0.5])
def test_one_disaster_does_not_flatten_the_others(ranked):
    y = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1e30, 0.0, 0.0])
    mask = jnp.arange(10) < 9
    trials = history.Trials(jnp.zeros((10, 1)), y, mask, jnp.arange(10) == 8)
    t = np.asarray(targets_of(trials, False, ranked).t)
    assert np.isfinite(t).all()
    np.testing.assert_allclose(t[:8].mean(), 0.0, atol=1e-6)
    np.testing.assert_allclose(t[:8].std(), 1.0, rtol=1e-5)
    assert (np.diff(t[:8]) < 0).all()
    assert t[0] - t[6] > 1.5
    assert t[8] == t[:8].min()
    assert t[9] == 0.0


def test_a_heap_of_useless_results_does_not_flatten_the_useful_ones():
    useful, useless = np.linspace(0.07, 0.1, 12), np.full(10, 0.9)
    t = np.asarray(targets_of(trials_of([*useful, *useless]), False, 0.5).t)
    assert t[:11].max() - t[:11].min() > 1.0
    plain = np.asarray(targets_of(trials_of([*useful, *useless]), False, 0.0).t)
    assert plain[:12].max() - plain[:12].min() < 0.1


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_the_scale_of_the_results_does_not_matter(scale):
    y = jnp.array([1.0, -2.0, 0.5, 3.0])
    unit, scaled = (targets_of(trials_of(v), True, 0.25).t for v in (y, y * scale))
    np.testing.assert_allclose(scaled, unit, rtol=1e-4)
