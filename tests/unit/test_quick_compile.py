"""Programs of a search compile in less time by themselves, and anywhere else as usual."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import (
    BayesianSearch,
    LinearSpace,
    RandomSearch,
    _drive,
    _quick_compile,
)
from hyperopt_jax._quick_compile import compiled_quickly
from tests import zoo

KEY = jax.random.key(0)


@pytest.fixture
def asked_anew():
    """Whether XLA takes the options is found out again in the test, and after it."""
    _quick_compile.can_compile_quickly.cache_clear()
    yield
    _quick_compile.can_compile_quickly.cache_clear()


def double(x):
    """Twice `x`."""
    return 2 * x


def test_by_itself_a_program_is_compiled_with_the_options(monkeypatch):
    # An option that no XLA knows shows in the error that the options were used.
    monkeypatch.setattr(_quick_compile, "OPTIONS", {"no_such_option": True})
    program = compiled_quickly(double)
    monkeypatch.setattr(_quick_compile, "can_compile_quickly", lambda: True)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_option"):
        program(jnp.ones(3))


def test_an_option_that_is_gone_does_no_harm(monkeypatch, asked_anew):
    monkeypatch.setattr(_quick_compile, "OPTIONS", {"no_such_option": True})
    assert np.array_equal(compiled_quickly(double)(jnp.ones(3)), 2 * jnp.ones(3))


def test_a_sum_is_one_kernel():
    if not _quick_compile.can_compile_quickly():
        pytest.skip("the options are for the CPU")
    numbers = jnp.ones(1000)
    all_passes = {"xla_disable_hlo_passes": ""}
    split, whole = (
        jax.jit(jnp.sum, compiler_options=options).lower(numbers).compile().as_text()
        for options in (all_passes, _quick_compile.OPTIONS)
    )
    assert "reduce-window" in split
    assert "reduce-window" not in whole


def test_this_xla_knows_the_options(asked_anew):
    assert _quick_compile.can_compile_quickly() == (jax.default_backend() == "cpu")


def test_as_a_part_of_a_program():
    program = compiled_quickly(double)
    assert program.__name__ == "double"
    assert float(jax.jit(program)(3.0)) == 6.0
    assert float(jax.grad(program)(3.0)) == 2.0
    assert np.array_equal(jax.vmap(program)(jnp.arange(3)), [0, 2, 4])
    # A part that uses none of the arguments of the whole.
    assert float(jax.jit(lambda x: x + program(jnp.float32(3.0)))(1.0)) == 7.0


def test_errors_come_through_once():
    traces = []

    def fails(x):
        traces.append(1)
        raise ValueError("of the function itself")

    with pytest.raises(ValueError, match="of the function itself"):
        compiled_quickly(fails)(jnp.ones(3))
    assert len(traces) == 1


def test_a_proposal_for_a_constant_state_inside_a_program():
    space = {"x": LinearSpace(0.0, 1.0)}
    state, search = BayesianSearch.tuned(space, 8, n_parallel=1, **zoo.FAST)
    state = search.update_state(state, KEY, [0.1, 0.5], {"x": np.array([0.2, 0.4])})
    inside = jax.jit(lambda shift: search.get_next_params(state, KEY)["x"] + shift)
    np.testing.assert_allclose(
        inside(1.0), 1 + search.get_next_params(state, KEY)["x"], atol=1e-5
    )


def formula(key, params):
    return jnp.sin(3 * params["x"]) + jax.random.normal(key, ())


def loop(key, params):
    return jax.lax.fori_loop(0, 3, lambda i, x: x * x, params["x"])


def product(key, params):
    return (jnp.ones(3) * params["x"]) @ jnp.ones(3)


def product_of_a_branch(key, params):
    inside = jax.jit(product)
    return jax.lax.cond(params["x"] > 0, lambda: inside(key, params), lambda: 0.0)


def sum_over_data(key, params):
    return jnp.mean((jnp.linspace(0.0, 1.0, 10_000) - params["x"]) ** 2)


def random_search():
    return RandomSearch.init({"x": LinearSpace(0.0, 1.0)}, n_parallel=2)


class TestRunner:
    def runner(self, func):
        state, search = random_search()
        return _drive.runner(search, state, KEY, func)

    @pytest.mark.parametrize(
        "func", [loop, product, product_of_a_branch, sum_over_data]
    )
    def test_what_may_take_long_is_compiled_as_usual(self, func):
        assert self.runner(func) is _drive._run_as_usual

    def test_a_formula_is_compiled_quickly(self):
        quick = _quick_compile.can_compile_quickly()
        expected = _drive._run_compiled_quickly if quick else _drive._run_as_usual
        assert self.runner(formula) is expected

    def test_inside_a_program_it_is_compiled_as_that_is(self):
        chosen = []

        @jax.jit
        def program(x):
            chosen.append(self.runner(formula))
            chosen.append(self.runner(lambda key, p: p["x"] * x))
            return x

        program(1.0)
        assert chosen == [_drive._run_as_usual] * 2

    def test_both_find_the_same(self):
        state, search = random_search()
        results = []
        for run in (_drive._run_as_usual, _drive._run_compiled_quickly):
            segments = (_drive.Segment(None, 3),)
            results.append(run(search, state, KEY, formula, jnp.int32(0), segments)[2])
        np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)

    def test_the_objective_is_traced_once(self):
        traces = []

        def counted(key, params):
            traces.append(1)
            return params["x"]

        state, search = random_search()
        search.optimize_scan(state, KEY, counted, 3)
        search.optimize_scan(state, KEY, counted, 3)
        search.optimize(state, KEY, counted, 3)
        assert len(traces) == 1
