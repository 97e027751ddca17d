"""The kinds of space: bounds, dtypes, shapes, the law of a sample, and bad input."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hyperopt_jax import (
    ConditionalSpace,
    DiscreteSpace,
    LinearSpace,
    LogSpace,
    QLinearSpace,
    QLogSpace,
    RandomSearch,
    Space,
)
from hyperopt_jax.errors import HyperoptError, SpaceError

# name: (space, dtype of a value, smallest value, largest value)
CASES = {
    "linear": (lambda: LinearSpace(-2.0, 3.0), "float32", -2.0, 3.0),
    "log": (lambda: LogSpace(1e-4, 1e2), "float32", 1e-4, 1e2),
    "log_base_2": (lambda: LogSpace(1e-4, 1e2, base=2), "float32", 1e-4, 1e2),
    "qlinear": (lambda: QLinearSpace(-3, 4), "int32", -3, 4),
    "qlinear_int8": (lambda: QLinearSpace(-128, 127, jnp.int8), "int8", -128, 127),
    "qlinear_float": (lambda: QLinearSpace(1, 6, jnp.float32), "float32", 1, 6),
    "qlog": (lambda: QLogSpace(1, 12), "int32", 1, 12),
    "qlog_float": (lambda: QLogSpace(2, 9, 10, jnp.float32), "float32", 2, 9),
    "discrete_int": (lambda: DiscreteSpace([64, 16, 32]), "int32", 16, 64),
    "discrete_float": (lambda: DiscreteSpace((0.5, 0.1, 7.0)), "float32", 0.1, 7.0),
    "discrete_int16": (lambda: DiscreteSpace(np.int16([3, 1, 2])), "int16", 1, 3),
    "discrete_one": (lambda: DiscreteSpace([5]), "int32", 5, 5),
}
FINITE = {name: case for name, case in CASES.items() if case[0]().is_discrete}

# A correct sampler fails one of these seeded tests with this probability at most, once:
# the seeds are fixed.
SMALLEST_P = 1e-3
N_DRAWS = 20_000


def each(cases=CASES):
    return pytest.mark.parametrize("name", cases)


@eqx.filter_jit
def draws(space: Space, seed: int = 0):
    return space.sample(jax.random.key(seed), (N_DRAWS,))


@eqx.filter_jit
def four(space: Space, key):
    return space.sample(key, (4,))


def p_value(counts, masses) -> float:
    """Of Pearson's chi-square test that the counts come from the masses."""
    counts, masses = np.asarray(counts), np.asarray(masses, float)
    assert counts.sum() == N_DRAWS, "a draw fell outside every cell"
    return stats.chisquare(counts, N_DRAWS * masses / masses.sum()).pvalue


class TestValues:
    @each()
    def test_dtype_and_bounds(self, name):
        make, dtype, low, high = CASES[name]
        space = make()
        assert space.dtype == dtype
        for bound, expected in ((space.lower_bound, low), (space.upper_bound, high)):
            assert bound.shape == ()
            assert jnp.issubdtype(bound.dtype, jnp.floating)
            assert bound == np.float32(expected)

    def test_kinds_are_related(self):
        assert issubclass(LogSpace, LinearSpace)
        assert issubclass(QLinearSpace, LinearSpace)
        assert issubclass(QLogSpace, LogSpace)

    @each()
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
    def test_sample_has_the_shape_and_dtype(self, name, shape):
        space = CASES[name][0]()
        sample = space.sample(jax.random.key(1), shape)
        assert sample.shape == shape
        assert sample.dtype == space.dtype

    def test_sample_is_one_value_by_default(self):
        assert LinearSpace(0.0, 1.0).sample(jax.random.key(0)).shape == ()

    def test_sample_follows_the_key(self):
        space = LinearSpace(0.0, 1.0)
        first, again, other = (
            space.sample(jax.random.key(seed), (3,)) for seed in (0, 0, 1)
        )
        assert jnp.array_equal(first, again)
        assert not jnp.array_equal(first, other)

    @each()
    def test_the_ends_of_the_unit_interval_are_the_bounds(self, name):
        space = CASES[name][0]()
        _, _, low, high = CASES[name]
        ends = [space.decode(jnp.float32(0.0)), space.decode(jnp.float32(1.0))]
        exact = 0.0 if space.is_discrete else 1e-6
        assert ends == pytest.approx([low, high], rel=exact)

    @each()
    def test_draws_stay_inside_the_bounds(self, name):
        make, _, low, high = CASES[name]
        sample = np.asarray(draws(make()), np.float64)
        assert sample.min() >= np.float32(low)
        assert sample.max() <= np.float32(high)

    def test_sixty_four_bits(self, x64):
        assert LinearSpace(0.0, 1.0).dtype == "float64"
        assert LogSpace(1e-300, 1e300).dtype == "float64"
        assert QLinearSpace(0, 2**40, jnp.int64).dtype == "int64"
        assert QLinearSpace(0, 9).dtype == "int32"
        assert DiscreteSpace([1, 2**40]).dtype == "int64"
        assert DiscreteSpace([0.1]).dtype == "float64"
        assert float(DiscreteSpace([0.1, 0.3]).upper_bound) == 0.3

    @each(FINITE)
    def test_points_are_all_the_values(self, name):
        space = FINITE[name][0]()
        points = np.asarray(space.points())
        assert points.dtype == space.dtype
        assert len(points) == len(set(points.tolist())) == float(space.n_values())
        if isinstance(space, DiscreteSpace):
            assert points.tolist() == np.asarray(space.values).tolist()
        else:
            low, high = FINITE[name][2:]
            assert points.tolist() == list(range(low, high + 1))

    def test_intervals_hold_infinitely_many_values(self):
        for space in (LinearSpace(0.0, 1.0), LogSpace(1.0, 2.0)):
            assert not space.is_discrete
            assert math.isinf(space.n_values())


class TestLaw:
    @pytest.mark.parametrize("bounds", [(-2.0, 3.0), (1e6, 1e6 + 1000.0)], ids=str)
    def test_linear_is_uniform(self, bounds):
        sample = np.asarray(draws(LinearSpace(*bounds)))
        counts, _ = np.histogram(sample, bins=20, range=bounds)
        assert p_value(counts, np.ones(20)) > SMALLEST_P

    @pytest.mark.parametrize("base", [2, 10])
    def test_log_is_uniform_in_the_logarithm(self, base):
        sample = np.asarray(draws(LogSpace(1e-4, 1e2, base=base)))
        counts, _ = np.histogram(np.log10(sample), bins=24, range=(-4, 2))
        assert p_value(counts, np.ones(24)) > SMALLEST_P

    @pytest.mark.parametrize("kind", [LogSpace, QLogSpace])
    def test_the_base_changes_nothing(self, kind):
        two, ten = (draws(kind(1, 1000, base=base)) for base in (2, 10))
        assert jnp.array_equal(two, ten)

    @pytest.mark.parametrize("bounds", [(0, 1), (1, 6), (-3, 16)], ids=str)
    @pytest.mark.parametrize("datatype", ["int32", "float32"])
    def test_qlinear_gives_every_value_its_full_mass(self, bounds, datatype):
        low, high = bounds
        sample = np.asarray(draws(QLinearSpace(low, high, datatype))).astype(int)
        counts = np.bincount(sample - low, minlength=high - low + 1)
        assert p_value(counts, np.ones(high - low + 1)) > SMALLEST_P

    def test_the_test_sees_ends_at_half_mass(self):
        uniform = np.random.default_rng(0).uniform(1, 6, N_DRAWS)
        counts = np.bincount(np.rint(uniform).astype(int) - 1, minlength=6)
        assert p_value(counts, np.ones(6)) < 1e-9

    @pytest.mark.parametrize("bounds", [(1, 2), (1, 12), (5, 20)], ids=str)
    def test_qlog_gives_every_value_its_stretch_of_the_log_axis(self, bounds):
        low, high = bounds
        sample = np.asarray(draws(QLogSpace(low, high)))
        k = np.arange(low, high + 1)
        counts = np.bincount(sample - low, minlength=len(k))
        assert p_value(counts, np.log((k + 0.5) / (k - 0.5))) > SMALLEST_P

    @pytest.mark.parametrize(
        "values", [[0, 1], [1000, 1, 10], [0.1, 0.2, 5.0, -3.0, 1e6]], ids=str
    )
    def test_discrete_values_are_equally_likely(self, values):
        sample = np.asarray(draws(DiscreteSpace(values)))
        counts = [(sample == np.asarray(v, sample.dtype)).sum() for v in values]
        assert p_value(counts, np.ones(len(values))) > SMALLEST_P


class TestTransform:
    @each()
    @pytest.mark.parametrize("shape", [(), (2, 3)], ids=str)
    def test_keeps_the_shape_and_gives_the_dtype(self, name, shape):
        space = CASES[name][0]()
        middle = (float(space.lower_bound) + float(space.upper_bound)) / 2
        for value in (np.full(shape, middle, np.float32), jnp.full(shape, middle)):
            snapped = space.transform(value)
            assert snapped.shape == shape
            assert snapped.dtype == space.dtype

    def test_discrete_snaps_to_the_nearest_value(self):
        space = DiscreteSpace([64, 16, 32])
        assert space.transform(jnp.asarray([[0.0, 23.9], [24.1, 1e9]])).tolist() == [
            [16, 16],
            [32, 64],
        ]
        assert space.transform(40) == 32
        assert space.transform([16, 50]).tolist() == [16, 64]

    def test_discrete_leaves_its_values_alone(self):
        space = DiscreteSpace([0.1, 0.7, -5.0])
        assert jnp.array_equal(space.transform(space.values), space.values)

    @pytest.mark.parametrize("kind", [QLinearSpace, QLogSpace])
    def test_whole_numbers_are_rounded_and_kept_inside(self, kind):
        snapped = kind(2, 9).transform(jnp.asarray([-7.0, 2.4, 2.6, 9.4, 50.0]))
        assert snapped.tolist() == [2, 2, 3, 9, 9]

    @each()
    def test_values_of_the_space_stay(self, name):
        space = CASES[name][0]()
        sample = space.sample(jax.random.key(2), (3,))
        assert jnp.array_equal(space.transform(sample), sample)

    @pytest.mark.parametrize("kind", [LinearSpace, LogSpace])
    def test_floats_are_kept_inside(self, kind):
        assert kind(1.0, 2.0).transform(jnp.asarray([0.5, 9.0])).tolist() == [1.0, 2.0]


NAN, INF = float("nan"), float("inf")

BOUNDED = {
    "LinearSpace": LinearSpace,
    "LogSpace": LogSpace,
    "QLinearSpace": QLinearSpace,
    "QLogSpace": QLogSpace,
}


class TestBadBounds:
    @pytest.mark.parametrize("kind", BOUNDED)
    @pytest.mark.parametrize(
        ("bounds", "shown"),
        [
            ((7, 3), "7 and 3"),
            ((7, 7), "7 and 7"),
            ((NAN, 3), "nan"),
            ((1, NAN), "nan"),
            ((1, INF), "inf"),
            ((-INF, 3), "-inf"),
            ((1, 1e300), r"1e\+300"),
            ((1, "many"), "'many'"),
            ((None, 3), "None"),
            ((1, 2j), "2j"),
            (([1.0, 2.0], 3), r"\(2,\)"),
        ],
        ids=str,
    )
    def test_bounds(self, kind, bounds, shown):
        with pytest.raises(SpaceError, match=shown) as caught:
            BOUNDED[kind](*bounds)
        assert kind in str(caught.value)

    @pytest.mark.parametrize("kind", [LogSpace, QLogSpace])
    @pytest.mark.parametrize(("low", "shown"), [(0, "0"), (-2, "-2")])
    def test_a_logarithm_needs_positive_bounds(self, kind, low, shown):
        with pytest.raises(SpaceError, match=f"lower_bound > 0, got {shown}"):
            kind(low, 10)

    @pytest.mark.parametrize("kind", [LogSpace, QLogSpace])
    @pytest.mark.parametrize("base", [1, 0.5, 0, -2, NAN, INF, "ten", None], ids=str)
    def test_base(self, kind, base):
        with pytest.raises(SpaceError, match="base > 1, got") as caught:
            kind(1, 10, base=base)
        assert repr(base) in str(caught.value)

    @pytest.mark.parametrize("kind", [QLinearSpace, QLogSpace])
    @pytest.mark.parametrize(
        ("bounds", "shown"), [((1.5, 4), "1.5"), ((1, 4.25), "4.25")], ids=str
    )
    def test_bounds_of_whole_numbers_are_whole(self, kind, bounds, shown):
        with pytest.raises(SpaceError, match=f"whole number .* got {shown}"):
            kind(*bounds)

    @pytest.mark.parametrize(
        ("kind", "bounds", "datatype", "shown"),
        [
            (QLinearSpace, (-129, 5), jnp.int8, "-129"),
            (QLinearSpace, (0, 128), jnp.int8, "128"),
            (QLinearSpace, (-1, 5), jnp.uint8, "-1"),
            (QLogSpace, (1, 256), jnp.uint8, "256"),
        ],
        ids=str,
    )
    def test_bounds_fit_the_datatype(self, kind, bounds, datatype, shown):
        with pytest.raises(SpaceError, match=f"fit in .*int.* got {shown}"):
            kind(*bounds, datatype=datatype)

    @pytest.mark.parametrize("kind", [QLinearSpace, QLogSpace])
    @pytest.mark.parametrize("datatype", [bool, "wide", 3], ids=str)
    def test_datatype(self, kind, datatype):
        with pytest.raises(SpaceError, match="datatype") as caught:
            kind(1, 4, datatype=datatype)
        assert repr(datatype) in str(caught.value)

    @pytest.mark.parametrize("bounds", [(1.0, 1.0 + 1e-9), (1e9, 1e9 + 1)], ids=str)
    def test_bounds_that_rounding_makes_equal(self, bounds):
        with pytest.raises(SpaceError, match="float32"):
            LinearSpace(*bounds)

    @pytest.mark.parametrize("bounds", [("0", "1"), (False, True)], ids=str)
    def test_bounds_are_numbers(self, bounds):
        with pytest.raises(SpaceError):
            LinearSpace(*bounds)

    def test_bounds_beyond_what_the_table_counts_are_refused(self):
        for high in (2**24 + 2, 2**31 - 1, 2**33):
            with pytest.raises(SpaceError, match="at most 16777216 in size"):
                QLinearSpace(0, high)
        assert QLinearSpace(0, 2**24).upper_bound == 2**24

    def test_wide_floats_count_further(self, x64):
        assert int(QLinearSpace(0, 2**31 - 1).upper_bound) == 2**31 - 1
        with pytest.raises(SpaceError, match="fit in int32, got 2147483648"):
            QLinearSpace(0, 2**31)

    def test_integer_bounds_are_exact_or_refused(self):
        try:
            space = QLinearSpace(0, 2**24 + 1)
        except SpaceError:
            return
        assert int(space.upper_bound) == 2**24 + 1

    @pytest.mark.parametrize("datatype", [jnp.int64, None, complex], ids=str)
    def test_datatype_that_jax_cannot_hold(self, datatype):
        with pytest.raises(SpaceError, match="datatype"):
            QLinearSpace(1, 4, datatype=datatype)


class TestBadValues:
    @pytest.mark.parametrize(
        "values",
        [
            [],
            (),
            [1, 1],
            [2.0, 0.5, 2.0],
            [1.0, 1.0 + 1e-12],
            [1, "two"],
            ["one"],
            [None],
            [1j],
            [True, False],
            [1, True],
            np.asarray([True, False]),
            [[1, 2], [3, 4]],
            [NAN, 1.0],
            [1.0, INF],
            pytest.param(
                [1, 2**40],
            ),
            pytest.param(
                [2**31, 1],
            ),
            7,
            "124",
            {1, 2},
            {1: 2},
            None,
        ],
        ids=str,
    )
    def test_values(self, values):
        with pytest.raises(SpaceError, match="DiscreteSpace") as caught:
            DiscreteSpace(values)
        assert repr(values) in str(caught.value)

    @pytest.mark.parametrize("values", [[[1], [2, 3]], [0.1, 1e300]], ids=str)
    def test_values_that_numpy_refuses(self, values):
        with pytest.raises(HyperoptError, match="DiscreteSpace"):
            DiscreteSpace(values)


class TestModule:
    def test_space_is_abstract(self):
        with pytest.raises(TypeError, match="abstract"):
            Space()

    def test_a_kind_must_say_everything(self):
        class Half(Space):
            def decode(self, u):
                return u

        with pytest.raises(TypeError, match="abstract"):
            Half()

    @each()
    def test_leaves_are_arrays(self, name):
        leaves = jax.tree.leaves(CASES[name][0]())
        assert leaves
        assert all(isinstance(leaf, jax.Array) for leaf in leaves)

    def test_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            LinearSpace(0.0, 1.0).lower_bound = 2.0

    @pytest.mark.parametrize("kind", BOUNDED)
    def test_vmap_over_the_constructor(self, kind):
        kind = BOUNDED[kind]
        low, high = jnp.asarray([1.0, 5.0, 30.0]), jnp.asarray([2.0, 9.0, 40.0])
        spaces = jax.vmap(kind)(low, high)
        assert jnp.array_equal(spaces.lower_bound, low)

        keys = jax.random.split(jax.random.key(0), 3)
        together = jax.jit(jax.vmap(lambda s, k: s.sample(k, (4,))))(spaces, keys)
        assert together.shape == (3, 4)
        for i in range(3):
            alone = four(kind(float(low[i]), float(high[i])), keys[i])
            assert alone.dtype == together.dtype
            assert np.allclose(together[i], alone, rtol=1e-6)
            assert np.all(np.asarray(together[i]) >= float(low[i]))
            assert np.all(np.asarray(together[i]) <= float(high[i]))

    def test_vmap_over_discrete_values(self):
        values = jnp.asarray([[1, 2, 3], [30, 10, 20]])
        spaces = jax.vmap(DiscreteSpace)(values)
        x = jnp.asarray([2.2, 11.0])
        snapped = jax.jit(jax.vmap(lambda s: s.transform(x)))(spaces)
        assert snapped.tolist() == [[2, 3], [10, 10]]

    def test_bounds_are_data_of_a_compiled_program(self):
        traces = []

        @eqx.filter_jit
        def sample(space):
            traces.append(space)
            return space.sample(jax.random.key(0), (4,))

        first, other = sample(LogSpace(1.0, 2.0)), sample(LogSpace(5.0, 50.0))
        assert len(traces) == 1
        assert (first <= 2).all()
        assert (other >= 5).all()

    def test_traced_bounds_are_not_checked(self):
        @jax.jit
        def middle(low, high):
            return LinearSpace(low, high).decode(jnp.float32(0.5))

        assert middle(1.0, 3.0) == 2.0


def test_spaces_are_printed_with_their_numbers():
    assert repr(LogSpace(1e-5, 0.1)).replace("\n", "").replace(" ", "") == (
        "LogSpace(lower_bound=1e-05,upper_bound=0.1,step=None,base=10.0)"
    )
    assert repr(DiscreteSpace([16, 32])) == "DiscreteSpace(values=[16, 32])"
    # Long and traced arrays by dtype and shape, as everywhere in JAX.
    assert "i32[100]" in repr(DiscreteSpace(list(range(100))))
    shown = []
    jax.jit(lambda low: shown.append(repr(LinearSpace(low, 2.0))))(0.5)
    assert "lower_bound=f32[]" in shown[0]
    stack = jax.vmap(lambda low: LinearSpace(low, 2.0))(jnp.asarray([0.1, 0.2]))
    assert "lower_bound=[0.1, 0.2]" in repr(stack)


def test_composite_spaces_and_states_are_printed_with_their_numbers():
    space = ConditionalSpace({"a": {"x": LinearSpace(0.25, 1.5)}, "b": {}})
    state, _ = RandomSearch.init({"model": space})
    assert "upper_bound=1.5" in repr(space)
    assert "upper_bound=1.5" in repr(state)
