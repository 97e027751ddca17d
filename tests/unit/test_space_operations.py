"""Operations on whole spaces: sampling, naming, taking apart, JSON, plain Python."""

import enum
import json
from collections import OrderedDict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import RandomSearch, spaces
from hyperopt_jax.errors import ParamsError, SettingError, SpaceError
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
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
    QLinearSpace,
    QLogSpace,
    SimplexSpace,
    VectorSpace,
)
from tests import zoo
from tests.compiled import n_compiled

KEY = jax.random.key(0)


def is_small(params):
    """A predicate with a name that can be imported."""
    return params["width"] * params["depth"] <= 64


def whole():
    return {
        "opt": {
            "lr": LogSpace(1e-5, 1e-1),
            "name": ChoiceSpace(["sgd", None, jnp.tanh]),
        },
        "layers": (QLinearSpace(1, 4), DiscreteSpace([0.5, 0.25])),
        "mix": SimplexSpace(3),
        "acts": VectorSpace(OrdinalSpace(["a", "b"]), 2),
        "nesterov": BooleanSpace(),
        "epochs": FixedSpace(10),
        "label": FixedSpace({"run": [1, 2]}),
        "model": ConditionalSpace(
            {"tree": {"depth": QLinearSpace(1, 9)}, "none": {}}, "which"
        ),
        "blocks": ListSpace({"width": QLogSpace(8, 64)}, 3),
        "dependent": DependentSpace(
            {"kernel": ChoiceSpace(["rbf", "poly"]), "degree": QLinearSpace(2, 5)},
            when={"degree": Condition("kernel", is_in=["poly"])},
        ),
        "net": ConstrainedSpace(
            {"width": QLogSpace(1, 64), "depth": QLinearSpace(1, 8)},
            is_small,
            A=[[1.0, 1.0]],
            b=[40.0],
        ),
    }


@pytest.fixture(scope="module")
def sampled():
    space = whole()
    return space, spaces.sample(space, KEY, 32)


def test_samples_are_contained_encoded_and_decoded(sampled):
    space, params = sampled
    assert bool(spaces.contains(space, params).all())
    U = spaces.encode(space, params)
    assert U.shape[0] == 32
    back = spaces.decode(space, U)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(params), strict=True):
        # A small weight of a simplex has the absolute error of its large ones.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    with pytest.raises(ParamsError, match="coordinates a row"):
        spaces.decode(space, U[:, 1:])


def test_contains_sees_values_constraints_and_activity():
    space = ConstrainedSpace(
        ConditionalSpace({"a": {"x": QLinearSpace(1, 5)}, "b": {}}),
        lambda p: (p["choice"] == 1) | (p["a"]["x"] <= 3),
    )
    x, choice = jnp.asarray([1, 4, 9, 9]), jnp.asarray([0, 0, 0, 1])
    params = {"a": {"x": x}, "b": {}, "choice": choice}
    assert spaces.contains(space, params).tolist() == [True, False, False, True]


def test_active_is_a_tree_of_masks(sampled):
    space, params = sampled
    mask = spaces.active(space, params)
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    chosen = np.asarray(params["model"]["which"]) == 1
    np.testing.assert_array_equal(mask["model"]["tree"]["depth"], chosen)
    lengths = np.asarray(params["blocks"]["length"])
    np.testing.assert_array_equal(
        mask["blocks"]["values"]["width"], np.arange(3)[None] < lengths[:, None]
    )
    assert mask["mix"].shape == (32, 3)
    one = jax.tree.map(lambda leaf: leaf[0], params)
    traced = jax.jit(lambda p: spaces.active(space, p))(one)
    assert traced["blocks"]["values"]["width"].shape == (3,)
    assert traced["epochs"].shape == ()


def test_names_flatten_and_unflatten(sampled):
    space, params = sampled
    flat = spaces.flatten(space, params)
    assert list(flat) == spaces.names(space)
    assert {"opt/lr", "layers/0", "model/which", "blocks/values/width"} <= set(flat)
    assert flat["mix"] is params["mix"]
    back = spaces.unflatten(space, dict(reversed(flat.items())))
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert back["opt"]["lr"] is params["opt"]["lr"]
    with pytest.raises(ParamsError, match="opt/lr"):
        spaces.unflatten(space, {k: v for k, v in flat.items() if k != "opt/lr"})
    with pytest.raises(ParamsError, match=r"got \[1, 'a'\]"):
        spaces.unflatten(space, {"a": 3, 1: 2})
    with pytest.raises(ParamsError, match="structure"):
        spaces.flatten(space, {"a": 1})


def test_split_and_merge():
    space = {
        "lr": LogSpace(1e-5, 1e-1),
        "nested": [ChoiceSpace(["a", "b"]), QLinearSpace(1, 4), {"on": BooleanSpace()}],
    }
    parts = spaces.split(space)
    assert parts.continuous == {"lr": space["lr"], "nested": [None, None, {"on": None}]}
    assert parts.discrete["nested"][1] == space["nested"][1]
    assert parts.categorical["nested"][2]["on"] == BooleanSpace()
    assert spaces.merge(*parts) == space
    samples = [spaces.sample(part, KEY, 2) for part in parts]
    whole = spaces.merge(*samples)
    assert bool(spaces.contains(space, whole).all())
    with pytest.raises(SpaceError, match="one part for each"):
        spaces.merge(space, space)
    with pytest.raises(SpaceError, match="one structure"):
        spaces.merge({"a": LinearSpace(0, 1)}, {"b": None})


def test_bad_arguments():
    with pytest.raises(SettingError, match="n >= 1"):
        spaces.sample({"a": LinearSpace(0, 1)}, KEY, -1)
    with pytest.raises(ParamsError, match="a table of numbers to decode, got 'a'"):
        spaces.decode({"a": LinearSpace(0, 1)}, "a")
    with pytest.raises(SpaceError, match=r"got 3; write .* FixedSpace"):
        spaces.size({"x": 3})
    with pytest.raises(SpaceError, match="belong together"):
        spaces.split({"a": ConditionalSpace({"b": {}})})


def test_plain_python_configurations(sampled):
    space, params = sampled
    plain = spaces.decode_choices(space, params)
    assert len(plain) == 32
    for row, config in enumerate(plain):
        assert type(config["opt"]["lr"]) is float
        assert config["opt"]["name"] in ("sgd", None, jnp.tanh)
        assert type(config["layers"][0]) is int
        assert type(config["nesterov"]) is bool
        assert (config["epochs"], config["label"]) == (10, {"run": [1, 2]})
        which = config["model"]["which"]
        assert set(config["model"]) == {"which", which}
        assert len(config["blocks"]) == int(params["blocks"]["length"][row])
        assert ("degree" in config["dependent"]) == (
            config["dependent"]["kernel"] == "poly"
        )
        assert set(config["acts"]) <= {"a", "b"}
    one = jax.tree.map(lambda leaf: leaf[3], params)
    single = spaces.decode_choices(space, one)
    np.testing.assert_array_equal(single.pop("mix"), plain[3].pop("mix"))
    assert single == plain[3]
    with pytest.raises(ParamsError, match="traced"):
        jax.jit(lambda p: spaces.decode_choices(space, p))(params)


def test_stacked_histories_are_decoded_trial_after_trial(sampled):
    space, params = sampled
    stacked = jax.tree.map(lambda leaf: leaf.reshape(8, 4, *leaf.shape[1:]), params)
    flat, rows = (spaces.decode_choices(space, p) for p in (params, stacked))
    assert len(rows) == 32
    for own, other in zip(flat, rows, strict=True):
        np.testing.assert_array_equal(own.pop("mix"), other.pop("mix"))
        assert own == other


# Of all kinds at once: each alone would be a few programs of its own.
ROUND_TRIPS = {
    "every kind": lambda: {
        name: make() for name, make in (zoo.SPACES | zoo.COMPOSITES).items()
    },
    "structured": zoo.structured_space,
    "alone": zoo.SPACES["log"],
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_plain_configurations_and_back(name):
    space = ROUND_TRIPS[name]()
    params = spaces.sample(space, KEY, 16)
    plain = spaces.decode_choices(space, params)
    back = spaces.encode_choices(space, plain)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    one = spaces.encode_choices(space, plain[3])
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    others = map(jax.tree.leaves, (back, one))
    for (path, own), again, alone in zip(leaves, *others, strict=True):
        where = jax.tree_util.keystr(path)
        assert again.dtype == alone.dtype == own.dtype, where
        np.testing.assert_array_equal(again, own, where)
        np.testing.assert_array_equal(alone, own[3], where)


def test_plain_configurations_inside_a_program_that_closes_over_them():
    space = {"all": zoo.structured_space(), "dependent": zoo.COMPOSITES["dependent"]()}
    params = spaces.sample(space, KEY, 4)
    plain = spaces.decode_choices(space, params)

    @jax.jit
    def total(x):
        assert spaces.decode_choices(space, params) == plain
        return x + spaces.encode_choices(space, plain)["all"]["rate"].sum()

    np.testing.assert_allclose(total(1.0), 1 + params["all"]["rate"].sum(), rtol=1e-6)


def test_finite_spaces_inside_a_program_that_closes_over_them():
    space = zoo.finite_structured_space()

    @jax.jit
    def sizes(x):
        points = list(spaces.enumerate_space(space))
        return x + spaces.size(space), x + len(points)

    assert sizes(1.0) == (79, 79)


def test_few_programs_are_compiled_for_a_structured_space():
    jax.clear_caches()
    space = zoo.structured_space()
    params, n_for_samples = n_compiled(lambda: spaces.sample(space, KEY, 5))
    assert 2 <= n_for_samples <= 8
    plain = spaces.decode_choices(space, params)
    _, n_for_points = n_compiled(lambda: spaces.encode_choices(space, plain))
    assert 1 <= n_for_points <= 4


def test_other_names_are_no_new_program():
    def of(names, choices):
        kinds = LinearSpace(0.0, 1.0), LogSpace(1.0, 9.0), ChoiceSpace(choices)
        return dict(zip(names, kinds, strict=True))

    def n_for_samples(space):
        return n_compiled(lambda: spaces.sample(space, KEY, 7))[1]

    assert n_for_samples(of("abc", ["u", "v", "w"])) > 0
    assert n_for_samples(of("def", ["x", "y", None])) == 0


def decimals():
    return {
        "step": LinearSpace(0.0, 1.0, step=0.1),
        "wide": LinearSpace(-5.0, 5.0, step=0.1),
        "wider": LinearSpace(-100.0, 100.0, step=0.01),
        "log": LogSpace(0.1, 0.9, step=0.2),
        "third": LinearSpace(0.0, 1.0, step=1 / 3),
        "bounds": LogSpace(1e-4, 0.1),
        "listed": DiscreteSpace([0.1, 0.7, 1e-5]),
        "constant": FixedSpace(0.1),
        "short": FixedSpace(np.float16(0.1)),
    }


def check_decimals():
    space = decimals()
    params = spaces.sample(space, KEY, 100)
    plain = spaces.decode_choices(space, params)
    digits = {name: {len(str(c[name])) for c in plain} for name in space}
    assert max(digits["step"] | digits["log"]) == 3
    assert max(digits["wide"]) == 4
    assert max(digits["wider"]) == 6
    assert {c["listed"] for c in plain} == {0.1, 0.7, 1e-5}
    assert {(c["constant"], c["short"]) for c in plain} == {(0.1, 0.1)}
    assert max(c["third"] for c in plain) <= 1.0
    back = spaces.encode_choices(space, plain)
    for own, again in zip(*map(jax.tree.leaves, (params, back)), strict=True):
        # Programs may round low + index * step once or twice.
        rounding = np.finfo(own.dtype).eps * np.abs(own).max()
        np.testing.assert_allclose(again, own, rtol=0, atol=rounding)


def test_floats_have_the_digits_that_one_would_write():
    check_decimals()
    space = {"x": LogSpace(1e-4, 0.1), "s": LinearSpace(-5.0, 5.0, step=0.1)}
    single = {"x": jnp.float32(0.1), "s": jnp.float32(4.9)}
    assert spaces.decode_choices(space, single) == {"x": 0.1, "s": 4.9}
    # What is at no step stays as it is.
    assert spaces.decode_choices(space, {"x": 0.01, "s": 0.123})["s"] == 0.123
    # Near zero a step differs by the rounding of the bounds from what is written.
    given = spaces.encode_choices(space, {"x": 0.01, "s": 0.1})
    assert bool(spaces.contains(space, given).all())


def test_digits_of_double_precision(x64):
    check_decimals()


SPACE = {
    "opt": ChoiceSpace(["adam", "sgd"]),
    "lr": LogSpace(1e-4, 1.0),
    "epochs": FixedSpace(10),
    "model": ConditionalSpace({"a": {"n": QLinearSpace(1, 9)}, "b": {}}),
    "acts": VectorSpace(ChoiceSpace(["r", "t"]), 2),
    "layers": ListSpace({"width": QLinearSpace(1, 9)}, max_length=3),
}

GIVEN = {
    "opt": "sgd",
    "lr": 0.1,
    "model": {"choice": "b"},
    "acts": ["t", "r"],
    "layers": [{"width": 2}],
}


class TestEncodeChoices:
    def test_what_is_inactive_may_be_left_out_and_carries_its_filler(self):
        params = spaces.encode_choices(SPACE, GIVEN)
        assert (int(params["opt"]), int(params["model"]["choice"])) == (1, 1)
        assert params["lr"] == np.float32(0.1)
        assert params["acts"].tolist() == [1, 0]
        assert int(params["epochs"]) == 10
        assert params["layers"]["length"] == 1
        middle = spaces.decode(SPACE, jnp.full((1, 10), 0.5))
        assert params["model"]["a"]["n"] == middle["model"]["a"]["n"][0]
        np.testing.assert_array_equal(
            params["layers"]["values"]["width"][1:],
            middle["layers"]["values"]["width"][0, 1:],
        )
        active = spaces.active(SPACE, jax.tree.map(lambda leaf: leaf[None], params))
        assert not active["model"]["a"]["n"][0]

    def test_a_list_is_a_batch_and_may_be_empty(self):
        for q in (0, 1, 2):
            params = spaces.encode_choices(SPACE, [GIVEN] * q)
            assert params["lr"].shape == (q,)
            assert params["acts"].shape == (q, 2)

    def test_values_outside_are_kept_for_those_who_tell_them(self):
        params = spaces.encode_choices(SPACE, {**GIVEN, "lr": 7.0})
        assert params["lr"] == 7.0

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"opt": "lion"}, "one of the choices .* for 'opt', got 'lion'"),
            ({"lr": "fast"}, "numbers for 'lr', got 'fast'"),
            ({"lr": None}, "numbers for 'lr', got None"),
            ({"lr": float("nan")}, "finite numbers for 'lr', got nan"),
            ({"lr": [0.1, 0.2]}, r"shape \(\) for 'lr', got \(2,\)"),
            ({"epochs": 12}, "the constant 10 for 'epochs', got 12"),
            ({"model": {"choice": "c"}}, "choices .* for 'model/choice', got 'c'"),
            ({"model": {"choice": "a"}}, "a value for 'model/a/n', which is active"),
            (
                {"model": {"choice": "a", "a": {"n": 2.5}}},
                "whole numbers for 'model/a/n', got 2.5",
            ),
            ({"model": "b"}, "a dict of .* for 'model', got 'b'"),
            ({"acts": ["t"]}, "2 entries for 'acts'"),
            ({"layers": []}, "1 to 3 entries for 'layers', got 0"),
            ({"layers": 3}, "a list for 'layers', got 3"),
            ({"momentum": 0.9}, "for the configuration, got \\['momentum'\\]"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change, words):
        with pytest.raises(ParamsError, match=words):
            spaces.encode_choices(SPACE, {**GIVEN, **change})

    @pytest.mark.parametrize("value", [2, -1, 0.5, "yes"])
    def test_a_switch_is_on_or_off(self, value):
        space = {"a": BooleanSpace(), "x": LinearSpace(0.0, 1.0)}
        for on in (True, 1, 1.0, np.True_):
            assert bool(spaces.encode_choices(space, {"a": on, "x": 0.5})["a"])
        with pytest.raises(ParamsError, match="for 'a', got"):
            spaces.encode_choices(space, {"a": value, "x": 0.5})

    def test_what_is_missing_or_traced_is_told(self):
        given = {name: v for name, v in GIVEN.items() if name != "lr"}
        with pytest.raises(ParamsError, match=r"'lr', which is active .* number 1"):
            spaces.encode_choices(SPACE, [GIVEN, given])
        with pytest.raises(ParamsError, match=r"a dict of .* for the configuration"):
            spaces.encode_choices(SPACE, 3)
        with pytest.raises(ParamsError, match="traced"):
            jax.jit(lambda lr: spaces.encode_choices(SPACE, {**GIVEN, "lr": lr}))(0.1)


def test_whole_numbers_that_a_space_cannot_hold_do_not_wrap_round():
    space = {"q": QLinearSpace(0, 100, datatype=jnp.uint8), "n": QLinearSpace(1, 8)}
    given = [{"q": 300, "n": 2**40}, {"q": -200, "n": -(2**40)}]
    params = spaces.encode_choices(space, given)
    assert params["q"].tolist() == [255, 0]
    assert params["n"].tolist() == [2**31 - 128, -(2**31)]
    assert spaces.contains(space, params).tolist() == [False, False]


def test_lists_of_configurations_are_batches():
    space = {"x": LinearSpace(0.0, 1.0), "k": QLinearSpace(1, 5)}
    listed = [{"x": 0.25, "k": 3}, {"x": 0.5, "k": 1}]
    batch = {"x": jnp.array([0.25, 0.5]), "k": jnp.array([3, 1])}
    for function in (spaces.encode, spaces.contains):
        np.testing.assert_array_equal(function(space, listed), function(space, batch))
    assert len(spaces.decode_choices(space, listed[:1])) == 1
    # A space that is a list has batches that are lists, too.
    pair = [LinearSpace(0.0, 1.0), LinearSpace(0.0, 1.0)]
    columns = [jnp.array([0.1, 0.2]), jnp.array([0.3, 0.4])]
    rows = [[0.1, 0.3], [0.2, 0.4]]
    np.testing.assert_array_equal(
        spaces.encode(pair, columns), spaces.encode(pair, rows)
    )


class Pair(NamedTuple):
    a: LinearSpace
    b: ChoiceSpace


def test_containers_of_any_kind():
    space = Pair(LinearSpace(0.0, 1.0), ChoiceSpace(["x", "y"]))
    params = spaces.sample(space, KEY, 2)
    assert isinstance(params, Pair)
    assert spaces.names(space) == ["a", "b"]
    assert isinstance(spaces.decode_choices(space, params)[0], Pair)


def test_describe_has_a_line_for_each_parameter():
    text = spaces.describe(whole())
    lines = text.splitlines()
    assert len(lines) == 2 + len(spaces.names(whole())) + 1
    for part in (
        "opt/lr",
        "1e-05 to 0.1",
        "'sgd', None, tanh",
        "model/which = 'tree'",
        "entry 1: always, ..., entry 3: blocks/length >= 3",
        "OrdinalSpace x 2",
        "1 hard constraint",
    ):
        assert part in text, part


def test_described_conditions_read_as_they_hold():
    either = Condition("a", is_in=["x"]) | Condition("b", is_in=[True])
    parts = {
        "a": ChoiceSpace(["x", "y"]),
        "b": BooleanSpace(),
        "c": BooleanSpace(),
        "y": LinearSpace(0.0, 1.0),
        "z": LinearSpace(0.0, 1.0),
    }
    conditions = {"y": either, "z": either & Condition("c", is_in=[True])}
    lines = spaces.describe(DependentSpace(parts, conditions)).splitlines()
    assert lines[-2].endswith("  a = 'x' or b = 1")
    assert lines[-1].endswith("  (a = 'x' or b = 1) and c = 1")


def test_described_arrays_of_arrays():
    text = spaces.describe(VectorSpace(VectorSpace(LogSpace(1e-3, 1.0), 2), 3))
    assert "LogSpace x 3 x 2  0.001 to 1" in text


def test_coordinates_that_are_not_finite():
    with pytest.raises(ParamsError, match="finite coordinates"):
        spaces.decode({"c": ChoiceSpace(["a", "b"])}, [[float("nan")]])


def test_configurations_from_a_file():
    space = {"c": ChoiceSpace([(3, 3), (5, 5)]), "o": OrdinalSpace([1, 2.5])}
    params = spaces.sample(space, KEY, 8)
    rows = json.loads(json.dumps(spaces.decode_choices(space, params)))
    back = spaces.encode_choices(space, rows)
    assert jax.tree.map(list, back) == jax.tree.map(list, params)


def test_described_and_counted_inside_a_program():
    space = {"act": ChoiceSpace(["relu", "tanh"]), "n": QLinearSpace(1, 3)}
    outside = spaces.describe(space)
    seen = []
    jax.jit(
        lambda x: (seen.append((spaces.describe(space), spaces.size(space))), x)[1]
    )(1.0)
    assert seen == [(outside, 6.0)]
    with pytest.raises(SpaceError, match="concrete bounds for size"):
        jax.jit(lambda high: spaces.size({"n": QLinearSpace(1, high)}))(4)


def test_a_stack_of_spaces_is_for_vmap():
    lows, highs = jnp.asarray([0.0, 10.0]), jnp.asarray([1.0, 20.0])
    stack = {"x": jax.vmap(LinearSpace)(lows, highs)}
    one = {"x": jnp.asarray([0.5, 15.0])}
    uses = {
        "sample": lambda: spaces.sample(stack, KEY, 4),
        "describe": lambda: spaces.describe(stack),
        "size": lambda: spaces.size(stack),
        "encode": lambda: spaces.encode(stack, one),
        "decode": lambda: spaces.decode(stack, jnp.zeros((2, 1))),
        "contains": lambda: spaces.contains(stack, one),
        "active": lambda: spaces.active(stack, one),
        "decode_choices": lambda: spaces.decode_choices(stack, one),
        "encode_choices": lambda: spaces.encode_choices(stack, [{"x": 0.5}]),
        "init": lambda: RandomSearch.init(stack),
    }
    for use in uses.values():
        with pytest.raises(SpaceError, match=r"got a stack of spaces.*use jax\.vmap"):
            use()
    x = jax.vmap(lambda space: spaces.sample(space, KEY, 4))(stack)["x"]
    assert ((x >= lows[:, None]) & (x <= highs[:, None])).all()


def test_branches_that_are_left_out_are_no_nan_that_jax_made():
    space = ConditionalSpace({"a": {"lr": LogSpace(1e-3, 1.0)}, "b": {}})
    with jax.debug_nans(True):
        params = spaces.encode_choices(space, [{"choice": "b"}])
    assert params["choice"].tolist() == [1]


@pytest.mark.parametrize(
    "use", [spaces.size, spaces.names, spaces.describe, spaces.enumerate_space]
)
def test_keys_of_several_kinds_are_refused(use):
    with pytest.raises(SpaceError, match="dicts with keys of one kind"):
        use({"a": LinearSpace(0.0, 1.0), 1: LinearSpace(0.0, 1.0)})


def test_named_leaves_are_a_dict():
    with pytest.raises(ParamsError, match=r"a dict of the names \['x'\], got \['x'\]"):
        spaces.unflatten({"x": LinearSpace(0.0, 1.0)}, ["x"])


def test_names_that_collide_are_refused():
    space = {"a/b": LinearSpace(0.0, 1.0), "a": {"b": LinearSpace(0.0, 1.0)}}
    with pytest.raises(SpaceError, match=r"\['a/b'\] twice"):
        spaces.flatten(space, {"a/b": 0.1, "a": {"b": 0.2}})
    with pytest.raises(SpaceError, match=r"\['a/b'\] twice"):
        spaces.unflatten(space, {"a/b": 0.1})


def test_inactive_constants_are_left_out_of_plain_configurations():
    space = DependentSpace(
        {"k": ChoiceSpace(["a", "b"]), "c": FixedSpace(3)},
        when={"c": Condition("k", is_in=["b"])},
    )
    assert spaces.decode_choices(space, {"k": 0, "c": 3}) == {"k": "a"}
    assert spaces.decode_choices(space, {"k": 1, "c": 3}) == {"k": "b", "c": 3}


def test_indices_that_the_space_does_not_have_are_no_configuration():
    space = {
        "m": ConditionalSpace({"a": LinearSpace(0.0, 1.0), "b": {}}),
        "l": ListSpace(QLinearSpace(0, 9), np.int64(2)),
    }
    good = {"m": {"choice": 0, "a": 0.5, "b": {}}, "l": {"length": 2, "values": [1, 2]}}
    params = jax.tree.map(np.asarray, good, is_leaf=lambda node: type(node) is list)
    assert spaces.decode_choices(space, params)["l"] == [1, 2]
    for change, message in (
        ({"m": params["m"] | {"choice": np.asarray(2)}}, "index of 0 to 1"),
        ({"l": params["l"] | {"length": np.asarray(3)}}, "length of 1 to 2"),
    ):
        with pytest.raises(ParamsError, match=message):
            spaces.decode_choices(space, params | change)


def test_sampling_wants_a_key():
    with pytest.raises(ParamsError, match="one key"):
        spaces.sample(LinearSpace(0.0, 1.0), 3, 2)


def test_choices_of_nested_vectors_come_back():
    space = {"v": VectorSpace(VectorSpace(ChoiceSpace(["a", "b"]), 2), 2)}
    plain = spaces.decode_choices(space, {"v": jnp.array([[0, 1], [1, 1]])})
    assert np.asarray(plain["v"]).tolist() == [["a", "b"], ["b", "b"]]


class Size(enum.IntEnum):
    SMALL, LARGE = 1, 2


class TestJson:
    def test_other_containers_are_named(self):
        pair = Pair(LinearSpace(0.0, 1.0), ChoiceSpace(["x", "y"]))
        with pytest.raises(
            SpaceError, match=r"dicts, lists.*around the spaces.*a Pair"
        ):
            spaces.to_json({"o": pair})

    @pytest.mark.parametrize(
        "text",
        [
            '{"kind": ["LinearSpace"]}',
            '{"kind": "LinearSpace"}',
            '{"kind": "ConditionalSpace", "branches": 3}',
            '{"dict": 3}',
            '{"array": ["a"], "dtype": "float32"}',
            '{"array": [Infinity], "dtype": "int32"}',
            '{"kind": "Condition", "clauses": [[["a"]]]}',
            '{"kind": "Condition", "clauses": [[]]}',
            '{"name": 3}',
            None,
        ],
    )
    def test_malformed_parts(self, text):
        with pytest.raises(SpaceError):
            spaces.from_json(text)

    def test_members_of_an_enumeration_stay_members(self):
        space = ChoiceSpace([Size.SMALL, Size.LARGE])
        back = spaces.from_json(spaces.to_json(space), names=True)
        assert back.choices[0] is Size.SMALL

    def test_numbers_of_numpy_come_back_as_equal_ones(self):
        space = ChoiceSpace([np.float64(0.1), np.int32(3), np.bool_(True)])
        assert spaces.from_json(spaces.to_json(space)) == space

    def test_numbers_that_json_does_not_have(self):
        choices = [np.inf, np.float64(np.nan), np.array([-np.inf, 0.5])]
        space = {"c": ChoiceSpace(choices), "f": FixedSpace(-np.inf)}
        text = spaces.to_json(space)
        assert spaces.from_json(text) == space
        for word in ("NaN", "Infinity"):
            assert word not in text

    def test_arrays_come_back_as_what_they_were(self):
        arrays = [np.array([1, 2**40]), np.array([["a", "bc"]]), jnp.array([0.5, 1.5])]
        space = ChoiceSpace(arrays)
        back = spaces.from_json(spaces.to_json(space))
        assert back == space
        for array, own in zip(back.choices, arrays, strict=True):
            assert (type(array), array.dtype) == (type(own), own.dtype)

    @pytest.mark.parametrize("name", sorted(zoo.SPACES))
    def test_every_kind_comes_back_equal(self, name):
        space = zoo.SPACES[name]()
        text = spaces.to_json({"x": [space, (space, None)]})
        assert spaces.from_json(text) == {"x": [space, (space, None)]}

    def test_whole_spaces(self):
        text = spaces.to_json(whole(), indent=1)
        back = spaces.from_json(text, names=True)
        assert back == whole()
        assert back["net"].predicate is is_small
        params = spaces.sample(back, KEY, 2)
        assert bool(spaces.contains(whole(), params).all())

    def test_nothing_is_imported_unless_asked(self):
        text = spaces.to_json(ChoiceSpace([jnp.tanh]))
        with pytest.raises(SpaceError, match="stands for"):
            spaces.from_json(text)
        path = f"{jnp.tanh.__module__}:{jnp.tanh.__qualname__}"
        assert spaces.from_json(text, names={path: abs}) == ChoiceSpace([abs])

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: ChoiceSpace([lambda x: x]), "imported by name"),
            (lambda: ChoiceSpace([object()]), "imported by name"),
            (lambda: ConstrainedSpace(BooleanSpace(), lambda p: p), "imported by name"),
            (lambda: {1: BooleanSpace()}, "strings"),
            (lambda: OrderedDict(a=BooleanSpace()), "around the spaces.* OrderedDict"),
            (lambda: ChoiceSpace([np.dtype("float32"), 1]), "imported by name"),
        ],
    )
    def test_what_has_no_name_is_refused(self, make, message):
        with pytest.raises(SpaceError, match=message):
            spaces.to_json(make())

    def test_a_kind_that_forgets_an_argument_is_refused(self):
        class Forgetful(LinearSpace):
            def __init__(self, width):
                super().__init__(0.0, width)

        with pytest.raises(SpaceError, match="a field 'width' in Forgetful"):
            spaces.to_json(Forgetful(2.0))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "JSON text"),
            ("[" * 100_000, "JSON text"),
            ('{"record": "Nothing", "fields": {}}', "known kind of predicate"),
            ("{}", "expected a space"),
            ("[1]", "expected a Space"),
            ('{"kind": "NoSpace"}', "known kind"),
            ('{"kind": "BooleanSpace", "a": 1}', "no argument"),
        ],
    )
    def test_bad_text(self, text, message):
        with pytest.raises(SpaceError, match=message):
            spaces.from_json(text)

    def test_all_digits_survive(self):
        space = LinearSpace(0.1, 1 / 3)
        back = spaces.from_json(spaces.to_json(space))
        assert back == space
        assert hash(back) == hash(space)


@pytest.mark.parametrize("wide", [False, True])
def test_steps_near_zero_are_values_however_they_are_rounded(wide):
    """From a bound of -5 on, 51 steps of 0.1 end further from 0.1 than its digits."""
    with jax.enable_x64(wide):
        space = {"x": LinearSpace(-5, 5, step=0.1)}
        values = [0.1, -0.3, 0.0, 4.9]
        assert spaces.contains(space, {"x": np.array(values)}).all()
        points = spaces.given_points(space, [{"x": x} for x in values])
        found = [c["x"] for c in spaces.decode_choices(space, {"x": points[:, 0]})]
        assert found == values
        assert not spaces.contains(space, {"x": np.array([0.15])}).any()
        with pytest.raises(ParamsError, match="x outside"):
            spaces.given_points(space, [{"x": 0.15}])


@pytest.mark.parametrize(
    "operation",
    [
        spaces.decode_choices,
        spaces.encode_choices,
        spaces.contains,
        spaces.flatten,
        spaces.encode,
        spaces.active,
    ],
)
def test_parameters_with_keys_of_two_kinds_are_refused(operation):
    space = {"a": LinearSpace(0.0, 1.0), "b": ChoiceSpace(["u", "v"])}
    with pytest.raises(ParamsError, match="keys of one kind"):
        operation(space, {"a": 0.5, 1: 0})
