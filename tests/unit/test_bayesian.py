"""BayesianSearch beyond the shared contract."""

import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperopt_jax as hj
from hyperopt_jax import spaces
from hyperopt_jax.bayesian._targets import targets_of
from hyperopt_jax.bayesian._tell import MAX_REFITS, _refits_due
from hyperopt_jax.errors import (
    AllFailedWarning,
    BufferFullWarning,
    OutsideBoundsWarning,
    ParamsError,
    SettingError,
    SpaceError,
    StateError,
)
from hyperopt_jax.spaces import Codec
from tests import zoo
from tests.compiled import n_compiled
from tests.zoo import FAST

KEY = jax.random.key(3)
UNIT = {"x": hj.LinearSpace(0.0, 1.0)}


def study(space, n_max, **settings):
    return hj.BayesianSearch.init(space, n_max, **FAST | settings)


@pytest.mark.parametrize("n_max", [96, 100, 1100])
@pytest.mark.parametrize(("n_parallel", "n_pending"), [(7, 0), (1, 3), (7, 3)])
def test_models_of_a_batch_have_whole_multiples_of_rows(n_max, n_parallel, n_pending):
    state, search = hj.BayesianSearch.tuned(UNIT, n_max, n_parallel=n_parallel)
    pending = {"x": jnp.zeros(n_pending)} if n_pending else None
    ask = jax.make_jaxpr(lambda s: search.get_next_params(s, KEY, pending=pending))
    factored = re.findall(r"f32\[(?:2,)?(\d+),\1\] = cholesky", str(ask(state)))
    assert factored
    assert not any(int(rows) % 16 for rows in factored)


def told(state, search, values, results):
    params = {"x": jnp.asarray(values)}
    return search.update_state(state, KEY, jnp.asarray(results), params)


class Total(hj.BaseAcquisition):
    """One number in place of a score a point."""

    def evaluate(self, mean, std, y_max):
        return mean.sum()


def flat_objective(key, params):
    return jnp.zeros(())


def test_other_names_and_choices_are_no_new_program():
    def told_and_asked(name, choices):
        space = {name: hj.LinearSpace(0.0, 1.0), "z": hj.ChoiceSpace(choices)}
        state, search = study(space, 6, n_parallel=1)
        params = {name: jnp.asarray([0.5]), "z": jnp.asarray([1], jnp.int32)}

        def once():
            after = search.update_state(state, KEY, jnp.ones(1), params)
            return search.get_next_params(after, KEY)

        return n_compiled(once)[1]

    assert told_and_asked("a", ["u", "v"]) > 0
    assert told_and_asked("b", [None, print]) == 0


def test_numbers_of_pending_trials_and_of_results_share_programs():
    state, search = study({"x": hj.LinearSpace(0.0, 1.0)}, 50, n_parallel=4)
    values = np.linspace(0.1, 0.9, 17)

    def asked(n_pending):
        pending = {"x": values[:n_pending]}
        return n_compiled(lambda: search.get_next_params(state, KEY, pending=pending))

    def told(n_results):
        params, results = {"x": values[:n_results]}, np.sin(values[:n_results])
        return n_compiled(lambda: search.update_state(state, KEY, results, params))

    assert asked(3)[1] > 0
    assert [asked(n)[1] for n in (0, 1, 7, 8)] == [0] * 4
    assert asked(9)[1] > 0
    assert told(3)[1] > 0
    assert [told(n)[1] for n in (1, 2, 4)] == [0] * 3
    assert told(5)[1] > 0
    assert [told(n)[1] for n in (6, 15, 16)] == [0] * 3
    for n in (1, 4, 6):
        after, _ = told(n)
        np.testing.assert_array_equal(after.X[:, 0] != 0, np.arange(50) < n)
        np.testing.assert_array_equal(after.mask, np.arange(50) < n)
        assert not after.failed.any()


@pytest.mark.parametrize("n_warmup", [1, 99])
def test_none_of_an_empty_list_is_pending(n_warmup):
    state, search = study(
        {"n": hj.QLinearSpace(1, 9)}, 20, n_parallel=2, n_warmup=n_warmup
    )
    told = {"n": np.array([2, 5, 8])}
    state = search.update_state(state, KEY, [0.1, 0.7, 0.3], told)
    for key in jax.random.split(KEY, 3):
        alone = search.get_next_params(state, key)
        beside = search.get_next_params(state, key, pending=[])
        np.testing.assert_array_equal(alone["n"], beside["n"])


def test_state_holds_raw_values_and_results_zero_padded():
    space = {"a": hj.LogSpace(1e-3, 1.0), "b": hj.QLinearSpace(1, 9)}
    state, search = study(space, 6, n_parallel=2, maximize=False)
    params = {"a": jnp.array([0.5, 0.002]), "b": jnp.array([3, 9])}
    state = search.update_state(state, KEY, jnp.array([-7.0, 2.5]), params)
    np.testing.assert_allclose(state.X[:2], [[0.5, 3], [0.002, 9]], rtol=1e-6)
    np.testing.assert_array_equal(state.X[2:], np.zeros((4, 2)))
    np.testing.assert_array_equal(state.y, [-7.0, 2.5, 0, 0, 0, 0])
    np.testing.assert_array_equal(state.mask, [True, True] + [False] * 4)
    assert state.log_length_scale.shape == (2,)


def test_raw_tables_are_told_like_params():
    state, search = study(UNIT, 8, n_parallel=3)
    values, results = jnp.array([0.1, 0.5, 0.9]), jnp.array([1.0, 2.0, 0.0])
    by_params = told(state, search, values, results)
    by_table = search.update_state(state, KEY, results, values[:, None])
    assert eqx.tree_equal(by_params, by_table)
    with pytest.raises(ParamsError, match="1 parameters a row"):
        search.update_state(state, KEY, results, jnp.zeros((3, 2)))


def test_batches_of_any_length_are_told():
    state, search = study(UNIT, 8, n_parallel=2)
    state = told(state, search, [0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2, 3, 4, 5])
    assert int(state.mask.sum()) == 5
    state = told(state, search, [0.6], [9.0])
    assert float(search.best_result(state)) == 9.0
    np.testing.assert_allclose(search.best_params(state)["x"], 0.6, rtol=1e-6)


def test_a_full_buffer_keeps_what_it_has_first_results_first():
    state, search = study(UNIT, 3, n_parallel=2)
    state = told(state, search, [0.1, 0.2], [1.0, 2.0])
    assert hj.Status(int(state.status)) == hj.Status.OK
    with pytest.warns(BufferFullWarning, match="holds 2 of at most 3"):
        state = told(state, search, [0.3, 0.4], [3.0, 4.0])
    np.testing.assert_array_equal(state.y, [1.0, 2.0, 3.0])
    assert hj.Status(int(state.status)) == hj.Status.BUFFER_FULL
    assert "n_max" in hj.Status.BUFFER_FULL.sentence
    with pytest.warns(BufferFullWarning, match="not kept"):
        again = told(state, search, [0.5, 0.6], [5.0, 6.0])
    assert eqx.tree_equal(again, state)


def test_history_is_what_was_told():
    space = UNIT | {"act": hj.ChoiceSpace(["relu", None]), "c": hj.FixedSpace(2.0)}
    state, search = study(space, 8, n_parallel=2)
    params, results = search.history(state)
    assert params["x"].shape == results.shape == (0,)
    told_params = {
        "x": jnp.asarray([0.1, 0.2, 0.3]),
        "act": jnp.asarray([1, 0, 1]),
        "c": jnp.full(3, 2.0),
    }
    told_results = np.asarray([1.0, np.nan, 3.0], np.float32)
    state = search.update_state(state, KEY, told_results, told_params)
    params, results = search.history(state)
    np.testing.assert_array_equal(results, told_results)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, params, told_params))
    assert hj.best_trial(params, results)[1] == 3.0
    assert hj.decode_choices(space, params)[0] == {"x": 0.1, "act": None, "c": 2.0}
    # A study that is not full yet is told to a larger one, failed trials and all.
    larger, search = study(space, 12, n_parallel=2)
    larger = search.update_state(larger, KEY, results, params)
    assert search.n_told(larger) == 3
    np.testing.assert_array_equal(search.history(larger)[1], told_results)
    with pytest.raises(ParamsError, match="traced"):
        jax.jit(search.history)(state)


def test_none_iterations_fill_the_buffer_and_a_full_one_runs_none():
    objective = lambda key, p: p["x"]  # noqa: E731
    state, search = study(UNIT, 7, n_parallel=3)
    full, (params, results) = search.optimize_scan(state, KEY, objective)
    assert results.shape == (3, 3)
    assert bool(full.mask.all())
    same, (params, results) = search.optimize_scan(full, KEY, objective)
    assert results.shape == (0, 3)
    assert eqx.tree_equal(same, full)
    same, (params, results) = search.optimize(full, KEY, objective)
    assert (params, results) == ([], [])

    @eqx.filter_jit
    def traced(state):
        return search.optimize_scan(state, KEY, objective)[1][1]

    assert traced(state).shape == (3, 3)


def test_histories_keep_the_whole_last_batch():
    state, search = study(UNIT, 4, n_parallel=3)
    full, (params, results) = search.optimize(state, KEY, lambda key, p: p["x"])
    assert [r.shape for r in results] == [(3,), (3,)]
    np.testing.assert_array_equal(full.y, np.concatenate(results)[:4])


def test_next_params_after_params_given():
    state, search = study(UNIT, 8, n_parallel=1)
    params, results = {"x": jnp.array([0.25])}, jnp.array([1.0])
    later = search.update_state(state, KEY, results, params)
    expected = search.get_next_params(later, KEY)
    given = search.get_next_params(state, KEY, params, results)
    np.testing.assert_array_equal(given["x"], expected["x"])
    with pytest.raises(ParamsError, match="together"):
        search.get_next_params(state, KEY, params=params)


def test_length_scales_start_at_the_kernels_and_are_tuned():
    kernel = hj.Matern(length_scale=0.5, nu=2.5)
    state, search = study(UNIT, 20, n_parallel=4, kernel=kernel)
    np.testing.assert_allclose(state.log_length_scale, np.log(0.5), rtol=1e-6)
    x = jnp.linspace(0, 1, 4)
    tuned = told(state, search, x, jnp.sin(9 * x))
    assert float(jnp.abs(tuned.log_length_scale - state.log_length_scale)[0]) > 1e-3
    state, search = study(UNIT, 20, n_parallel=4, kernel=kernel, n_hparam_steps=0)
    kept = told(state, search, x, jnp.sin(9 * x))
    np.testing.assert_array_equal(kept.log_length_scale, state.log_length_scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["periodic", "sum", "nested"])
def test_made_up_kernels_are_searched_with_and_tuned(name):
    space = UNIT | {"kind": hj.ChoiceSpace(["a", "b", "c"])}
    kernel = zoo.KERNELS[name]
    state, search = study(space, 12, n_parallel=2, kernel=kernel)
    np.testing.assert_allclose(
        state.log_length_scale, np.log(kernel.length_scale), rtol=1e-6
    )
    state, (params, _) = search.optimize_scan(
        state, KEY, lambda key, p: jnp.sin(9 * p["x"])
    )
    assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves((state, params)))
    assert float(search.best_result(state)) > 0.97
    assert not np.allclose(state.log_length_scale, np.log(kernel.length_scale))


def test_hyperparameters_are_refitted_on_a_geometric_schedule():
    due = [n for n in range(1, 200) if _refits_due(jnp.int32(n - 1), jnp.int32(n))]
    assert due[:6] == [2, 3, 4, 5, 6, 7]
    assert 4 * np.log2(200) - 6 <= len(due) <= 4 * np.log2(200)
    assert max(b / a for a, b in itertools.pairwise(due[6:])) < 1.3


def test_a_batch_tunes_as_often_as_its_trials_would():
    def due(before, after):
        return int(_refits_due(jnp.int32(before), jnp.int32(after)))

    one_by_one = sum(due(n - 1, n) for n in range(5, 9))
    assert due(4, 8) == one_by_one == 4
    assert due(100, 104) == sum(due(n - 1, n) for n in range(101, 105))
    assert [due(0, 3), due(7, 7)] == [3, 0]
    assert due(0, 5000) == MAX_REFITS


def test_hyperparameters_of_a_study_told_at_once_are_those_of_the_study():
    state, search = hj.BayesianSearch.tuned(UNIT, 64, n_parallel=1)
    first = state
    state, history = search.optimize_scan(
        state, KEY, lambda key, p: jnp.sin(9 * p["x"]), 40
    )
    at_once = search.update_state(first, KEY, history[1], history[0])
    # Without noise; a single fit ends above a hundredth of the variance.
    assert float(state.log_noise) < -7.0
    assert float(at_once.log_noise) < -7.0


@pytest.mark.parametrize("results", [[5.0, 5.0, 5.0], [1e30, 1e30, 1e30], [0.0] * 3])
def test_equal_results_are_no_trouble(results):
    state, search = study(UNIT, 8, n_parallel=3)
    state = told(state, search, [0.2, 0.5, 0.9], results)
    assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves(state))
    params = search.get_next_params(state, KEY)
    assert bool(((params["x"] >= 0) & (params["x"] <= 1)).all())


def test_duplicates_by_the_dozen_are_no_trouble():
    state, search = study(UNIT, 40, n_parallel=1)
    state = told(state, search, [0.5] * 30, [1.0, 2.0, 3.0] * 10)
    assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves(state))
    assert bool(jnp.isfinite(search.get_next_params(state, KEY)["x"]).all())


def test_values_from_outside_the_bounds_are_told_with_a_warning():
    space = {"x": hj.LogSpace(1e-3, 1.0)}
    state, search = study(space, 8, n_parallel=3)
    with pytest.warns(OutsideBoundsWarning, match=r"\(2 of x\)") as caught:
        state = told(state, search, [5.0, -1.0, 0.1], [1.0, 2.0, 3.0])
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(state.X[:3, 0], np.float32([5.0, -1.0, 0.1]))
    assert float(search.best_result(state)) == 3.0
    assert bool(jnp.isfinite(search.get_next_params(state, KEY)["x"]).all())


BEYOND = {
    "log": (hj.LogSpace(1e-3, 1.0), -1.0, 1e-3),
    "log steps": (hj.LogSpace(1e-3, 1.0, step=1e-3), 0.0, 1e-3),
    "whole log": (hj.QLogSpace(1, 64), -3.0, 1.0),
    "log normal": (hj.LogNormalSpace(1e-3, 10.0, 1e-6, 1.0), -1.0, 1e-6),
    "reverse log": (hj.ReverseLogSpace(0.5, 0.999), 1.2, 0.999),
    "logit low": (hj.LogitSpace(0.1, 0.9), -1.0, 0.1),
    "logit high": (hj.LogitSpace(0.1, 0.9), 1.5, 0.9),
    "linear": (hj.LinearSpace(0.0, 1.0), 7.0, 1.0),
    "whole": (hj.QLinearSpace(0, 5), -2.0, 0.0),
}


@pytest.mark.parametrize("name", BEYOND)
def test_the_model_takes_values_from_outside_for_the_nearest_inside(name):
    """Also those of which the place in the cube would be no number."""
    own, beyond, nearest = BEYOND[name]
    space = {"x": hj.VectorSpace(own, 2)}
    middle = float(own.decode(jnp.asarray(0.4)))
    told = [[[beyond, middle]], [[nearest, middle]]]
    places = [spaces.encode(space, {"x": jnp.asarray(X)}) for X in told]
    np.testing.assert_allclose(*places, atol=1e-6)


def test_a_state_of_another_precision_is_refused(x64):
    with jax.enable_x64(False):
        state, search = study(UNIT, 8)
    with pytest.raises(StateError, match="float64, JAX's precision now"):
        search.optimize(state, KEY, lambda key, p: p["x"])


def test_there_is_no_such_warning_in_a_trace():
    state, search = study(UNIT, 8, n_hparam_steps=0)
    table = jnp.full((3, 1), 7.0)
    tell = eqx.filter_jit(lambda s, X: search.update_state(s, KEY, jnp.zeros(3), X))
    assert int(tell(state, table).mask.sum()) == 3


def test_finite_spaces_are_searched_without_repeats():
    space = {"a": hj.QLinearSpace(0, 3), "b": hj.DiscreteSpace([8, 16, 4])}
    for start in (hj.BayesianSearch.init, hj.BayesianSearch.tuned):
        state, search = start(space, 12, n_parallel=2, **FAST)
        _, (params, _) = search.optimize_scan(
            state, KEY, lambda key, p: (p["a"] * p["b"]).astype(jnp.float32)
        )
        pairs = {
            (int(a), int(b))
            for a, b in zip(params["a"].ravel(), params["b"].ravel(), strict=True)
        }
        assert len(pairs) == 12


CELLS = hj.QLinearSpace(0, 4)
LARGE_FINITE = {
    # Each holds more points than there are candidates, and inactive or forbidden ones.
    "conditional": {
        # The first parameter varies fastest: most numbers are one point here.
        "a": hj.ConditionalSpace(
            {"tree": {"depth": CELLS, "leaves": CELLS}, "none": {}, "line": {}}
        ),
        "b": hj.BooleanSpace(),
    },
    "constrained": hj.ConstrainedSpace(
        {"x": CELLS, "y": CELLS, "z": CELLS}, lambda p: p["x"] + p["y"] + p["z"] == 5
    ),
    "both": hj.ConstrainedSpace(
        {"a": hj.ConditionalSpace({"few": {"n": CELLS}, "none": {}}), "m": CELLS},
        lambda p: p["m"] != 1,
    ),
}


@pytest.mark.parametrize(
    ("name", "n_parallel"),
    [
        ("both", 1),
        pytest.param("conditional", 1, marks=pytest.mark.slow),
        pytest.param("constrained", 3, marks=pytest.mark.slow),
    ],
)
def test_every_point_of_a_structured_space_comes_once(name, n_parallel):
    space = LARGE_FINITE[name]
    size = int(spaces.size(space))
    settings = dict(FAST, n_candidates=8, n_parallel=n_parallel)
    state, search = hj.BayesianSearch.init(space, size + 3, **settings)
    n_batches = size // n_parallel + 1
    state, _ = search.optimize_scan(state, KEY, flat_objective, n_batches)
    rows = np.asarray(Codec(space).encode(state.X[: n_batches * n_parallel]))
    assert size > 16
    assert len(np.unique(rows[:size], axis=0)) == size
    assert hj.Status(int(state.status)) is hj.Status.EXHAUSTED


def test_an_exhausted_space_is_searched_where_it_is_best():
    space = {"n": hj.QLinearSpace(1, 3), "c": hj.ChoiceSpace(["a", "b"])}
    state, search = hj.BayesianSearch.tuned(space, 16, n_parallel=2, **FAST)
    objective = lambda key, p: p["c"] - (p["n"] - 2.0) ** 2  # noqa: E731
    with jax.numpy_dtype_promotion("standard"):
        state, (params, results) = search.optimize_scan(state, KEY, objective)
    assert hj.Status(int(state.status)) is hj.Status.EXHAUSTED
    assert sorted(np.ravel(results[:3]).tolist()) == [-1, -1, 0, 0, 0, 1]
    assert (results[3:] == 1).all()  # without noise nothing else can be better


def test_bounds_of_another_precision_are_refused():
    space = {"x": hj.LinearSpace(0.0, 1.0)}
    with (
        jax.enable_x64(True),
        pytest.raises(SpaceError, match="float64, got float32"),
    ):
        hj.BayesianSearch.tuned(space, 8)


def test_results_may_be_a_list_of_tracers():
    state, search = study(UNIT, 8, n_parallel=2)

    @jax.jit
    def tell(x):
        return search.update_state(state, KEY, [x, 2 * x], {"x": [x, x / 2]}).y[:2]

    assert tell(0.5).tolist() == [0.5, 1.0]


def test_a_trial_told_again_does_not_exhaust_a_space():
    state, search = study({"x": hj.QLinearSpace(0, 3)}, 8, n_parallel=2)
    state = told(state, search, [1, 1, 2], [0.0, 1.0, 2.0])
    assert hj.Status(int(state.status)) is hj.Status.OK
    state = told(state, search, [0, 3], [0.0, 1.0])
    assert hj.Status(int(state.status)) is hj.Status.OK
    state = told(state, search, [2], [0.0])
    assert hj.Status(int(state.status)) is hj.Status.EXHAUSTED


def test_random_warm_up_is_random_in_small_finite_spaces_too():
    space = {"n": hj.QLinearSpace(0, 9)}
    state, search = study(space, 10, n_parallel=1)
    keys = jax.random.split(KEY, 200)
    draws = [int(search.get_next_params(state, key)["n"][0]) for key in keys]
    counts = np.bincount(draws, minlength=10)
    # Chi-square with 9 degrees of freedom: 27.9 is the 99.9 % quantile.
    assert ((counts - 20) ** 2 / 20).sum() < 27.9, counts


def test_results_at_both_ends_of_the_float_range_are_no_trouble():
    state, search = study(UNIT, 8, n_parallel=4)
    state = told(state, search, [0.1, 0.4, 0.6, 0.9], [3e38, -3e38, 0.0, 1e38])
    assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves(state))
    assert bool(jnp.isfinite(targets_of(state.trials, True, 0.25).t).all())
    assert bool(jnp.isfinite(search.get_next_params(state, KEY)["x"]).all())


def test_log_spaces_are_explored_in_every_decade():
    space = {"lr": hj.LogSpace(1e-6, 1e-1)}
    state, search = hj.BayesianSearch.tuned(space, 24, n_parallel=4)
    flat = lambda key, p: jnp.zeros(())  # noqa: E731
    _, (params, _) = search.optimize_scan(state, KEY, flat)
    decades = np.floor(np.log10(np.asarray(params["lr"]).ravel()))
    assert len(np.unique(decades)) >= 5


def test_batch_slots_differ():
    state, search = hj.BayesianSearch.tuned(UNIT, 40, n_parallel=8, **FAST)
    _, (params, _) = search.optimize_scan(
        state, KEY, lambda key, p: -((p["x"] - 0.3) ** 2), 3
    )
    for batch in np.asarray(params["x"]):
        assert len(np.unique(batch)) == 8


def test_spread_design_starts_at_the_centre_and_keeps_its_distance():
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(-1.0, 1.0)}
    state, search = hj.BayesianSearch.tuned(space, 40, n_parallel=8, n_warmup=8)
    params = search.get_next_params(state, KEY)
    points = np.stack([params["x"], (params["y"] + 1) / 2], 1)
    np.testing.assert_allclose(points[0], 0.5)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert gaps[~np.eye(8, dtype=bool)].min() > 0.2
    # The centres of eight equal squares keep half of 8^(-1/2) away from the edges.
    side = 8**-0.5
    assert np.all(np.abs(points - 0.5) <= (1 - side) / 2 + 1e-6)
    assert np.abs(points - 0.5).max() > (1 - side) / 4


def test_what_follows_a_design_that_failed_may_lie_anywhere():
    space = {f"x{i}": hj.LinearSpace(0.0, 1.0) for i in range(6)}
    space["kind"] = hj.ChoiceSpace(["a", "b", "c"])
    state, search = hj.BayesianSearch.tuned(space, 80, n_parallel=1)
    n = search.n_warmup
    state, _ = search.optimize_scan(state, KEY, lambda key, p: jnp.nan, 40)
    params, results = search.history(state)
    assert np.isnan(results).all()
    away = np.abs(np.stack([params[f"x{i}"] for i in range(6)], 1) - 0.5)
    width = 1 - n ** (-1 / 6)
    assert away[:n].max() <= width / 2 + 1e-6
    assert away[n:].max() > 0.45
    # Choices are not drawn together.
    assert len(np.unique(params["kind"][:n])) > 1


def test_best_of_nothing_is_worse_than_anything():
    for maximize, expected in ((True, -np.inf), (False, np.inf)):
        state, search = study(UNIT, 4, maximize=maximize)
        assert float(search.best_result(state)) == expected
        assert float(jax.jit(search.best_result)(state)) == expected


def test_any_callable_can_hallucinate():
    def liar(mean, std, key, y_max):
        return y_max - 1.0

    state, search = study(UNIT, 12, n_parallel=4, hallucination=liar)
    state, _ = search.optimize_scan(state, KEY, lambda key, p: p["x"])
    assert bool(state.mask.all())


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        ({"hallucination": lambda *_: None}, "one number, got None"),
        (
            {"hallucination": lambda mean, *_: jnp.stack([mean, mean])},
            r"shape \(2, 1\)",
        ),
        ({"acquisition": Total()}, r"each of \d+ points, got shape \(\)"),
    ],
)
def test_what_a_users_own_part_returns_is_checked(settings, got):
    state, search = study(UNIT, 4, n_parallel=2, n_warmup=1, **settings)
    with pytest.raises(SettingError, match=got):
        search.optimize_scan(state, KEY, lambda key, p: p["x"])


@pytest.mark.filterwarnings("error")
def test_results_beyond_the_dtype_are_failed_trials_without_a_warning():
    state, search = study(UNIT, 4, n_parallel=1)
    state = search.update_state(state, KEY, [1e39], {"x": [0.5]})
    assert int(search.n_told(state)) == 1
    assert not bool(jnp.isfinite(search.best_result(state)))
    run = lambda key, p: 1e300  # noqa: E731
    _, (_, results) = search.optimize(state, KEY, run, 1, evaluate=hj.python_loop)
    assert not np.isfinite(results[0])
    with pytest.raises(ParamsError, match="expected numbers for results"):
        search.update_state(state, KEY, [10**400], {"x": [0.5]})


def test_numeric_knobs_can_be_arrays_and_vmapped():
    def best(xi):
        search = hj.BayesianSearch(acquisition=hj.EI(xi=xi), n_parallel=1, **FAST)
        state, _ = study(UNIT, 6, n_parallel=1)
        state, _ = search.optimize_scan(state, KEY, lambda key, p: p["x"], 4)
        return search.best_result(state)

    out = jax.jit(jax.vmap(best))(jnp.array([0.0, 0.1, 1.0]))
    assert out.shape == (3,)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("n_candidates", 0, "n_candidates >= 1, got 0"),
        ("n_restarts", 0, "n_restarts >= 1, got 0"),
        ("n_lbfgs_steps", -1, "n_lbfgs_steps >= 0, got -1"),
        ("n_warmup", True, "whole number for n_warmup"),
        ("jitter", 0.0, "jitter"),
        ("ranked", 1.5, "ranked"),
        ("ranked", -0.5, "ranked"),
        ("n_greedy", -1, "n_greedy"),
        ("kernel", "matern", "kernel to be a BaseKernel"),
        ("acquisition", 3, "acquisition to be a BaseAcquisition"),
        ("hallucination", 3, "hallucination to be callable"),
        ("warmup", "sobol", "'random', 'spread'"),
        ("maximize", "yes", "maximize"),
    ],
)
def test_bad_settings_raise_at_construction(setting, value, message):
    with pytest.raises(SettingError, match=message):
        hj.BayesianSearch(**{setting: value})


def test_a_space_given_to_a_constructor_is_told_where_it_belongs():
    for search in (hj.BayesianSearch, hj.RandomSearch, hj.GridSearch):
        for space in (UNIT, UNIT["x"]):
            with pytest.raises(SettingError, match=r"no space for .* init\(space\)"):
                search(space)


def test_bad_sizes_raise():
    for n_max in (0, -3, 2.5):
        with pytest.raises(SettingError, match="n_max"):
            hj.BayesianSearch.init(UNIT, n_max)
        with pytest.raises(SettingError, match="n_max"):
            hj.BayesianSearch.tuned(UNIT, n_max)


def test_a_foreign_state_is_named():
    grid, _ = hj.GridSearch.init({"x": hj.QLinearSpace(0, 3)})
    _, search = study(UNIT, 4)
    for call in (
        lambda: search.get_next_params(grid, KEY),
        lambda: search.update_state(grid, KEY, jnp.zeros(1), {"x": jnp.zeros(1)}),
        lambda: search.best_result(grid),
        lambda: search.optimize(grid, KEY, lambda key, p: p["x"]),
    ):
        with pytest.raises(StateError, match="BayesianSearchState"):
            call()


def test_replace_changes_a_copy():
    state, _ = study(UNIT, 4)
    changed = state.replace(y=jnp.ones(4))
    assert float(changed.y.sum()) == 4.0
    assert float(state.y.sum()) == 0.0
    with pytest.raises(TypeError):
        state.replace(nothing=1)


@pytest.mark.parametrize(
    ("space", "n_local", "n_warmup"),
    [
        ({f"x{i}": hj.LinearSpace(0.0, 1.0) for i in range(7)}, 7, 5),
        ({f"x{i}": hj.LogSpace(0.1, 1.0) for i in range(30)}, 20, 5),
        ({"x": hj.LinearSpace(0.0, 1.0), "c": hj.FixedSpace(3)}, 1, 5),
    ],
)
def test_tuned_polishes_for_each_parameter_where_all_are_real_numbers(
    space, n_local, n_warmup
):
    _, search = hj.BayesianSearch.tuned(space, 60)
    assert (search.n_local, search.n_warmup) == (n_local, n_warmup)
    assert search.ranked == 0.25


@pytest.mark.parametrize(
    ("space", "n_local", "n_warmup"),
    [
        ({"x": hj.LinearSpace(0.0, 1.0), "n": hj.QLinearSpace(1, 9)}, 2, 5),
        ([hj.LinearSpace(0.0, 1.0) for _ in range(30)] + [hj.BooleanSpace()], 2, 10),
        ({f"c{i}": hj.ChoiceSpace(["a", "b"]) for i in range(7)}, 2, 8),
        (hj.ConditionalSpace({"a": {"x": hj.LinearSpace(0.0, 1.0)}, "b": {}}), 0, 5),
    ],
)
def test_tuned_polishes_less_where_some_are_discrete(space, n_local, n_warmup):
    _, search = hj.BayesianSearch.tuned(space, 60)
    assert (search.n_local, search.n_warmup) == (n_local, n_warmup)
    assert search.ranked == 0.5


def test_the_history_of_another_search_is_told_as_it_is():
    space = {
        "x": hj.LinearSpace(0.0, 1.0),
        "w": hj.VectorSpace(hj.LogSpace(1.0, 9.0), 2),
    }
    state, random = hj.RandomSearch.init(space, n_parallel=3)
    state, (params, results) = random.optimize_scan(
        state, KEY, lambda key, p: p["x"], 4
    )
    assert params["w"].shape == (4, 3, 2)
    told_flat, told_stacked, told_batches = (study(space, 16) for _ in range(3))
    flat = {"x": params["x"].reshape(-1), "w": params["w"].reshape(-1, 2)}
    batches = [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(4)]
    search = told_flat[1]
    states = [
        search.update_state(told_flat[0], KEY, results.reshape(-1), flat),
        search.update_state(told_stacked[0], KEY, results, params),
        search.update_state(told_batches[0], KEY, [*results], batches),
    ]
    assert eqx.tree_equal(*(one.trials for one in states))
    assert int(states[0].trials.n_recorded) == 12
    mean, _ = search.posterior(states[0], params)
    assert mean.shape == (12,)
    with pytest.raises(ParamsError, match=r"\(12,\), one for each of the params"):
        search.update_state(told_flat[0], KEY, results[:2], params)
    with pytest.raises(ParamsError, match=r"\(t, q\) in a history"):
        search.update_state(told_flat[0], KEY, results, {**params, "x": flat["x"]})


def test_told_pending_and_asked_about_as_lists_of_configurations():
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.BayesianSearch.tuned(space, n_max=8, n_parallel=2, n_warmup=2)
    listed = [{"x": 0.25, "y": 0.5}, {"x": 0.5, "y": 1.0}, {"x": 0.0, "y": 0.0}]
    batch = {"x": jnp.array([0.25, 0.5, 0.0]), "y": jnp.array([0.5, 1.0, 0.0])}
    key, results = jax.random.key(0), jnp.array([1.0, 2.0, 3.0])
    told = [search.update_state(state, key, results, p) for p in (listed, batch)]
    assert_same(*told)
    assert_same(*(search.posterior(told[0], p) for p in (listed, batch)))
    asked = [search.get_next_params(told[0], key, pending=p) for p in (listed, batch)]
    assert_same(*asked)
    # A pool that begins with nothing running.
    assert search.get_next_params(told[0], key, pending=[])["x"].shape == (2,)


def test_no_trial_has_no_best_one():
    state, search = hj.BayesianSearch.tuned({"lr": hj.LogSpace(1e-3, 1.0)}, n_max=4)
    for best in (search.best_params, search.recommend):
        with pytest.raises(ParamsError, match="at least one trial"):
            best(state)
        assert jax.jit(best)(state)["lr"].shape == ()
    assert search.best_result(state) == -jnp.inf
    failed = search.update_state(
        state, jax.random.key(0), [jnp.nan], [{"lr": jnp.asarray(0.5)}]
    )
    for best in (search.best_params, search.recommend):
        with pytest.warns(AllFailedWarning, match="got 1 failed trial"):
            assert best(failed)["lr"] == 0.5
        assert jax.jit(best)(failed)["lr"] == 0.5


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["corner", "mixed"])
def test_a_best_point_on_the_bounds_is_not_proposed_again(name):
    space, loss = {
        "corner": (
            {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)},
            lambda key, p: p["x"] + p["y"],
        ),
        "mixed": (
            {"x": hj.LogSpace(1e-4, 1.0), "n": hj.QLinearSpace(1, 4)},
            lambda key, p: 0.1 * p["n"].astype(float) - jnp.log10(p["x"]),
        ),
    }[name]
    settings = {"n_parallel": 4, "maximize": False}
    state, search = hj.BayesianSearch.tuned(space, n_max=32, **settings)
    end, _ = search.optimize_scan(state, KEY, loss)
    assert search.best_result(end) < 0.11
    assert len(np.unique(end.X, axis=0)) == 32

    state, search = hj.BayesianSearch.tuned(
        space, n_max=40, **settings | {"n_parallel": 1}
    )
    state, _ = search.optimize_scan(state, KEY, loss, 16)
    running = []
    for i in range(4):
        params = search.get_next_params(
            state, jax.random.fold_in(KEY, i), pending=running or None
        )
        running.append(jax.tree.map(lambda leaf: leaf[0], params))
    tried = spaces.encode(space, state.X[:16])
    points = np.concatenate([tried, spaces.encode(space, running)])
    assert len(np.unique(points, axis=0)) == 20


@pytest.mark.parametrize(
    ("results", "shown"),
    [(None, "None"), ([None, 1.0], r"\[None, 1.0\]"), (np.array([1.0, None]), "None")],
)
def test_a_forgotten_result_is_no_failed_trial(results, shown):
    state, search = hj.BayesianSearch.init({"x": hj.LinearSpace(0.0, 1.0)}, n_max=4)
    n = 1 if results is None else 2
    params = {"x": np.linspace(0.1, 0.9, n)}
    with pytest.raises(ParamsError, match=f"nan for a failed trial, got .*{shown}"):
        search.update_state(state, KEY, results, params)
