"""Errors are ours and built-in at once; statuses read as sentences; eager checks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import (
    UCB,
    BayesianSearch,
    LinearSpace,
    Matern,
    RandomSearch,
    ThompsonSampling,
    _checks,
    errors,
)
from hyperopt_jax.errors import HyperoptError, SettingError, StateError, Status

BUILT_IN = {
    "SpaceError": ValueError,
    "SettingError": ValueError,
    "UnknownSettingError": TypeError,
    "ObjectiveError": TypeError,
    "ParamsError": ValueError,
    "StateError": TypeError,
    "ExhaustedError": ValueError,
    "MissingExtraError": ImportError,
}
LEAVES = {
    name: thing
    for name, thing in vars(errors).items()
    if isinstance(thing, type)
    and issubclass(thing, HyperoptError)
    and thing is not HyperoptError
}


class TestClasses:
    def test_every_error_is_listed_here(self):
        assert set(LEAVES) == set(BUILT_IN)

    @pytest.mark.parametrize("name", BUILT_IN)
    def test_each_is_ours_and_a_built_in(self, name):
        assert issubclass(LEAVES[name], BUILT_IN[name])
        assert LEAVES[name].__doc__
        with pytest.raises(HyperoptError, match="a sentence"):
            raise LEAVES[name]("a sentence")


class TestStatus:
    @pytest.mark.parametrize("status", list(Status))
    def test_reads_as_a_sentence(self, status):
        assert status.sentence.endswith(".")
        assert status.sentence[0].isupper()

    def test_comes_back_from_an_array(self):
        assert Status(int(jnp.int32(Status.EXHAUSTED))) is Status.EXHAUSTED

    def test_a_fresh_study_is_in_order(self):
        assert Status.OK == 0
        state, _ = BayesianSearch.init({"x": LinearSpace(0.0, 1.0)}, n_max=3)
        assert Status(int(state.status)) is Status.OK


class TestCheckInt:
    def test_gives_an_int(self):
        assert _checks.check_int("n", 3, 1) == 3
        assert type(_checks.check_int("n", jnp.int32(3), 1)) is int

    @pytest.mark.parametrize("value", [0, -4])
    def test_too_small(self, value):
        with pytest.raises(SettingError, match=f"expected n >= 1, got {value}"):
            _checks.check_int("n", value, 1)

    @pytest.mark.parametrize("value", [1.0, "1", None, True, math.nan, [1]], ids=str)
    def test_not_whole(self, value):
        with pytest.raises(SettingError, match="whole number for n, got") as caught:
            _checks.check_int("n", value, 1)
        assert repr(value) in str(caught.value)


class TestCheckNumber:
    def test_gives_the_value_itself(self):
        array = jnp.asarray([0.0, 1.0])
        assert _checks.check_number("xi", array, 0.0) is array
        assert _checks.check_number("xi", 0, 0.0) == 0

    @pytest.mark.parametrize(
        ("value", "strict"),
        [(-1e-9, False), (0.0, True), ([1.0, -1.0], False)],
        ids=str,
    )
    def test_too_small(self, value, strict):
        with pytest.raises(SettingError, match="xi") as caught:
            _checks.check_number("xi", value, 0.0, strict=strict)
        assert repr(value) in str(caught.value)

    def test_traced_values_pass(self):
        assert jax.jit(lambda v: _checks.check_number("xi", v, 0.0))(-1.0) == -1

    @pytest.mark.parametrize("value", ["0.5", True], ids=str)
    def test_what_is_no_number(self, value):
        with pytest.raises(SettingError):
            _checks.check_number("xi", value, 0.0)


class TestOtherChecks:
    def test_choice(self):
        assert _checks.check_choice("nu", 0.5, (0.5, 1.5)) == 0.5
        with pytest.raises(SettingError, match=r"nu=2 is not supported; .* 0\.5, 1\.5"):
            _checks.check_choice("nu", 2, (0.5, 1.5))

    def test_instance(self):
        assert _checks.check_instance("n", 1, int) == 1
        with pytest.raises(SettingError, match="n to be a int instance, got 'one'"):
            _checks.check_instance("n", "one", int)

    def test_state_of_another_search(self):
        space = {"x": LinearSpace(0.0, 1.0)}
        state, _ = RandomSearch.init(space)
        _, optimizer = BayesianSearch.init(space, n_max=3)
        names = "BayesianSearch expected a BayesianSearchState, got a RandomSearchState"
        with pytest.raises(StateError, match=names):
            optimizer.get_next_params(state, jax.random.key(0))

    def test_concrete(self):
        assert _checks.is_concrete(1, [jnp.ones(2)], None)
        seen = []

        @jax.jit
        def traced(x):
            seen.append(_checks.is_concrete({"a": [x]}))
            return x

        traced(1.0)
        assert seen == [False]


class TestSettings:
    def test_what_fixes_shapes_is_stored_as_pythons_own(self):
        settings = {"n_candidates": 16, "n_restarts": 1, "n_warmup": 0, "n_greedy": 2}
        plain = BayesianSearch(**settings, jitter=1e-5, maximize=False)
        for kind in (jnp.int32, np.int64, np.array):
            same = BayesianSearch(
                **{name: kind(n) for name, n in settings.items()},
                jitter=np.float64(1e-5),
                maximize=np.bool_(False),
            )
            assert same == plain
            assert hash(same) == hash(plain)
            assert [type(getattr(same, name)) for name in settings] == [int] * 4
            assert (type(same.jitter), type(same.maximize)) == (float, bool)
        assert ThompsonSampling(jnp.int32(8)) == ThompsonSampling(8)
        assert type(UCB(np.float32(2.0)).kappa) is float
        assert type(Matern(nu=jnp.float32(2.5)).nu) is float

    def test_numbers_of_jax_stay_data(self):
        kappa = jnp.asarray(2.0)
        assert UCB(kappa).kappa is kappa
