"""How a batch is run: plain Python, one traced program, and objectives that do not fit."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hyperopt_jax import (
    ChoiceSpace,
    DiscreteSpace,
    LinearSpace,
    QLinearSpace,
    RandomSearch,
    python_loop,
    vectorised,
)
from hyperopt_jax._evaluate import check_objective
from hyperopt_jax.errors import ObjectiveError, ParamsError, SettingError

SPACE = {
    "x": LinearSpace(0.0, 1.0),
    "n": QLinearSpace(1, 9),
    "rest": [DiscreteSpace([16, 32])],
}
KEYS = jax.random.split(jax.random.key(0), 3)
PARAMS = {
    "x": jnp.asarray([0.5, 0.25, 1.0]),
    "n": jnp.asarray([1, 5, 9]),
    "rest": [jnp.asarray([16, 32, 16])],
}
EVALUATORS = {"vectorised": vectorised, "python_loop": python_loop}
each = pytest.mark.parametrize("evaluate", EVALUATORS.values(), ids=EVALUATORS)


def total(key, params):
    return params["x"] + 1.0 * params["n"].astype("float32")


class TestResults:
    @each
    def test_one_number_a_trial(self, evaluate):
        results = evaluate(total, KEYS, PARAMS)
        assert results.shape == (3,)
        assert np.allclose(results, [1.5, 5.25, 10.0])

    @each
    def test_each_trial_has_its_own_key(self, evaluate):
        results = evaluate(lambda key, p: jax.random.uniform(key), KEYS, PARAMS)
        assert np.allclose(results, [jax.random.uniform(key) for key in KEYS])

    @each
    @pytest.mark.parametrize(
        "objective",
        [
            lambda key, p: p["n"],
            lambda key, p: jnp.reshape(p["n"], (1,)),
            lambda key, p: p["n"].astype("int8"),
            lambda key, p: p["n"].astype("float16"),
        ],
        ids=["integer", "one_element", "small_integer", "half"],
    )
    def test_what_passes_for_a_number(self, evaluate, objective):
        results = evaluate(objective, KEYS, PARAMS)
        assert results.shape == (3,)
        assert jnp.issubdtype(results.dtype, jnp.floating)
        assert results.tolist() == [1, 5, 9]

    @each
    def test_a_constant(self, evaluate):
        assert evaluate(lambda key, p: 2, KEYS, PARAMS).tolist() == [2, 2, 2]

    @each
    def test_no_number_at_all_is_a_result(self, evaluate):
        # What becomes of it is the record's business: it is a failed trial.
        results = evaluate(lambda key, p: p["x"] * math.nan, KEYS, PARAMS)
        assert np.isnan(results).all()

    @each
    @pytest.mark.parametrize(
        ("objective", "shown"),
        [
            (lambda key, p: {"loss": p["x"]}, "dict|loss"),
            (lambda key, p: None, "None"),
            (lambda key, p: [p["x"]] * 2, r"list|\(2,\)"),
            (lambda key, p: (p["x"], p["x"]), r"tuple|\(2,\)"),
            (lambda key, p: jnp.zeros(2), r"\(2,\)"),
            (lambda key, p: jnp.zeros((0,)), r"\(0,\)"),
            (lambda key, p: p["x"] > 0, "bool|True"),
            (lambda key, p: True, "bool|True"),
            (lambda key, p: jnp.complex64(1j), "complex|1j"),
        ],
        ids=["dict", "None", "list", "tuple", "vector", "empty", "bool", "True", "1j"],
    )
    def test_what_does_not(self, evaluate, objective, shown):
        with pytest.raises(ObjectiveError, match=f"one float scalar.*({shown})"):
            evaluate(objective, KEYS, PARAMS)

    def test_text_from_a_traced_objective(self):
        with pytest.raises(ObjectiveError):
            vectorised(lambda key, p: "good", KEYS, PARAMS)

    def test_text_from_a_python_objective(self):
        with pytest.raises(ObjectiveError, match=r"one float scalar.*good"):
            python_loop(lambda key, p: "good", KEYS, PARAMS)

    def test_both_take_the_same_shapes(self):
        for evaluate in (vectorised, python_loop):
            with pytest.raises(ObjectiveError):
                evaluate(lambda key, p: jnp.zeros((1, 1)), KEYS, PARAMS)


class TestVectorised:
    def test_traces_once_for_all_trials(self):
        calls = []

        def objective(key, params):
            calls.append(params)
            return params["x"]

        for _ in range(2):
            vectorised(objective, KEYS, PARAMS)
        (params,) = calls
        assert isinstance(params["x"], jax.core.Tracer)
        assert params["x"].shape == params["rest"][0].shape == ()
        assert params["n"].dtype == "int32"

    @pytest.mark.parametrize(
        "objective",
        [
            lambda key, p: float(p["x"]),
            lambda key, p: int(p["n"]) * 1.0,
            lambda key, p: 1.0 if p["x"] > 0.5 else 0.0,
            lambda key, p: np.sqrt(np.asarray(p["x"])),
            lambda key, p: sum(p["x"] for _ in range(p["n"])),
            lambda key, p: jnp.zeros(9)[jnp.arange(9) < p["n"]].sum(),
            lambda key, p: jnp.ones(p["n"]).sum(),
            lambda key, p: {1: 0.0, 5: 1.0, 9: 2.0}[p["n"]],
            lambda key, p: LogisticRegression(C=p["x"]).fit([[0], [1]], [0, 1]).C,
        ],
        ids=[
            "float",
            "int",
            "if",
            "numpy",
            "range",
            "index",
            "shape",
            "dict",
            "sklearn",
        ],
    )
    def test_names_the_way_out_where_it_cannot_trace(self, objective):
        with pytest.raises(ObjectiveError, match="python_loop") as caught:
            vectorised(objective, KEYS, PARAMS)
        assert caught.value.__cause__ is not None
        assert len(python_loop(objective, KEYS, PARAMS)) == 3

    def test_its_own_errors_come_through(self):
        def objective(key, params):
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            vectorised(objective, KEYS, PARAMS)
        with pytest.raises(TypeError, match="incompatible shapes") as caught:
            vectorised(lambda key, p: jnp.ones(2) + jnp.ones(3), KEYS, PARAMS)
        assert not isinstance(caught.value, ObjectiveError)


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        (np.asarray([1 + 2j]), r"got array\(\[1.\+2.j\]\)"),
        (jnp.asarray([True]), "number.*, nan .* got .*True"),
        (np.asarray(["good"]), r"evaluator .* 1 number\(s\), nan for .*good"),
        ([None], r"nan for a failed trial, got \[None\]"),
        ([[1.0], [1.0, 2.0]], r"got \[\[1.0\], \[1.0, 2.0\]\]"),
        (None, "got None"),
        (jnp.zeros(2), r"\(1,\), got \(2,\)"),
    ],
)
def test_what_an_evaluator_may_not_return(results, shown):
    state, search = RandomSearch.init({"x": LinearSpace(0.0, 1.0)})
    with pytest.raises(ObjectiveError, match=shown):
        search.optimize(state, KEYS[0], total, 1, evaluate=lambda *_: results)


def test_an_evaluator_may_return_an_iterator():
    state, search = RandomSearch.init({"x": LinearSpace(0.0, 1.0)}, n_parallel=2)
    _, (_, results) = search.optimize(
        state, KEYS[0], total, 1, evaluate=lambda *_: map(float, [1, 2])
    )
    assert results[0].tolist() == [1.0, 2.0]


def fails_in_the_middle(key, params):
    if params["n"] == 5:
        raise OverflowError("too large a model")
    return float(params["n"])


class TestPythonLoop:
    def test_scalars_are_concrete_and_typed(self):
        seen = []

        def objective(key, params):
            seen.append(params)
            return float(params["x"]) + len(range(params["n"])) + params["rest"][0]

        assert python_loop(objective, KEYS, PARAMS).tolist() == [17.5, 37.25, 26.0]
        assert [type(leaf) for leaf in jax.tree.leaves(seen[0])] == [
            np.int32,
            np.int32,
            np.float32,
        ]
        assert seen[1] == {"x": 0.25, "n": 5, "rest": [32]}

    def test_runs_every_trial_once_in_order(self):
        seen = []
        python_loop(lambda key, p: seen.append(int(p["n"])) or 0.0, KEYS, PARAMS)
        assert seen == [1, 5, 9]

    def test_an_exception_is_a_failed_trial_with_a_warning(self):
        shown = "OverflowError: too large a model.*'n'"
        with pytest.warns(RuntimeWarning, match=shown) as caught:
            results = python_loop(fails_in_the_middle, KEYS, PARAMS)
        assert len(caught) == 1
        assert np.array_equal(results, [1.0, math.nan, 9.0], equal_nan=True)

    def test_catch_nothing(self):
        evaluate = functools.partial(python_loop, catch=())
        with pytest.raises(OverflowError, match="too large"):
            evaluate(fails_in_the_middle, KEYS, PARAMS)

    def test_catch_something_else(self):
        evaluate = functools.partial(python_loop, catch=(KeyError,))
        with pytest.raises(OverflowError, match="too large"):
            evaluate(fails_in_the_middle, KEYS, PARAMS)

    def test_catch_one_class_without_a_tuple(self):
        with pytest.warns(RuntimeWarning, match="OverflowError"):
            python_loop(fails_in_the_middle, KEYS, PARAMS, catch=ArithmeticError)

    @pytest.mark.parametrize("catch", [None, "OverflowError", (OverflowError(),), 3])
    def test_catch_what_is_no_exception(self, catch):
        with pytest.raises(SettingError, match="exception classes for catch"):
            python_loop(lambda key, p: 0.0, KEYS, PARAMS, catch=catch)

    def test_the_warning_says_where(self):
        code = fails_in_the_middle.__code__
        first, last = code.co_firstlineno, code.co_firstlineno + 5
        with pytest.warns(RuntimeWarning, match=r"test_evaluate\.py:\d+") as caught:
            python_loop(fails_in_the_middle, KEYS, PARAMS)
        line = int(str(caught[0].message).split("test_evaluate.py:")[1].split(",")[0])
        assert first < line < last

    def test_objects_in_place_of_indices(self):
        space = SPACE | {"depth": ChoiceSpace([None, 4, "all"])}
        params = PARAMS | {"depth": jnp.asarray([2, 0, 1])}
        seen = []

        def objective(key, config):
            seen.append(config)
            return 0.0

        python_loop(objective, KEYS, params, space=space)
        assert [config["depth"] for config in seen] == ["all", None, 4]
        assert seen[0] == {"x": 0.5, "n": 1, "rest": [16], "depth": "all"}
        assert type(seen[0]["n"]) is int
        with pytest.raises(ParamsError, match="structure"):
            python_loop(objective, KEYS, PARAMS, space=space)

    def test_an_interrupt_is_no_failed_trial(self):
        def objective(key, params):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            python_loop(objective, KEYS, PARAMS)

    def test_a_wrong_result_is_an_error_and_no_failed_trial(self):
        with pytest.raises(ObjectiveError):
            python_loop(lambda key, p: None, KEYS, PARAMS)

    def test_in_a_study(self):
        state, optimizer = RandomSearch.init(SPACE, n_parallel=2)
        _, (params, results) = optimizer.optimize(
            state,
            jax.random.key(0),
            lambda key, p: float(p["x"]) * int(p["n"]),
            n_iterations=3,
            evaluate=python_loop,
        )
        for p, r in zip(params, results, strict=True):
            assert r.shape == (2,)
            assert r.dtype == "float32"
            assert np.allclose(r, p["x"] * np.asarray(p["n"], np.float32))


@each
@pytest.mark.parametrize("kind", [jax.random.key, jax.random.PRNGKey])
@pytest.mark.parametrize(
    "objective",
    [lambda p, k: p["x"], lambda p, k: jax.random.normal(k)],
)
def test_a_key_taken_for_params(evaluate, kind, objective):
    keys = jax.random.split(kind(0), 3)
    with pytest.raises(ObjectiveError, match="let the key come first"):
        evaluate(objective, keys, PARAMS)


class Callable:
    def __call__(self, key, params):
        return params["x"]

    def method(self, key, params):
        return params["x"]


def three(a, key, params):
    return params["x"]


class TestCheckObjective:
    @pytest.mark.parametrize(
        "objective",
        [
            total,
            lambda *args: 0.0,
            lambda *args, key=None: 0.0,
            lambda key, params, extra=1: 0.0,
            lambda key, *rest: 0.0,
            Callable(),
            Callable().method,
            functools.partial(three, 1),
            jax.jit(total),
        ],
    )
    def test_fits(self, objective):
        check_objective(objective)

    @pytest.mark.parametrize(
        ("objective", "count"),
        [
            (lambda params: 0.0, 1),
            (lambda: 0.0, 0),
            (lambda params, *, key: 0.0, 1),
            (lambda **params: 0.0, 0),
            (functools.partial(total, params=1), 1),
            (functools.partial(total, 1), 1),
        ],
    )
    def test_too_few_positional_parameters(self, objective, count):
        shown = rf"fn\(key, config\), got .* {count} positional"
        with pytest.raises(ObjectiveError, match=shown):
            check_objective(objective)

    @pytest.mark.parametrize(
        "objective", [lambda params, key: 0.0, lambda config, rng: 0.0]
    )
    def test_the_key_comes_first(self, objective):
        with pytest.raises(ObjectiveError, match="key comes second; let the key come"):
            check_objective(objective)

    @pytest.mark.parametrize(
        ("objective", "missing"),
        [
            (lambda key, params, data: 0.0, "data"),
            (lambda key, params, *, data: 0.0, "data"),
        ],
    )
    def test_what_must_be_given_beside_the_two(self, objective, missing):
        with pytest.raises(ObjectiveError, match=f"missing .*'{missing}'"):
            check_objective(objective)

    def test_names_the_function(self):
        def loss(params):
            return 0.0

        with pytest.raises(TypeError, match="loss with 1 positional"):
            check_objective(loss)

    @pytest.mark.parametrize("objective", [None, 3, "total", [total]])
    def test_is_a_function(self, objective):
        with pytest.raises(ObjectiveError, match="expected the objective") as caught:
            check_objective(objective)
        assert repr(objective) in str(caught.value)

    def test_a_signature_that_cannot_be_read(self):
        with pytest.warns(UserWarning, match=r"cannot read the signature.*fn\(key, "):
            check_objective(dict.fromkeys(()).__class__)

    def test_drivers_check_before_anything_runs(self):
        state, optimizer = RandomSearch.init(SPACE)
        for run in (optimizer.optimize, optimizer.optimize_scan):
            with pytest.raises(ObjectiveError, match="fn"):
                run(state, jax.random.key(0), lambda params: 0.0, 3)

    def test_an_evaluator_of_the_wrong_shape(self):
        state, optimizer = RandomSearch.init(SPACE, n_parallel=2)
        with pytest.raises(ObjectiveError, match=r"\(2,\), got \(3,\)"):
            optimizer.optimize(
                state,
                jax.random.key(0),
                total,
                1,
                evaluate=lambda func, keys, params: np.zeros(3),
            )


@dataclasses.dataclass
class Slope:
    """An objective that cannot be hashed, as no plain dataclass can."""

    factor: float
    n_traces: int = 0

    def __call__(self, key, params):
        self.n_traces += 1
        return self.factor * params["x"]


@pytest.mark.parametrize("name", ["optimize", "optimize_scan"])
def test_an_objective_that_cannot_be_hashed_is_traced_once(name):
    state, search = RandomSearch.init({"x": LinearSpace(0.0, 1.0)}, n_parallel=2)
    up, down = Slope(1.0), Slope(-1.0)
    run = getattr(search, name)
    _, (_, results) = run(state, KEYS[0], up, 2)
    run(state, KEYS[1], up, 2)
    assert up.n_traces == 1
    _, (_, opposite) = run(state, KEYS[0], down, 2)
    assert np.array_equal(np.ravel(results), -np.ravel(opposite))


def test_what_needs_the_host_is_refused_inside_of_a_program():
    state, search = RandomSearch.init({"x": LinearSpace(0.0, 1.0)})

    def run(key, **options):
        return search.optimize(state, key, lambda key, p: p["x"], 1, **options)[1][1]

    with pytest.raises(SettingError, match="callback inside of a compiled program"):
        jax.jit(lambda key: run(key, callback=print))(KEYS[0])
    with pytest.raises(ObjectiveError, match="python_loop to run outside of compiled"):
        jax.jit(lambda key: run(key, evaluate=python_loop))(KEYS[0])
    traced = jax.jit(lambda key: run(key, evaluate=vectorised))(KEYS[0])
    assert np.array_equal(traced, run(KEYS[0]))


def test_warnings_point_to_the_users_line():
    state, search = RandomSearch.init({"x": LinearSpace(0.0, 1.0)})
    with pytest.warns(RuntimeWarning, match="a trial failed") as caught:
        search.optimize(state, KEYS[0], lambda key, p: 1 / 0, 1, evaluate=python_loop)
    assert [warning.filename for warning in caught] == [__file__]
