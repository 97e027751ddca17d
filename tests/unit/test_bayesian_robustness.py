"""BayesianSearch on records that are hard on its arithmetic.

Whatever has been told: no NaN in the state or in a proposal, and proposals in the space.
All cases share one structure and one buffer, so that few programs are compiled.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import hyperopt_jax as hj
from hyperopt_jax import history
from hyperopt_jax._numerics import cholesky
from hyperopt_jax.bayesian import _region as region, _state
from hyperopt_jax.bayesian._targets import targets_of
from hyperopt_jax.kernels import RadialKernel
from tests.zoo import FAST

KEY = jax.random.key(5)
N_MAX = 300
FULL = 64  # hyperparameters are tuned when this many trials are told

starts = pytest.mark.parametrize(
    "start",
    [
        pytest.param(hj.BayesianSearch.tuned, id="tuned"),
        pytest.param(hj.BayesianSearch.init, id="init", marks=pytest.mark.slow),
    ],
)


def space_of(low=0.0, high=1.0, log_low=1e-3, log_high=1.0):
    return {"x": hj.LinearSpace(low, high), "y": hj.LogSpace(log_low, log_high)}


def places(n, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, 2))


def hill(U):
    """An ordinary objective, on the unit square."""
    return -((U[:, 0] - 0.3) ** 2) - 0.5 * (U[:, 1] - 0.6) ** 2


def told(start, U, results, space=None, **settings):
    """A study of the points `U` of the unit square; the last one is told to it."""
    state, search = start(space or space_of(), N_MAX, n_parallel=2, **settings)
    n, rest = len(U), np.full((N_MAX - len(U), 2), 0.5)
    X = hj.spaces.decode(state.space, np.concatenate([U, rest]))
    results = jnp.asarray(results, jnp.result_type(float))
    table = jnp.stack([X["x"], X["y"]], axis=1)
    mask = jnp.arange(N_MAX) < n - 1
    failed = jnp.zeros(N_MAX, bool).at[:n].set(~jnp.isfinite(results)) & mask
    y = jnp.zeros(N_MAX, results.dtype).at[:n].set(results)
    state = state.replace(
        X=jnp.where(mask[:, None], table, 0.0),
        y=jnp.where(mask & ~failed, y, 0.0),
        mask=mask,
        failed=failed,
    )
    last = table[n - 1 : n]
    return search.update_state(state, KEY, results[n - 1 :], last), search


def assert_sound(state, search):
    """Nothing but numbers in the state, its beliefs and its proposals, in the space."""
    params = assert_proposals_are_sound(state, search)
    # Beyond the largest float a mean is infinite, and still no NaN.
    mean, std = search.posterior(state, params)
    assert not np.isnan(mean).any()
    assert (std >= 0).all()


def assert_proposals_are_sound(state, search):
    for leaf in jax.tree.leaves(state):
        assert np.isfinite(np.asarray(leaf, np.float64)).all()
    for i in range(2):
        params = search.get_next_params(state, jax.random.fold_in(KEY, i))
        for name, space in state.space.items():
            values = np.asarray(params[name])
            assert np.isfinite(values).all()
            assert (values >= np.asarray(space.lower_bound)).all()
            assert (values <= np.asarray(space.upper_bound)).all()
    return params


U = places(FULL)
STEPS = np.floor(4 * U[:, 0]) + np.floor(3 * U[:, 1])
RECORDS = {
    "one trial": (U[:1], [1.0]),
    "one failed trial": (U[:1], [np.nan]),
    "two trials": (U[:2], [1.0, 2.0]),
    "equal results": (U, np.full(FULL, 5.0)),
    "equal huge results": (U, np.full(FULL, -1e30)),
    "all failed": (U, np.full(FULL, np.nan)),
    "all but one failed": (U, np.where(np.arange(FULL) == 9, 1.0, np.inf)),
    "tiny results": (U, 1e-30 * hill(U)),
    "subnormal differences": (U[:2], [1.49199895e-36, 1.49197453e-36]),
    "the largest floats": (U[:5], [3e38, -3e38, 0.0, 3e38, 1.0]),
    "huge results": (U, 1e30 * hill(U)),
    "huge results of both signs": (U, 1e30 * np.sin(9 * U[:, 0])),
    "results of all sizes": (U, np.sin(9 * U[:, 0]) * 10.0 ** (60 * U[:, 1] - 30)),
    "a best result beyond all others": (
        U,
        np.where(np.arange(FULL) == 9, 1e30, U[:, 0]),
    ),
    "steps": (U, STEPS),
    "one point": (np.full((FULL, 2), 0.4), np.random.default_rng(1).normal(size=FULL)),
    "one point, one result": (np.full((FULL, 2), 0.4), np.ones(FULL)),
    "two corners": (np.repeat([[0.0, 0.0], [1.0, 1.0]], FULL // 2, 0), U[:, 0]),
    "a line": (np.stack([U[:, 0], np.full(FULL, 0.5)], 1), hill(U)),
    "a cluster": (0.5 + 1e-6 * U, hill(U)),
}


@starts
@pytest.mark.parametrize("name", RECORDS)
def test_any_record(start, name):
    assert_sound(*told(start, *RECORDS[name]))


LONG = {
    "duplicates": (np.full((256, 2), 0.4), np.random.default_rng(1).normal(size=256)),
    "a cluster": (0.5 + 1e-6 * places(256), hill(places(256))),
}


@pytest.mark.parametrize("name", LONG)
def test_hundreds_in_one_place(name):
    assert_sound(*told(hj.BayesianSearch.tuned, *LONG[name]))


@pytest.mark.slow
def test_a_thousand_within_a_millionth():
    n, space = 1000, space_of()
    state, search = hj.BayesianSearch.tuned(space, n + 20, n_parallel=2)
    X = hj.spaces.decode(space, 0.5 + 1e-6 * places(n))
    state = search.update_state(state, KEY, jnp.asarray(hill(places(n))), X)
    assert_sound(state, search)


@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@starts
def test_bounds_at_both_ends_of_the_float_range(start, wide):
    with jax.enable_x64(wide):
        tiny, huge = (1e-300, 1e300) if wide else (1e-30, 1e30)
        for space in (
            space_of(tiny, huge, tiny, huge),
            space_of(-huge, huge, tiny, 2 * tiny),
            space_of(-tiny, tiny, huge / 2, huge),
        ):
            state, search = told(start, U, hill(U), space)
            assert_sound(state, search)
            # Not only sound: a good place is proposed, near the best one told.
            if start == hj.BayesianSearch.tuned:
                params = search.get_next_params(state, KEY)
                found = hj.spaces.encode(state.space, params)
                assert float(jnp.abs(found[0] - jnp.array([0.3, 0.6])).max()) < 0.2


def test_one_disaster_changes_the_model_only_where_it_happened():
    where = np.array([[0.9, 0.1]])
    start = hj.BayesianSearch.tuned
    points = np.concatenate([U[:-2], where, U[-1:]])
    clean = told(start, points, hill(points))
    disaster = np.where((points == where).all(1), -1e30, hill(points))
    spoilt = told(start, points, disaster)
    at = np.stack(np.meshgrid(np.linspace(0, 0.7, 6), np.linspace(0.3, 1, 6)), -1)
    grid = hj.spaces.decode(clean[0].space, at.reshape(-1, 2))
    means = [
        np.asarray(search.posterior(state, grid)[0])
        for state, search in (clean, spoilt)
    ]
    reach = np.ptp(hill(U))
    np.testing.assert_allclose(means[0], means[1], atol=0.05 * reach)
    for state, search in (clean, spoilt):
        params = search.get_next_params(state, KEY)
        proposed = np.asarray(hj.spaces.encode(state.space, params))
        assert hill(proposed)[0] > -0.02 * reach
    assert_sound(*spoilt)


def test_an_inert_dimension_gets_a_long_length_scale():
    state, search = told(hj.BayesianSearch.tuned, U, np.sin(6 * U[:, 0]))
    assert_sound(state, search)
    x, y = state.log_length_scale
    assert float(y) > float(x) + 0.5


@pytest.mark.slow
def test_steps_are_climbed():
    state, search = told(hj.BayesianSearch.tuned, U, STEPS)
    objective = lambda key, p: (  # noqa: E731
        jnp.floor(4 * p["x"]) + jnp.floor(jnp.log10(1e3 * p["y"]))
    )
    state, _ = search.optimize_scan(state, KEY, objective, 2)
    assert_sound(state, search)


class Almost(RadialKernel):
    """A kernel that is none: values off the diagonal are too large by `excess`."""

    length_scale: float = 1.0
    excess: jax.Array | float = 0.0

    def correlation(self, r2):
        return (1 + self.excess) * jnp.exp(-0.5 * r2)


@pytest.mark.parametrize("excess", [2e-3, 1.0], ids=["climbed", "too high"])
def test_the_jitter_ladder(excess):
    # Equal points: K has the eigenvalue -excess, which only a larger jitter lifts.
    n = 12
    K = jnp.where(jnp.eye(n, dtype=bool), 1.0, 1.0 + excess)
    first = jnp.asarray(n * float(jnp.finfo(K.dtype).eps) / 4)
    assert np.isnan(cholesky(K, first, max_tries=1)).any()
    assert np.isfinite(cholesky(K, first)).all() == (excess < 1)
    state, search = hj.BayesianSearch.init(
        space_of(), n, n_parallel=2, kernel=Almost(excess=jnp.asarray(excess)), **FAST
    )
    params = {"x": jnp.full(n, 0.4), "y": jnp.full(n, 0.1)}
    results = jnp.asarray(np.random.default_rng(2).normal(size=n), jnp.float32)
    state = search.update_state(state, KEY, results, params)
    # Without the noise that it has learnt, which does the same as jitter.
    state = state.replace(log_noise=jnp.full_like(state.log_noise, -18.0))
    mean, std = search.posterior(state, {"x": jnp.ones(1) / 2, "y": jnp.ones(1)})
    assert np.isfinite(mean).all() == (excess < 1)
    assert np.isfinite(std).all() == (excess < 1)
    # Where no jitter helps there is no model, and still a proposal.
    assert_proposals_are_sound(state, search)


@pytest.mark.slow
def test_plain_call_jit_vmap_and_scan_propose_the_same():
    state, search = told(hj.BayesianSearch.tuned, U, hill(U))
    keys = jax.random.split(KEY, 2)
    ask = search.get_next_params
    plain = [ask(state, key) for key in keys]
    plain = jax.tree.map(lambda *leaves: jnp.stack(leaves), *plain)
    # A traced state has no known count: cut to the buffer that the plain call takes.
    small = search.shrink(state, search.capacity(FULL))
    ways = {
        "jit": lambda s, k: jax.tree.map(lambda leaf: leaf[None], ask(s, k[0])),
        "vmap": lambda s, k: jax.vmap(ask, (None, 0))(s, k),
        "scan": lambda s, k: lax.scan(lambda c, key: (c, ask(s, key)), 0, k)[1],
    }
    for name, way in ways.items():
        found = eqx.filter_jit(way)(small, keys)
        for leaf, values in found.items():
            same = plain[leaf][: len(values)]
            # Single precision, and refined to the flat top of an acquisition.
            np.testing.assert_allclose(values, same, 0, atol=1e-3, err_msg=name)


def test_room_for_more_trials_changes_no_hyperparameter(x64):
    n, d = 100, 2
    X = np.random.default_rng(0).uniform(size=(n, d))
    results = np.sin(5 * X).sum(axis=1) + 0.1 * np.cos(40 * X[:, 0])
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.BayesianSearch.tuned(space, n_max=600)
    tell = lambda s: search.update_state(s, KEY, results, X)  # noqa: E731
    # Inside a program the whole buffer is there, since nobody knows how much is used.
    inside, outside = jax.jit(tell)(state), tell(state)
    for name in ("log_length_scale", "log_amplitude", "log_noise"):
        np.testing.assert_allclose(
            getattr(inside, name), getattr(outside, name), rtol=1e-6
        )


def test_the_best_of_results_over_many_decades_is_the_incumbent():
    """Float32 targets, which are linear in the results, cannot tell the best ones apart."""
    X = np.random.default_rng(0).uniform(size=(60, 2)).astype(np.float32)
    results = 10.0 ** (28 * np.hypot(*(X.T - 0.5)) - 10)
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.BayesianSearch.tuned(space, n_max=80, maximize=False)
    state = search.update_state(state, KEY, results, X)
    targets = targets_of(state.trials, False, search.ranked).t
    assert int(jnp.sum(targets == targets.max())) > 1  # else this test says nothing
    loss = history.losses(state.trials, False)
    so_far = region.progress(state.X, loss, state.trials.n_recorded)
    assert int(so_far.best_row) == int(np.argmin(results))
    assert not so_far.on_plateau


def test_of_results_that_targets_cannot_tell_apart_the_best_is_polished():
    """Ten steps of a thousandth, each ten times better, end at the incumbent."""
    X = np.random.default_rng(0).uniform(size=(60, 2)).astype(np.float32)
    X[50:] = 0.5 + 1e-3 * np.arange(10, 0, -1)[:, None]
    results = 1 + 10 * np.square(X - 0.5).sum(axis=1)
    results[50:] = 10.0 ** -np.arange(10, 20)
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.BayesianSearch.tuned(
        space, n_max=80, n_parallel=1, maximize=False
    )
    state = search.update_state(state, KEY, results, X)
    targets = targets_of(state.trials, False, search.ranked).t
    assert int(jnp.sum(targets == targets.max())) == 10  # else this test says nothing
    params = search.get_next_params(state, KEY)
    # A local trial goes one and a half times as far as the last improvement did.
    np.testing.assert_allclose([params["x"], params["y"]], X[-1:].T, atol=1.6e-3)


def test_of_results_that_targets_cannot_tell_apart_the_best_is_recommended():
    X = np.random.default_rng(0).uniform(size=(60, 2)).astype(np.float32)
    X[40:] = 0.5 + 1e-5 * np.arange(20, 0, -1)[:, None]
    results = np.square(X - np.float32(0.5)).sum(axis=1)
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    state, search = hj.BayesianSearch.tuned(space, n_max=80, maximize=False)
    state = search.update_state(state, KEY, results, X)
    assert search.recommend(state)["x"] == search.best_params(state)["x"] == X[-1, 0]


def outgrows_a_buffer(start):
    """A study whose next four batches of two need a larger buffer from the third on."""
    n = _state.SMALLEST_BUFFER - 4
    state, search = told(start, places(n), hill(places(n)), **FAST)
    sizes = [search.capacity(n + 2 * i) for i in range(4)]
    assert sizes == [128, 128, 512, 512]
    objective = lambda key, p: -((p["x"] - 0.3) ** 2)  # noqa: E731
    return state, search, objective


@pytest.mark.optimised
def test_loop_equals_scan_where_a_buffer_grows():
    state, search, objective = outgrows_a_buffer(hj.BayesianSearch.tuned)
    scanned, _ = search.optimize_scan(state, KEY, objective, 4)
    looped, _ = search.optimize(state, KEY, objective, 4)
    assert eqx.tree_equal(scanned, looped)


@pytest.mark.slow
@starts
def test_a_study_that_crosses_a_buffer_size(start, x64):
    state, search, objective = outgrows_a_buffer(start)
    n = search.n_told(state)
    scanned, (params, _) = search.optimize_scan(state, KEY, objective, 4)
    assert_sound(scanned, search)
    again = jax.jit(
        lambda s: search.optimize_scan(s, KEY, objective, 4, first_trial=n)[1][0]
    )(state)
    # Another program rounds in another way, and each trial builds on those before it; in
    # single precision they part within a few.
    np.testing.assert_allclose(again["x"], params["x"], rtol=1e-4)
    # By hand, ask and tell run at the same sizes as the drivers.
    by_hand = search.get_next_params(state, jax.random.fold_in(KEY, 2**30 + n))
    np.testing.assert_allclose(by_hand["x"], params["x"][0], rtol=1e-4)
