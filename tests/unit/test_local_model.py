"""The local quadratic model and the region it is used in."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import hyperopt_jax as hj
from hyperopt_jax import gp
from hyperopt_jax.bayesian import _region as region
from hyperopt_jax.kernels import Matern
from hyperopt_jax.problems import Rosenbrock
from hyperopt_jax.spaces import Codec

KEY = jax.random.key(0)


def hyper(d: int) -> gp.Hyperparameters:
    return gp.Hyperparameters(jnp.zeros(d), jnp.zeros(()), jnp.full((), -12.0))


expand = eqx.filter_jit(gp.expand)
noise_shows = eqx.filter_jit(gp.noise_shows)


@eqx.filter_jit
def local_posterior(U, t, at, mask=None, in_use=True):
    mask = jnp.ones(len(t), bool) if mask is None else mask
    best = jnp.argmax(jnp.where(mask, t, -jnp.inf))
    taylor = gp.expand(U, t, mask, U[best], t[best], jnp.asarray(1.0, t.dtype))
    local = gp.Local(taylor, t[best], jnp.asarray(in_use))
    model = gp.condition(
        Matern(), hyper(U.shape[1]), U, t, mask, jnp.asarray(1e-9), local
    )
    return model.mean_and_std(at)


def quadratic(d: int):
    rng = np.random.default_rng(d)
    A = rng.normal(size=(d, d))
    return lambda U: -jnp.sum(((U - 0.4) @ A) ** 2, axis=1) + 0.3 * U[:, 0]


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def test_the_incumbent_of_a_local_model_is_the_best_result(double):
    f, rng = quadratic(2), np.random.default_rng(1)
    U = jnp.asarray(rng.uniform(size=(9, 2)))
    t = f(U)
    best = jnp.argmax(t)
    for known in (jnp.ones(9, bool), jnp.arange(9) != best):
        taylor = gp.expand(U, t, known, U[best], t[best], jnp.asarray(1.0))
        for in_use in (True, False):
            local = gp.Local(taylor, t[best], jnp.asarray(in_use))
            args = Matern(), hyper(2), U, t, known, jnp.asarray(1e-9)
            incumbent = gp.condition(*args, local).incumbent()
            # The centre counts, also where it is no row.
            expected = t[best] if in_use else gp.condition(*args).incumbent()
            np.testing.assert_allclose(incumbent, expected, atol=1e-9)


class TestTaylor:
    def test_enough_points_determine_a_quadratic(self, double):
        # 10 coefficients in 3 dimensions, 14 points; a radius of fifty leaves little error.
        f, rng = quadratic(3), np.random.default_rng(0)
        U = jnp.asarray(rng.uniform(size=(14, 3)))
        at = jnp.asarray(rng.uniform(size=(20, 3)))
        mean, std = local_posterior(U, f(U), at)
        np.testing.assert_allclose(mean, f(at), atol=1e-2)
        assert (jnp.abs(mean - f(at)) <= 4 * std + 1e-6).all()

    def test_rows_outside_the_mask_change_nothing(self, double):
        f, rng = quadratic(2), np.random.default_rng(2)
        U = jnp.asarray(rng.uniform(size=(12, 2)))
        at, t = U[:3] + 0.01, f(U)
        mask = jnp.arange(12) < 8
        padded = local_posterior(U, jnp.where(mask, t, 7.0), at, mask)
        alone = local_posterior(U[:8], t[:8], at)
        np.testing.assert_allclose(padded, alone, rtol=1e-6, atol=1e-9)

    def test_not_in_use_it_is_the_stationary_posterior(self, double):
        f, rng = quadratic(2), np.random.default_rng(3)
        U = jnp.asarray(rng.uniform(size=(12, 2)))
        at, t = U[:3] + 0.01, f(U)

        @eqx.filter_jit
        def plain():
            known, nugget = jnp.ones(12, bool), jnp.asarray(1e-9)
            model = gp.condition(Matern(), hyper(2), U, t, known, nugget)
            return model.mean_and_std(at)

        ours = local_posterior(U, t, at, in_use=False)
        np.testing.assert_allclose(ours, plain(), rtol=1e-9)

    def test_append_equals_conditioning_anew(self, double):
        f, rng = quadratic(2), np.random.default_rng(4)
        U = jnp.asarray(rng.uniform(size=(9, 2)))
        t, known = f(U), jnp.arange(9) < 8
        best = int(jnp.argmax(jnp.where(known, t, -jnp.inf)))
        taylor = expand(U, t, known, U[best], t[best], jnp.asarray(1.0, t.dtype))
        local = gp.Local(taylor, t[best], jnp.asarray(True))
        nugget = jnp.asarray(1e-9)
        args = Matern(), hyper(2), U, t
        at = jnp.asarray(rng.uniform(size=(5, 2)))

        @eqx.filter_jit
        def both():
            grown = gp.condition(*args, known, nugget, local).append(U[8], t[8], 8)
            anew = gp.condition(*args, jnp.ones(9, bool), nugget, local)
            return grown.mean_and_std(at), anew.mean_and_std(at)

        np.testing.assert_allclose(*both(), rtol=1e-4, atol=1e-8)

    @pytest.mark.parametrize(
        "reach",
        [3e-2, *(pytest.param(r, marks=pytest.mark.slow) for r in (1e-2, 1e-1))],
    )
    def test_single_precision_keeps_up(self, reach, double):
        # Trials of many sizes of step about a minimum, as a search leaves them.
        rng = np.random.default_rng(5)
        step = reach * 2.0 ** rng.integers(-1, 8, (24, 1))
        U = np.clip(0.4 + step * rng.normal(size=(24, 2)), 0.0, 1.0)
        at = 0.4 + reach * rng.uniform(-1, 1, size=(10, 2))
        f = lambda U: -np.cosh(3 * (U[:, 0] - 0.4)) - np.sum((U - 0.4) ** 2, 1)  # noqa: E731

        @jax.jit
        def belief(V, t, at):
            best, known = jnp.argmax(t), jnp.ones(24, bool)
            distance2 = jnp.asarray(2 * reach**2, t.dtype)
            taylor = gp.expand(V, t, known, V[best], t[best], distance2)
            local = gp.Local(taylor, t[best], jnp.asarray(True))
            start = jax.tree.map(lambda a: a.astype(t.dtype), hyper(2))
            nugget = jnp.asarray(1e-9, t.dtype)
            model = gp.condition(Matern(), start, V, t, known, nugget, local)
            return model.mean_and_std(at)

        spread = np.ptp(f(at))
        mean, std, exact_mean, exact_std = (
            np.asarray(a)
            for dtype in (jnp.float32, jnp.float64)
            for a in belief(*map(dtype, (U, f(U), at)))
        )
        assert np.abs(exact_mean - f(at)).max() < 0.15 * spread
        assert np.abs(mean - exact_mean).max() < 0.15 * spread
        np.testing.assert_array_less(np.abs(np.log(std / exact_std)), np.log(3.0))

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_equal_points_and_equal_results(self, n):
        U = jnp.full((n, 2), 0.3)
        mean, std = local_posterior(
            U, jnp.zeros(n), jnp.asarray([[0.3, 0.3], [0.5, 0.1]])
        )
        assert jnp.isfinite(mean).all()
        assert (std > 0).all()


N_ROWS = 12
progress = jax.jit(region.progress)


def walked(U, results, count):
    """Plain Python for `progress`: None is a trial that failed, or none."""
    best, moves = None, []
    for row, result in enumerate(results):
        if result is None or (best is not None and result <= results[best]):
            continue
        if best is not None:
            moves = [move * region.FADING for move in moves]
            moves.append(float(np.abs(U[row] - U[best]).max()))
        best = row
    best = 0 if best is None else best
    step = max(moves, default=float(np.float32(region.FIRST_STEP)))
    tied = any(
        result is not None and result == results[best] and tuple(u) != tuple(U[best])
        for u, result in zip(U, results, strict=True)
    )
    return best, step, max(count - 1 - best, 0), tied


class TestRegion:
    U = jnp.asarray([[0.5, 0.5], [0.2, 0.2], [0.6, 0.5], [0.9, 0.9], [0.0, 0.0]])
    loss = jnp.asarray([0.0, 1.0, -1.0, 2.0, jnp.inf])

    def test_progress(self):
        got = region.progress(self.U, self.loss, jnp.int32(4))
        assert int(got.best_row) == 2
        assert float(got.step) == pytest.approx(0.1)
        assert int(got.failures) == 1

    def test_a_small_improvement_does_not_end_the_large_ones(self):
        U = jnp.asarray([[0.0, 0.0], [0.4, 0.1], [0.41, 0.1]])
        got = region.progress(U, -jnp.arange(3.0), jnp.int32(3))
        assert float(got.step) == pytest.approx(0.4 * region.FADING)

    def test_choices_do_not_make_its_corners_farther(self):
        space = {
            "act": hj.ChoiceSpace(list(range(64))),
            "x": hj.LinearSpace(0.0, 1.0),
            "y": hj.LinearSpace(0.0, 1.0),
        }
        codec, reach = Codec(space), jnp.asarray(0.1)
        incumbent = jnp.asarray([0.3, 0.5, 0.5])
        corners = region.box(incumbent, reach, jnp.asarray(True), codec)
        ends = codec.features(jnp.stack([incumbent, corners.low, corners.high]))
        for end in ends[1:]:
            apart = jnp.sum((end - ends[0]) ** 2)
            np.testing.assert_allclose(region.corner2(reach, codec), apart, rtol=1e-5)

    def test_the_first_trial_has_no_step_behind_it(self):
        first = jnp.where(jnp.arange(5) < 1, self.loss, jnp.inf)
        got = region.progress(self.U, first, jnp.int32(1))
        assert float(got.step) == pytest.approx(region.FIRST_STEP)
        assert int(got.failures) == 0

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        results=st.lists(
            st.sampled_from([0.0, 1.0, 2.5, -3.0, 4.0, 7.0]) | st.none(),
            min_size=1,
            max_size=N_ROWS,
        ),
        n_pending=st.integers(0, 3),
        seed=st.integers(0, 3),
    )
    def test_progress_is_what_a_walk_through_the_record_finds(
        self, results, n_pending, seed
    ):
        n = len(results)
        U = np.random.default_rng(seed).integers(0, 4, (N_ROWS, 2)) / np.float32(4)
        padded = [None if r is None else float(r) for r in results]
        padded += [None] * (N_ROWS - n)
        loss = jnp.asarray([np.inf if r is None else -r for r in padded])
        got = progress(jnp.asarray(U), loss, jnp.int32(n + n_pending))
        best, step, failures, tied = walked(U, padded, n + n_pending)
        assert (int(got.best_row), int(got.failures)) == (best, failures)
        assert float(got.step) == step
        assert bool(got.on_plateau) == tied

    def test_progress_of_the_smallest_record(self):
        one = jnp.zeros((1, 2)), jnp.zeros(1), jnp.int32(1)
        found = [float(a) for a in region.progress(*one)]
        assert found == pytest.approx([0, 0.3, 0, 0])

    def test_a_repeated_point_is_no_plateau(self):
        U = jnp.asarray([[0.5, 0.5], [0.2, 0.2], [0.5, 0.5], [0.4, 0.5]])
        loss = jnp.asarray([-1.0, 1.0, -1.0, jnp.inf])
        assert not region.progress(U, loss, jnp.int32(3)).on_plateau
        assert region.progress(U, loss.at[3].set(-1.0), jnp.int32(4)).on_plateau

    def test_progress_of_thousands_is_that_of_a_few(self, monkeypatch):
        rng = np.random.default_rng(0)
        U = jnp.asarray(rng.integers(0, 4, (40, 2)) / np.float32(4))
        loss = jnp.asarray(np.where(rng.random(40) < 0.2, np.inf, rng.random(40)))
        few = region.progress(U, loss, jnp.int32(40))
        monkeypatch.setattr(region, "MAX_COMPARED_ROWS", 8)
        thousands = region.progress(U, loss, jnp.int32(40))
        assert [*map(float, few)] == [*map(float, thousands)]

    def test_progress_needs_no_table_of_pairs(self):
        n = 4096
        args = jnp.zeros((n, 2)), jnp.zeros(n), jnp.int32(n)
        memory = progress.lower(*args).compile().memory_analysis()
        assert memory.temp_size_in_bytes < 100 * n

    def test_failures_shrink_the_box_and_it_stays_in_the_cube(self):
        incumbent = jnp.asarray([0.05, 0.5])
        codec = Codec([hj.LinearSpace(0.0, 1.0), hj.LinearSpace(0.0, 1.0)])
        widths, here = [], jnp.asarray(True)
        for failures in range(5):
            so_far = region.Progress(
                jnp.int32(0), jnp.float32(0.1), jnp.int32(failures), jnp.asarray(False)
            )
            low, high = region.box(incumbent, region.reach(so_far, 5, 1), here, codec)
            assert (low >= 0).all()
            assert (low <= incumbent).all()
            assert (incumbent <= high).all()
            widths.append(float(high[1] - low[1]))
        np.testing.assert_allclose(widths, 0.3 * 0.5 ** np.arange(5), rtol=1e-5)

    def test_choices_stay_as_they_are(self):
        codec = Codec([hj.ChoiceSpace(list("abcd")), hj.LinearSpace(0.0, 1.0)])
        at = jnp.asarray([0.375, 0.5])
        here = jnp.asarray(True)
        low, high = region.box(at, jnp.float32(0.1), here, codec)
        assert float(low[0]) == float(high[0]) == 0.375
        assert float(low[1]) < 0.5 < float(high[1])

    def test_two_global_trials_follow_the_local_ones(self):
        kinds = [bool(region.is_local(jnp.int32(f), 3)) for f in range(10)]
        assert kinds == [True] * 3 + [False] * 2 + [True] * 3 + [False] * 2


def final_gap(problem, n, key, **settings):
    state, search = hj.BayesianSearch.tuned(
        problem.space, n, n_parallel=1, maximize=False, **settings
    )
    state, _ = search.optimize_scan(state, key, problem)
    return search.best_result(state) - problem.optimum


@pytest.mark.slow
def test_polishing_pays_in_a_smooth_valley(double):
    problem = Rosenbrock(4).moved(jax.random.key(7))
    keys = jax.random.split(KEY, 8)

    def median_gap(**settings):
        gaps = jax.vmap(lambda key: final_gap(problem, 50, key, **settings))(keys)
        return float(jnp.median(gaps))

    assert median_gap() < 0.3 * median_gap(n_local=0)


@pytest.mark.slow
def test_polishing_pays_beside_whole_numbers_and_choices(double):
    space = {
        "x": hj.VectorSpace(hj.LinearSpace(0.0, 1.0), (3,)),
        "n": hj.QLinearSpace(1, 6),
        "kind": hj.ChoiceSpace(["a", "b", "c"]),
    }
    keys = jax.random.split(KEY, 8)

    def bowl(key, params):
        steps = abs(params["n"] - 4) + abs(params["kind"] - 1)
        squares = (params["x"] - 0.3) ** 2 * jnp.asarray([1.0, 3.0, 10.0])
        return squares.sum() + steps.astype(float)

    def median_gap(**settings):
        def study(key):
            state, search = hj.BayesianSearch.tuned(
                space, 40, n_parallel=1, maximize=False, **settings
            )
            return search.best_result(search.optimize_scan(state, key, bowl)[0])

        return float(jnp.median(jax.vmap(study)(keys)))

    assert median_gap() < 0.1 * median_gap(n_local=0)


def test_trials_that_still_run_do_not_count_as_rounds():
    # Eight workers make rounds of eight trials, as a batch of eight does; counted one by
    # one, the seven that run would let a trial go 0.004 far from the best one, the last.
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    X = jax.random.uniform(jax.random.key(0), (20, 2))
    results = -jnp.sum((X - 0.4) ** 2, axis=1)
    order = jnp.argsort(results)[:16]
    state, search = hj.BayesianSearch.tuned(space, 40, n_parallel=1, n_local=20)
    state = search.update_state(state, KEY, results[order], X[order])
    running = 0.9 + 0.1 * jax.random.uniform(jax.random.key(1), (7, 2))
    params = search.get_next_params(state, KEY, pending=running)
    best = X[order[-1]]
    moves = abs(params["x"][0] - best[0]), abs(params["y"][0] - best[1])
    assert float(max(moves)) > 0.05


def test_noise_switches_it_off():
    # Results that are noise alone: no slope is to be trusted, so the choice of n_local
    # makes no difference once the noise has been learnt.
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    X = jax.random.uniform(KEY, (100, 2))
    results = jax.random.normal(KEY, (100,))
    proposals = []
    for n_local in (0, 3):
        state, search = hj.BayesianSearch.tuned(
            space, 110, n_parallel=1, n_local=n_local
        )
        state = search.update_state(state, KEY, results, X)
        assert float(state.log_noise) > jnp.log(region.MAX_NOISE_VARIANCE)
        proposals.append(search.get_next_params(state, KEY))
    np.testing.assert_allclose(proposals[0]["x"], proposals[1]["x"], atol=1e-4)


class TestNoiseShows:
    """What the surrogate calls noise may be a kink; near the best point they differ."""

    NOISE = 1e-3  # a standard deviation of 0.03

    @staticmethod
    def shows(results, noise, reach=0.1):
        directions = np.random.default_rng(0).normal(size=(24, 2))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        distances = np.geomspace(0.3, 1e-3, 24)
        steps = np.concatenate([np.zeros((1, 2)), distances[:, None] * directions])
        U, t = jnp.asarray(0.5 + steps, jnp.float32), jnp.asarray(results(steps))
        t = t.astype(jnp.float32)
        best, mask = jnp.argmax(t), jnp.ones(25, bool)

        corner2, noise = jnp.float32(2 * reach**2), jnp.float32(noise)
        taylor = expand(U, t, mask, U[best], t[best], corner2)
        return bool(noise_shows(taylor, U, t, mask, t[best], noise))

    @pytest.mark.parametrize(
        "results",
        [
            lambda x: -np.sum(x**2, axis=1),
            lambda x: -np.linalg.norm(x, axis=1),
            lambda x: -np.abs(x[:, 0]) - 30 * np.abs(x[:, 1]),
            lambda x: -np.sum(x**2 * [1, 1e4], axis=1),
            lambda x: 3 * x[:, 0] - x[:, 1],
        ],
        ids=["bowl", "cone", "ridge", "valley", "slope"],
    )
    @pytest.mark.parametrize("reach", [0.3, 0.01])
    def test_not_in_what_falls_off_with_the_distance(self, results, reach):
        assert not self.shows(results, self.NOISE, reach)

    @pytest.mark.parametrize("slope", [0.0, 0.1])
    def test_in_what_does_not(self, slope):
        """Nearly always: the best one by luck may have no near neighbours."""

        def shows(seed, noise):
            draws = np.random.default_rng(seed).normal(size=25) * self.NOISE**0.5
            falling = lambda x: draws - slope * np.linalg.norm(x, axis=1)  # noqa: E731
            return self.shows(falling, noise)

        assert sum(shows(seed, self.NOISE) for seed in range(20)) >= 16
        # Never where the surrogate has learnt none.
        assert not any(shows(seed, 1e-12) for seed in range(20))


@pytest.mark.parametrize("tied", [True, False])
def test_a_plateau_switches_it_off(tied):
    # Where another point is as good as the best one, there is no slope to follow and
    # n_local makes no difference. In a valley, which the surrogate does not know, a
    # quadratic goes elsewhere than that does.
    space = {"x": hj.LinearSpace(0.0, 1.0), "y": hj.LinearSpace(0.0, 1.0)}
    X = jax.random.uniform(KEY, (40, 2))
    A = jnp.asarray([[31.0, 30.0], [30.0, 31.0]])
    results = -jnp.einsum("ni,ij,nj->n", X - 0.4, A, X - 0.4)
    order = jnp.argsort(results)
    X, results = X[order], results[order]  # the best is last: a local trial is next
    if tied:
        results = results.at[-2].set(results[-1])
    proposals = []
    for n_local in (0, 3):
        state, search = hj.BayesianSearch.tuned(
            space, 50, n_parallel=1, n_local=n_local
        )
        for rows in (slice(0, 20), slice(20, 40)):
            state = search.update_state(state, KEY, results[rows], X[rows])
        assert float(state.log_noise) < jnp.log(region.MAX_NOISE_VARIANCE)
        proposals.append(search.get_next_params(state, KEY))
    moved = abs(float(proposals[0]["x"][0] - proposals[1]["x"][0]))
    assert moved < 1e-3 if tied else moved > 0.1
