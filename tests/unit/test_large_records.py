"""Records too long for a model of all their trials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperopt_jax as hj
from hyperopt_jax.bayesian import _subset as subset
from tests.zoo import FAST

KEY = jax.random.key(4)
N = 1500
SPACE = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
FINITE = {"a": hj.QLinearSpace(0, 9), "b": hj.QLinearSpace(0, 5)}


@jax.jit
def chosen(U, t, recorded):
    best_row = jnp.argmax(jnp.where(recorded, t, -jnp.inf))
    return subset._chosen(U, t, recorded, best_row)


def record(n, seed=0):
    rng = np.random.default_rng(seed)
    U, t = rng.uniform(size=(N, 2)), rng.normal(size=N)
    return (
        jnp.asarray(U, jnp.float32),
        jnp.asarray(t, jnp.float32),
        jnp.arange(N) < n,
    )


class TestChosen:
    @pytest.mark.parametrize("n", [0, 1, 100, 600, 1023, 1024])
    def test_all_of_them_where_they_fit(self, n):
        U, t, recorded = record(n)
        assert jnp.array_equal(chosen(U, t, recorded), recorded)

    @pytest.mark.parametrize("n", [1025, 1200, N])
    def test_as_many_as_fit_where_they_do_not(self, n):
        U, t, recorded = record(n)
        rows = chosen(U, t, recorded)
        assert int(rows.sum()) == subset.MAX_ROWS
        assert not (rows & ~recorded).any()

    def test_the_best_and_the_nearest_are_among_them(self):
        U, t, recorded = map(np.asarray, record(N))
        rows = np.asarray(chosen(U, t, recorded))
        quarter = subset.MAX_ROWS // 4
        assert rows[np.argsort(-t)[:quarter]].all()
        away = np.linalg.norm(U - U[t.argmax()], axis=1)
        assert rows[np.argsort(away)[:quarter]].all()

    def test_the_rest_is_spread_evenly_over_the_record(self):
        U, t, recorded = record(N)
        left_out = np.flatnonzero(~np.asarray(chosen(U, t, recorded)))
        # 476 of 1500 trials: none in a row of many.
        runs = np.split(left_out, np.flatnonzero(np.diff(left_out) > 1) + 1)
        assert max(map(len, runs)) <= 3

    def test_equal_results_and_repeated_points(self):
        U, t, recorded = record(N)
        rows = chosen(jnp.full_like(U, 0.5), jnp.zeros_like(t), recorded)
        assert int(rows.sum()) == subset.MAX_ROWS

    def test_works_in_double_precision(self, x64):
        U, t, recorded = record(N)
        rows = chosen(U.astype(float), t.astype(float), recorded)
        assert int(rows.sum()) == subset.MAX_ROWS


class TestModelled:
    def test_none_where_the_buffer_is_small(self):
        U, t, recorded = (a[: subset.MAX_ROWS + 3] for a in record(N))
        assert subset.modelled(U, t, recorded, jnp.int32(0), n_free=3) is None

    @pytest.mark.parametrize("n", [700, N])
    def test_trials_in_their_order_and_then_free_rows(self, n):
        U, t, recorded = record(n)
        rows, hold = subset.modelled(U, t, recorded, jnp.argmax(t[:n]), n_free=5)
        count = min(n, subset.MAX_ROWS)
        assert rows.shape == (subset.MAX_ROWS + 5,)
        assert jnp.array_equal(hold, jnp.arange(len(rows)) < count)
        assert (np.diff(rows[:count]) > 0).all()
        assert recorded[rows[:count]].all()


@pytest.fixture
def few_rows(monkeypatch):
    """A limit of 32 rows, so that small programs show what large ones do."""
    monkeypatch.setattr(subset, "MAX_ROWS", 32)
    jax.clear_caches()
    yield
    jax.clear_caches()


def told(space, n, q=1, n_max=60):
    state, search = hj.BayesianSearch.tuned(space, n_max, n_parallel=q, **FAST)
    params = hj.spaces.sample(space, KEY, n)
    columns = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(params)]
    results = -sum((column - 0.3) ** 2 for column in columns)
    return search.update_state(state, KEY, results, params), search


def test_up_to_the_limit_nothing_changes(few_rows, monkeypatch):
    state, search = told(SPACE, 30)
    at = {"x": jnp.linspace(0, 1, 9), "y": jnp.linspace(1, 0, 9)}
    beliefs = search.posterior(state, at)
    monkeypatch.setattr(subset, "MAX_ROWS", 1024)
    jax.clear_caches()
    whole = search.posterior(state, at)
    # To the rounding allowance on the diagonal, which knows the size of the buffer.
    np.testing.assert_allclose(beliefs, whole, atol=1e-3)


@pytest.mark.slow
def test_beyond_it_the_search_goes_on(few_rows):
    state, search = told(SPACE, 50, q=3)
    params = search.get_next_params(state, KEY)
    more = search.get_next_params(state, KEY, pending=params)
    points = np.asarray([[*params[k], *more[k]] for k in SPACE]).T
    assert len(np.unique(points, axis=0)) == 6
    assert ((points >= 0) & (points <= 1)).all()
    mean, std = search.posterior(state, params)
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    # The model sees the incumbent: what it expects there is the best result.
    best = jax.tree.map(lambda leaf: leaf[None], search.best_params(state))
    mean, _ = search.posterior(state, best)
    assert float(mean[0]) == pytest.approx(float(search.best_result(state)), abs=0.02)
    assert search.recommend(state).keys() == SPACE.keys()


def test_no_repeats_of_trials_that_the_model_does_not_see(few_rows):
    # 60 points, 57 of them told: the last three are found although 32 are modelled.
    state, search = hj.BayesianSearch.tuned(FINITE, 60, n_parallel=3, **FAST)
    a, b = jnp.meshgrid(jnp.arange(10), jnp.arange(6), indexing="ij")
    order = jax.random.permutation(KEY, 60)
    params = {"a": a.ravel()[order], "b": b.ravel()[order]}
    early = jax.tree.map(lambda leaf: leaf[:57], params)
    results = jnp.sin(jnp.arange(57.0))
    state = search.update_state(state, KEY, results, early)
    proposed = search.get_next_params(state, KEY)
    pairs = {tuple(map(int, p)) for p in zip(*proposed.values(), strict=True)}
    late = jax.tree.map(lambda leaf: leaf[57:], params)
    assert pairs == {tuple(map(int, p)) for p in zip(*late.values(), strict=True)}


@pytest.mark.slow
def test_thousands_of_trials_in_bounded_memory():
    state, search = hj.BayesianSearch.tuned(SPACE, 5000, n_parallel=1)
    params = hj.spaces.sample(SPACE, KEY, 4990)
    results = -((params["x"] - 0.3) ** 2) - (params["y"] - 0.6) ** 2
    state = search.update_state(state, KEY, results, params)
    ask = jax.jit(search.get_next_params)
    memory = ask.lower(state, KEY).compile().memory_analysis()
    # A kernel matrix of 5000 trials alone would be 100 MB.
    assert memory.temp_size_in_bytes < 50e6
    proposed = search.get_next_params(state, KEY)
    assert abs(float(proposed["x"][0]) - 0.3) < 0.05
    assert abs(float(proposed["y"][0]) - 0.6) < 0.05
