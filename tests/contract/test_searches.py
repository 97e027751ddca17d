"""The contract that every optimizer of the zoo keeps."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import hyperopt_jax as hj
from hyperopt_jax.errors import (
    ObjectiveError,
    ParamsError,
    SettingError,
    StateError,
    UnknownSettingError,
)
from tests import zoo

KEY = jax.random.key(7)
N_BATCHES = 5


def each_search(mark, *names):
    """A case for each optimizer, those named with a mark."""
    params = [
        pytest.param(row, id=row.name, marks=[mark] if row.name in names else [])
        for row in zoo.SEARCHES
    ]
    return pytest.mark.parametrize("row", params)


# The classic defaults of the Bayesian search run the same code as the recommended ones.
rows = each_search(pytest.mark.slow, "bayesian")
# Two programs are one to the last bit in the machine code that users run (see conftest).
exact_rows = each_search(pytest.mark.optimised, "bayesian", "bayesian-tuned")
# Cases of one module share programs where these, settings and lengths of runs agree.
widths = pytest.mark.parametrize("q", [1, 2])


def start(row, q=1, n_max=20, **settings):
    return row.start(zoo.space_for(row), n_max, n_parallel=q, **settings)


def assert_equal(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def signature(tree):
    return jax.tree.map(lambda a: (a.shape, a.dtype, a.weak_type), tree)


def no_nan(tree):
    arrays = [np.asarray(a) for a in jax.tree.leaves(tree)]
    return all(np.isfinite(a).all() for a in arrays if a.dtype.kind == "f")


@pytest.mark.slow
@rows
@widths
def test_state_keeps_its_types_through_cond(row, q):
    state, search = start(row, q)
    params = search.get_next_params(state, KEY)
    told = search.update_state(state, KEY, jnp.zeros(q), params)
    assert signature(state) == signature(told)
    both = lax.cond(jnp.bool_(True), lambda: state, lambda: told)
    assert signature(both) == signature(state)


@rows
@widths
def test_proposals_lie_in_the_space_with_its_dtypes(row, q):
    state, search = start(row, q)
    spaces = jax.tree.leaves(state.space, is_leaf=lambda s: isinstance(s, hj.Space))
    for i in range(3):
        params = search.get_next_params(state, jax.random.fold_in(KEY, i))
        leaves = jax.tree.leaves(params)
        assert jax.tree.structure(params) == jax.tree.structure(
            jax.tree.map(lambda s: 0, state.space, is_leaf=lambda s: s in spaces)
        )
        for space, leaf in zip(spaces, leaves, strict=True):
            assert leaf.shape == (q,)
            assert leaf.dtype == space.dtype
            assert bool(jnp.all(leaf >= space.lower_bound.astype(leaf.dtype)))
            assert bool(jnp.all(leaf <= space.upper_bound.astype(leaf.dtype)))
            np.testing.assert_array_equal(space.transform(leaf), leaf)
        results = jax.vmap(zoo.loss)(jax.random.split(KEY, q), params)
        state = search.update_state(state, KEY, results, params)


@exact_rows
@widths
def test_loop_equals_scan_bit_for_bit(row, q):
    state, search = start(row, q)
    looped, (params, results) = search.optimize(state, KEY, zoo.loss, N_BATCHES)
    scanned, (p_scan, r_scan) = search.optimize_scan(state, KEY, zoo.loss, N_BATCHES)
    assert_equal(looped, scanned)
    assert len(params) == len(results) == N_BATCHES
    assert r_scan.shape == (N_BATCHES, q)
    assert_equal(jax.tree.map(lambda *a: jnp.stack(a), *params), p_scan)
    assert_equal(jnp.stack(results), r_scan)
    assert [a.dtype for a in jax.tree.leaves(p_scan)] == [
        a.dtype for a in jax.tree.leaves(params[0])
    ]


@rows
def test_same_key_same_run_other_key_other_run(row):
    state, search = start(row, 2)
    _, (_, once) = search.optimize_scan(state, KEY, zoo.loss, 3)
    _, (_, again) = search.optimize_scan(state, KEY, zoo.loss, 3)
    assert_equal(once, again)
    if not row.finite_only:
        _, (_, other) = search.optimize_scan(state, jax.random.key(8), zoo.loss, 3)
        assert not np.array_equal(once, other)


@rows
def test_objective_is_traced_once_and_never_again(row):
    traces = []

    def objective(key, params):
        traces.append(1)
        return zoo.loss(key, params)

    state, search = start(row, 2)
    search.optimize_scan(state, KEY, objective, 3)
    assert len(traces) == 1
    search.optimize_scan(state, jax.random.key(1), objective, 3)
    search.optimize(state, KEY, objective, 3)
    search.optimize(state, KEY, objective, 2)
    fresh_state, fresh_search = start(row, 2)
    fresh_search.optimize_scan(fresh_state, KEY, objective, 3)
    assert len(traces) == 1


def test_objective_is_traced_once_where_buffers_grow():
    traces = []

    def objective(key, params):
        traces.append(1)
        return (params["x"] - 0.3) ** 2

    space = {"x": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.BayesianSearch.init(
        space, 80, n_parallel=8, n_hparam_steps=0, n_lbfgs_steps=0, n_candidates=16
    )
    search.optimize_scan(state, KEY, objective)
    assert len(traces) == 1


@rows
def test_runs_under_jit(row):
    state, search = start(row, 2)

    @eqx.filter_jit
    def study(state, key):
        return search.optimize_scan(state, key, zoo.loss, 3)

    _, (_, results) = study(state, KEY)
    _, (_, expected) = search.optimize_scan(state, KEY, zoo.loss, 3)
    np.testing.assert_allclose(results[0], expected[0], rtol=1e-5)
    assert results.shape == expected.shape
    assert np.isfinite(np.asarray(results)).all()


@pytest.mark.slow
@rows
def test_studies_vmap_over_keys(row):
    state, search = start(row, 2)
    keys = jax.random.split(KEY, 3)

    def study(key):
        return search.optimize_scan(state, key, zoo.loss, 3)[1][1]

    together = jax.jit(jax.vmap(study))(keys)
    alone = jnp.stack([study(key) for key in keys])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@rows
def test_studies_vmap_over_bounds(row):
    if row.finite_only:
        pytest.skip("the bounds fix the size of a grid")

    def study(low, high, key):
        space = {"x": hj.LinearSpace(low, high), "y": hj.LogSpace(high, high * 10)}
        state, search = row.start(space, 12, n_parallel=1)
        objective = lambda key, p: (p["x"] - low) ** 2 + jnp.log(p["y"])  # noqa: E731
        state, (params, results) = search.optimize_scan(state, key, objective, 4)
        return params, results

    lows, highs = jnp.array([0.5, 1.0, 2.0]), jnp.array([1.0, 3.0, 8.0])
    keys = jax.random.split(KEY, 3)
    params, results = jax.jit(jax.vmap(study))(lows, highs, keys)
    assert bool(jnp.all(params["x"] >= lows[:, None, None]))
    assert bool(jnp.all(params["x"] <= highs[:, None, None]))
    for i in range(3):
        alone, _ = study(lows[i], highs[i], keys[i])
        np.testing.assert_allclose(params["x"][i], alone["x"], rtol=1e-3)


@pytest.mark.optimised
@rows
def test_studies_in_one_loop_equal_the_same_ones_alone_bit_for_bit(row):
    """vmap may round in another way; `lax.map` runs what a study alone runs."""
    if row.finite_only:
        pytest.skip("the bounds fix the size of a grid")

    def study(low, key):
        space = {"x": hj.LinearSpace(low, 2 * low), "y": hj.LogSpace(low, 10 * low)}
        state, search = row.start(space, 20, n_parallel=1)
        objective = lambda key, p: (p["x"] - low) ** 2 + jnp.log(p["y"])  # noqa: E731
        return search.optimize_scan(state, key, objective, 20)[1]

    lows, keys = jnp.array([0.5, 1.0, 3.0]), jax.random.split(KEY, 3)
    together = jax.jit(lambda *all: jax.lax.map(lambda one: study(*one), all))(
        lows, keys
    )
    alone = jax.jit(study)
    apart = [alone(low, key) for low, key in zip(lows, keys, strict=True)]
    apart = jax.tree.map(lambda *leaves: np.stack(leaves), *apart)
    jax.tree.map(np.testing.assert_array_equal, together, apart)


@rows
@widths
def test_failed_trials_neither_win_nor_poison(row, q):
    bad = itertools.cycle([jnp.nan, jnp.inf, -jnp.inf])
    state, search = start(row, q)
    for i in range(4):
        key = jax.random.fold_in(KEY, i)
        params = search.get_next_params(state, key)
        results = jnp.array([next(bad) for _ in range(q)]) if i != 2 else jnp.ones(q)
        state = search.update_state(state, key, results, params)
        assert no_nan(state)
        assert no_nan(params)
    if hasattr(search, "best_result"):
        assert float(search.best_result(state)) == 1.0
        assert int(state.mask.sum()) == 4 * q
        assert int(state.failed.sum()) == 3 * q


@rows
def test_all_failed_studies_still_suggest_new_points(row):
    state, search = start(row, 2)
    _, (params, results) = search.optimize_scan(
        state, KEY, lambda key, p: jnp.float32(jnp.nan) + 0 * zoo.loss(key, p), 4
    )
    assert np.isnan(np.asarray(results)).all()
    columns = np.stack([np.asarray(a).reshape(-1) for a in jax.tree.leaves(params)], 1)
    assert len(np.unique(columns, axis=0)) == len(columns)


@pytest.mark.slow
@rows
def test_maximise_mirrors_minimise(row):
    lower = start(row, 2, maximize=False)
    higher = start(row, 2, maximize=True)
    negative = lambda key, p: -zoo.loss(key, p)  # noqa: E731
    _, (p_low, r_low) = lower[1].optimize_scan(lower[0], KEY, zoo.loss, N_BATCHES)
    _, (p_high, r_high) = higher[1].optimize_scan(higher[0], KEY, negative, N_BATCHES)
    assert_equal(p_low, p_high)
    assert_equal(r_low, -r_high)


@rows
@widths
def test_resumed_study_equals_the_uninterrupted_one(row, q, tmp_path):
    state, search = start(row, q)
    whole, (params, results) = search.optimize_scan(state, KEY, zoo.loss, 6)
    half, (p_first, r_first) = search.optimize_scan(state, KEY, zoo.loss, 3)
    eqx.tree_serialise_leaves(tmp_path / "state.eqx", half)
    loaded = eqx.tree_deserialise_leaves(tmp_path / "state.eqx", state)
    first_trial = None if row.remembers else 3 * q
    ended, (p_second, r_second) = search.optimize_scan(
        loaded, KEY, zoo.loss, 3, first_trial=first_trial
    )
    assert_equal(whole, ended)
    assert_equal(results, jnp.concatenate([r_first, r_second]))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), p_first, p_second)
    assert_equal(params, joined)


@pytest.mark.slow
@rows
def test_trial_keys_do_not_depend_on_the_batch_width(row):
    def objective(key, params):
        return jax.random.uniform(key)

    draws = []
    for q in (1, 3):
        state, search = start(row, q)
        _, (_, results) = search.optimize_scan(state, KEY, objective, 6 // q)
        draws.append(np.asarray(results).reshape(-1))
    np.testing.assert_array_equal(*draws)
    expected = [jax.random.uniform(jax.random.fold_in(KEY, t)) for t in range(6)]
    np.testing.assert_array_equal(draws[0], np.asarray(expected))


@rows
def test_works_in_double_precision(row, x64):
    state, search = start(row, 2)
    state, (params, results) = search.optimize_scan(state, KEY, zoo.loss, 3)
    assert results.dtype == jnp.float64
    assert no_nan(state)
    assert no_nan(params)


@pytest.mark.slow
@rows
def test_raw_keys_work_too(row):
    state, search = start(row, 2)
    _, (_, results) = search.optimize_scan(state, jax.random.PRNGKey(0), zoo.loss, 2)
    assert np.isfinite(np.asarray(results)).all()


@rows
def test_settings_are_hashable_equal_by_value_and_checked(row):
    (_, one), (_, two) = start(row, 2), start(row, 2)
    assert one == two
    assert hash(one) == hash(two)
    assert one != start(row, 3)[1]
    for number in (np.int64(2), jnp.int32(2), np.array(2)):
        _, same = start(row, number, maximize=np.bool_(one.maximize))
        assert same == one
        assert hash(same) == hash(one)
        assert (type(same.n_parallel), type(same.maximize)) == (int, bool)
    with pytest.raises(SettingError, match="n_parallel >= 1, got 0"):
        start(row, 0)
    with pytest.raises(SettingError, match="n_parallel"):
        start(row, 1.5)
    for maximize in (2, "no", None):
        with pytest.raises(SettingError, match="maximize to be True or False"):
            start(row, 1, maximize=maximize)
    with pytest.raises(UnknownSettingError, match="n_paralel"):
        start(row, 1, n_paralel=2)
    with pytest.raises(TypeError):
        start(row, 1, n_paralel=2)
    with pytest.raises(AttributeError):
        one.n_parallel = 5


@rows
def test_bad_input_gets_one_sentence(row):
    state, search = start(row, 2)
    params = search.get_next_params(state, KEY)
    other = hj.RandomSearch.init({"z": hj.LinearSpace(0.0, 1.0)}, n_parallel=2)
    foreign = other[1].get_next_params(other[0], KEY)
    with pytest.raises(ParamsError, match="structure of the search space"):
        search.update_state(state, KEY, jnp.zeros(2), foreign)
    with pytest.raises(ParamsError, match=r"shape \(2,\).*got \(3,\)"):
        search.update_state(state, KEY, jnp.zeros(3), params)
    for results in (["a", "b"], ["1.0", "2.0"], np.asarray([1j, 2.0])):
        with pytest.raises(ParamsError, match="numbers for results"):
            search.update_state(state, KEY, results, params)
    if not isinstance(search, hj.RandomSearch):
        with pytest.raises(StateError, match="RandomSearchState"):
            search.get_next_params(other[0], KEY)
        with pytest.raises(StateError, match="RandomSearchState"):
            search.optimize_scan(other[0], KEY, zoo.loss, 2)
    for bad, message in [
        (lambda params: 0.0, r"fn\(key, config\)"),
        (lambda key, params: jnp.zeros(2), r"got shape \(2,\)"),
        (lambda key, params: {"loss": jnp.zeros(())}, "got a dict"),
        (lambda key, params: jnp.bool_(True), "dtype bool"),
        (lambda key, params: float(jax.tree.leaves(params)[0]), "python_loop"),
        (lambda key, params: np.sin(jax.tree.leaves(params)[0]), "python_loop"),
    ]:
        with pytest.raises(ObjectiveError, match=message):
            search.optimize_scan(state, KEY, bad, 2)
        with pytest.raises(ObjectiveError, match=message):
            search.optimize(state, KEY, bad, 2)
    for settings, message in [
        ({"n_iterations": -1}, "n_iterations"),
        ({"first_trial": 2**30}, "first_trial < 1073741824"),
        ({"evaluate": 3}, "evaluate to be a function, got 3"),
        ({"callback": "print"}, "callback to be a function, got 'print'"),
    ]:
        with pytest.raises(SettingError, match=message):
            search.optimize(state, KEY, zoo.loss, **{"n_iterations": 2, **settings})
    raw = jnp.zeros(3, jnp.uint32)
    for key in (0, None, jax.random.split(KEY, 2), jnp.zeros(2), raw):
        for run in (search.optimize, search.optimize_scan):
            with pytest.raises(ParamsError, match="expected one key"):
                run(state, key, zoo.loss, 2)


@rows
def test_a_stack_of_studies_is_refused_outside_of_vmap(row):
    state, search = start(row, 2)
    params = search.get_next_params(state, KEY)
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), state)
    uses = [
        lambda: search.get_next_params(stack, KEY),
        lambda: search.update_state(stack, KEY, jnp.zeros(2), params),
        lambda: search.optimize(stack, KEY, zoo.loss, 2),
        lambda: search.optimize_scan(stack, KEY, zoo.loss, 2, start_points=params),
    ]
    if isinstance(search, hj.BayesianSearch):
        uses += [
            lambda: search.best_params(stack),
            lambda: search.best_result(stack),
            lambda: search.recommend(stack),
            lambda: search.posterior(stack, params),
        ]
    for use in uses:
        with pytest.raises(StateError, match=r"got a stack of studies; use jax\.vmap"):
            use()
    one = jax.tree.map(lambda leaf: leaf[1], stack)
    assert_equal(search.get_next_params(one, KEY), params)


@rows
def test_callbacks_see_every_batch_and_can_stop(row):
    state, search = start(row, 2)
    seen = []

    def callback(event):
        seen.append(event)
        return len(seen) == 3

    state, (params, results) = search.optimize(
        state, KEY, zoo.loss, N_BATCHES, callback=callback
    )
    assert len(seen) == len(params) == len(results) == 3
    assert [list(e.trials) for e in seen] == [[0, 1], [2, 3], [4, 5]]
    assert seen[-1].best_result == max(float(r.max()) for r in results)
    best, result = hj.best_trial(params, results, maximize=True)
    assert result == seen[-1].best_result
    assert_equal(best, seen[-1].best_params)
    assert all(e.seconds > 0 for e in seen)
    assert_equal(seen[-1].state, state)

    def broken(event):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        search.optimize(state, KEY, zoo.loss, 1, callback=broken)


@pytest.mark.parametrize("answer", [np.True_, jnp.asarray(True)])
def test_a_callback_stops_by_any_kind_of_true(answer):
    state, search = hj.RandomSearch.init(zoo.mixed_space(), n_parallel=2)
    _, (_, results) = search.optimize(
        state, KEY, zoo.loss, 3, callback=lambda event: answer
    )
    assert len(results) == 1


@pytest.mark.parametrize("answer", [1, 12.5, "written", np.asarray(3), np.False_])
def test_a_callback_does_not_stop_by_what_it_happens_to_return(answer):
    state, search = hj.RandomSearch.init(zoo.mixed_space(), n_parallel=2)
    _, (_, results) = search.optimize(
        state, KEY, zoo.loss, 3, callback=lambda event: answer
    )
    assert len(results) == 3


@rows
def test_what_ends_a_run_carries_the_batches_before_it(row):
    state, search = start(row, 2)
    whole, (params, results) = search.optimize(state, KEY, zoo.loss, 2)

    def interrupt(event):
        if event.trials[0] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        search.optimize(state, KEY, zoo.loss, N_BATCHES, callback=interrupt)
    kept, (params_kept, results_kept) = caught.value.study
    assert_equal((kept, params_kept, results_kept), (whole, params, results))
    assert "2 batch(es)" in caught.value.__notes__[0]

    def at_once(key, params):
        raise OverflowError

    with pytest.raises(OverflowError) as none_before:
        search.optimize(state, KEY, at_once, 1)
    kept, histories = none_before.value.study
    assert_equal(kept, state)
    assert histories == ([], [])
    assert "batch(es)" not in "".join(getattr(none_before.value, "__notes__", []))


def test_what_ends_a_study_within_a_study_carries_the_outer_one():
    space = {"x": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.RandomSearch.init(space, n_parallel=1)

    calls = []

    def inner(key, params):
        calls.append(params)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.0

    def outer(key, params):
        return search.optimize(state, key, inner, 3, evaluate=hj.python_loop)

    with pytest.raises(KeyboardInterrupt) as caught:
        search.optimize(state, KEY, outer, 1, evaluate=hj.python_loop)
    assert caught.value.study[1] == ([], [])


def test_callbacks_of_a_search_that_minimises_see_the_least_result():
    space = zoo.mixed_space()
    state, search = hj.RandomSearch.init(space, n_parallel=2, maximize=False)
    seen = []
    _, (params, results) = search.optimize(
        state, KEY, zoo.loss, 3, callback=lambda event: seen.append(event)
    )
    assert seen[-1].best_result == min(float(r.min()) for r in results)
    best, _ = hj.best_trial(params, results, maximize=False)
    assert_equal(best, seen[-1].best_params)


@rows
def test_python_objectives_run_trial_by_trial(row):
    calls = []

    def objective(key, params):
        numbers = [float(leaf) for leaf in jax.tree.leaves(params)]
        calls.append(numbers)
        return sum(numbers)

    state, search = start(row, 2)
    _, (params, results) = search.optimize(
        state, KEY, objective, 3, evaluate=hj.python_loop
    )
    assert len(calls) == 6
    np.testing.assert_allclose(np.concatenate(results), [sum(c) for c in calls], 1e-6)


@rows
def test_no_iterations_is_no_work(row):
    state, search = start(row, 2)
    same, (params, results) = search.optimize(state, KEY, zoo.loss, 0)
    assert (params, results) == ([], [])
    assert_equal(same, state)
    same, (params, results) = search.optimize_scan(state, KEY, zoo.loss, 0)
    assert results.shape == (0, 2)
    assert all(a.shape == (0, 2) for a in jax.tree.leaves(params))


def some_points(space, m):
    """`m` points of a space, as a batch and as a list."""
    points = hj.spaces.sample(space, jax.random.key(2), m)
    listed = [jax.tree.map(lambda a, i=i: a[i], points) for i in range(m)]
    return points, listed


@exact_rows
def test_start_points_come_first_and_are_trials_like_others(row):
    m = 3
    state, search = start(row, 2)
    points, listed = some_points(state.space, m)
    scanned, (p_scan, r_scan) = search.optimize_scan(
        state, KEY, zoo.loss, N_BATCHES, start_points=points
    )
    looped, (params, results) = search.optimize(
        state, KEY, zoo.loss, N_BATCHES, start_points=listed
    )
    assert_equal(looped, scanned)
    assert_equal(jnp.stack(results), r_scan)
    assert_equal(jax.tree.map(lambda *a: jnp.stack(a), *params), p_scan)
    first = jax.tree.map(lambda a: a.reshape(-1)[:m], p_scan)
    assert_equal(first, points)
    assert jax.tree.map(lambda a: a.dtype, first) == jax.tree.map(
        lambda a: a.dtype, points
    )
    key_of_2 = jax.random.fold_in(KEY, 2)
    alone = zoo.loss(key_of_2, jax.tree.map(lambda a: a[2], points))
    np.testing.assert_allclose(r_scan.reshape(-1)[2], alone, rtol=1e-5)
    if row.remembers:
        assert int(search.n_told(scanned)) == 2 * N_BATCHES
    # What follows is new, and nothing is lost: the rest of the batch is a proposal.
    columns = [np.asarray(a).reshape(-1) for a in jax.tree.leaves(p_scan)]
    assert len(np.unique(np.stack(columns, 1), axis=0)) == 2 * N_BATCHES


@rows
def test_start_points_are_checked(row):
    state, search = start(row, 2)
    points, listed = some_points(state.space, 3)
    for run in (search.optimize, search.optimize_scan):
        for bad, message in [
            (
                jax.tree.map(lambda a: a + 1000, points),
                r"number 0 of 3 with .* outside: ",
            ),
            ({"z": jnp.zeros(3)}, r"structure of the search space.*with the unknown z"),
            (object(), "got one object; of a table, give a dict of its columns"),
            ({}, r"structure of the search space.*, without "),
            ([*listed, {"z": 0.0}], "structure of the search space"),
            ([], "at least one point"),
        ]:
            with pytest.raises(ParamsError, match=message):
                run(state, KEY, zoo.loss, 4, start_points=bad)
        with pytest.raises(SettingError, match=r"at least 2 .* of 2 for 3 .* got 1"):
            run(state, KEY, zoo.loss, 1, start_points=points)


@pytest.mark.slow
@rows
def test_start_points_may_be_traced(row):
    state, search = start(row, 2)
    points, _ = some_points(state.space, 2)

    @eqx.filter_jit
    def study(state, points):
        return search.optimize_scan(
            state, KEY, zoo.loss, 1, start_points=points, first_trial=0
        )[1][0]

    assert_equal(jax.tree.map(lambda a: a[0], study(state, points)), points)


@pytest.mark.slow
@rows
def test_progress_bars_change_nothing(row):
    state, search = start(row, 2)
    plain, _ = search.optimize_scan(state, KEY, zoo.loss, 3)
    barred, _ = search.optimize_scan(state, KEY, zoo.loss, 3, progress_bar=True)
    looped, _ = search.optimize(state, KEY, zoo.loss, 3, progress_bar=True)
    assert_equal(plain, barred)
    assert_equal(plain, looped)
