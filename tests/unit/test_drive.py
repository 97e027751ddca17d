"""Keys by trial number, and the plan of buffer sizes."""

import functools
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import (
    BayesianSearch,
    ConstrainedSpace,
    DiscreteSpace,
    GridSearch,
    LinearSpace,
    LogSpace,
    QLinearSpace,
    RandomSearch,
    decode_choices,
    python_loop,
)
from hyperopt_jax._checks import is_concrete
from hyperopt_jax._drive import Keys, Segment, by_batch, plan
from hyperopt_jax.base import Optimizer, OptimizerState
from hyperopt_jax.errors import ParamsError, Status
from hyperopt_jax.spaces import given_points, unravel

SPACE = {"x": LinearSpace(0.0, 1.0)}
KEY = jax.random.key(7)


def bits(key) -> list:
    return jax.random.key_data(key).tolist()


class TestKeys:
    def test_a_trial_has_the_key_of_its_number(self):
        keys = Keys(KEY, jnp.int32(5), 3)
        expected = [jax.random.fold_in(KEY, t) for t in (5, 6, 7)]
        assert [bits(key) for key in keys.trials] == [bits(key) for key in expected]

    @pytest.mark.parametrize("q", [1, 2, 3, 6])
    def test_whatever_the_batch_width(self, q):
        trials = [
            bits(key)
            for first in range(0, 6, q)
            for key in Keys(KEY, jnp.int32(first), q).trials
        ]
        assert trials == [bits(jax.random.fold_in(KEY, t)) for t in range(6)]

    def test_all_differ(self):
        batches = [Keys(KEY, jnp.int32(first), 3) for first in range(0, 30, 3)]
        used = [bits(key) for b in batches for key in (b.ask, b.tell, *b.trials)]
        assert len({str(key) for key in used}) == len(used) == 50

    def test_old_style_keys(self):
        keys = Keys(jax.random.PRNGKey(7), jnp.int32(0), 2)
        assert keys.trials.shape == (2, 2)
        assert bits(keys.trials[1]) == bits(Keys(KEY, jnp.int32(0), 2).trials[1])

    @pytest.mark.parametrize("scan", [False, True], ids=["loop", "scan"])
    @pytest.mark.parametrize("q", [1, 3])
    def test_the_objective_gets_them(self, scan, q):
        state, optimizer = RandomSearch.init(SPACE, n_parallel=q)
        run = optimizer.optimize_scan if scan else optimizer.optimize
        _, (_, results) = run(
            state, KEY, lambda key, p: jax.random.uniform(key), 6 // q, first_trial=12
        )
        expected = [
            float(jax.random.uniform(jax.random.fold_in(KEY, t))) for t in range(12, 18)
        ]
        assert np.ravel(results).tolist() == expected


@pytest.mark.parametrize("scan", [False, True], ids=["loop", "scan"])
def test_a_first_trial_below_the_count_loses_no_result(scan):
    state, search = BayesianSearch.init(
        SPACE, n_max=200, n_parallel=4, n_hparam_steps=0, n_lbfgs_steps=0
    )
    params = {"x": jnp.linspace(0.0, 1.0, 150)}
    state = search.update_state(state, KEY, jnp.zeros(150), params)
    run = search.optimize_scan if scan else search.optimize
    state, _ = run(state, KEY, lambda key, p: 1.0, 2, first_trial=0)
    assert search.n_told(state) == 158
    assert search.best_result(state) == 1.0


def bayesian(n_parallel: int = 1, n_max: int = 2000) -> BayesianSearch:
    return BayesianSearch.init(SPACE, n_max=n_max, n_parallel=n_parallel)[1]


def sizes(segments: tuple[Segment, ...]) -> list:
    """The buffer size of each batch."""
    return [s.capacity for s in segments for _ in range(s.n_steps)]


class TestPlan:
    @pytest.mark.parametrize("q", [1, 3, 64, 100])
    def test_a_batch_fits_its_buffer(self, q):
        optimizer = bayesian(q)
        for i, capacity in enumerate(sizes(plan(optimizer, 0, 30))):
            assert capacity >= (i + 1) * q

    @pytest.mark.parametrize("q", [1, 3, 8])
    def test_the_size_depends_on_the_trial_number_alone(self, q):
        optimizer = bayesian(q)
        whole = sizes(plan(optimizer, 0, 400))
        for start in (0, 1, 20, 21, 22, 63, 64, 85, 200):
            rest = sizes(plan(optimizer, start * q, 400 - start))
            assert rest == whole[start:]

    @pytest.mark.parametrize("cut", [1, 30, 63, 64, 65, 150])
    def test_cut_and_resumed_runs_at_the_same_sizes(self, cut):
        optimizer = bayesian()
        whole = sizes(plan(optimizer, 0, 300))
        first, rest = plan(optimizer, 0, cut), plan(optimizer, cut, 300 - cut)
        assert sizes(first) + sizes(rest) == whole

    def test_one_by_one_is_the_same_as_at_once(self):
        optimizer = bayesian(3)
        steps = [plan(optimizer, i * 3, 1) for i in range(100)]
        assert all(len(segments) == 1 for segments in steps)
        one_by_one = [size for segments in steps for size in sizes(segments)]
        assert one_by_one == sizes(plan(optimizer, 0, 100))

    def test_n_max_changes_nothing(self):
        assert plan(bayesian(n_max=50), 0, 40) == plan(bayesian(n_max=5000), 0, 40)

    def test_neighbouring_segments_differ_and_grow(self):
        capacities = [s.capacity for s in plan(bayesian(), 0, 2000)]
        assert capacities == sorted(set(capacities))
        assert 2 <= len(capacities) <= 4
        for smaller, larger in itertools.pairwise(capacities):
            assert larger >= 2 * smaller

    def test_a_traced_state_runs_at_full_size(self):
        assert plan(bayesian(), None, 9) == (Segment(None, 9),)

    @pytest.mark.parametrize("n_told", [0, 10, None])
    def test_nothing_to_run(self, n_told):
        assert plan(bayesian(), n_told, 0) == ()

    @pytest.mark.parametrize(
        "optimizer",
        [
            RandomSearch.init(SPACE)[1],
            GridSearch.init({"n": QLinearSpace(1, 50)})[1],
        ],
    )
    def test_a_search_without_buffers_runs_in_one_segment(self, optimizer):
        assert plan(optimizer, 0, 40) == (Segment(None, 40),)

    def test_segments_are_static(self):
        assert not jax.tree.leaves(plan(bayesian(), 0, 300))
        assert hash(plan(bayesian(), 0, 300)) == hash(plan(bayesian(), 0, 300))


class TestStartPoints:
    @pytest.mark.parametrize("m", [1, 2, 3, 4, 6])
    def test_fill_the_first_batches(self, m):
        X = jnp.arange(1.0, m + 1)[:, None]
        given = by_batch(X, 3, 2)
        assert given.shape == (3, 2, 1)
        flat = given.reshape(-1)
        assert flat[:m].tolist() == list(range(1, m + 1))
        assert jnp.isnan(flat[m:]).all()

    def test_none_are_no_change_of_the_program(self):
        assert by_batch(jnp.zeros((0, 2)), 3, 2) is None

    @pytest.mark.parametrize("evaluate", [None, python_loop])
    def test_the_search_proposes_the_rest_of_the_batch(self, evaluate):
        state, optimizer = RandomSearch.init(SPACE, n_parallel=2)
        run = functools.partial(optimizer.optimize, evaluate=evaluate)
        objective = lambda key, p: p["x"] * 1.0  # noqa: E731
        _, (free, _) = run(state, KEY, objective, 3)
        start = [{"x": 0.25}, {"x": 0.5}, {"x": 0.75}]
        _, (params, results) = run(state, KEY, objective, 3, start_points=start)
        expected = [[0.25, 0.5], [0.75, float(free[1]["x"][1])], free[2]["x"].tolist()]
        assert [batch["x"].tolist() for batch in params] == expected
        assert [r.tolist() for r in results] == expected

    def test_across_buffer_sizes(self):
        state, optimizer = Notebook.init(SPACE, 20)
        start = {"x": jnp.linspace(0.0, 1.0, 6)}
        _, (params, _) = optimizer.optimize_scan(
            state, KEY, one, 10, start_points=start
        )
        assert params["x"][:6, 0].tolist() == start["x"].tolist()
        assert np.floor(params["x"][6:, 0]).tolist() == [8, 8, 16, 16]

    def test_of_a_space_that_is_a_list_or_a_leaf(self):
        pair = [LinearSpace(0.0, 1.0), LinearSpace(1.0, 2.0)]
        batch = [jnp.asarray([0.5, 0.25]), jnp.asarray([1.5, 1.25])]
        listed = [[0.5, 1.5], [0.25, 1.25]]
        table = [[0.5, 1.5], [0.25, 1.25]]
        assert given_points(pair, batch).tolist() == table
        assert given_points(pair, listed).tolist() == table
        assert given_points(SPACE["x"], [0.5, 0.25]).tolist() == [[0.5], [0.25]]
        assert given_points(SPACE["x"], jnp.asarray([0.5])).tolist() == [[0.5]]

    def test_large_whole_numbers_stay_as_they_are(self):
        space = QLinearSpace(0, 2**24)
        points = [2**23 + 1, 2**24 - 1, 2**24]
        assert given_points(space, points).ravel().tolist() == points

    def test_that_break_a_constraint_or_miss_a_value(self):
        space = {"a": LinearSpace(0.0, 1.0), "n": QLinearSpace(1, 4)}
        bound = ConstrainedSpace(space, lambda p: p["a"] < 0.5)
        for given, params, fault in (
            (space, {"a": [0.1, 0.2], "n": [1, 2.5]}, "n outside: .*2.5"),
            (bound, {"a": [0.1, 0.6], "n": [1, 2]}, "a broken constraint: .*0.6"),
        ):
            with pytest.raises(ParamsError, match=f"number 1 of 2 with {fault}"):
                given_points(given, jax.tree.map(jnp.asarray, params, is_leaf=is_list))


def is_list(node):
    return isinstance(node, list)


class TestStartPointsAndPrecision:
    @pytest.mark.parametrize("run", ["optimize", "optimize_scan", "python_loop"])
    def test_a_batch_that_they_do_not_fill_has_no_nan_that_jax_made(self, run):
        state, search = RandomSearch.init(SPACE, n_parallel=2)
        evaluate = {"evaluate": python_loop} if run == "python_loop" else {}
        drive = search.optimize_scan if run == "optimize_scan" else search.optimize
        points = {"x": jnp.asarray([0.1, 0.2, 0.3])}
        with jax.debug_nans(True):
            _, (params, _) = drive(
                state, KEY, lambda key, p: p["x"], 2, start_points=points, **evaluate
            )
        params = params["x"] if run == "optimize_scan" else [p["x"] for p in params]
        assert np.ravel(params)[:3].tolist() == points["x"].tolist()

    def test_failed_trials_of_plain_python_are_no_nan_that_jax_made(self):
        def diverges(key, params):
            raise ValueError("diverged")

        state, search = RandomSearch.init(SPACE, n_parallel=2)
        with jax.debug_nans(True), pytest.warns(RuntimeWarning, match="diverged"):
            _, (_, results) = search.optimize(
                state, KEY, diverges, 1, evaluate=python_loop
            )
        assert np.isnan(results[0]).all()

    @pytest.mark.parametrize(
        ("space", "value"),
        [
            (LinearSpace(0.1, 0.7), 0.7),
            (LinearSpace(0.1, 0.7), 0.1),
            (LinearSpace(0.1, 0.7), 0.33),
            (LinearSpace(0.0, 1.0, 0.1), 0.9),
            (DiscreteSpace([0.1, 0.2]), 0.1),
            (LogSpace(1e-5, 0.1), 1e-5),
        ],
    )
    def test_of_a_space_made_in_single_precision(self, space, value, x64):
        with jax.numpy_dtype_promotion("standard"):
            points = given_points({"x": space}, {"x": jnp.asarray([value])})
            assert points.dtype == "float64"
            assert np.allclose(points, value, 1e-6)
            with pytest.raises(ParamsError, match="x outside"):
                given_points({"x": space}, {"x": jnp.asarray([1.01])})


class TestNothingFeasible:
    """A state whose space was swapped for one without a feasible point, in a trace."""

    @staticmethod
    def space(high):
        inner = {"x": LinearSpace(0.0, high), "n": QLinearSpace(1, 4)}
        return ConstrainedSpace(inner, lambda p: p["x"] > 2.0)

    def start(self, search, **settings):
        state, search = search.init(self.space(4.0), n_parallel=2, **settings)
        return state.replace(space=jax.jit(self.space)(1.0)), search

    @pytest.mark.parametrize("search", [RandomSearch, BayesianSearch])
    def test_is_a_failed_trial_in_plain_python_too(self, search):
        remembers = search is BayesianSearch
        settings = {"n_max": 4, "n_candidates": 16} if remembers else {}
        state, optimizer = self.start(search, **settings)
        told, (_, results) = optimizer.optimize(
            state, KEY, lambda key, p: 1.0, 1, evaluate=python_loop
        )
        assert np.isnan(results[0]).all()
        params = optimizer.get_next_params(state, KEY)
        asked = optimizer.update_state(state, KEY, [1.0, 2.0], params)
        if remembers:
            for state in (told, asked):
                assert state.failed.tolist() == [True, True, False, False]
                assert Status(int(state.status)) is Status.INFEASIBLE

    def test_is_nothing_to_decode_for_plain_python(self):
        state, optimizer = self.start(RandomSearch)
        evaluate = functools.partial(python_loop, space=state.space)
        with pytest.warns(RuntimeWarning, match="finite params.*not decoded"):
            _, (_, results) = optimizer.optimize(
                state, KEY, lambda key, p: 1.0, 1, evaluate=evaluate
            )
        assert np.isnan(results[0]).all()

    def test_other_numbers_that_are_not_finite_are_refused(self):
        state, optimizer = self.start(RandomSearch)
        free, _ = RandomSearch.init({"x": LinearSpace(0.0, 4.0)}, n_parallel=2)
        infinite = {"x": jnp.asarray([jnp.inf, jnp.nan]), "n": jnp.asarray([1, 2])}
        lost = {"x": jnp.asarray([jnp.nan, jnp.nan])}
        for one, params in ((state, infinite), (free, lost)):
            with pytest.raises(ParamsError, match="finite params"):
                optimizer.update_state(one, KEY, [1.0, 2.0], params)
        proposed = optimizer.get_next_params(state, KEY)
        with pytest.raises(ParamsError, match="finite params"):
            decode_choices(state.space, proposed)


class TestShrink:
    def test_there_and_back(self):
        state, optimizer = BayesianSearch.init(SPACE, n_max=100, n_parallel=1)
        filled = state.replace(
            X=jnp.arange(100.0)[:, None],
            y=jnp.arange(100.0),
            mask=jnp.arange(100) < 20,
        )
        small = optimizer.shrink(filled, 64)
        assert small.X.shape == (64, 1)
        assert small.y.shape == small.mask.shape == small.failed.shape == (64,)
        changed = small.replace(y=small.y + 1)
        grown = optimizer.regrow(filled, changed)
        assert grown.y[:64].tolist() == list(range(1, 65))
        assert grown.y[64:].tolist() == list(range(64, 100))
        assert jax.tree.map(jnp.shape, grown) == jax.tree.map(jnp.shape, filled)

    @pytest.mark.parametrize("capacity", [None, 100, 256])
    def test_never_larger_than_the_state(self, capacity):
        state, optimizer = BayesianSearch.init(SPACE, n_max=100, n_parallel=1)
        assert optimizer.shrink(state, capacity) is state
        assert optimizer.regrow(state, state) is state


class NotebookState(OptimizerState):
    space: dict
    seen: jax.Array
    n_seen: jax.Array


class Notebook(Optimizer):
    """Proposes the size of its buffer plus what it has seen, on buffers of 4, 8, 16 …"""

    n_parallel: int = eqx.field(static=True, default=1)
    maximize: bool = eqx.field(static=True, default=True)

    @classmethod
    def init(cls, space, n_max, **settings):
        state = NotebookState(space, jnp.zeros(n_max), jnp.int32(0))
        return state, cls(**settings)

    def get_next_params(self, state, key):
        size = state.seen.shape[0] + jnp.sum(state.seen) / 1024
        return unravel(state.space, jnp.full((self.n_parallel, 1), size))

    def update_state(self, state, key, results, params):
        rows = state.n_seen + jnp.arange(self.n_parallel, dtype=jnp.int32)
        seen = state.seen.at[rows].set(results, mode="drop")
        return state.replace(seen=seen, n_seen=state.n_seen + self.n_parallel)

    def n_told(self, state):
        return state.n_seen

    def n_left(self, state):
        done = int(state.n_seen) if is_concrete(state.n_seen) else 0
        return state.seen.shape[0] - done

    def capacity(self, n_told):
        return 4 * 2 ** max(0, math.ceil(math.log2((n_told + self.n_parallel) / 4)))

    def shrink(self, state, capacity):
        if capacity is None or capacity >= state.seen.shape[0]:
            return state
        return state.replace(seen=state.seen[:capacity])

    def regrow(self, state, small):
        seen = state.seen.at[: small.seen.shape[0]].set(small.seen)
        return small.replace(seen=seen)


def one(key, params):
    return 1.0 + 0.0 * params["x"]


class TestGrowth:
    """A study that grows through its buffers, on a search that shows their size."""

    SIZES = (4,) * 4 + (8,) * 4 + (16,) * 8 + (20,) * 4

    @staticmethod
    def proposals(params) -> list:
        return np.ravel(params["x"]).tolist()

    @pytest.mark.parametrize("q", [1, 2, 4])
    def test_each_trial_runs_at_the_size_of_its_number(self, q):
        state, optimizer = Notebook.init(SPACE, 20, n_parallel=q)
        state, (params, _) = optimizer.optimize_scan(state, KEY, one)
        seen = [t // q * q / 1024 for t in range(20)]
        expected = [size + s for size, s in zip(self.SIZES, seen, strict=True)]
        assert self.proposals(params) == expected
        assert state.seen.tolist() == [1.0] * 20

    def test_loop_equals_scan(self):
        state, optimizer = Notebook.init(SPACE, 20, n_parallel=2)
        at_once, (whole, _) = optimizer.optimize_scan(state, KEY, one)
        by_hand, (batches, _) = optimizer.optimize(state, KEY, one)
        assert [x for b in batches for x in self.proposals(b)] == self.proposals(whole)
        assert jnp.array_equal(by_hand.seen, at_once.seen)

    @pytest.mark.parametrize("cut", [1, 4, 5, 13])
    def test_cut_and_resumed(self, cut):
        state, optimizer = Notebook.init(SPACE, 20)
        _, (whole, _) = optimizer.optimize_scan(state, KEY, one)
        state, (head, _) = optimizer.optimize_scan(state, KEY, one, cut)
        _, (tail, _) = optimizer.optimize_scan(state, KEY, one)
        assert self.proposals(head) + self.proposals(tail) == self.proposals(whole)

    def test_a_traced_state_runs_at_full_size(self):
        state, optimizer = Notebook.init(SPACE, 20)

        @jax.jit
        def study(state):
            return optimizer.optimize_scan(state, KEY, one, 3)[1][0]

        assert np.floor(self.proposals(study(state))).tolist() == [20, 20, 20]

    def test_a_traced_state_whose_count_is_given(self):
        state, optimizer = Notebook.init(SPACE, 20)

        @jax.jit
        def study(state):
            return optimizer.optimize_scan(state, KEY, one, 6, first_trial=0)[1][0]

        assert np.floor(self.proposals(study(state))).tolist() == [4, 4, 4, 4, 8, 8]


class TestManyLeaves:
    """What one more leaf adds to a program whose objective leaves it alone."""

    def per_leaf(self, count, study):
        def counted(n):
            space = {f"x{i:03d}": LinearSpace(0.0, 1.0) for i in range(n)}
            state, search = RandomSearch.init(space)
            loss = lambda key, p: p["x001"] ** 2  # noqa: E731
            run = lambda state, key: search.optimize_scan(state, key, loss, 4)[1]  # noqa: E731
            return count(jax.jit(study(run, state)).trace(state, KEY))

        return (counted(110) - counted(10)) / 100

    def test_whose_bounds_go_in_and_whose_history_comes_out(self):
        n_lines = lambda program: program.lower().compile().as_text().count("\n")  # noqa: E731
        # 11 lines. With a barrier for all of them each was worked out for itself, in 80.
        assert self.per_leaf(n_lines, lambda run, _: run) < 20

    def test_of_a_space_that_the_program_does_not_take(self):
        n_inputs = lambda program: program.lower().as_text("hlo").count(" parameter(")  # noqa: E731
        results = lambda run, state: lambda _, key: run(state, key)[1]  # noqa: E731
        # Not one of their bounds: those are in tables that the host has put together.
        assert self.per_leaf(n_inputs, results) == 0

    def test_takes_two_steps_to_trace(self):
        n_steps = lambda program: str(program.jaxpr).count(" = ")  # noqa: E731
        results = lambda run, state: lambda _, key: run(state, key)[1]  # noqa: E731
        # The barrier, and the shape of its history.
        assert self.per_leaf(n_steps, results) == 2
