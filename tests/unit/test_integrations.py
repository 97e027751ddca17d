"""Grammars of other libraries, in and out, each against the real package."""

import contextlib
import subprocess
import sys
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import spaces
from hyperopt_jax.errors import MissingExtraError, ParamsError, SpaceError
from hyperopt_jax.integrations import (
    ChoiceHP,
    Domain,
    LogRangeHP,
    RangeHP,
    from_autogl,
    from_configspace,
    from_hps,
    from_optuna,
    from_ranges,
    to_autogl,
    to_configspace,
    to_hps,
    to_optuna,
    to_ranges,
)
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
    NormalSpace,
    OrdinalSpace,
    PermutationSpace,
    QLinearSpace,
    QLogSpace,
    VectorSpace,
)

KEY = jax.random.key(0)


class TestRanges:
    WRITTEN: ClassVar = {
        "lr": (1e-5, 1e-1, "log"),
        "layers": (1, 8),
        "width": (8, 512, "log"),
        "net": {"dropout": (0.0, 0.5), "act": ["relu", None], "bias": [False, True]},
        "epochs": 10,
        "name": "run",
    }

    def test_there_and_back(self):
        space = from_ranges(self.WRITTEN)
        assert space["layers"] == QLinearSpace(1, 8)
        assert space["width"] == QLogSpace(8, 512)
        assert space["lr"] == LogSpace(1e-5, 1e-1)
        assert space["net"]["act"] == ChoiceSpace(["relu", None])
        assert space["net"]["bias"] == BooleanSpace()
        assert space["name"] == FixedSpace("run")
        back = to_ranges(space)
        assert from_ranges(back) == space
        assert back["layers"] == (1, 8)
        assert back["epochs"] == 10

    @pytest.mark.parametrize(
        "bad", [(1,), (0.0, 1.0, "lin"), ("a", "b"), (True, False), (2.0, 1.0)], ids=str
    )
    def test_bad_ranges_are_named(self, bad):
        with pytest.raises(SpaceError, match="'x'"):
            from_ranges({"x": bad})
        with pytest.raises(SpaceError, match="'x'"):
            to_ranges({"x": PermutationSpace(3)})

    def test_bad_choices_are_named(self):
        with pytest.raises(SpaceError, match=r"in 'x': .* at least one choice"):
            from_ranges({"x": []})
        with pytest.raises(SpaceError, match=r"in 'x': .* at least one choice"):
            from_hps([ChoiceHP("x", [])])

    @pytest.mark.parametrize(
        "written",
        [[1, 2, 4], range(1, 5), np.array([1, 2, 4]), jnp.array([0.5, 2.0]), [0.5, 2]],
        ids=str,
    )
    def test_listed_numbers_are_numbers(self, written):
        space = from_ranges({"x": written})
        assert isinstance(space["x"], DiscreteSpace)
        assert space["x"].values.tolist() == [*map(float, written)]
        assert from_ranges(to_ranges(space)) == space

    def test_other_lists_are_choices(self):
        for written in ([1, "a"], [True, 1], [True, False], [[1, 2], [3]], [None, 1.0]):
            assert from_ranges({"x": written})["x"] == ChoiceSpace(written)
        assert from_ranges({"x": np.ones((2, 2))})["x"] == FixedSpace(np.ones((2, 2)))

    def test_a_space_of_any_kind_stays_itself(self):
        model = ConditionalSpace({"a": {"C": LogSpace(1e-2, 1e2)}, "b": {}})
        space = from_ranges({"m": model, "x": (0.0, 1.0), "n": QLinearSpace(1, 3)})
        assert space["m"] is model
        assert space["n"] == QLinearSpace(1, 3)
        assert set(spaces.sample(space, KEY, 2)["m"]) == {"a", "b", "choice"}

    @pytest.mark.parametrize(
        "values", [{1, 2}, frozenset("ab"), set()], ids=["set", "frozen", "empty"]
    )
    def test_a_set_is_no_choice(self, values):
        with pytest.raises(SpaceError, match="list for the choices of 'x'"):
            from_ranges({"x": values})

    def test_floats_are_written_as_they_were_given(self):
        written = {"x": (0.1, 0.7), "lr": (1e-5, 1e-1, "log"), "eps": 0.3}
        assert to_ranges(from_ranges(written)) == written
        assert to_ranges({"d": DiscreteSpace([0.1, 0.2])}) == {"d": [0.1, 0.2]}


class TestDomain:
    SPEC: ClassVar = {
        "lr": [0.0, 1.0],
        "net": {"act": {"relu", "tanh"}, "n": {3, 1, 2}, "mixed": {1, "a", None}},
        "flag": {True, False},
    }

    def test_the_kinds_of_values(self):
        space = Domain(self.SPEC).space
        assert space["lr"] == LinearSpace(0.0, 1.0)
        assert space["net"]["n"] == DiscreteSpace([1, 2, 3])
        assert set(space["net"]["mixed"].choices) == {1, "a", None}
        assert isinstance(space["flag"], ChoiceSpace)
        assert isinstance(Domain({"s": {"1", "2"}}).space["s"], ChoiceSpace)

    def test_text_is_read_and_never_run(self):
        assert Domain(str(self.SPEC)) == Domain(self.SPEC)
        assert hash(Domain(str(self.SPEC))) == hash(Domain(self.SPEC))
        for text in ("__import__('os').getcwd()", "{", "[1, 2]"):
            with pytest.raises(SpaceError):
                Domain(text)

    def test_names_are_values_or_groups(self):
        groups, values = Domain({"net": {"n": {1, 2}}}), Domain({"net": {"x", "y"}})
        text = '[[["a"], "set", [1]], [["a", "b"], "set", [2]]]'
        for use in (
            lambda: groups + values,
            lambda: values + groups,
            lambda: Domain.deserialise(text),
        ):
            with pytest.raises(SpaceError, match="got both for a part of"):
                use()
        with pytest.raises(TypeError, match="unsupported operand"):
            groups + {"x": [0.0, 1.0]}

    def test_what_is_looked_at_can_be_changed_without_it(self):
        domain = Domain(self.SPEC)
        domain["flag"].add(3)
        domain.flatten()["lr",].append(2.0)
        assert domain == Domain(self.SPEC)

    def test_iterate_sample_split_and_add(self):
        domain = Domain(self.SPEC)
        assert domain.is_continuous
        assert len(domain) == 5
        with pytest.raises(SpaceError, match="LinearSpace at lr"):
            list(domain)
        parts = domain.split_by_type()
        discrete, categorical, continuous = parts
        assert set(discrete.flatten()) == {("net", "n")}
        assert set(continuous.flatten()) == {("lr",)}
        assert sum(parts, Domain({})) == domain
        every = list(discrete + categorical)
        assert len(every) == 3 * 2 * 3 * 2
        assert len({str(sorted(str(c) for c in [e])) for e in every}) == len(every)
        one = domain.sample(KEY)
        assert one == domain.sample(KEY)
        assert one["net"]["act"] in {"relu", "tanh"}
        assert 0 <= one["lr"] <= 1
        with pytest.raises(ParamsError, match="lr"):
            domain + domain

    def test_access_copies_and_text(self):
        domain = Domain(self.SPEC)
        assert domain["net", "n"] == {1, 2, 3}
        assert domain["net"] == Domain(self.SPEC["net"])
        with pytest.raises(KeyError):
            domain["net", "zzz"]
        copy = domain.as_dict()
        copy["net"]["n"].add(9)
        assert domain["net", "n"] == {1, 2, 3}
        assert domain.as_namedtuple().net.act == {"relu", "tanh"}
        assert Domain.deserialise(domain.serialise()) == domain

    @pytest.mark.parametrize(
        "values",
        [
            {(1, 2), (3, 4)},
            {(1, 2), (3,)},
            {((1, 2), "a"), None},
            {np.int64(10), np.int64(9)},
            {np.float32(0.5), 2},
        ],
        ids=["equal", "ragged", "nested", "whole", "float"],
    )
    def test_sets_of_tuples_and_of_numpys_numbers(self, values):
        domain = Domain({"a": values})
        has_tuples = any(isinstance(value, tuple) for value in values)
        kind = ChoiceSpace if has_tuples else DiscreteSpace
        assert isinstance(domain.space["a"], kind)
        assert {config["a"] for config in domain} == values
        back = Domain.deserialise(domain.serialise())
        assert back == domain
        assert hash(back) == hash(domain)
        assert back.space == domain.space or kind is DiscreteSpace

    @pytest.mark.parametrize("text", ["nonsense", "3", '{"a": 1}', "[[1, 2]]"])
    def test_another_text_is_refused(self, text):
        with pytest.raises(SpaceError, match=r"the text of Domain\.serialise"):
            Domain.deserialise(text)

    def test_objects_have_no_text(self):
        with pytest.raises(SpaceError, match="to serialise"):
            Domain({"a": {len, max}}).serialise()

    def test_steps_are_written_as_one_would(self):
        domain = Domain.from_space({"x": LinearSpace(0.0, 1.0, step=0.1)})
        assert domain["x"] == {k / 10 for k in range(11)}

    def test_from_spaces(self):
        space = {
            "lr": LogSpace(1e-3, 0.1),
            "net": {
                "n": QLinearSpace(1, 3),
                "rate": DiscreteSpace([0.1, 0.2]),
                "act": ChoiceSpace(["relu", None]),
                "bias": BooleanSpace(),
            },
            "seed": FixedSpace(3),
        }
        assert Domain.from_space(space).as_dict() == {
            "lr": [1e-3, 0.1],
            "net": {
                "n": {1, 2, 3},
                "rate": {0.1, 0.2},
                "act": {"relu", None},
                "bias": {False, True},
            },
            "seed": {3},
        }
        domain = Domain(self.SPEC)
        assert Domain.from_space(domain.space) == domain

    @pytest.mark.parametrize(
        "leaf",
        [
            NormalSpace(0.0, 1.0, -1.0, 1.0),
            PermutationSpace(3),
            ChoiceSpace([[1], 2]),
            ChoiceSpace([1, True, "x"]),
            FixedSpace([1.0, 2.0]),
        ],
        ids=str,
    )
    def test_spaces_that_a_domain_cannot_hold(self, leaf):
        with pytest.raises(SpaceError, match="at net/x"):
            Domain.from_space({"net": {"x": leaf}})
        with pytest.raises(SpaceError, match="a dict of spaces"):
            Domain.from_space(leaf)
        with pytest.raises(SpaceError, match="strings for the names"):
            Domain.from_space({1: {"x": LinearSpace(0, 1)}})
        with pytest.raises(SpaceError, match="points"):
            Domain.from_space({"x": QLinearSpace(0, 16_000_000)})

    def test_truth_values_are_no_numbers(self):
        assert Domain({"a": {True, False}}) != Domain({"a": {1, 0}})
        assert Domain({"a": {1, 2}}) == Domain({"a": {1.0, 2.0}})

    def test_an_empty_domain_has_one_configuration(self):
        assert list(Domain({})) == [{}]
        assert Domain({"net": {}}).sample(KEY) == {"net": {}}

    @pytest.mark.parametrize(
        "spec",
        [{"a": [1.0]}, {"a": [2, 1]}, {"a": set()}, {"a": 3}, {1: [0, 1]}],
        ids=str,
    )
    def test_bad_specifications(self, spec):
        with pytest.raises(SpaceError):
            Domain(spec)


class TestAutoGL:
    CONFIG: ClassVar = [
        {"parameterName": "n", "type": "INTEGER", "minValue": 1, "maxValue": 3},
        {
            "parameterName": "hidden",
            "type": "NUMERICAL_LIST",
            "numericalType": "INTEGER",
            "length": 3,
            "minValue": [8, 8, 16],
            "maxValue": 64,
            "scalingType": "LOG",
            "cutPara": ("n",),
            "cutFunc": lambda values: values[0] - 1,
        },
        {
            "parameterName": "lr",
            "type": "DOUBLE",
            "minValue": 1e-4,
            "maxValue": 1e-1,
            "scalingType": "LOG",
        },
        {"parameterName": "k", "type": "DISCRETE", "feasiblePoints": "8,2,4.5"},
        {"parameterName": "act", "type": "CATEGORICAL", "feasiblePoints": ["a", None]},
        {"parameterName": "seed", "type": "FIXED", "value": 3},
    ]

    def test_objects_in_a_list(self):
        space = from_hps(
            [RangeHP("p", 0.1, 0.5), LogRangeHP("n", 1, 64), ChoiceHP("o", ["a", "b"])]
        )
        assert space["p"] == LinearSpace(0.1, 0.5)
        assert space["n"] == QLogSpace(1, 64)
        assert space["o"] == ChoiceSpace(["a", "b"])
        with pytest.raises(SpaceError, match="a name and a space"):
            from_hps([3])
        with pytest.raises(SpaceError, match="a string for the name"):
            from_hps([ChoiceHP(["o"], [1, 2])])
        with pytest.raises(SpaceError, match="twice"):
            from_hps([RangeHP("p", 0, 1), RangeHP("p", 0, 1)])

    def test_there_and_back(self):
        space = from_hps(
            [RangeHP("p", 0.1, 0.5), LogRangeHP("n", 1, 64), ChoiceHP("o", ["a", None])]
        )
        assert from_hps(to_hps(space)) == space
        space |= {"seed": FixedSpace(3), "size": OrdinalSpace([2, 4, 8])}
        assert from_autogl(to_autogl(space)).space == space

    def test_what_changes_its_kind_on_the_way(self):
        space = {
            "bias": BooleanSpace(),
            "d": DiscreteSpace([0.2, 0.1]),
            "hidden": VectorSpace(QLogSpace(8, 64), 2),
        }
        assert from_autogl(to_autogl(space)).space == {
            "bias": ChoiceSpace([False, True]),
            "d": OrdinalSpace([0.1, 0.2]),
            "hidden_0": QLogSpace(8, 64),
            "hidden_1": QLogSpace(8, 64),
        }

    @pytest.mark.parametrize("write", [to_hps, to_autogl])
    def test_spaces_that_do_not_go_out(self, write):
        for leaf in (PermutationSpace(3), LinearSpace(0, 1, step=0.5), {"a": 1}):
            with pytest.raises(SpaceError, match="'x'"):
                write({"x": leaf})
        with pytest.raises(SpaceError, match="a dict of spaces"):
            write(LinearSpace(0, 1))

    def test_an_order_of_one_s_own_is_not_lost(self):
        with pytest.raises(SpaceError, match="OrdinalSpace"):
            to_autogl({"x": OrdinalSpace(["small", "large"])})

    def test_lists_are_cut_and_their_tails_masked(self):
        imported = from_autogl(self.CONFIG)
        params = spaces.sample(imported.space, KEY, 40)
        mask = spaces.active(imported.space, params)
        configs = imported.decode(params)
        for row in range(40):
            one = jax.tree.map(lambda leaf, row=row: leaf[row], params)
            config = imported.decode(one)
            n = int(one["n"])
            assert len(config["hidden"]) == n - 1
            kept = [bool(mask[f"hidden_{i}"][row]) for i in range(2)]
            assert kept == [n > 1, n > 2]
            # The last entry is never kept.
            assert "hidden_2" not in one
            assert set(config) == {"n", "hidden", "lr", "k", "act", "seed"}
            assert config["k"] in (2, 4.5, 8)
            assert config["act"] in ("a", None)
            assert config["seed"] == 3
            assert all(8 <= h <= 64 for h in config["hidden"])
            assert config == configs[row]

    @pytest.mark.parametrize(
        ("n", "length", "longest"),
        [((2, 4), 5, 3), ((1, 1), 3, 0), ((3, 3), 5, 2), ((4, 6), 2, 2)],
        ids=str,
    )
    def test_entries_that_are_never_kept_are_no_parameters(self, n, length, longest):
        parent = self.CONFIG[0] | {"minValue": n[0], "maxValue": n[1]}
        item = self.CONFIG[1] | {"length": length, "minValue": 8}
        imported = from_autogl([parent, item, self.CONFIG[2]])
        params = spaces.sample(imported.space, KEY, 20)
        hidden = {name for name in params if name.startswith("hidden")}
        assert hidden == {f"hidden_{i}" for i in range(longest)}
        for row in range(20):
            one = jax.tree.map(lambda leaf, row=row: leaf[row], params)
            kept = imported.decode(one)["hidden"]
            assert len(kept) == min(length, int(one["n"]) - 1)

    def test_a_list_and_a_single_parameter_have_their_own_names(self):
        single = {"parameterName": "hidden", "type": "FIXED", "value": 3}
        lists = {key: v for key, v in self.CONFIG[1].items() if "cut" not in key}
        for config in ([single, lists], [lists, single], [lists, lists]):
            with pytest.raises(SpaceError, match="distinct names, got 'hidden' twice"):
                from_autogl(config)

    def test_parts_of_a_model(self):
        imported = from_autogl({"encoder": self.CONFIG, "decoder": self.CONFIG[2:3]})
        params = spaces.sample(imported.space, KEY, 1)
        config = imported.decode(jax.tree.map(lambda leaf: leaf[0], params))
        assert set(config) == {"encoder", "decoder"}
        assert 1e-4 <= config["decoder"]["lr"] <= 1e-1

    def test_more_than_one_parameter_cuts(self):
        item = self.CONFIG[1] | {
            "cutPara": ("n", "lr"),
            "cutFunc": lambda values: values[0] * (values[1] < 1),
        }
        imported = from_autogl([self.CONFIG[0], self.CONFIG[2], item])
        params = spaces.sample(imported.space, KEY, 1)
        one = jax.tree.map(lambda leaf: leaf[0], params)
        assert len(imported.decode(one)["hidden"]) == int(one["n"])

    @pytest.mark.parametrize(
        ("cut", "got"),
        [
            (lambda values: values[0] / 2, "0.5"),
            (lambda values: None, "TypeError"),
            (lambda values: values["n"], "TypeError"),
            (lambda values: values[1], "IndexError"),
        ],
    )
    def test_bad_cuts(self, cut, got):
        item = self.CONFIG[1] | {"cutFunc": cut}
        with pytest.raises(SpaceError, match=rf"cutFunc of 'hidden' .*{got}"):
            from_autogl([self.CONFIG[0], item])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"type": "WHAT"}, "WHAT"),
            ({"parameterName": ["n"]}, r"a string for the name .* got \['n'\]"),
            ({"scalingType": "EXP"}, "LINEAR or LOG"),
            ({"type": "DISCRETE", "feasiblePoints": "1,__import__('os')"}, "numbers"),
            ({"type": "CATEGORICAL"}, "feasiblePoints"),
            ({"type": "CATEGORICAL", "feasiblePoints": "a,b"}, "in 'n': expected"),
            ({"type": "DISCRETE", "feasiblePoints": [1, "a"]}, "an order"),
            ({"type": "DISCRETE", "feasiblePoints": 3}, "an order"),
            ({"minValue": "a"}, "minValue and maxValue of 'n'"),
            ({"maxValue": None}, "minValue and maxValue of 'n'"),
            ({"maxValue": 2.7}, "whole numbers for minValue and maxValue of 'n'"),
        ],
    )
    def test_bad_dicts(self, change, message):
        with pytest.raises(SpaceError, match=message):
            from_autogl([self.CONFIG[0] | change])
        with pytest.raises(SpaceError, match="cutPara"):
            from_autogl([self.CONFIG[1]])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"minValue": [1, 2]}, "one number or 3 for minValue of 'hidden'"),
            ({"maxValue": []}, "one number or 3 for maxValue of 'hidden'"),
            ({"maxValue": [64, 64, "a"]}, "numbers for minValue and maxValue"),
            ({"length": "many"}, "whole number for length"),
            ({"length": -1}, "length >= 0"),
            (
                {"numericalType": "Integer"},
                "numericalType of .* for 'hidden', got 'Int",
            ),
            ({"cutPara": [["n"]]}, "a name or a list of them for cutPara of 'hidden'"),
            ({"cutPara": 3}, "a name or a list of them for cutPara of 'hidden'"),
        ],
    )
    def test_bad_lists(self, change, message):
        with pytest.raises(SpaceError, match=message):
            from_autogl([self.CONFIG[0], self.CONFIG[1] | change])

    @pytest.mark.parametrize("read", [from_autogl, from_hps])
    def test_what_is_no_list(self, read):
        with pytest.raises(SpaceError, match="expected a list"):
            read(3)


class TestOptuna:
    def test_there_and_back(self):
        d = pytest.importorskip("optuna").distributions
        given = {
            "lr": d.FloatDistribution(1e-5, 1e-1, log=True),
            "p": d.FloatDistribution(0.0, 1.0),
            "q": d.FloatDistribution(0.0, 1.0, step=0.25),
            "n": d.IntDistribution(1, 8),
            "w": d.IntDistribution(8, 512, log=True),
            "s": d.IntDistribution(1, 9, step=4),
            "act": d.CategoricalDistribution(["relu", None, 3]),
            "one": d.IntDistribution(3, 3),
        }
        space = from_optuna(given)
        assert space["n"] == QLinearSpace(1, 8)
        assert space["s"].points().tolist() == [1, 5, 9]
        back = to_optuna(space)
        for name in set(given) - {"one"}:
            assert back[name] == given[name], name
        params = spaces.sample(space, KEY, 20)
        for config in spaces.decode_choices(space, params):
            for name, distribution in given.items():
                internal = distribution.to_internal_repr(config[name])
                assert distribution._contains(internal), (name, config[name])

    def test_plain_configurations_are_trials(self):
        optuna = pytest.importorskip("optuna")
        space = {
            "lr": LogSpace(1e-4, 0.1),
            "momentum": LinearSpace(0.1, 0.9),
            "dropout": LinearSpace(0.0, 1.0, step=0.1),
            "shift": LinearSpace(-5.0, 5.0, step=0.1),
            "decay": DiscreteSpace([0.1, 0.3, 1e-5]),
            "n": QLogSpace(1, 99),
            "constant": FixedSpace(0.1),
        }
        ends = {"lr": jnp.float32(0.1), "momentum": jnp.float32(0.9)}
        params = spaces.sample(space, KEY, 50)
        plain = spaces.decode_choices(space, params)
        ends = spaces.decode_choices({name: space[name] for name in ends}, ends)
        for config in [*plain, plain[0] | ends]:
            optuna.trial.create_trial(
                params=config, distributions=to_optuna(space), value=0.0
            )

    @pytest.mark.parametrize(
        ("low", "high", "step"),
        [(0, 1, 0.1), (0.1, 0.7, 0.2), (-0.3, 0.3, 0.05), (1e-3, 9e-3, 1e-3)],
    )
    def test_a_stepped_range_keeps_its_last_value(self, low, high, step):
        d = pytest.importorskip("optuna").distributions
        given = {"x": d.FloatDistribution(low, high, step=step)}
        assert to_optuna(from_optuna(given)) == given

    def test_a_range_ends_with_its_last_value(self):
        d = pytest.importorskip("optuna").distributions
        space = {
            "x": LinearSpace(0.0, 1.0, step=0.3),
            "n": QLinearSpace(1, 10, step=4),
        }
        assert to_optuna(space) == {
            "x": d.FloatDistribution(0.0, 0.9, step=0.3),
            "n": d.IntDistribution(1, 9, step=4),
        }

    def test_what_optuna_lacks(self):
        pytest.importorskip("optuna")
        nested = to_optuna({"a": {"b": BooleanSpace(), "c": FixedSpace(3)}})
        assert nested["a/b"].choices == (False, True)
        assert nested["a/c"].choices == (3,)
        for space in (PermutationSpace(3), LogSpace(1.0, 9.0, step=2.0)):
            with pytest.raises(SpaceError, match="at 'x'"):
                to_optuna({"x": space})
        with pytest.raises(SpaceError, match=r"\['a/b'\] twice"):
            to_optuna({"a/b": LinearSpace(0, 1), "a": {"b": LinearSpace(5, 6)}})
        with pytest.raises(SpaceError, match="'x'"):
            from_optuna({"x": 3})
        with pytest.raises(SpaceError, match="dict of Optuna"):
            from_optuna(3)
        for root in (LinearSpace(0.0, 1.0), [LinearSpace(0.0, 1.0)], None):
            with pytest.raises(SpaceError, match="dict of spaces"):
                to_optuna(root)
            with pytest.raises(SpaceError, match="dict of spaces"):
                to_ranges(root)
        for constant in (FixedSpace([1, 2]), FixedSpace(("a", "b"))):
            with pytest.raises(SpaceError, match=r"constant .* at 'x'"):
                to_ranges({"x": constant})


def configspace():
    """A ConfigSpace with every kind of condition and of forbidden clause."""
    CS = pytest.importorskip("ConfigSpace")
    cs = CS.ConfigurationSpace(seed=0)
    kernel = CS.CategoricalHyperparameter("kernel", ["linear", "rbf", "poly"])
    gamma = CS.UniformFloatHyperparameter("gamma", 1e-3, 10.0, log=True)
    degree = CS.UniformIntegerHyperparameter("degree", 2, 6)
    coef = CS.UniformFloatHyperparameter("coef", 0.0, 1.0)
    size = CS.OrdinalHyperparameter("size", ["s", "m", "l"])
    shrink = CS.CategoricalHyperparameter("shrink", [True, False])
    prior = CS.NormalFloatHyperparameter("prior", 0.0, 1.0, -2.0, 2.0)
    seed = CS.Constant("seed", 3)
    cs.add([kernel, gamma, degree, coef, size, shrink, prior, seed])
    cs.add(
        [
            CS.InCondition(gamma, kernel, ["rbf", "poly"]),
            CS.EqualsCondition(degree, kernel, "poly"),
            CS.OrConjunction(
                CS.GreaterThanCondition(coef, degree, 4),
                CS.LessThanCondition(coef, gamma, 0.1),
            ),
            CS.AndConjunction(
                CS.NotEqualsCondition(shrink, kernel, "linear"),
                CS.GreaterThanCondition(shrink, size, "s"),
            ),
        ]
    )
    cs.add(
        [
            CS.ForbiddenAndConjunction(
                CS.ForbiddenEqualsClause(size, "l"),
                CS.ForbiddenInClause(degree, [2, 6]),
            ),
            CS.ForbiddenEqualsClause(shrink, False),
            CS.ForbiddenGreaterThanRelation(coef, prior),
        ]
    )
    return cs


class TestConfigSpace:
    def test_a_parameter_without_a_name_is_refused(self):
        with pytest.raises(SpaceError, match="whose parameters have names"):
            to_configspace(LinearSpace(0.0, 1.0))

    @staticmethod
    def check_samples(cs, space, n=200):
        """Every sample of the space is a legal configuration of `cs`."""
        import ConfigSpace as CS

        params = spaces.sample(space, KEY, n)
        inner = space.space if isinstance(space, ConstrainedSpace) else space
        mask = {k: np.asarray(v) for k, v in spaces.active(space, params).items()}
        for row in range(n):
            one = {k: v[row] for k, v in params.items()}
            config = spaces.decode_choices(inner, one)
            active = {k for k in mask if mask[k][row]}
            assert set(config) == active
            legal = CS.Configuration(cs, values={k: config[k] for k in active})
            legal.check_valid_configuration()
        return mask

    @staticmethod
    def check_contained(cs, space, inner, n):
        """Every configuration that `cs` samples is one of the space."""
        for config in cs.sample_configuration(n):
            values = dict(config)
            params = {
                name: jnp.asarray(
                    own.index(values[name])
                    if isinstance(own, OrdinalSpace)
                    else values[name]
                )
                if name in values
                else own.sample(KEY)
                for name, own in inner.items()
            }
            assert bool(spaces.contains(space, params).all()), values

    @pytest.mark.slow
    def test_samples_are_legal_and_active_alike(self):
        cs = configspace()
        space = from_configspace(cs)
        assert space == from_configspace(configspace())
        mask = self.check_samples(cs, space)
        assert 0 < mask["coef"].sum() < 200
        # And the other way: what it samples is contained.
        self.check_contained(cs, space, space.space.space, 100)

    def test_clauses_have_a_json_form(self):
        space = from_configspace(configspace())
        assert spaces.from_json(spaces.to_json(space)) == space

    def test_there_and_back(self):
        cs = configspace()
        space = from_configspace(cs)
        again = to_configspace(space)
        assert set(again) == set(cs)
        assert len(again.conditions) == len(cs.conditions)
        assert len(again.forbidden_clauses) == len(cs.forbidden_clauses)
        self.check_samples(again, space, 100)
        back = from_configspace(again)
        params = spaces.sample(back, KEY, 50)
        assert bool(spaces.contains(space, params).all())

    def test_conditional_spaces_and_lists_go_out(self):
        pytest.importorskip("ConfigSpace")
        space = {
            "model": ConditionalSpace({"a": {"C": LogSpace(1e-2, 1e2)}, "b": {}}),
            "layers": ListSpace({"w": QLogSpace(8, 64)}, 2),
            "lr": LogSpace(1e-3, 1e-1),
            "z": NormalSpace(0.0, 1.0),
            "b": BooleanSpace(),
            "k": DiscreteSpace([4, 1, 2]),
        }
        cs = to_configspace(space, name="out", seed=1)
        assert {"model/choice", "model/a/C", "layers/values/w/1"} <= set(cs)
        for config in cs.sample_configuration(30):
            assert ("model/a/C" in config) == (config["model/choice"] == "a")
            assert ("layers/values/w/1" in config) == (config["layers/length"] == 2)

    def test_a_clause_may_forbid_the_middle(self):
        CS = pytest.importorskip("ConfigSpace")
        cs = CS.ConfigurationSpace()
        a = CS.UniformIntegerHyperparameter("a", 0, 10, default_value=1)
        b = CS.CategoricalHyperparameter("b", ["x", "y"], default_value="y")
        cs.add([a, b])
        cs.add(CS.ForbiddenEqualsClause(a, 5))
        cs.add(CS.ForbiddenEqualsClause(b, "x"))
        space = from_configspace(cs)
        out = to_configspace(space)
        assert {*map(str, out.forbidden_clauses)} == {*map(str, cs.forbidden_clauses)}
        assert out.get_default_configuration()["b"] == "y"
        assert from_configspace(out) == space

    @pytest.mark.parametrize(
        ("left", "right", "relation", "legal"),
        [
            (["x", "y", "z"], ["z", "y", "x"], "Equals", ("x", "z")),
            (["x", "y", "z"], ["z", "y", "x"], "GreaterThan", ("x", "z")),
            ((1, 5, 9), (3, 7, 8), "LessThan", (9, 3)),
            ((1, 5, 9), (3, 7, 8), "GreaterThan", (1, 8)),
            ((1, 5, 9), None, "LessThan", (9, 2)),
            (None, [4, 2], "Equals", (3, 4)),
            (["x", 3], None, "Equals", ("x", 1)),
            (["x", 3], [3, "x"], "Equals", ("x", 3)),
        ],
        ids=str,
    )
    def test_relations_compare_values_and_not_indices(
        self, left, right, relation, legal
    ):
        CS = pytest.importorskip("ConfigSpace")

        def made(name, values, default):
            if values is None:
                return CS.UniformIntegerHyperparameter(name, 1, 9, default)
            if isinstance(values, list):
                return CS.CategoricalHyperparameter(name, values, default_value=default)
            return CS.OrdinalHyperparameter(name, values, default)

        a, b = made("a", left, legal[0]), made("b", right, legal[1])
        cs = CS.ConfigurationSpace(seed=0)
        cs.add([a, b])
        cs.add(getattr(CS, f"Forbidden{relation}Relation")(a, b))
        space = from_configspace(cs)
        self.check_samples(cs, space)
        # Nothing that is legal is lost.
        self.check_contained(cs, space, space.space, 60)

    def test_clauses_on_a_constant_of_text(self):
        CS = pytest.importorskip("ConfigSpace")
        cs = CS.ConfigurationSpace(seed=0)
        c = CS.Constant("c", "x")
        n = CS.UniformIntegerHyperparameter("n", 1, 3)
        a = CS.CategoricalHyperparameter("a", ["y", "x"])
        cs.add([c, n, a])
        clauses = CS.ForbiddenEqualsClause(c, "x"), CS.ForbiddenEqualsClause(n, 3)
        cs.add(CS.ForbiddenAndConjunction(*clauses))
        cs.add(CS.ForbiddenEqualsRelation(c, a))
        space = from_configspace(cs)
        mask = self.check_samples(cs, space, 30)
        assert mask["a"].all()
        # As text: a clause also compares the defaults, which are not kept.
        back = to_configspace(space).forbidden_clauses
        assert [*map(str, back)] == [*map(str, cs.forbidden_clauses)]

    def test_an_order_between_names_and_numbers_is_refused(self):
        CS = pytest.importorskip("ConfigSpace")
        a = CS.CategoricalHyperparameter("a", ["x", "y"])
        for b in (
            CS.UniformIntegerHyperparameter("b", 1, 9),
            CS.CategoricalHyperparameter("b", [1, 2]),
        ):
            cs = CS.ConfigurationSpace(seed=0)
            cs.add([a, b])
            # ConfigSpace keeps the clause, but cannot compare its defaults.
            with contextlib.suppress(TypeError):
                cs.add(CS.ForbiddenLessThanRelation(a, b))
            with pytest.raises(SpaceError, match="on 'a' and 'b'"):
                from_configspace(cs)

    @pytest.mark.parametrize(
        ("parent", "low", "high"),
        [
            (DiscreteSpace([8, 1, 4]), 2, None),
            (DiscreteSpace([0.1, 0.4, 0.2]), None, 0.3),
            (OrdinalSpace([1, 2, 4]), 2, None),
            (ChoiceSpace([1, 2, 4]), 2, 3.5),
            (BooleanSpace(), 1, None),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_an_interval_of_listed_values_goes_out(self, parent, low, high):
        pytest.importorskip("ConfigSpace")
        space = DependentSpace(
            {"p": parent, "x": LinearSpace(0.0, 1.0)},
            {"x": Condition("p", low=low, high=high)},
        )
        self.check_samples(to_configspace(space), space, 30)
        if not isinstance(parent, OrdinalSpace):  # there all choices are a list
            everything = DependentSpace(space.space, {"x": Condition("p", low=-5)})
            with pytest.raises(SpaceError, match="some values of 'p' pass"):
                to_configspace(everything)

    @pytest.mark.parametrize(
        "parent", [LinearSpace(1, 9), QLinearSpace(1, 9)], ids=["float", "whole"]
    )
    def test_an_interval_of_a_range_that_decides_nothing(self, parent):
        pytest.importorskip("ConfigSpace")
        space = DependentSpace(
            {"p": parent, "x": LinearSpace(0.0, 1.0)},
            {"x": Condition("p", low=0, high=10)},
        )
        with pytest.raises(SpaceError, match="some values of 'p' pass"):
            to_configspace(space)

    def test_configurations_that_it_samples_are_trials(self):
        ConfigSpace = pytest.importorskip("ConfigSpace")
        cs = ConfigSpace.ConfigurationSpace({"num": [1, 2.5, 4]}, seed=1)
        cs.add(ConfigSpace.OrdinalHyperparameter("o", [1, 2.5]))
        rows = [dict(c) for c in cs.sample_configuration(20)]
        space = from_configspace(cs)
        params = spaces.encode_choices(space, rows)
        assert spaces.decode_choices(space, params) == rows

    def test_plain_configurations_are_legal(self):
        pytest.importorskip("ConfigSpace")
        space = {
            "lr": LogSpace(1e-4, 0.1),
            "momentum": LinearSpace(0.1, 0.9),
            "decay": DiscreteSpace([0.1, 0.3, 1e-5]),
            "constant": FixedSpace(0.1),
        }
        cs = to_configspace(space)
        assert list(cs["decay"].sequence) == [1e-5, 0.1, 0.3]
        self.check_samples(cs, space, 50)

    def test_a_condition_on_a_listed_float_goes_out(self):
        pytest.importorskip("ConfigSpace")
        space = DependentSpace(
            {"p": DiscreteSpace([0.1, 0.2, 0.4]), "x": LinearSpace(0.0, 1.0)},
            {"x": Condition("p", is_in=[0.1, 0.4])},
        )
        self.check_samples(to_configspace(space), space, 30)

    def test_differs_from_where_the_other_may_be_inactive(self):
        CS = pytest.importorskip("ConfigSpace")
        cs = CS.ConfigurationSpace(seed=0)
        optimizer = CS.CategoricalHyperparameter("optimizer", ["sgd", "adam"])
        schedule = CS.CategoricalHyperparameter("schedule", ["constant", "cosine"])
        warmup = CS.UniformIntegerHyperparameter("warmup", 0, 3)
        fixed = CS.Constant("fixed", "v")
        cs.add([optimizer, schedule, warmup, fixed])
        cs.add(CS.EqualsCondition(schedule, optimizer, "sgd"))
        cs.add(CS.NotEqualsCondition(warmup, schedule, "constant"))
        with pytest.raises(SpaceError, match="'warmup' than 'schedule' != 'constant'"):
            from_configspace(cs)
        cs = CS.ConfigurationSpace(seed=0)
        cs.add([warmup, fixed])
        cs.add(CS.NotEqualsCondition(warmup, fixed, "v"))
        with pytest.raises(SpaceError, match="got the constant 'fixed'"):
            from_configspace(cs)

    def test_what_it_lacks(self):
        pytest.importorskip("ConfigSpace")
        with pytest.raises(SpaceError, match="expected a ConfigSpace"):
            from_configspace(3)
        with pytest.raises(SpaceError, match="at 'x'"):
            to_configspace({"x": PermutationSpace(3)})
        with pytest.raises(SpaceError, match=r"\['a/b'\] twice"):
            to_configspace({"a/b": LinearSpace(0, 1), "a": {"b": LinearSpace(5, 6)}})
        space = ConstrainedSpace({"x": QLinearSpace(0, 3)}, lambda p: p["x"] > 1)
        with pytest.raises(SpaceError, match="no counterpart"):
            to_configspace(space)


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("optuna", lambda: from_optuna({}), "optuna"),
        ("optuna", lambda: to_optuna({}), "optuna"),
        ("ConfigSpace", lambda: from_configspace(None), "configspace"),
        ("ConfigSpace", lambda: to_configspace({}), "configspace"),
    ],
)
def test_a_missing_package_names_the_extra(monkeypatch, module, call, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"hyperopt_jax\[{extra}\]"):
        call()


def test_nothing_is_imported_before_it_is_needed():
    code = (
        "import sys, hyperopt_jax, hyperopt_jax.integrations; "
        "print('optuna' in sys.modules, 'ConfigSpace' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout.split() == ["False", "False"], out.stderr


@pytest.mark.parametrize(
    "write",
    [to_ranges, to_optuna, to_hps, to_autogl, to_configspace, Domain.from_space],
    ids=lambda write: getattr(write, "__qualname__", "?"),
)
def test_a_stack_of_spaces_has_no_form_elsewhere(write):
    stack = {"x": jax.vmap(lambda high: LinearSpace(0.0, high))(jnp.arange(1.0, 4.0))}
    with pytest.raises(SpaceError, match="got a stack of spaces"):
        write(stack)
