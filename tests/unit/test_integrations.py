"""Grammars of other libraries, in and out, each against the real package."""

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
    to_configspace,
    to_optuna,
    to_ranges,
)
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    ConditionalSpace,
    ConstrainedSpace,
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
        with pytest.raises(SpaceError, match="twice"):
            from_hps([RangeHP("p", 0, 1), RangeHP("p", 0, 1)])

    def test_lists_are_cut_and_their_tails_masked(self):
        imported = from_autogl(self.CONFIG)
        params = spaces.sample(imported.space, KEY, 40)
        mask = spaces.active(imported.space, params)
        for row in range(40):
            one = jax.tree.map(lambda leaf, row=row: leaf[row], params)
            config = imported.decode(one)
            n = int(one["n"])
            assert len(config["hidden"]) == n - 1
            kept = [bool(mask[f"hidden_{i}"][row]) for i in range(3)]
            # The last entry is never kept, which no condition on n can say.
            assert kept[:2] == [n > 1, n > 2]
            assert set(config) == {"n", "hidden", "lr", "k", "act", "seed"}
            assert config["k"] in (2, 4.5, 8)
            assert config["act"] in ("a", None)
            assert config["seed"] == 3
            assert all(8 <= h <= 64 for h in config["hidden"])

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
        ("change", "message"),
        [
            ({"type": "WHAT"}, "WHAT"),
            ({"scalingType": "EXP"}, "LINEAR or LOG"),
            ({"type": "DISCRETE", "feasiblePoints": "1,__import__('os')"}, "numbers"),
            ({"type": "CATEGORICAL"}, "feasiblePoints"),
        ],
    )
    def test_bad_dicts(self, change, message):
        with pytest.raises(SpaceError, match=message):
            from_autogl([self.CONFIG[0] | change])
        with pytest.raises(SpaceError, match="cutPara"):
            from_autogl([self.CONFIG[1]])


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
        for name in ("p", "q", "n", "w", "s", "act"):
            assert back[name] == given[name], name
        # The bounds of a search are single precision.
        assert back["lr"].low == np.float32(1e-5)
        params = spaces.sample(space, KEY, 20)
        for config in spaces.decode_choices(space, params):
            for name, distribution in given.items():
                internal = distribution.to_internal_repr(config[name])
                near = name == "lr" or distribution._contains(internal)
                assert near, (name, config[name])

    def test_what_optuna_lacks(self):
        pytest.importorskip("optuna")
        nested = to_optuna({"a": {"b": BooleanSpace(), "c": FixedSpace(3)}})
        assert nested["a/b"].choices == (False, True)
        assert nested["a/c"].choices == (3,)
        for space in (PermutationSpace(3), LogSpace(1.0, 9.0, step=2.0)):
            with pytest.raises(SpaceError, match="at 'x'"):
                to_optuna({"x": space})
        with pytest.raises(SpaceError, match="'x'"):
            from_optuna({"x": 3})


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

    def test_samples_are_legal_and_active_alike(self):
        cs = configspace()
        space = from_configspace(cs)
        assert space == from_configspace(configspace())
        mask = self.check_samples(cs, space)
        assert 0 < mask["coef"].sum() < 200
        # And the other way: what it samples is contained.
        inner = space.space.space
        for config in cs.sample_configuration(100):
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

    def test_what_it_lacks(self):
        pytest.importorskip("ConfigSpace")
        with pytest.raises(SpaceError, match="at 'x'"):
            to_configspace({"x": PermutationSpace(3)})
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
