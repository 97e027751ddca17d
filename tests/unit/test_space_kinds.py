"""Every kind of leaf: laws, round trips, features, contents; and what is refused."""

import itertools
import math
from decimal import Decimal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from hyperopt_jax import BayesianSearch, RandomSearch, Space, spaces
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    Codec,
    Condition,
    ConstrainedSpace,
    DependentSpace,
    DiscreteSpace,
    FixedSpace,
    LinearSpace,
    LogitSpace,
    LogNormalSpace,
    LogSpace,
    NormalSpace,
    OrdinalSpace,
    PermutationSpace,
    QLinearSpace,
    QLogSpace,
    ReverseLogSpace,
    SimplexSpace,
    SubsetSpace,
    VectorSpace,
    active,
    decode,
    from_json,
    n_groups,
    ravel,
    size,
    to_json,
    unravel,
)
from tests.user_kinds import Between

searched = settings(max_examples=25, deadline=None, derandomize=True)
N = 20_000
SMALLEST_P = 1e-3


class Named:
    """An object that compares by identity and has no good repr."""


FINITE = {
    "choice": (lambda: ChoiceSpace(["a", None, Named, {"x": 1}, 2.5]), 5),
    "choice-two": (lambda: ChoiceSpace([jnp.tanh, jax.nn.relu]), 2),
    "choice-one": (lambda: ChoiceSpace(["only"]), 1),
    "ordinal": (lambda: OrdinalSpace(["s", "m", "l"]), 3),
    "boolean": (lambda: BooleanSpace(), 2),
    "linear-step": (lambda: LinearSpace(0.0, 1.0, step=0.25), 5),
    "qlinear-step": (lambda: QLinearSpace(1, 10, step=3), 4),
    "vector-choice": (lambda: VectorSpace(ChoiceSpace(["a", "b", "c"]), 2), 9),
    "vector-whole": (lambda: VectorSpace(QLinearSpace(0, 1), (2, 2)), 16),
    "permutation": (lambda: PermutationSpace(4), 24),
    "subset": (lambda: SubsetSpace(5, 2), 10),
    "subset-most": (lambda: SubsetSpace(4, 3), 4),
    "vector-permutation": (lambda: VectorSpace(PermutationSpace(3), 2), 36),
}
SKEWED = {
    "log-step": (lambda: LogSpace(1.0, 9.0, step=2.0), 5),
    "qlog-step": (lambda: QLogSpace(1, 13, step=4), 4),
}
CONTINUOUS = {
    "normal": (lambda: NormalSpace(1.0, 2.0, -3.0, 2.0), stats.norm(1, 2).cdf),
    "normal-above": (lambda: NormalSpace(0.0, 1.0, 2.0, 3.5), stats.norm(0, 1).cdf),
    "lognormal": (
        lambda: LogNormalSpace(1e-3, 10.0, 1e-6, 1.0),
        stats.lognorm(math.log(10.0), scale=1e-3).cdf,
    ),
    "logit": (lambda: LogitSpace(0.01, 0.999), lambda x: np.log(x / (1 - x))),
    "reverse-log": (lambda: ReverseLogSpace(0.5, 0.999), lambda x: -np.log(1 - x)),
}
ALL = {k: v[0] for k, v in (FINITE | SKEWED | CONTINUOUS).items()} | {
    "simplex": lambda: SimplexSpace(4),
    "vector-log": lambda: VectorSpace(LogSpace(1e-3, 1.0), (2, 3)),
    "vector-simplex": lambda: VectorSpace(SimplexSpace(3), 2),
    "fixed": lambda: FixedSpace(3),
}


def each(cases):
    return pytest.mark.parametrize("name", cases)


@eqx.filter_jit
def draws(space, seed=0):
    return space.sample(jax.random.key(seed), (N,))


@eqx.filter_jit
def there_and_back(codec, U):
    X = codec.decode(codec.snap(U))
    return X, codec.decode(codec.encode(X)), codec.snap(codec.snap(U)), codec.snap(U)


def rows(values):
    return np.asarray(values).reshape(len(values), -1).astype(float)


@each(FINITE)
def test_all_values_are_equally_likely(name):
    make, count = FINITE[name]
    space = make()
    points, values = rows(space.points()), rows(draws(space))
    assert len(points) == count == float(space.n_values()) == size({"x": space})
    assert len(np.unique(points, axis=0)) == count
    counts = [(values == point).all(axis=1).sum() for point in points]
    assert sum(counts) == N
    if count > 1:
        assert stats.chisquare(counts).pvalue > SMALLEST_P


@each(SKEWED)
def test_steps_on_a_log_axis_own_their_stretch(name):
    make, count = SKEWED[name]
    space = make()
    points, step = rows(space.points())[:, 0], float(space.step)
    assert len(points) == count == float(space.n_values())
    edges = np.concatenate([points - step / 2, [points[-1] + step / 2]])
    edges[0] = max(edges[0], points[0] / 2)
    masses = np.diff(np.log(edges))
    counts = [(rows(draws(space))[:, 0] == p).sum() for p in points]
    expected = N * masses / masses.sum()
    assert stats.chisquare(counts, expected).pvalue > SMALLEST_P


@each(CONTINUOUS)
def test_continuous_laws(name):
    make, law = CONTINUOUS[name]
    space = make()
    low, high = float(space.lower_bound), float(space.upper_bound)
    values = np.asarray(draws(space), float)
    assert values.min() >= low
    assert values.max() <= high
    place = (law(values) - law(low)) / (law(high) - law(low))
    assert stats.kstest(place, "uniform").pvalue > SMALLEST_P
    ends = jax.vmap(space.decode)(jnp.asarray([0.0, 1.0]))
    np.testing.assert_allclose(ends, [low, high], rtol=2e-5)


def test_simplex_is_uniform_and_sums_to_one():
    values = np.asarray(draws(SimplexSpace(4)))
    assert values.min() >= 0
    assert np.abs(values.sum(axis=1) - 1).max() <= 4 * np.finfo(np.float32).eps
    for i in range(4):
        # A coordinate of the flat Dirichlet law is beta(1, n - 1).
        assert stats.kstest(values[:, i], stats.beta(1, 3).cdf).pvalue > SMALLEST_P
    corners = jnp.asarray([[1.0, 0, 0, 0], [0, 0, 0, 1.0], [0, 1.0, 0, 0]])
    back = jax.vmap(lambda x: SimplexSpace(4).decode(SimplexSpace(4).encode(x)))(
        corners
    )
    np.testing.assert_allclose(back, corners, atol=1e-6)


SPACES = {name: make() for name, make in ALL.items()}
CODEC = Codec(SPACES)


@searched
@given(seed=st.integers(0, 2**31))
def test_there_and_back(seed):
    U = np.random.default_rng(seed).uniform(size=(16, CODEC.n_coordinates))
    U[:2] = [[0.0], [1.0]]
    X, again, twice, once = there_and_back(CODEC, jnp.asarray(U, jnp.float32))
    np.testing.assert_allclose(twice, once, atol=1e-6)
    params, back = unravel(SPACES, X), unravel(SPACES, again)
    np.testing.assert_array_equal(ravel(SPACES, params), X)
    for name, space in SPACES.items():
        assert params[name].dtype == space.dtype
        assert params[name].shape == (16, *space.shape)
        close = {"rtol": 0.0 if space.is_discrete else 1e-3, "atol": 2e-6}
        np.testing.assert_allclose(params[name], back[name], **close, err_msg=name)


def test_works_in_double_precision(x64):
    few = "choice", "qlog-step", "normal-above", "logit", "simplex", "permutation"
    space = {name: ALL[name]() for name in few}
    codec = Codec(space)
    U = jax.random.uniform(jax.random.key(0), (8, codec.n_coordinates))
    X, again, _, _ = there_and_back(codec, U)
    assert X.dtype == jnp.float64
    np.testing.assert_allclose(X, again, rtol=1e-9, atol=1e-9)
    assert eqx.filter_jit(Codec.features)(codec, U).dtype == jnp.float64


@each([k for k in FINITE if FINITE[k][1] > 1])
def test_nth_lists_the_points(name):
    space = FINITE[name][0]()
    index = jnp.arange(float(space.n_values()))
    np.testing.assert_array_equal(jax.vmap(space.nth)(index), space.points())


def test_contains():
    @eqx.filter_jit
    def check(spaces, key):
        kept = {}
        for name, space in spaces.items():
            exact = not jnp.issubdtype(space.dtype, jnp.bool_)
            outside = jnp.full(space.shape, 97, space.dtype if exact else jnp.float32)
            inside = space.sample(key, (3, 2))
            kept[name] = space.contains(outside), space.contains(inside)
        return kept

    for name, (outside, inside) in check(SPACES, jax.random.key(0)).items():
        assert not bool(outside), name
        assert inside.shape == (3, 2)
        assert bool(inside.all()), name


class TestFeatures:
    @staticmethod
    def distances(space):
        codec = Codec(space)
        points = jnp.asarray(rows(space.points()), jnp.float32)
        F = np.asarray(codec.features(codec.encode(points)))
        assert len(codec.feature_groups) == F.shape[1]
        return np.sqrt(((F[:, None] - F[None]) ** 2).sum(-1))

    @pytest.mark.parametrize("m", [2, 3, 7])
    def test_different_choices_are_at_distance_one(self, m):
        D = self.distances(ChoiceSpace(range(m)))
        np.testing.assert_allclose(D, 1 - np.eye(m), atol=1e-6)
        assert Codec(ChoiceSpace(range(m))).n_groups == 1

    def test_switches_are_at_distance_one(self):
        np.testing.assert_allclose(self.distances(BooleanSpace()), 1 - np.eye(2))

    def test_orders(self):
        D = self.distances(PermutationSpace(4))
        assert D.max() == pytest.approx(1.0, abs=1e-5)
        # The first in the order of a dictionary against the last, its reverse.
        assert D[0, -1] == pytest.approx(1.0, abs=1e-5)

    def test_subsets(self):
        D = self.distances(SubsetSpace(4, 2))
        pairs = list(itertools.combinations(range(4), 2))
        for i, a in enumerate(pairs):
            for j, b in enumerate(pairs):
                apart = len(set(a) ^ set(b))
                assert D[i, j] == pytest.approx(math.sqrt(apart / 4), abs=1e-5)

    def test_entries_of_a_vector_have_their_own_length_scales(self):
        codec = Codec(VectorSpace(ChoiceSpace(["a", "b", "c"]), 2))
        assert codec.feature_groups.tolist() == [0, 0, 0, 1, 1, 1]
        codec = Codec([LinearSpace(0.0, 1.0), SimplexSpace(3), LogSpace(1.0, 2.0)])
        assert codec.feature_groups.tolist() == [0, 1, 1, 1, 2]
        assert codec.n_groups == n_groups(
            [LinearSpace(0, 1), SimplexSpace(3), LogSpace(1, 2)]
        )

    def test_plain_numbers_cost_nothing(self):
        space = {"a": LinearSpace(0.0, 1.0), "b": QLogSpace(1, 9), "c": LogSpace(1, 2)}
        codec = Codec(space)
        U = jnp.zeros((3, 3))
        assert codec.features(U) is U
        assert codec.feature_groups.tolist() == [0, 1, 2]
        assert not jax.make_jaxpr(Codec(space["a"]).snap)(U[:, :1]).eqns


class TestChoices:
    def test_objects_come_back(self):
        space = ChoiceSpace(["a", None, Named, {"x": 1}])
        assert space.value(jnp.int32(1)) is None
        assert space.value(jnp.asarray([[2], [3]])) == [[Named], [{"x": 1}]]
        assert space.index({"x": 1}) == 3
        for bad in (4, -1):
            with pytest.raises(ParamsError, match="index of 0 to 3"):
                space.value(bad)
        for bad in (0.5, float("nan"), "a", [0, 1.5]):
            with pytest.raises(ParamsError, match="whole numbers for the indices"):
                space.value(bad)
        with pytest.raises(ParamsError, match="one of the choices"):
            space.index("zzz")
        with pytest.raises(ParamsError, match="switch"):
            jax.jit(space.value)(1)

    def test_nan_is_one_choice(self):
        space = ChoiceSpace([1, float("nan")])
        assert space.index(float("nan")) == space.index(np.float32("nan")) == 1
        assert space == ChoiceSpace([1, float("nan")])
        with pytest.raises(SpaceError, match="nan twice"):
            ChoiceSpace([float("nan"), float("nan")])

    def test_what_a_file_makes_of_a_choice_is_found(self):
        space = ChoiceSpace([1, 2.5, (3, 3), (3, (4.0, "a")), True])
        assert [space.index(x) for x in (1.0, [3, 3], [3.0, [4, "a"]])] == [0, 2, 3]
        assert space.index(np.float64(1.0)) == 0
        assert space.index(True) == 4
        assert ChoiceSpace([1, 1.0]).index(1.0) == 1
        for other in (2, "1", [1], [3, 3, 3], False):
            with pytest.raises(ParamsError, match="one of the choices"):
                space.index(other)
        with pytest.raises(ParamsError, match="one of the choices"):
            ChoiceSpace([(1, 2), [1, 2]]).index((1.0, 2))  # like both

    def test_switch_inside_a_program(self):
        space = ChoiceSpace(["sin", "cos"])
        branch = jax.jit(lambda i, x: space.switch(i, [jnp.sin, jnp.cos], x))
        assert float(branch(1, 0.0)) == 1.0
        functions = ChoiceSpace([jnp.sin, jnp.cos])
        assert float(functions.switch(1, functions.choices, 0.0)) == 1.0
        with pytest.raises(ParamsError, match="2 branches"):
            space.switch(0, [jnp.sin], 0.0)
        with pytest.raises(ParamsError, match=r"functions .* got \[1, 2\]"):
            space.switch(0, [1, 2])

    def test_equal_by_value_and_hashable(self):
        make = lambda: ChoiceSpace(["a", {"x": [1, 2]}, None])  # noqa: E731
        assert make() == make()
        assert hash(make()) == hash(make())
        assert make() != ChoiceSpace(["a", {"x": [1, 3]}, None])
        assert ChoiceSpace([0, 1]) != ChoiceSpace([False, True])
        assert ChoiceSpace([0, 1]) != OrdinalSpace([0, 1])

    def test_a_users_own_class_of_choices(self):
        class Optimizers(ChoiceSpace):
            fast: bool = eqx.field(static=True)

            def __init__(self, fast):
                super().__init__(["adam", "sgd"])
                self.fast = fast

        space = {"a": Optimizers(True), "b": ChoiceSpace([0, 1])}
        X = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
        codec = Codec(space)
        assert codec.decode(codec.encode(X)).tolist() == X.tolist()
        assert space["a"].value(1) == "sgd"
        assert list(space["a"].choices) == ["adam", "sgd"]
        assert LinearSpace(0, 1) == LinearSpace(0.0, 1.0) != LinearSpace(0.0, 2.0)
        assert len({LinearSpace(0, 1), LinearSpace(0.0, 1.0), LogSpace(1, 2)}) == 2

    def test_names_are_no_part_of_a_program(self):
        codec = Codec([ChoiceSpace([f"{i}", f"{i}b"]) for i in range(20)])
        assert len(codec.kinds) == 1


def test_constants_pass_through():
    space = {
        "lr": LogSpace(0.1, 1.0),
        "n": FixedSpace([1, 2]),
        "opt": FixedSpace("sgd"),
    }
    codec = Codec(space)
    assert (codec.n_params, codec.n_columns, codec.n_coordinates) == (3, 1, 1)
    params = unravel(space, jnp.asarray([[0.2], [0.4]]))
    assert params["n"].tolist() == [[1, 2], [1, 2]]
    assert params["opt"].tolist() == [0, 0]
    assert space["opt"].constant == "sgd"
    assert ravel(space, params).shape == (2, 1)
    lowered = jax.vmap(lambda v: Codec({"f": FixedSpace(v), "x": space["lr"]}).n_params)
    assert lowered(jnp.zeros(2)).tolist() == [3 - 1] * 2


def test_values_of_a_step_as_people_write_them():
    space = {"x": LinearSpace(0.0, 1.0, step=0.1), "y": LinearSpace(0.0, 1.0)}
    written = [i / 10 for i in range(11)]
    assert all(bool(space["x"].contains(value)) for value in written)
    assert not bool(space["x"].contains(0.90001))
    for i, value in enumerate(written):
        dependent = DependentSpace(space, {"y": Condition("x", is_in=[value])})
        proposed = space["x"].points()[i]
        assert bool(active(dependent, {"x": proposed, "y": 0.5})["y"])


def test_spaces_that_are_equal_have_one_hash():
    assert LinearSpace(-0.0, 1.0) == LinearSpace(0.0, 1.0)
    assert hash(LinearSpace(-0.0, 1.0)) == hash(LinearSpace(0.0, 1.0))


def test_sizes_may_be_numpy_integers():
    one = LinearSpace(0.0, 1.0)
    assert VectorSpace(one, np.int64(3)) == VectorSpace(one, 3)
    assert VectorSpace(one, [2, np.int32(3)]) == VectorSpace(one, (2, 3))


@pytest.mark.parametrize(
    "truth", [True, np.bool_(False), jnp.asarray(True), np.array([True, False])]
)
def test_constant_truth_values_stay_truth_values(truth):
    space = FixedSpace(truth)
    assert space.dtype == bool
    np.testing.assert_array_equal(space.constant, truth)
    assert from_json(to_json(space)) == space


def test_a_constant_that_is_nan_equals_itself():
    make = lambda: {"a": FixedSpace(np.nan), "b": FixedSpace([np.nan, 1.0])}  # noqa: E731
    assert make() == make() == from_json(to_json(make()))
    assert hash(make()["b"]) == hash(make()["b"])
    assert FixedSpace([np.nan, 1.0]) != FixedSpace([1.0, np.nan])


def test_infinite_constants_pass():
    assert float(FixedSpace(float("inf")).value) == float("inf")


def test_what_no_array_holds_is_an_object():
    for value in ([[1], [1, 2]], None, "adam", len, {"a": 1}):
        assert FixedSpace(value).constant == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChoiceSpace([]), "at least one choice"),
        (lambda: ChoiceSpace("abc"), "list or tuple"),
        (lambda: ChoiceSpace(["a", "b", "a"]), "'a' twice"),
        (lambda: ChoiceSpace([{}, 1, {}]), "{} twice"),
        (lambda: LinearSpace(0.0, 1.0, step=0.0), "step"),
        (lambda: LinearSpace(0.0, 1.0, step=2.0), "step"),
        (lambda: LinearSpace(1e6, 1e6 + 1, step=0.01), "step of at least 0.125"),
        (lambda: LogSpace(1.0, 1e6, step=0.1), "step of at least 0.125"),
        (lambda: QLinearSpace(0, 9, step=0.5), "whole number for QLinearSpace.step"),
        (lambda: LinearSpace(0.0, 1.0).points(), "expected a step"),
        (lambda: VectorSpace(LinearSpace(0.0, 1.0), ()), "shape"),
        (lambda: VectorSpace(LinearSpace(0.0, 1.0), 0), "shape"),
        (lambda: VectorSpace(LinearSpace(0.0, 1.0), 2.5), "shape"),
        (lambda: VectorSpace(LinearSpace(0.0, 1.0), None), "shape"),
        (lambda: VectorSpace(LinearSpace(0.0, 1.0), True), "shape"),
        (lambda: VectorSpace({"a": LinearSpace(0.0, 1.0)}, 2), "searched Space"),
        (lambda: VectorSpace(FixedSpace(1), 2), "searched Space"),
        (lambda: SimplexSpace(1), ">= 2, got 1"),
        (lambda: PermutationSpace(2.5), "whole number"),
        (lambda: SubsetSpace(3, 3), "k < n"),
        (lambda: LogitSpace(0.0, 0.5), "between 0 and 1"),
        (lambda: ReverseLogSpace(0.5, 1.0), "upper_bound < limit"),
        (lambda: NormalSpace(0.0, 0.0), "std > 0"),
        (lambda: NormalSpace(0.0, 1.0, 8.0, 9.0), "at least"),
        (lambda: LogNormalSpace(0.0, 2.0), "lower_bound > 0"),
        (lambda: LogNormalSpace(1.0, 1.0), "factor > 1"),
        (lambda: FixedSpace(2**40), "that int32 holds"),
        (lambda: FixedSpace([0.0, -1e39]), "that float32 holds"),
        (lambda: FixedSpace(2**70), "real number, got 1180591620717411303424"),
        (lambda: FixedSpace(1j), "real number, got 1j"),
        (lambda: FixedSpace(jnp.ones(2, "complex64")), "real number"),
        (lambda: FixedSpace([1j, 2]), "real number"),
        (lambda: LogSpace(1e-40, 1.0), "not taken for zero, got 9"),
        (lambda: DiscreteSpace([1e-50, 1.0]), "that float32 and float32 hold"),
    ],
)
def test_bad_input_gets_one_sentence(make, message):
    with pytest.raises(SpaceError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_bounds_of_new_kinds_map():
    lows = jnp.asarray([0.1, 0.3])
    makers = [
        lambda low: LogitSpace(low, 0.9),
        lambda low: ReverseLogSpace(low, 0.95),
        lambda low: NormalSpace(0.5, 0.2, low, 1.0),
        lambda low: LogNormalSpace(0.5, 2.0, low, 1.0),
        lambda low: LinearSpace(low, 1.0, step=0.05),
        lambda low: VectorSpace(LinearSpace(low, 1.0), 2),
    ]
    for make in makers:

        def lowest(low, make=make):
            codec = Codec({"x": make(low)})
            return codec.decode(jnp.zeros((1, codec.n_coordinates)))[0, 0]

        np.testing.assert_allclose(jax.vmap(lowest)(lows), lows, rtol=1e-5)


def test_large_counts_do_not_overflow():
    assert float(PermutationSpace(60).n_values()) == math.inf
    assert float(SubsetSpace(200, 100).n_values()) == math.inf
    order = PermutationSpace(12).nth(jnp.asarray(5.0))
    assert sorted(order.tolist()) == list(range(12))


def test_whole_steps_are_counted_exactly():
    space = QLinearSpace(0, 5999, step=2000)
    assert space.points().tolist() == [0, 2000, 4000]
    assert np.unique(draws(space)).tolist() == [0, 2000, 4000]
    assert size(space) == 3
    assert size(QLinearSpace(0, 3 * 333_333, step=3)) == 333_334
    for kind in (QLinearSpace, QLogSpace):
        assert np.unique(draws(kind(1, 6000, step=2000))).tolist() == [1, 2001, 4001]
    far = QLinearSpace(-(2**24), 2**24, step=2)
    assert far.transform(jnp.asarray([-2, 2])).tolist() == [-2, 2]
    with pytest.raises(SpaceError, match="at most the width of the range, 1999"):
        QLinearSpace(0, 1999, step=2000)


def test_the_finest_steps_are_distinct():
    points = np.asarray(LinearSpace(1e6, 1e6 + 10, step=0.125).points())
    assert len(np.unique(points)) == 81
    # Whole numbers are exact up to the largest that are told apart.
    assert size(QLinearSpace(1, 2**24, step=1)) == 2**24


def test_steps_end_at_the_upper_bound_where_rounding_takes_a_part_of_one():
    for low, high, step, n in [
        (0.1, 101.1, 0.001, 101_001),
        (0.95, 20.1, 0.0005, 38_301),
        (0.0, 1.05, 0.1, 11),
    ]:
        space = LinearSpace(low, high, step=step)
        assert size(space) == n
        assert bool(space.contains(high)) == (step != 0.1)
        assert len(np.unique(space.points())) == n


def test_fine_steps_of_double_precision(x64):
    assert LinearSpace(1e6, 1e6 + 1, step=0.01).points().shape == (101,)


def check_decimals(low, high, step):
    """Every value, from every side, is the float nearest to its decimal."""
    space = LinearSpace(low, high, step=step)
    n = int(size(space))
    wanted = [float(Decimal(str(low)) + i * Decimal(str(step))) for i in range(n)]
    wanted = np.asarray(wanted, space.dtype)
    U = jnp.asarray((np.arange(n) + 0.5)[:, None] / n)
    inside = jax.jit(lambda: Codec([space, space]).decode(jnp.hstack([U, U])))
    for values in (
        space.points(),
        decode(space, U),
        inside()[:, 1],
        jax.jit(space.transform)(wanted * (1 + 1e-6)),
    ):
        assert np.asarray(values).tolist() == wanted.tolist()


STEPS = [
    (0.0, 1.0, 0.1),
    (-0.5, 0.5, 0.05),
    (0.001, 0.999, 0.001),
    (-3.7, 4.1, 0.13),
    (1e-7, 1e-5, 1e-7),
    (1000.0, 1001.0, 0.1),
    (1e6, 2e6, 1000.0),
]


@pytest.mark.parametrize(("low", "high", "step"), STEPS)
def test_steps_are_at_decimals(low, high, step):
    check_decimals(low, high, step)


@pytest.mark.parametrize(("low", "high", "step"), STEPS)
def test_steps_are_at_decimals_in_double_precision(x64, low, high, step):
    check_decimals(low, high, step)


def test_steps_are_at_decimals_where_bounds_are_mapped():
    lows, steps = jnp.array([0.0, -0.3, 1.0]), jnp.array([0.1, 0.05, 0.25])

    def values(low, step):
        space = LinearSpace(low, low + 10 * step, step=step)
        return jax.vmap(space.nth)(jnp.arange(10.0))

    wanted = [[0.1 * i for i in range(10)], [-0.3 + 0.05 * i for i in range(10)]]
    wanted = np.round([*wanted, [1 + 0.25 * i for i in range(10)]], 6)
    got = jax.jit(jax.vmap(values))(lows, steps)
    assert got.tolist() == wanted.astype(np.float32).tolist()


def test_steps_of_a_log_space_are_at_decimals():
    space = LogSpace(0.1, 2.0, step=0.1)
    wanted = np.asarray([round(0.1 * i, 1) for i in range(1, 21)], np.float32)
    assert np.asarray(space.points()).tolist() == wanted.tolist()
    draws = np.asarray(spaces.sample(space, jax.random.key(0), 500))
    assert set(draws.tolist()) <= set(wanted.tolist())


def test_steps_that_are_no_decimals():
    space = LinearSpace(0.5, 2.5, step=1 / 3)
    np.testing.assert_allclose(space.points(), 0.5 + np.arange(7) / 3, rtol=3e-7)


@pytest.mark.parametrize("bound", [0.3, 0.6, 0.7, 0.9])
def test_a_constraint_holds_at_the_step_that_it_names(bound):
    steps = {"x": LinearSpace(0.0, 1.0, step=0.1)}
    n = round(10 * bound) + 1
    assert size(ConstrainedSpace(steps, A=[[1.0]], b=[bound])) == n
    assert size(ConstrainedSpace(steps, lambda p: p["x"] <= bound)) == n
    assert size(ConstrainedSpace(steps, lambda p: p["x"] == bound)) == 1


def test_a_step_through_zero_has_zero():
    space = LinearSpace(-0.7, 0.7, step=0.1)
    assert 0.0 in space.points().tolist()
    assert bool(space.contains(0.0))
    for low in (1e-3, -1e-3):  # near zero, and not zero
        assert float(LinearSpace(low, 10.0, step=2.0).decode(jnp.zeros(()))) == (
            pytest.approx(low)
        )


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        (LinearSpace(0.5, 2.5), 1, 0),
        (LogSpace(1e-5, 2.0), 1, 0),
        (DiscreteSpace([1.2, 3.0]), 3, 1),
        (QLinearSpace(0, 3), 2.0, 2.5),
    ],
    ids=lambda value: str(value)[:20],
)
def test_numbers_of_another_type_are_contained_by_value(space, inside, outside):
    assert bool(space.contains(inside))
    assert not bool(space.contains(outside))


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (PermutationSpace(3), [0, 1, 2, 3]),
        (SimplexSpace(3), [0.5, 0.5]),
        (SubsetSpace(5, 2), [1, 2, 3]),
        (VectorSpace(LinearSpace(0.0, 1.0), 3), [0.5, 0.5]),
        (VectorSpace(LinearSpace(0.0, 1.0), 3), 0.5),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_of_another_shape_are_none(space, value):
    assert space.contains(value).shape == ()
    assert not bool(space.contains(value))
    rows = jnp.ones((4, 7))
    assert space.contains(rows).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (QLinearSpace(1, 8), 2**32 + 5),
        (DiscreteSpace([16, 32]), 2**32 + 16),
        (ChoiceSpace(["a", "b"]), 2**32 + 1),
        (SubsetSpace(5, 2), np.array([3, 1], np.uint8)),
        (QLinearSpace(0, 100, datatype=jnp.uint8), 300),
    ],
    ids=lambda value: str(value)[:20],
)
def test_whole_numbers_do_not_wrap_round_into_a_space(space, value):
    assert not bool(space.contains(value))


def test_every_whole_number_of_a_large_space_is_drawn():
    drawn = QLinearSpace(0, 2**24 - 1).sample(jax.random.key(0), (2000,))
    assert 0.4 < (np.asarray(drawn) % 2).mean() < 0.6


@pytest.mark.parametrize("value", ["u", ["u"], None, [[1], [1, 2]], 2**70])
def test_what_is_no_number_is_not_looked_for(value):
    for space in (ChoiceSpace(["u", "v"]), LinearSpace(0.0, 1.0), SimplexSpace(2)):
        with pytest.raises(ParamsError, match=r"numbers for .*, the index in place"):
            space.contains(value)


@pytest.mark.parametrize("kind", [OrdinalSpace, ChoiceSpace])
def test_choices_without_order_are_refused(kind):
    with pytest.raises(SpaceError, match="list or tuple"):
        kind({"small", "large"})


def test_whole_numbers_that_a_narrow_float_skips_are_refused():
    assert QLinearSpace(1, 3, datatype=jnp.bfloat16).points().tolist() == [1, 2, 3]
    with pytest.raises(SpaceError, match="4095"):
        QLinearSpace(1, 4095, datatype=jnp.float16)


def test_a_finite_kind_of_equal_parts_needs_no_nth():
    class Even(Space):
        is_discrete = True
        dtype = jnp.dtype(jnp.int32)

        def n_values(self):
            return jnp.asarray(3.0)

        def decode(self, u):
            return (2 * jnp.clip(jnp.floor(3 * u), 0, 2)).astype(jnp.int32)

        def encode(self, value):
            return (value.astype(jnp.result_type(float)) / 2 + 0.5) / 3

        def transform(self, value):
            half = jnp.round(jnp.asarray(value).astype(jnp.result_type(float)) / 2)
            return (2 * jnp.clip(half, 0, 2)).astype(jnp.int32)

    state, search = BayesianSearch.tuned({"n": Even()}, n_max=3, n_parallel=1)
    _, (params, _) = search.optimize_scan(
        state, jax.random.key(0), lambda key, p: -p["n"].astype(float)
    )
    assert sorted(params["n"].ravel().tolist()) == [0, 2, 4]


def test_a_kind_may_hold_numbers_of_python():
    space = {"x": Between(0.0, 1.0), "y": Between(2.0, 3.0), "n": QLinearSpace(1, 3)}
    state, search = RandomSearch.init(space, n_parallel=50)
    _, (params, _) = search.optimize_scan(
        state, jax.random.key(0), lambda key, p: p["x"] - p["y"], 1
    )
    params = jax.tree.map(lambda leaf: leaf[0], params)
    assert ((params["y"] >= 2.0) & (params["y"] <= 3.0)).all()
    U = spaces.encode(space, params)
    back = spaces.decode(space, U)
    np.testing.assert_allclose(params["y"], back["y"], rtol=1e-6)
    assert stats.kstest(np.asarray(params["y"]) - 2, "uniform").pvalue > 1e-3
    assert spaces.contains(space, params).all()


def test_numbers_that_the_cube_cannot_tell_apart_are_refused():
    with pytest.raises(SpaceError, match="at most 16777216 steps apart"):
        QLinearSpace(-(2**24), 2**24)
    with pytest.raises(SpaceError, match=r"at least 1\.18e-38 apart"):
        LinearSpace(0.0, 1e-40)
    assert size(QLinearSpace(-(2**23), 2**23)) == 2**24


def test_listed_numbers_are_encoded_one_by_one_or_many_at_once():
    space = DiscreteSpace([5, -1, 3])
    values = jnp.asarray([[5, -1], [3, 5]])
    each = [[float(space.encode(v)) for v in row] for row in values]
    np.testing.assert_allclose(space.encode(values), each, rtol=1e-6)


def test_what_is_not_an_index_of_a_choice_is_named():
    with pytest.raises(ParamsError, match="a whole number, got 'a'"):
        ChoiceSpace(["a", "b"]).switch("a", [jnp.sin, jnp.cos], 0.0)


def test_a_predicate_takes_the_parameters_alone():
    with pytest.raises(SpaceError, match=r"one argument.*missing a required argument"):
        ConstrainedSpace({"x": LinearSpace(0.0, 1.0)}, lambda p, q: True)
