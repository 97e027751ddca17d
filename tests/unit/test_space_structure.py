"""Conditional, dependent, list and constrained spaces: activity, fillers, features."""

import itertools
import operator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hyperopt_jax import GridSearch, Matern, RandomSearch, decode_choices, spaces
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    Codec,
    Condition,
    ConditionalSpace,
    ConstrainedSpace,
    DependentSpace,
    DiscreteSpace,
    FixedSpace,
    LinearSpace,
    ListSpace,
    LogSpace,
    OrdinalSpace,
    PermutationSpace,
    QLinearSpace,
    QLogSpace,
    VectorSpace,
    active,
    all_points,
    check_space,
    decode,
    enumerate_space,
    given_points,
    ravel,
    sample,
    size,
    unravel,
)

KEY = jax.random.key(0)
XY = [LinearSpace(0.0, 1.0), LinearSpace(0.0, 1.0)]


def model():
    return {
        "model": ConditionalSpace(
            {
                "svm": {
                    "C": LogSpace(1e-3, 1e3),
                    "kernel": ConditionalSpace(
                        {"rbf": {"gamma": LogSpace(1e-4, 1.0)}, "linear": {}}
                    ),
                },
                "forest": {"trees": QLogSpace(10, 500), "note": FixedSpace("x")},
                "none": {},
            }
        ),
        "layers": ListSpace(
            {"width": QLinearSpace(1, 9), "act": ChoiceSpace(["a", "b", "c"])}, 3, 0
        ),
        "scale": BooleanSpace(),
    }


def dependent():
    return DependentSpace(
        {
            "kernel": ChoiceSpace(["linear", "rbf", "poly"]),
            "gamma": LogSpace(1e-3, 1e1),
            "degree": QLinearSpace(2, 5),
            "coef": LinearSpace(0.0, 1.0),
            "extra": {"deep": ListSpace(LinearSpace(0.0, 1.0), 2)},
        },
        when={
            "gamma": Condition("kernel", is_in=["rbf", "poly"]),
            "degree": Condition("kernel", is_in=["poly"]),
            "coef": Condition("degree", low=4) | Condition("gamma", high=0.1),
            "extra": Condition("degree", is_in=[2, 5])
            & Condition("kernel", is_in=["poly"]),
        },
    )


SPACES = {"model": model, "dependent": dependent}


@eqx.filter_jit
def tables(codec, U):
    S = codec.snap(U)
    X = codec.decode(S)
    return S, X, codec.active(X), codec.features(S), codec.encode(X), codec.filler()


def uniform(codec, n=200, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(size=(n, codec.n_coordinates)), jnp.float32)


@pytest.fixture(scope="module", params=SPACES, ids=str)
def sampled(request):
    space = SPACES[request.param]()
    codec = Codec(space)
    return request.param, space, codec, tables(codec, uniform(codec))


def expected_activity(name, p):
    """What is active in one configuration, said in plain Python."""
    if name == "dependent":
        kernel = ["linear", "rbf", "poly"][int(p["kernel"])]
        degree = kernel == "poly"
        gamma = kernel != "linear"
        extra = degree and int(p["degree"]) in (2, 5)
        k = int(p["extra"]["deep"]["length"])
        return {
            "kernel": True,
            "gamma": gamma,
            "degree": degree,
            "coef": (degree and p["degree"] >= 4) or (gamma and p["gamma"] <= 0.1),
            "extra": {
                "deep": {
                    "length": extra,
                    "values": [extra and i < k for i in range(2)],
                }
            },
        }
    names = ["forest", "none", "svm"]
    chosen = names[int(p["model"]["choice"])]
    svm = chosen == "svm"
    k = int(p["layers"]["length"])
    return {
        "model": {
            "choice": True,
            "forest": {"trees": chosen == "forest", "note": chosen == "forest"},
            "none": {},
            "svm": {
                "C": svm,
                "kernel": {
                    "choice": svm,
                    "linear": {},
                    "rbf": {
                        "gamma": svm and int(p["model"]["svm"]["kernel"]["choice"]) == 1
                    },
                },
            },
        },
        "layers": {
            "length": True,
            "values": {
                "width": [i < k for i in range(3)],
                "act": [i < k for i in range(3)],
            },
        },
        "scale": True,
    }


def test_activity_equals_plain_python(sampled):
    name, space, codec, (S, X, active, F, back, filler) = sampled
    params = unravel(space, X)
    for row in range(len(X)):
        one = jax.tree.map(lambda leaf, row=row: np.asarray(leaf)[row], params)
        wanted = expected_activity(name, one)
        if name == "model":
            wanted["model"]["forest"].pop("note")
        flat = np.concatenate([np.ravel(a) for a in jax.tree.leaves(wanted)])
        np.testing.assert_array_equal(np.asarray(active)[row], flat)


def test_inactive_values_are_the_filler_and_one_point(sampled):
    name, space, codec, (S, X, active, F, back, filler) = sampled
    inactive = ~np.asarray(active)
    assert inactive.any()
    filled = np.broadcast_to(np.asarray(filler), X.shape)
    np.testing.assert_array_equal(np.asarray(X)[inactive], filled[inactive])
    np.testing.assert_allclose(back, S, atol=1e-5)
    # Whatever an inactive value is told as, it is the same point.
    other = np.where(inactive, np.asarray(X)[::-1], np.asarray(X))
    np.testing.assert_allclose(Codec.encode(codec, jnp.asarray(other)), S, atol=1e-5)
    np.testing.assert_array_equal(ravel(space, unravel(space, X)), X)


def test_features_are_blind_to_inactive_values_and_positive_semidefinite(sampled):
    name, space, codec, (S, X, active, F, back, filler) = sampled
    assert F.shape[1] == len(codec.feature_groups)
    assert codec.n_groups == codec.feature_groups.max() + 1
    lengths = np.linspace(0.3, 2.0, codec.n_groups)[codec.feature_groups]
    for kernel in (Matern(nu=0.5), Matern(nu=2.5)):
        K = np.asarray(kernel(F, F, jnp.asarray(lengths, jnp.float32)), np.float64)
        assert np.linalg.eigvalsh(K).min() > -1e-4
    # Here each value has one coordinate, so one mask serves both tables.
    noise = jax.random.uniform(KEY, S.shape)
    moved = jnp.where(active, S, noise)
    np.testing.assert_allclose(eqx.filter_jit(Codec.features)(codec, moved), F)
    np.testing.assert_allclose(eqx.filter_jit(Codec.snap)(codec, moved), S, atol=1e-6)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ([LinearSpace(0.0, 1.0), ChoiceSpace(["a", "b", "c"])], 2),
        # The choice, one branch in two, and in that one another choice of two.
        (
            ConditionalSpace(
                {
                    "a": [LinearSpace(0.0, 1.0), ConditionalSpace({"b": XY, "c": {}})],
                    "d": {},
                }
            ),
            1 + (1 + 1 + 2 / 2) / 2,
        ),
        # The length, and of three entries the first two on average.
        (ListSpace(LinearSpace(0.0, 1.0), 3), 1 + (1 + 2 + 3) / 3),
    ],
    ids=["plain", "nested", "list"],
)
def test_how_many_groups_count_on_average(space, expected):
    found = eqx.filter_jit(Codec.n_active_groups)(Codec(space))
    assert float(found) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("combine", [operator.and_, operator.or_])
def test_a_condition_combines_with_conditions_only(combine):
    with pytest.raises(TypeError, match="unsupported operand"):
        combine(Condition("kernel", low=2), 3)


def test_features_of_a_conditional_number_are_as_documented():
    space = ConditionalSpace({"a": LinearSpace(0.0, 1.0), "b": {}})
    codec = Codec(space)
    # Flattening order: a, choice.
    U = jnp.asarray([[0.2, 0.25], [0.9, 0.25], [0.5, 0.75]])
    F = codec.features(U)
    expected = [[-0.3, 0.0, 0.5], [0.4, 0.0, 0.5], [0.0, 1.0, 0.0]]
    np.testing.assert_allclose(F, expected, atol=1e-6)
    assert codec.feature_groups.tolist() == [0, 1, 0]


def test_gradients_of_inactive_coordinates_vanish():
    codec = Codec(dependent())
    S, _, active, _, _, _ = tables(codec, uniform(codec, 32))
    gradient = jax.jit(jax.grad(lambda U: jnp.sum(codec.features(U) ** 3)))(S)
    assert bool(jnp.isfinite(gradient).all())
    assert (np.asarray(gradient)[~np.asarray(active)] == 0).all()
    assert (np.asarray(gradient)[:, 3] != 0).any()


def test_neighbours_move_numbers_and_draw_the_rest_anew():
    codec = Codec(dependent())
    S, _, active, _, _, _ = tables(codec, uniform(codec, 1, seed=5))
    rng = np.random.default_rng(1)
    draws = jnp.asarray(rng.uniform(size=(4000, S.shape[1])), jnp.float32)
    near = np.asarray(codec.perturb(S, jnp.full(draws.shape, 0.01), draws))
    kept, nominal = np.asarray(active)[0], codec.is_nominal
    moved = np.clip(np.asarray(S)[0] + 0.01, 0, 1)
    for i in range(S.shape[1]):
        if not kept[i]:
            np.testing.assert_array_equal(near[:, i], draws[:, i])
        elif not nominal[i]:
            np.testing.assert_allclose(near[:, i], moved[i])
        else:
            changed = near[near[:, i] != float(S[0, i]), i]
            assert abs(len(changed) / 4000 - 0.5) < 0.05
            assert stats.kstest(changed, "uniform").pvalue > 1e-3


def test_branches_are_equally_likely():
    codec = Codec(model())
    X = tables(codec, uniform(codec, 6000, seed=3))[1]
    choice = np.asarray(unravel(model(), X)["model"]["choice"])
    assert stats.chisquare(np.bincount(choice)).pvalue > 1e-3


def test_switch_runs_the_chosen_branch():
    space = ConditionalSpace(
        {"a": LinearSpace(0.0, 1.0), "b": {"n": QLinearSpace(1, 3)}}
    )

    @jax.jit
    def run(params):
        return space.switch(
            params, {"a": lambda x, y: x + y, "b": lambda p, y: 1.0 * p["n"]}, 10.0
        )

    with jax.numpy_dtype_promotion("standard"):
        params = {"choice": jnp.int32(0), "a": 0.5, "b": {"n": jnp.int32(2)}}
        assert float(run(params)) == 10.5
        assert float(run(params | {"choice": jnp.int32(1)})) == 2.0
    with pytest.raises(ParamsError, match="one function for each"):
        space.switch(params, {"a": lambda x: x})
    with pytest.raises(ParamsError, match=r"'a', 'b'.* by name"):
        space.switch(params, [lambda x: x, lambda p: p["n"]])
    with pytest.raises(ParamsError, match="functions for the branches"):
        space.switch(params, {"a": 1, "b": 2})
    for other in (params["b"], 5, {"node": params}):
        with pytest.raises(ParamsError, match=r"a dict of \['a', 'b', 'choice'\]"):
            space.switch(other, {"a": lambda x: x, "b": lambda p: p["n"]})
    with pytest.raises(ParamsError, match="a list of 2 branches"):
        ChoiceSpace(["a", "b"]).switch(1, {"a": jnp.sin, "b": jnp.cos}, 0.5)


class TestConditionsOnNumbers:
    @staticmethod
    def share_active(parent, condition, chosen):
        """How often the dependent parameter is active where `chosen(a)` says so, and
        where not.
        """
        space = DependentSpace(
            {"a": parent, "b": LinearSpace(5.0, 6.0)}, {"b": condition}
        )
        params = sample({"s": space}, jax.random.key(0), 1000)["s"]
        is_active = np.asarray(params["b"]) != 5.5  # the filler
        where = chosen(np.asarray(params["a"], float))
        assert where.any()
        assert not where.all()
        return is_active[where].mean(), is_active[~where].mean()

    @pytest.mark.parametrize(
        ("parent", "condition", "chosen"),
        [
            (BooleanSpace(), Condition("a", is_in=[True]), lambda a: a > 0),
            (
                LinearSpace(-0.7, 0.7, step=0.1),
                Condition("a", is_in=[-0.6]),
                lambda a: abs(a + 0.6) < 0.01,
            ),
            (
                LinearSpace(-0.7, 0.7, step=0.1),
                Condition("a", low=-0.6, high=0.6),
                lambda a: abs(a) < 0.61,
            ),
            (
                LinearSpace(-0.3, 0.3, step=0.1),
                Condition("a", is_in=[0.0]),
                lambda a: abs(a) < 0.01,
            ),
            (QLinearSpace(1, 5), Condition("a", low=2.5), lambda a: a > 2),
        ],
        ids=["truth", "a step", "steps", "no step at all", "between whole numbers"],
    )
    def test_they_hold_at_what_is_proposed(self, parent, condition, chosen):
        assert self.share_active(parent, condition, chosen) == (1.0, 0.0)

    def test_they_hold_inside_a_program_that_closes_over_the_space(self):
        space = DependentSpace(
            {"n": QLinearSpace(1, 3), "b": LinearSpace(5.0, 6.0)},
            {"b": Condition("n", is_in=[2])},
        )
        params = jax.jit(lambda key: sample(space, key, 50))(jax.random.key(0))
        np.testing.assert_array_equal(params["n"] == 2, params["b"] != 5.5)

    @pytest.mark.parametrize("ends", [None, (0.15, 0.67)], ids=["values", "interval"])
    def test_steps_with_traced_bounds_hold_as_they_are_written(self, ends):
        """A third of the multiples of 0.01 are not what one writes, to the last digit."""
        written = np.round(0.01 * np.arange(1, 100, 2), 2)
        if ends is None:
            condition, chosen = Condition("a", is_in=written), written
        else:
            condition = Condition("a", low=ends[0], high=ends[1])
            chosen = np.round(0.01 * np.arange(15, 68), 2)

        def proposed(high):
            space = DependentSpace(
                {"a": LinearSpace(0.0, high, step=0.01), "b": LinearSpace(0.0, 1.0)},
                {"b": condition},
            )
            U = np.stack([(np.arange(100) + 0.5) / 100, np.full(100, 0.1)], axis=1)
            params = decode(space, U)
            return params["a"], active(space, params)["b"]

        a, is_active = jax.jit(proposed)(0.99)
        np.testing.assert_allclose(a[is_active], chosen, atol=1e-6)

    def test_a_value_between_two_steps_is_refused(self):
        with pytest.raises(SpaceError, match="can have"):
            DependentSpace(
                {"a": LinearSpace(0.0, 1.0, step=0.1), "b": LinearSpace(0.0, 1.0)},
                {"b": Condition("a", is_in=[0.65])},
            )


class TestConstraints:
    def test_predicates_and_half_spaces(self):
        space = ConstrainedSpace(
            {"x": LinearSpace(0.0, 1.0), "y": LinearSpace(0.0, 1.0)},
            lambda p: p["x"] < p["y"],
            A=[[1.0, 1.0]],
            b=[1.2],
        )
        codec = Codec(space)
        U = uniform(codec)
        X = np.asarray(codec.decode(U))
        kept = (X[:, 0] < X[:, 1]) & (X.sum(axis=1) <= 1.2)
        np.testing.assert_array_equal(codec.is_feasible(U), kept)
        sample, ok = jax.jit(lambda key: codec.sample(key, 4000))(KEY)
        X = np.asarray(codec.decode(sample))
        assert bool(ok)
        assert ((X[:, 0] < X[:, 1]) & (X.sum(axis=1) <= 1.2)).all()
        assert len(np.unique(X, axis=0)) == len(X)
        # Uniform on what is left: a tenth of x alone against its exact share.
        low = (X[:, 0] < 0.2).mean()
        area = 0.5 - 0.16  # x < y and x + y <= 1.2: a triangle less a corner
        share = (0.2 - 0.02) / area
        assert abs(low - share) < 0.03

    def test_samples_do_not_repeat_where_few_points_are_feasible(self):
        # A thousandth of the volume: twice as many points as a million draws hold.
        space = ConstrainedSpace(
            {"x": LinearSpace(0.0, 1.0), "y": LinearSpace(0.0, 1.0)},
            lambda p: (p["x"] < 0.01) & (p["y"] < 0.1),
        )
        state, search = RandomSearch.init(space, n_parallel=2000)
        for params in (
            spaces.sample(space, KEY, 2000),
            search.get_next_params(state, KEY),
        ):
            rows = np.stack([params["x"], params["y"]], axis=1)
            assert len(np.unique(rows, axis=0)) == 2000
            assert bool(spaces.contains(space, params).all())

    def test_hopeless_samples_end_and_repeat(self):
        # A few points in ten million: their number does not grow with what is wanted.
        space = ConstrainedSpace(
            {"x": LinearSpace(0.0, 1.0), "y": LinearSpace(0.0, 1.0)},
            lambda p: (p["x"] < 0.001) & (p["y"] < 0.002),
        )
        params = spaces.sample(space, KEY, 600)
        assert len(np.unique(np.asarray(params["x"]))) < 20
        assert bool(spaces.contains(space, params).all())

    def test_infeasible_rows_are_replaced_and_feasible_ones_come_first(self):
        space = ConstrainedSpace(
            {"x": LinearSpace(0.0, 1.0), "y": LinearSpace(0.0, 1.0)},
            lambda p: p["x"] + p["y"] <= 0.02,
        )
        codec = Codec(space)
        U = uniform(codec, 64).at[5].set(jnp.asarray([0.001, 0.002]))
        replaced, ok = jax.jit(lambda U: codec.feasible(U, KEY))(U)
        assert bool(ok)
        assert bool(codec.is_feasible(replaced).all())
        np.testing.assert_array_equal(replaced[0], U[5])
        assert len(np.unique(np.asarray(replaced), axis=0)) > 15

    def test_steps_back_stay_feasible(self):
        space = ConstrainedSpace({"x": LinearSpace(0.0, 1.0)}, lambda p: p["x"] <= 0.5)
        codec = Codec(space)
        way = codec.pulled_back(jnp.asarray([[0.3]]), jnp.asarray([[0.65]]))
        assert bool(codec.is_feasible(way).all())
        assert float(way.max()) > 0.45

    def test_a_constraint_in_a_branch_counts_while_it_is_active(self):
        space = ConditionalSpace(
            {
                "a": ConstrainedSpace(
                    {"x": LinearSpace(0.0, 1.0)}, lambda p: p["x"] > 0.6
                ),
                "b": {},
            }
        )
        codec = Codec(space)
        X = np.asarray(codec.decode(codec.sample(KEY, 300)[0]))
        in_a = X[:, 1] == 0
        assert 0 < in_a.sum() < 300
        assert (X[in_a, 0] > 0.6).all()
        assert (X[~in_a, 0] == 0.5).all()

    def test_bounds_of_half_spaces_map(self):
        def largest(b):
            space = ConstrainedSpace({"x": LinearSpace(0.0, 1.0)}, A=[[1.0]], b=[b])
            codec = Codec(space)
            return codec.decode(codec.sample(KEY, 50)[0]).max()

        tops = jax.vmap(largest)(jnp.asarray([0.1, 0.5]))
        assert tops[0] <= 0.1 < tops[1] <= 0.5

    def test_nothing_feasible_says_how_many_were_tried(self):
        space = ConstrainedSpace({"x": LinearSpace(0.0, 1.0)}, lambda p: p["x"] > 2.0)
        with pytest.raises(SpaceError, match="none among 1048576 samples"):
            check_space(space)
        codec = Codec(space)
        assert not bool(jax.jit(lambda key: codec.sample(key, 2))(KEY)[1])

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda s: ConstrainedSpace(s), "a predicate, or A and b"),
            (lambda s: ConstrainedSpace(s, 3), "a function"),
            (lambda s: ConstrainedSpace(s, A=[[1.0]]), "together"),
            (lambda s: ConstrainedSpace(s, A=[[1.0]], b=[1.0]), r"\(m, 2\)"),
            (
                lambda s: ConstrainedSpace(s, A=[[np.nan, 1.0]], b=[1.0]),
                "finite numbers",
            ),
            (lambda s: ConstrainedSpace(s, A="x", b=[1.0]), "numbers"),
            (
                lambda s: check_space(ConstrainedSpace(s, lambda p: bool(p["x"] > 0))),
                "needs a concrete number",
            ),
            (
                lambda s: check_space(ConstrainedSpace(s, lambda p: p["x"] != "relu")),
                "depend on the values, got True for all",
            ),
            (
                lambda s: check_space(ConstrainedSpace(s, lambda p: jnp.ones(2) > 0)),
                "one truth value",
            ),
            (lambda s: ConditionalSpace({}), "at least one branch"),
            (lambda s: ConditionalSpace({1: s}), "strings"),
            (lambda s: ConditionalSpace({"choice": s}), "choice_name"),
            (lambda s: ListSpace(s, 2, 2), "min_length < max_length"),
            (
                lambda s: ListSpace({"a": ConditionalSpace({"b": {}})}, 2),
                "plain spaces",
            ),
            (lambda s: ListSpace({"a": FixedSpace(1)}, 2), "beside the list"),
            (lambda s: ListSpace(s, True, False), "min_length < max_length"),
            (lambda s: DependentSpace(s, {"z": Condition("x", low=0)}), "'z'"),
            (lambda s: DependentSpace(s, {"y": Condition("z", low=0)}), "'z'"),
            (lambda s: DependentSpace(s, {"x": Condition("x", low=0)}), "circle"),
            (lambda s: Condition("x"), "is_in"),
            (lambda s: Condition("x", is_in=[1], low=2), "is_in"),
            (lambda s: Condition("x", is_in="rbf"), "a list of values"),
            (lambda s: Condition("x", is_in=3), "a list of values"),
            (lambda s: Condition("x", low="a"), "numbers for low and high"),
            (lambda s: Condition("x", high=[1, 2]), "numbers for low and high"),
            (lambda s: DependentSpace(s, {"y": Condition("x", is_in=[7])}), "can have"),
            (
                lambda s: DependentSpace(s, {"y": Condition("x", is_in=["a"])}),
                "can have",
            ),
            (lambda s: DependentSpace(s, None), "a Condition each for when"),
            (lambda s: DependentSpace(s, {"x": 3}), "a Condition each for when"),
            (lambda s: check_space({1: s["x"], "a": s["y"]}), "keys of one kind"),
            (
                lambda s: DependentSpace(
                    s | {"c": ChoiceSpace(["a"])}, {"y": Condition("c", is_in=["b"])}
                ),
                "choices",
            ),
            (lambda s: check_space({"f": FixedSpace(1)}), "constants only"),
            (
                lambda s: check_space(ConditionalSpace({"a": {"b": 3}})),
                "a/b .* FixedSpace",
            ),
        ],
    )
    def test_bad_input_gets_one_sentence(self, make, message):
        space = {"x": LinearSpace(0.0, 1.0), "y": LinearSpace(0.0, 1.0)}
        with pytest.raises(SpaceError, match=message):
            make(space)


def finite():
    return {
        "m": ConditionalSpace({"a": {"k": QLinearSpace(1, 3)}, "b": {}}),
        "l": ListSpace({"x": DiscreteSpace([0.5, 2.0])}, 2, 0),
        "order": PermutationSpace(3),
        "v": VectorSpace(BooleanSpace(), 2),
        "fixed": FixedSpace("f"),
    }


def brute_force():
    """Every configuration of `finite`, counted by hand."""
    m = 3 + 1
    lists = 1 + 2 + 4
    return m * lists * 6 * 4

    @pytest.mark.parametrize(
        "predicate", [lambda p: 0.5 - p["x"], lambda p: None, lambda p: 1]
    )
    def test_a_predicate_that_returns_no_truth_value_is_refused(self, predicate):
        space = ConstrainedSpace({"x": LinearSpace(0.0, 1.0)}, predicate)
        with pytest.raises(SpaceError, match="one truth value, such as"):
            Codec(space).is_feasible(jnp.zeros((2, 1)))

    def test_given_points_carry_the_filler_where_they_are_inactive(self):
        branches = {
            "a": {"x": LinearSpace(0.0, 1.0)},
            "b": {"y": LinearSpace(0.0, 1.0)},
        }
        space = ConstrainedSpace(
            ConditionalSpace(branches), lambda p: p["b"]["y"] >= 0.2
        )
        given = {"choice": 0, "a": {"x": 0.3}, "b": {"y": 0.1}}
        np.testing.assert_allclose(given_points(space, [given]), [[0, 0.3, 0.5]])


class TestConditionOnNumbers:
    """An interval is one of values, also where the parameter is an index."""

    @pytest.mark.parametrize("kind", [OrdinalSpace, ChoiceSpace])
    def test_of_choices_among_numbers(self, kind):
        space = DependentSpace(
            {"batch": kind([16, 64, 256]), "accum": QLinearSpace(1, 3)},
            when={"accum": Condition("batch", low=64)},
        )
        found = [decode_choices(space, p) for p in enumerate_space(space)]
        assert {row["batch"] for row in found if "accum" in row} == {64, 256}
        assert len(found) == 7
        assert spaces.from_json(spaces.to_json(space)) == space

    @pytest.mark.parametrize(
        ("parent", "low", "high", "message"),
        [
            (QLinearSpace(0, 5), 50, None, "fulfils"),
            (QLinearSpace(0, 5), 4, 2, "fulfils"),
            (QLinearSpace(0, 5), 4.2, 4.8, "fulfils"),
            (LinearSpace(0.0, 5.0), None, -1, "fulfils"),
            (DiscreteSpace([1, 5]), 2, 4, "fulfils"),
            (OrdinalSpace([1, 5]), 2, 4, "fulfils"),
            (ChoiceSpace(["a", "b"]), 0, 1, "no numbers"),
        ],
    )
    def test_that_none_has(self, parent, low, high, message):
        with pytest.raises(SpaceError, match=message):
            DependentSpace(
                {"p": parent, "x": BooleanSpace()},
                when={"x": Condition("p", low=low, high=high)},
            )

    def test_one_of_two_may_never_hold(self):
        either = Condition("p", high=-1) | Condition("p", low=3)
        space = DependentSpace(
            {"p": QLinearSpace(0, 5), "x": BooleanSpace()}, when={"x": either}
        )
        assert size(space) == 3 + 3 * 2


class TestEnumeration:
    @pytest.mark.parametrize(
        "space",
        [
            PermutationSpace(12),
            VectorSpace(QLinearSpace(1, 10), 9),
            VectorSpace(BooleanSpace(), 70),
            ListSpace(QLinearSpace(0, 9), 9),
            ListSpace(BooleanSpace(), 70),
        ],
        ids=lambda space: type(space).__name__,
    )
    def test_too_many_points_are_refused_before_they_are_listed(self, space):
        with pytest.raises(SpaceError, match="at most 10000000 points"):
            all_points({"x": space})

    def test_every_configuration_once(self):
        space = finite()
        assert size(space) == brute_force()
        rows = [ravel(space, p) for p in itertools.islice(enumerate_space(space), 40)]
        everything = [
            tuple(np.concatenate([np.ravel(a) for a in jax.tree.leaves(p)]))
            for p in enumerate_space(space)
        ]
        assert len(everything) == len(set(everything)) == brute_force()
        assert len({tuple(r[0].tolist()) for r in rows}) == 40

    def test_dependent_and_constrained(self):
        space = DependentSpace(
            {"a": QLinearSpace(0, 2), "b": QLinearSpace(0, 3)},
            when={"b": Condition("a", low=1)},
        )
        assert size(space) == 1 + 2 * 4
        assert len(list(enumerate_space(space))) == 9
        kept = ConstrainedSpace(space, lambda p: p["a"] + p["b"] <= 2)
        found = [(int(p["a"]), int(p["b"])) for p in enumerate_space(kept)]
        # The filler of b is the middle of its range, 2.
        assert found == [(0, 2), (1, 0), (1, 1), (2, 0)]
        assert size(kept) == 4
        nothing = ConstrainedSpace(QLinearSpace(0, 3), lambda p: p > 5)
        assert size(nothing) == size({"x": nothing, "y": LinearSpace(0.0, 1.0)}) == 0

    def test_a_branch_without_a_feasible_point(self):
        never = ConstrainedSpace({"x": QLinearSpace(1, 3)}, lambda p: p["x"] > 5)
        space = ConditionalSpace({"a": never, "b": {"y": QLinearSpace(1, 4)}})
        found = [int(p["b"]["y"]) for p in enumerate_space(space)]
        assert found == [1, 2, 3, 4]
        assert size(space) == len(GridSearch.init(space)[0].grid) == 4
        with pytest.raises(SpaceError, match="none satisfies"):
            next(enumerate_space({"a": never, "b": BooleanSpace()}))

    def test_a_name_without_a_feasible_point(self):
        never = ConstrainedSpace({"x": QLinearSpace(1, 3)}, lambda p: p["x"] > 5)
        space = DependentSpace(
            {"on": BooleanSpace(), "part": never},
            {"part": Condition("on", is_in=[True])},
        )
        assert [bool(p["on"]) for p in enumerate_space(space)] == [False]

    def test_many_names_of_which_few_are_active_at_once(self):
        names = [f"x{i}" for i in range(8)]
        space = DependentSpace(
            {"which": ChoiceSpace(names), **{n: QLinearSpace(1, 10) for n in names}},
            when={n: Condition("which", is_in=[n]) for n in names},
        )
        assert size(space) == 80
        found = [decode_choices(space, p) for p in enumerate_space(space)]
        wanted = [{"which": n, n: v} for n in names for v in range(1, 11)]
        assert sorted(map(str, found)) == sorted(map(str, wanted))

    def test_parts_of_constants_alone(self):
        space = {
            "free": DependentSpace({"a": FixedSpace(1)}, {}),
            "kept": ConstrainedSpace({"a": FixedSpace(1)}, lambda p: p["a"] > 0),
            "n": QLinearSpace(0, 1),
        }
        assert size(space) == 2
        assert [int(p["n"]) for p in enumerate_space(space)] == [0, 1]
        state, _ = GridSearch.init(space)
        assert state.grid.tolist() == [[0], [1]]

    def test_a_grid_is_made_inside_a_program_that_closes_over_the_space(self):
        space = {
            "b": BooleanSpace(),
            "c": ConstrainedSpace(QLinearSpace(0, 3), lambda p: p > 1),
        }
        grid = jax.jit(lambda: GridSearch.init(space)[0].grid)()
        assert grid.tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]

    def test_more_lists_than_a_float_counts(self):
        assert size(ListSpace(QLinearSpace(0, 10**6), 60)) == np.inf
        assert size(ListSpace(QLinearSpace(0, 1), 2)) == 2 + 4

    def test_it_is_lazy_and_refuses_intervals(self):
        huge = {f"{i}": QLinearSpace(0, 99) for i in range(10)}
        first = list(itertools.islice(enumerate_space(huge), 3))
        assert [int(p["9"]) for p in first] == [0, 1, 2]
        assert size(huge) == 1e20
        with pytest.raises(SpaceError, match="LinearSpace at a/b"):
            enumerate_space({"a": {"b": LinearSpace(0.0, 1.0)}})


def test_new_bounds_inside_composite_spaces_are_no_new_program():
    traces = []

    @eqx.filter_jit
    def values(space, U):
        traces.append(1)
        return Codec(space).decode(Codec(space).snap(U))

    for high in (1.0, 2.0):
        space = ConditionalSpace({"a": LinearSpace(0.0, high), "b": {}})
        values(space, jnp.full((3, 2), 0.2))
    assert len(traces) == 1


def many(n):
    kinds = [
        lambda i: LinearSpace(float(i), i + 1.0),
        lambda i: ChoiceSpace([f"{i}", f"{i}b", None]),
        lambda i: BooleanSpace(),
        lambda i: QLinearSpace(-i, i + 5),
        lambda i: VectorSpace(LogSpace(1.0 + i, 2.0 + i), 2),
    ]
    return {f"p{i:04d}": kinds[i % 5](i) for i in range(n)}


def test_the_program_is_as_long_for_a_thousand_leaves_as_for_ten():
    def length(n):
        codec = Codec(many(n))
        U = jnp.zeros((4, codec.n_coordinates))
        program = jax.make_jaxpr(
            lambda U: (codec.decode(U), codec.snap(U), codec.features(U))
        )
        return len(str(program(U)).splitlines())

    few, most = length(10), length(1000)
    assert most <= 1.05 * few
