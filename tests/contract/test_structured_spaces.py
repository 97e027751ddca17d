"""Searches keep their contract on spaces with categories, conditions and constraints."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperopt_jax as hj
from hyperopt_jax import spaces
from hyperopt_jax.errors import SpaceError, Status
from tests import zoo

pytestmark = pytest.mark.slow

KEY = jax.random.key(11)
ROWS = [row for row in zoo.SEARCHES if row.name in ("random", "grid", "bayesian-tuned")]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def start(row, q=2, n_max=24, **settings):
    finite = zoo.finite_structured_space()
    space = finite if row.finite_only else zoo.structured_space()
    return row.start(space, n_max, n_parallel=q, **settings)


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.optimised
@rows
def test_loop_and_scan_are_one_and_stay_feasible(row):
    state, search = (
        start(row, 1, n_warmup=3)
        if row.remembers and not row.finite_only
        else start(row, 1)
    )
    scanned, (params, results) = search.optimize_scan(state, KEY, zoo.loss, 8)
    looped, (p_loop, r_loop) = search.optimize(state, KEY, zoo.loss, 8)
    assert_equal(scanned, looped)
    assert_equal(jax.tree.map(lambda *a: jnp.stack(a), *p_loop), params)
    assert_equal(jnp.stack(r_loop), results)
    flat = jax.tree.map(lambda a: a[:, 0], params)
    assert bool(spaces.contains(state.space, flat).all())
    dtypes = [
        leaf.dtype
        for leaf in jax.tree.leaves(
            spaces.unravel(state.space, jnp.zeros((1, spaces.n_columns(state.space))))
        )
    ]
    assert [leaf.dtype for leaf in jax.tree.leaves(params)] == dtypes
    assert np.isfinite(np.asarray(results)).all()
    best, result = hj.best_trial(params, results, maximize=False)
    assert result == float(results.min())
    assert jax.tree.structure(best) == jax.tree.structure(flat)


def test_random_studies_vmap_over_keys():
    state, search = start(ROWS[0], 2)

    def batch(key):
        return search.get_next_params(state, key)

    together = jax.jit(jax.vmap(batch))(jax.random.split(KEY, 2))
    for i in range(2):
        alone = jax.tree.map(lambda a, i=i: a[i], together)
        assert bool(spaces.contains(state.space, alone).all())


def test_every_kind_of_space_at_once():
    space = zoo.every_space()
    state, search = hj.BayesianSearch.init(
        space, 4, n_parallel=1, n_candidates=64, n_lbfgs_steps=0, n_hparam_steps=0
    )
    told = spaces.sample(space, KEY, 2)
    state = search.update_state(
        state, KEY, jax.vmap(zoo.loss, (None, 0))(KEY, told), told
    )
    params = search.get_next_params(state, KEY)
    assert bool(spaces.contains(space, params).all())
    configs = spaces.decode_choices(space, params)
    assert {c["fixed-object"] for c in configs} == {"adam"}
    assert state.X.shape[1] == spaces.n_columns(space)
    assert state.log_length_scale.shape == (spaces.n_groups(space),)


def test_small_finite_spaces_are_visited_point_by_point():
    space = zoo.finite_structured_space()
    size = int(spaces.size(space))
    assert size == 78
    row = next(row for row in zoo.SEARCHES if row.name == "bayesian")
    state, search = row.start(space, size, n_parallel=3, n_candidates=160)
    _, (params, _) = search.optimize_scan(state, KEY, zoo.loss)
    flat = jax.tree.map(lambda a: a.reshape(size, *a.shape[2:]), params)
    assert bool(spaces.contains(space, flat).all())
    table = np.asarray(spaces.ravel(space, flat))
    assert len(np.unique(table, axis=0)) == size


def test_a_thin_feasible_set_is_found_and_kept_to():
    space = hj.ConstrainedSpace(
        {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)},
        lambda p: jnp.abs(p["x"] - p["y"] ** 2) <= 1e-3,
    )
    state, search = hj.BayesianSearch.tuned(
        space, 20, n_parallel=1, maximize=False, **zoo.FAST
    )
    objective = lambda key, p: (p["x"] - 0.49) ** 2 + (p["y"] - 0.7) ** 2  # noqa: E731
    _, (params, results) = search.optimize_scan(state, KEY, objective)
    flat = jax.tree.map(lambda a: a[:, 0], params)
    assert bool(spaces.contains(space, flat).all())
    assert float(results.min()) < 1e-2


@pytest.mark.parametrize(
    "start",
    [
        hj.RandomSearch.init,
        lambda space: hj.GridSearch.init(space),
        hj.BayesianSearch.init,
        hj.BayesianSearch.tuned,
    ],
)
def test_an_empty_feasible_set_is_refused_at_the_start(start):
    space = hj.ConstrainedSpace({"x": hj.QLinearSpace(0, 3)}, lambda p: p["x"] > 5)
    with pytest.raises(SpaceError, match="none among 1048576 samples"):
        start(space)


@pytest.mark.optimised
def test_an_empty_feasible_set_behind_traced_bounds_is_a_status():
    def study(low):
        space = hj.ConstrainedSpace(
            {"x": hj.LinearSpace(low, 1.0)}, lambda p: p["x"] < 0
        )
        state, search = hj.BayesianSearch.init(
            space, 4, n_parallel=1, n_hparam_steps=0, n_candidates=16, n_lbfgs_steps=0
        )
        state, (params, _) = search.optimize_scan(state, KEY, lambda key, p: 1.0, 2)
        return state.status, params["x"], state.failed

    status, x, failed = eqx.filter_jit(eqx.filter_vmap(study))(jnp.asarray([-1.0, 0.5]))
    assert [Status(int(s)) for s in status] == [Status.OK, Status.INFEASIBLE]
    assert bool(jnp.all(x[0] < 0))
    assert bool(jnp.isnan(x[1]).all())
    assert failed.sum(axis=1).tolist() == [0, 2]  # whatever a constant objective says
    assert "two million samples" in Status.INFEASIBLE.sentence


WHOLE = {
    "whole": lambda high: hj.QLinearSpace(0, high),
    "logarithmic": lambda high: hj.QLogSpace(1, high),
    "array": lambda high: hj.VectorSpace(hj.QLinearSpace(0, high), 2),
    "order": lambda high: hj.PermutationSpace(3),
}


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("kind", "start"), [*((kind, "random") for kind in WHOLE), ("array", "bayesian")]
)
def test_whole_numbers_that_cannot_be_feasible_are_no_trials(kind, start):
    """An integer holds no NaN: 0 would be evaluated, and count as a success."""

    def study(high):
        space = hj.ConstrainedSpace(
            {"a": WHOLE[kind](high), "b": hj.QLinearSpace(0, high)},
            lambda p: jnp.max(p["a"]) + p["b"] >= 11,
        )
        if start == "random":
            state, search = hj.RandomSearch.init(space)
        else:
            state, search = hj.BayesianSearch.tuned(space, 4, n_parallel=1, **zoo.FAST)
        _, history = search.optimize_scan(state, KEY, lambda key, p: 1.0, 3)
        return history, getattr(state, "status", None)

    (params, results), _ = eqx.filter_jit(eqx.filter_vmap(study))(
        jnp.asarray([2.0, 9.0])
    )
    assert jnp.isnan(results[0]).all()
    assert (params["b"][0] == jnp.iinfo(jnp.int32).min).all()
    assert (results[1] == 1.0).all()
    assert (params["b"][1] >= 0).all()


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("leaf", "start"),
    [
        (hj.BooleanSpace, hj.RandomSearch.init),
        (hj.BooleanSpace, hj.BayesianSearch.init),
        (lambda: hj.QLinearSpace(0, 1, datatype=jnp.int8), hj.RandomSearch.init),
    ],
    ids=["truth-random", "truth-bayesian", "short-random"],
)
def test_what_cannot_be_marked_is_no_trial_either(leaf, start):
    def study(least):
        space = hj.ConstrainedSpace(
            {"a": leaf(), "b": leaf()}, A=[[-1.0, -1.0]], b=-least[None]
        )
        state, search = start(space, n_parallel=2)
        return search.optimize_scan(state, KEY, lambda key, p: 1.0, 2)[1]

    params, results = eqx.filter_jit(eqx.filter_vmap(study))(jnp.asarray([2.0, 3.0]))
    assert (results[0] == 1.0).all()
    assert params["a"][0].astype(bool).all()
    assert jnp.isnan(results[1]).all()


def test_whole_numbers_told_without_a_driver_are_lost_too():
    @jax.jit
    def study(high):
        space = hj.ConstrainedSpace(
            {"a": hj.QLinearSpace(0, high)}, lambda p: p["a"] >= 8
        )
        state, search = hj.BayesianSearch.tuned(space, 4, n_parallel=1, **zoo.FAST)
        params = search.get_next_params(state, KEY)
        return search.update_state(state, KEY, jnp.ones(1), params)

    state = study(3.0)
    assert Status(int(state.status)) == Status.INFEASIBLE
    assert state.failed.tolist() == [True, False, False, False]
    assert Status(int(study(9.0).status)) == Status.OK
