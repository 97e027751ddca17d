"""GridSearch and RandomSearch beyond the shared contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperopt_jax as hj
from hyperopt_jax.errors import ExhaustedError, ParamsError, SettingError, SpaceError

KEY = jax.random.key(0)
FIVE = {"x": hj.DiscreteSpace([10, 20, 30, 40, 50])}


def visited(**settings):
    state, search = hj.GridSearch.init(FIVE, **settings)
    objective = lambda key, p: p["x"].astype(jnp.float32)  # noqa: E731
    state, (params, _) = search.optimize_scan(state, KEY, objective)
    return state, search, np.asarray(params["x"]).ravel()


def test_no_point_is_dropped_and_the_last_batch_wraps_round():
    state, search, points = visited(n_parallel=2)
    np.testing.assert_array_equal(points, [10, 20, 30, 40, 50, 10])
    assert int(state.grid_idx) == 6
    assert search.n_left(state) == 0
    assert hj.Status(int(state.status)) == hj.Status.OK


@pytest.mark.parametrize("shuffle", [False, True])
def test_start_points_are_visited_first_and_all_others_once(shuffle):
    state, search = hj.GridSearch.init(FIVE, shuffle=shuffle)
    objective = lambda key, p: p["x"].astype(jnp.float32)  # noqa: E731
    begun, _ = search.optimize_scan(state, KEY, objective, 1)
    done = int(begun.grid[0, 0])
    # The one that is done is not visited again, and one that stands twice once.
    start = [30, done, 50, 30] if done not in (30, 50) else [10, done, 20, 10]
    state, (params, _) = search.optimize_scan(
        begun, KEY, objective, start_points={"x": jnp.asarray(start)}
    )
    points = np.asarray(params["x"]).ravel().tolist()
    assert points[:2] == [start[0], start[2]]
    assert sorted([done, *points]) == [10, 20, 30, 40, 50]
    assert search.n_left(state) == 0


def test_start_points_of_a_grid_of_steps_and_of_branches():
    space = hj.ConditionalSpace(
        {"a": {"k": hj.LinearSpace(0.0, 1.0, step=0.1)}, "b": {}}
    )
    state, search = hj.GridSearch.init(space)
    # 0.7 is not 7 * 0.1 in any precision; what k is in the branch b does not matter.
    first = [
        {"choice": 0, "a": {"k": 0.7}, "b": {}},
        {"choice": 1, "a": {"k": 0.9}, "b": {}},
    ]
    _, (params, _) = search.optimize_scan(
        state, KEY, lambda key, p: 1.0 * p["a"]["k"], start_points=first
    )
    assert params["choice"][:2, 0].tolist() == [0, 1]
    assert float(params["a"]["k"][0, 0]) == pytest.approx(0.7)
    assert int(params["choice"].sum()) == 1
    assert len(np.unique(params["a"]["k"][params["choice"] == 0])) == 11


def test_asking_past_the_end_raises_eagerly():
    state, search, _ = visited(n_parallel=2)
    with pytest.raises(ExhaustedError, match="Not enough grid points remaining"):
        search.get_next_params(state, KEY)
    with pytest.raises(ValueError, match="Not enough grid points remaining"):
        search.optimize_scan(state, KEY, lambda key, p: 1.0 * p["x"], 1)
    fresh, _ = hj.GridSearch.init(FIVE, n_parallel=2)
    with pytest.raises(ExhaustedError, match="at most 3 more"):
        search.optimize(fresh, KEY, lambda key, p: 1.0 * p["x"], 4)


def test_inside_a_compiled_loop_exhaustion_is_a_status():
    state, search = hj.GridSearch.init(FIVE, n_parallel=2)

    @jax.jit
    def loop(state):
        for _i in range(4):
            params = search.get_next_params(state, KEY)
            state = search.update_state(state, KEY, jnp.zeros(2), params)
        return state

    state = loop(state)
    assert hj.Status(int(state.status)) == hj.Status.EXHAUSTED


def test_shuffle_visits_every_point_in_an_order_set_by_the_key():
    _, _, plain = visited(n_parallel=1)
    orders = []
    for seed in (None, 1, 2):
        key = None if seed is None else jax.random.key(seed)
        state, search = hj.GridSearch.init(FIVE, key, shuffle=True)
        orders.append(tuple(np.asarray(state.grid).ravel()))
        assert sorted(orders[-1]) == sorted(plain)
    assert len(set(orders)) > 1
    again, _ = hj.GridSearch.init(FIVE, jax.random.PRNGKey(0), shuffle=True)
    assert tuple(np.asarray(again.grid).ravel()) == orders[0]


def test_whole_grids_stay_whole_and_mixed_ones_give_each_leaf_its_dtype():
    state, _ = hj.GridSearch.init({"a": hj.QLinearSpace(0, 2), **FIVE})
    assert state.grid.dtype == jnp.int32
    space = {"a": hj.QLinearSpace(0, 2), "b": hj.DiscreteSpace([0.5, 1.5])}
    state, search = hj.GridSearch.init(space)
    assert state.grid.dtype == jnp.float32
    params = search.get_next_params(state, KEY)
    assert (params["a"].dtype, params["b"].dtype) == (jnp.int32, jnp.float32)


def test_spaces_without_a_grid_are_refused_by_path():
    with pytest.raises(SpaceError, match="LinearSpace at a/b"):
        hj.GridSearch.init({"a": {"b": hj.LinearSpace(0.0, 1.0)}, **FIVE})
    huge = {str(i): hj.QLinearSpace(0, 999) for i in range(4)}
    with pytest.raises(SpaceError, match=r"at most 10000000 points, got 1e\+12"):
        hj.GridSearch.init(huge)
    with pytest.raises(SpaceError, match="traced"):
        jax.jit(
            lambda high: hj.GridSearch.init({"x": hj.QLinearSpace(0, high)})[0].grid
        )(3)


@pytest.mark.parametrize("start", [hj.RandomSearch.init, hj.BayesianSearch.init])
def test_bad_spaces_are_refused_by_path(start):
    with pytest.raises(SpaceError, match="at least one space"):
        start({})
    with pytest.raises(SpaceError, match=r"expected a Space at \['a'\]\[1\].*got 3"):
        start({"a": [hj.LinearSpace(0.0, 1.0), 3]})
    with pytest.raises(SpaceError, match="the root"):
        start(0.5)


def test_random_search_is_memoryless_and_needs_a_length():
    state, search = hj.RandomSearch.init({"x": hj.LinearSpace(0.0, 1.0)}, n_parallel=4)
    params = search.get_next_params(state, KEY)
    assert search.update_state(state, KEY, jnp.zeros(4), params) is state
    with pytest.raises(SettingError, match="n_iterations for RandomSearch"):
        search.optimize(state, KEY, lambda key, p: p["x"])


def test_random_search_covers_the_space():
    state, search = hj.RandomSearch.init(
        {"x": hj.LinearSpace(2.0, 4.0)}, n_parallel=2000
    )
    x = np.asarray(search.get_next_params(state, KEY)["x"])
    counts, _ = np.histogram(x, bins=10, range=(2, 4))
    # Chi-square with 9 degrees of freedom: 27.9 is the 99.9 % quantile.
    assert ((counts - 200) ** 2 / 200).sum() < 27.9


def test_a_fresh_state_can_be_donated():
    state, _ = hj.GridSearch.init({"x": hj.DiscreteSpace([1, 2])})
    moved = jax.jit(lambda s: s.replace(grid_idx=s.grid_idx + 1), donate_argnums=0)
    assert int(moved(state).grid_idx) == 1


def test_best_trial_reads_both_histories():
    state, search = hj.GridSearch.init(FIVE, n_parallel=2)
    objective = lambda key, p: jnp.where(p["x"] == 30, jnp.nan, -p["x"].astype(float))  # noqa: E731
    for run in (search.optimize, search.optimize_scan):
        _, (params, results) = run(state, KEY, objective)
        best, result = hj.best_trial(params, results)
        assert (int(best["x"]), result) == (10, -10.0)
        best, result = hj.best_trial(params, results, maximize=False)
        assert (int(best["x"]), result) == (50, -50.0)
    nothing = lambda key, p: jnp.nan * p["x"].astype(float)  # noqa: E731
    _, (params, results) = search.optimize_scan(state, KEY, nothing)
    for history in ((params, results), ([], [])):
        with pytest.raises(hj.HyperoptError, match="at least one trial"):
            hj.best_trial(*history)


def test_best_trial_takes_the_histories_of_one_run():
    batches = ({"x": jnp.zeros(2)}, {"x": jnp.ones(2)})
    best, result = hj.best_trial(batches, (jnp.zeros(2), jnp.asarray([3.0, 1.0])))
    assert (float(best["x"]), result) == (1.0, 3.0)
    longer = ({"x": jnp.zeros(2)}, {"x": jnp.arange(3.0)})
    best, result = hj.best_trial(longer, (jnp.zeros(2), jnp.asarray([3.0, 1.0, 7.0])))
    assert (float(best["x"]), result) == (2.0, 7.0)
    with pytest.raises(ParamsError, match=r"one run, got results of shape \(4,\)"):
        hj.best_trial({"x": jnp.zeros(3)}, jnp.zeros(4))


def test_best_trial_is_for_the_host():
    with pytest.raises(ParamsError, match=r"got traced ones.*jnp\.argmax"):
        jax.vmap(hj.best_trial)({"x": jnp.zeros((2, 3))}, jnp.zeros((2, 3)))


def test_a_number_is_no_key():
    with pytest.raises(ParamsError, match="expected one key"):
        hj.GridSearch.init({"n": hj.QLinearSpace(1, 3)}, 4)


def test_best_trial_takes_lists_of_your_own():
    one_by_one = [{"x": 1, "w": np.array([1, 2])}, {"x": 2, "w": np.array([3, 4])}]
    stacked = {"x": np.array([1, 2]), "w": np.array([[1, 2], [3, 4]])}
    for params in (one_by_one, stacked):
        best, result = hj.best_trial(params, [1.0, 2.0])
        assert (int(best["x"]), best["w"].tolist(), result) == (2, [3, 4], 2.0)
    for params in ({"x": [1, 2]}, [{"x": 1}, {"x": 2}]):
        with pytest.raises(ParamsError, match="params_hist and results_hist"):
            hj.best_trial(params, [1, 2, 3])
    with pytest.raises(ParamsError, match="expected numbers for results_hist"):
        hj.best_trial(one_by_one, ["a", "b"])


def test_best_trial_takes_configurations_of_plain_python():
    space = {
        "c": hj.ConditionalSpace(
            {"u": {"n": hj.QLinearSpace(1, 9)}, "v": {"act": hj.ChoiceSpace([*"ab"])}}
        )
    }
    params = {
        "c": {
            "choice": jnp.asarray([0, 1]),
            "u": {"n": jnp.asarray([4, 5])},
            "v": {"act": jnp.asarray([0, 1])},
        }
    }
    configurations = hj.decode_choices(space, params)
    for results in ([1.0, 2.0], np.array([1.0, 2.0])):
        best, _ = hj.best_trial(configurations, results)
        assert best == {"c": {"choice": "v", "v": {"act": "b"}}}
        best, _ = hj.best_trial(configurations, results, maximize=False)
        assert best == {"c": {"choice": "u", "u": {"n": 4}}}


@pytest.mark.parametrize("n_batches", [2, 3])
def test_best_trial_of_a_space_that_is_a_list(n_batches):
    space = [hj.LinearSpace(0.0, 1.0), hj.LinearSpace(0.0, 5.0)]
    state, search = hj.RandomSearch.init(space, n_parallel=2)
    _, (params, results) = search.optimize_scan(
        state, KEY, lambda key, p: -p[0], n_batches
    )
    expected, least = hj.best_trial(params, results)
    assert least == float(results.max())
    assert -expected[0] == results.max()
    for listed in (list(results), results.tolist()):
        if n_batches == 2:  # two batches of two trials, and two parameters
            with pytest.raises(ParamsError, match="read in one way"):
                hj.best_trial(params, listed)
        else:
            assert hj.best_trial(params, listed) == (expected, least)
    batches = [[leaf[i] for leaf in params] for i in range(n_batches)]
    assert hj.best_trial(batches, list(results)) == (expected, least)


def test_best_trial_of_as_many_vectors_as_they_have_entries():
    params = [{"w": np.arange(4.0).reshape(2, 2) + 4 * i} for i in range(2)]
    results = [np.array([1.0, 2.0]), np.array([4.0, 3.0])]
    best, result = hj.best_trial(params, results)
    assert (best["w"].tolist(), result) == ([4.0, 5.0], 4.0)


@pytest.mark.parametrize("maximize", ["min", 1, None])
def test_best_trial_checks_the_direction(maximize):
    with pytest.raises(hj.HyperoptError, match="maximize to be True or False"):
        hj.best_trial({"x": np.zeros(2)}, np.zeros(2), maximize)
