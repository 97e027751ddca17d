"""Candidates, enumeration of small spaces, and the box-constrained refinement.

L-BFGS is compared with scipy's in tests/oracle/test_lbfgs_scipy.py.
"""

import functools
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hyperopt_jax import (
    BayesianSearch,
    ConstrainedSpace,
    DiscreteSpace,
    QLinearSpace,
    QLogSpace,
    maximise,
)
from hyperopt_jax.spaces import Codec

net = jax.jit(maximise.net, static_argnums=1)


def cube(d: int) -> maximise.Box:
    return maximise.Box(jnp.zeros(d), jnp.ones(d))


@functools.partial(jax.jit, static_argnums=2)
def candidates(shift, incumbent, n):
    return maximise.candidates(shift, incumbent, cube(incumbent.shape[0]), n)


def shift(d: int, seed: int = 0) -> jax.Array:
    """The random numbers of a net in d dimensions."""
    return jax.random.uniform(jax.random.key(seed), (d + 1,))


class TestNet:
    @pytest.mark.parametrize("n", [1, 2, 7, 64])
    @pytest.mark.parametrize("d", [1, 3])
    def test_shape_and_range(self, n, d):
        points = net(shift(d), n)
        assert points.shape == (n, d)
        assert points.dtype == "float32"
        assert (points >= 0).all()
        assert (points < 1).all()

    @pytest.mark.parametrize("d", [1, 5])
    def test_fills_every_axis_evenly(self, d):
        # Of 64 random points the widest gap would be about 4.7 / 64.
        points = np.sort(np.asarray(net(shift(d, 3), 64)), axis=0)
        gaps = np.diff(np.vstack([points, points[:1] + 1]), axis=0)
        assert gaps.max() < 2.5 / 64

    def test_is_more_even_than_random_points(self):
        for d in (2, 5, 10):
            ours = stats.qmc.discrepancy(np.asarray(net(shift(d), 512), np.float64))
            rng = np.random.default_rng(0)
            random = [stats.qmc.discrepancy(rng.random((512, d))) for _ in range(20)]
            assert ours < 0.5 * np.median(random)

    @pytest.mark.parametrize("count", [1, 5, 6, 7, 1000])
    def test_primes(self, count):
        primes = maximise._primes(count)
        known = [p for p in range(2, 8000) if all(p % q for q in primes if q * q <= p)]
        assert primes.tolist() == known[:count]

    def test_each_point_alone_is_uniform(self):
        shifts = jax.random.uniform(jax.random.key(1), (2000, 3))
        points = np.asarray(jax.jit(jax.vmap(lambda s: maximise.net(s, 8)))(shifts))
        for row in (0, 5):
            for column in range(2):
                assert stats.kstest(points[:, row, column], "uniform").pvalue > 1e-3

    def test_sixty_four_bits(self, x64):
        assert net(jnp.zeros(3), 4).dtype == "float64"


class TestCandidates:
    INCUMBENT = jnp.asarray([0.3, 0.9])

    def test_inside_the_cube(self):
        for seed in range(3):
            points = candidates(shift(2, seed), self.INCUMBENT, 200)
            assert points.shape == (200, 2)
            assert (points >= 0).all()
            assert (points <= 1).all()
            assert np.isfinite(points).all()

    def test_half_fill_the_cube(self):
        moved = shift(2)
        points = candidates(moved, self.INCUMBENT, 200)
        assert jnp.array_equal(points[::2], net(moved, 200)[::2])

    def test_half_surround_the_incumbent_at_all_scales(self):
        points = candidates(shift(2), self.INCUMBENT, 1000)
        offsets = np.asarray(points)[1::2] - np.asarray(self.INCUMBENT)
        distance = np.linalg.norm(offsets, axis=1)
        # Log-uniform scales from 1e-4 to 0.3, so every decade of it is served.
        assert np.quantile(distance, 0.1) < 1e-3
        assert 2e-3 < np.median(distance) < 2e-2
        assert np.quantile(distance, 0.9) > 0.1

    def test_at_a_corner(self):
        points = candidates(shift(2), jnp.asarray([0.0, 1.0]), 200)
        assert (points[1::2, 0] >= 0).all()
        assert (points[1::2, 1] <= 1).all()
        assert len(np.unique(np.asarray(points), axis=0)) > 150


@jax.jit
def enumerated_values(codec, points):
    return codec.decode(maximise.enumerated(codec, points))


def enumeration(space, n: int) -> list[tuple]:
    """The values that `enumerated` makes of n points in the middle of the cube."""
    codec = Codec(space)
    middle = jnp.full((n, codec.n_params), 0.5)
    return [tuple(row) for row in enumerated_values(codec, middle).tolist()]


SMALL = {
    "qlinear": {"a": QLinearSpace(-2, 4)},
    "discrete": {"a": DiscreteSpace([5, 1, 30])},
    "product": {
        "a": QLinearSpace(1, 5),
        "b": DiscreteSpace([0.5, 0.25, 4.0]),
        "c": [QLinearSpace(0, 1), QLinearSpace(7, 9)],
    },
    "single": {"a": DiscreteSpace([3]), "b": QLinearSpace(0, 1)},
}


class TestEnumerated:
    @pytest.mark.parametrize(
        "space",
        [
            *(pytest.param(space, id=name) for name, space in SMALL.items()),
            pytest.param({"a": QLogSpace(1, 8)}, id="qlog"),
            pytest.param(
                {"a": QLogSpace(3, 40), "b": QLinearSpace(0, 1)},
                id="qlog_product",
            ),
        ],
    )
    def test_every_point_of_a_small_space(self, space):
        axes = [
            leaf.points().tolist()
            for leaf in jax.tree.leaves(
                space, is_leaf=lambda node: hasattr(node, "points")
            )
        ]
        expected = {tuple(map(float, point)) for point in itertools.product(*axes)}
        values = enumeration(space, math.prod(map(len, axes)))
        assert set(values) == expected
        assert len(values) == len(expected)

    def test_more_rows_than_points(self):
        values = enumeration(SMALL["discrete"], 200)
        assert len(values) == 200
        assert set(values) == {(1.0,), (5.0,), (30.0,)}

    def test_a_search_of_a_small_qlog_space_visits_every_value_once(self):
        state, optimizer = BayesianSearch.init(
            {"n": QLogSpace(1, 8)},
            n_max=8,
            n_parallel=1,
            n_candidates=32,
            n_restarts=1,
            n_hparam_steps=0,
        )
        _, (params, _) = optimizer.optimize_scan(
            state, jax.random.key(0), lambda key, p: p["n"].astype("float32")
        )
        assert sorted(params["n"].ravel().tolist()) == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_a_larger_space_keeps_its_points(self):
        codec = Codec({"a": QLinearSpace(0, 9), "b": QLinearSpace(0, 9)})
        points = net(shift(2), 99)
        kept = jax.jit(maximise.enumerated)(codec, points)
        assert jnp.array_equal(kept, codec.snap(points))

    def test_sizes_are_data(self):
        spaces = jax.vmap(QLinearSpace)(
            jnp.asarray([1.0, 1.0]), jnp.asarray([3.0, 9.0])
        )

        @jax.jit
        @jax.vmap
        def values(space):
            codec = Codec({"a": space})
            return enumerated_values(codec, jnp.full((6, 1), 0.5))[:, 0]

        few, many = values(spaces).tolist()
        assert set(few) == {1, 2, 3}
        assert many == [5] * 6


FEW = {"a": QLinearSpace(0, 2), "b": QLinearSpace(0, 1)}


class TestUntaken:
    def next_of(self, space, values):
        codec = Codec(space)
        taken = codec.encode(jnp.asarray(values, float))
        mask = jnp.ones(taken.shape[0], bool)
        u = jax.jit(maximise.untaken)(codec, taken[-1], taken, mask)
        return codec.decode(u[None, :])[0].tolist()

    def test_a_free_point_stays(self):
        codec = Codec(FEW)
        U = codec.encode(jnp.asarray([[1.0, 1.0], [2.0, 0.0]]))
        mask = jnp.asarray([True, False])
        assert jnp.array_equal(maximise.untaken(codec, U[1], U, mask), U[1])

    def test_the_last_free_point_is_found(self):
        every = [[a, b] for a in range(3) for b in range(2)]
        for missing in every:
            rest = [point for point in every if point != missing]
            assert self.next_of(FEW, rest) == missing

    def test_with_no_free_point_it_stays(self):
        every = [[a, b] for a in range(3) for b in range(2)]
        assert self.next_of(FEW, every) == [2, 1]

    def test_the_constraint_holds(self):
        space = ConstrainedSpace(FEW, lambda p: p["a"] + p["b"] >= 2)
        assert self.next_of(space, [[2, 0], [2, 1]]) == [1, 1]
        assert self.next_of(space, [[2, 0], [1, 1], [2, 1]]) == [2, 1]

    def test_in_more_points_than_can_be_looked_at(self):
        wide = ConstrainedSpace(
            {f"x{i}": QLinearSpace(0, 9) for i in range(8)}, lambda p: p["x7"] >= 5
        )
        taken = [[0] * 7 + [9]] * 3
        point = self.next_of(wide, taken)
        assert point != taken[0]
        assert point[7] >= 5


class TestDistances:
    def test_taken(self):
        U = jnp.asarray([[0.1, 0.2], [0.1, 0.3], [0.5, 0.5], [0.9, 0.9]])
        taken = jnp.asarray([[0.1, 0.2], [0.5, 0.5 + 5e-7], [0.9, 0.9]])
        mask = jnp.asarray([True, True, False])
        assert maximise.is_taken(U, taken, mask).tolist() == [True, False, True, False]

    def test_clearance_is_measured_on_the_torus(self):
        U = jnp.asarray([[0.05, 0.5], [0.5, 0.5], [0.95, 0.95]])
        others = jnp.asarray([[0.95, 0.5], [0.1, 0.1], [0.5, 0.5]])
        mask = jnp.asarray([True, True, False])
        # Across the edge, the first is 0.1 from the first, the last 0.15 and 0.15 from
        # the second.
        nearest = [(0.1, 0.0), (0.45, 0.0), (0.15, 0.15)]
        expected = [np.sum(4 * np.sin(np.pi * np.asarray(gap)) ** 2) for gap in nearest]
        clearance = maximise.clearance(U, others, mask)
        assert np.allclose(clearance, expected, atol=1e-5)

    def test_nothing_to_be_clear_of(self):
        U = jnp.asarray([[0.5]])
        nothing = jnp.asarray([False])
        assert np.isposinf(maximise.clearance(U, U, nothing)).all()
        assert not maximise.is_taken(U, U, nothing).any()


class Bowl(eqx.Module):
    """A score with its maximum at `centre`, which may lie outside the cube."""

    centre: jax.Array

    def __init__(self, *centre: float):
        self.centre = jnp.asarray([centre])

    def __call__(self, U):
        return -jnp.sum((U - self.centre) ** 2, axis=1)


BOTH = (True, True)


@eqx.filter_jit
def maximised(score, start, is_free=BOTH, n_restarts=2, n_steps=15):
    box = cube(start.shape[1])
    is_free = np.asarray(is_free)
    return maximise.maximise(score, start, box, is_free, n_restarts, n_steps)


class TestMaximise:
    START = jnp.asarray([[0.9, 0.1], [0.2, 0.4], [0.6, 0.6]])

    @pytest.mark.parametrize(
        ("centre", "best"), [((0.3, 0.7), (0.3, 0.7)), ((-1.0, 0.25), (0.0, 0.25))]
    )
    def test_finds_the_maximum_in_the_box(self, centre, best):
        assert np.allclose(maximised(Bowl(*centre), self.START), best, atol=1e-4)

    def test_stays_in_a_smaller_box(self):
        box = maximise.Box(jnp.asarray([0.4, 0.2]), jnp.asarray([0.9, 0.2]))
        start = jnp.asarray([[0.8, 0.2], [0.5, 0.2]])
        u = maximise.maximise(Bowl(0.3, 0.7), start, box, np.array([True, True]), 2, 15)
        assert np.allclose(u, [0.4, 0.2], atol=1e-6)

    def test_without_steps_the_best_start(self):
        u = maximised(Bowl(0.3, 0.5), self.START, n_steps=0)
        assert np.array_equal(u, self.START[1])

    def test_fixed_coordinates_stay(self):
        u = maximised(Bowl(0.3, 0.7), self.START, is_free=(False, True))
        assert float(u[0]) in self.START[:, 0].tolist()
        assert float(u[1]) == pytest.approx(0.7, abs=1e-4)

    def test_nothing_free(self):
        u = maximised(Bowl(0.3, 0.5), self.START, is_free=(False, False))
        assert np.array_equal(u, self.START[1])

    def test_more_restarts_than_starts(self):
        u = maximised(Bowl(0.3, 0.7), self.START, n_restarts=50)
        assert np.allclose(u, [0.3, 0.7], atol=1e-4)

    def test_every_restart_counts(self):
        # The better start stands on the lower of two hills.
        def score(U):
            x = U[:, 0]
            return jnp.where(x < 0.5, 0.2 - (x - 0.2) ** 2, 1 - 9 * (x - 0.9) ** 2)

        start = jnp.asarray([[0.22, 0.5], [0.6, 0.5]])
        assert float(maximised(score, start, n_restarts=1)[0]) == pytest.approx(0.2)
        assert float(maximised(score, start, n_restarts=2)[0]) == pytest.approx(0.9)

    @pytest.mark.parametrize("bad", [jnp.nan, -jnp.inf])
    def test_a_score_that_is_no_number_loses(self, bad):
        def score(U):
            return jnp.where(U[:, 0] > 0.5, bad, Bowl(0.3, 0.7)(U))

        for n_steps in (0, 15):
            u = maximised(score, self.START, n_steps=n_steps)
            assert np.isfinite(u).all()
            assert u[0] <= 0.5

    def test_where_every_start_ends_at_a_known_point_the_best_other_start(self):
        corner = jnp.zeros((1, 2))

        @jax.jit
        def elsewhere(known):
            return maximise.maximise(
                Bowl(-1.0, -1.0),
                jnp.concatenate([corner, self.START]),
                cube(2),
                np.array([True, True]),
                2,
                15,
                is_known=lambda U: maximise.is_taken(U, corner, jnp.full(1, known)),
            )

        assert elsewhere(False).tolist() == [0.0, 0.0]
        assert np.array_equal(elsewhere(True), self.START[1])

    def test_no_start_has_a_score(self):
        u = maximised(lambda U: jnp.nan * U[:, 0], self.START, n_steps=5)
        assert u.tolist() in self.START.tolist()


class Waves(eqx.Module):
    """A loss with many hollows and a kink."""

    frequency: jax.Array

    def __call__(self, U):
        return jnp.sum(jnp.sin(self.frequency * U) + jnp.abs(U - 0.3), axis=1)


@eqx.filter_jit
def minimised(loss, start, n_steps):
    """Where L-BFGS ends, the losses that it gives, and the losses there and at the start."""
    U, losses = maximise.box_lbfgs(loss, start, n_steps, jnp.ones((1, start.shape[1])))
    return U, losses, loss(U), loss(start)


class TestBoxLbfgs:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("n_steps", [1, 4, 30])
    def test_never_ends_above_its_start_nor_outside_the_box(self, seed, n_steps):
        rng = np.random.default_rng(seed)
        start = jnp.asarray(rng.uniform(size=(6, 3)), jnp.float32)
        loss = Waves(jnp.asarray(rng.normal(size=(1, 3)) * 20, jnp.float32))
        U, end, at_end, at_start = minimised(loss, start, n_steps)
        assert (U >= 0).all()
        assert (U <= 1).all()
        assert (end <= at_start).all()
        assert np.allclose(end, at_end, atol=1e-5)
        if n_steps == 30:
            assert (end < at_start - 1e-3).all()

    def test_rows_do_not_disturb_each_other(self):
        loss = Waves(jnp.asarray([[3.0, 5.0]]))
        start = jnp.asarray([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
        together = minimised(loss, start, 4)[0]
        for i in range(3):
            alone = minimised(loss, start[i : i + 1], 4)[0]
            assert np.allclose(together[i], alone[0], atol=1e-5)

    def test_one_evaluation_a_step(self):
        # The whole search is one loop of a known length around one evaluation.
        def loss(U):
            return jnp.sum(jnp.sin(U), axis=1)

        start, free = jnp.zeros((2, 3)), jnp.ones((1, 3))
        jaxpr = jax.make_jaxpr(lambda U: maximise.box_lbfgs(loss, U, 7, free))(start)
        loops = [e for e in jaxpr.jaxpr.eqns if e.primitive.name in ("scan", "while")]
        assert [e.primitive.name for e in loops] == ["scan"]
        assert loops[0].params["length"] == 8
        inside = str(loops[0].params["jaxpr"])
        assert inside.count(" sin ") == 1
        assert "while" not in inside
