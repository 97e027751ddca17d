"""Compiling with arguments of any kind: arrays are traced, everything else is static."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax._lean_jit import lean_jit


class Pair(eqx.Module):
    """An array and something else, both of them leaves."""

    array: Any
    other: Any


@pytest.fixture
def traced():
    """A compiled function, and the list of what it saw at every compilation."""
    seen = []

    def add(pair, number, scale=1):
        seen.append((type(pair.array), number, scale))
        return Pair(pair.array * scale + number, pair.other)

    return lean_jit(add), seen


def test_what_is_no_array_goes_through_as_it_is(traced):
    program, _ = traced
    other = object()
    out = program(Pair(jnp.arange(3.0), other), 2, scale=4)
    assert isinstance(out, Pair)
    assert out.other is other
    assert isinstance(out.array, jax.Array)
    assert np.array_equal(out.array, [2.0, 6.0, 10.0])


def test_arrays_are_traced_and_the_rest_is_static(traced):
    program, seen = traced
    for array in (jnp.ones(2), 2 * jnp.ones(2), np.zeros(2, np.float32)):
        program(Pair(array, "x"), 1)
    assert len(seen) == 1
    assert issubclass(seen[0][0], jax.core.Tracer)
    program(Pair(jnp.ones(2), "y"), 1)
    program(Pair(jnp.ones(2), "y"), 2)
    program(Pair(jnp.ones(3), "y"), 2)
    assert len(seen) == 4


def test_equal_constants_of_other_types_are_kept_apart(traced):
    program, seen = traced
    numbers = [1, 1.0, 1]
    for number in numbers:
        program(Pair(jnp.ones(2), None), number)
    assert [type(number) for _, number, _ in seen] == [int, float]


def test_a_number_of_numpy_is_an_array(traced):
    program, seen = traced
    for number in (np.float32(2.0), np.float32(3.0)):
        program(Pair(jnp.ones(2), None), number)
    assert len(seen) == 1


def test_inside_other_transformations():
    square = lean_jit(lambda tree: {"y": tree["x"] ** 2, "name": tree["name"]})

    def of(x):
        return square({"x": x, "name": "a"})["y"]

    assert float(jax.grad(of)(3.0)) == 6.0
    assert np.array_equal(jax.vmap(of)(jnp.arange(3.0)), [0.0, 1.0, 4.0])
    assert float(jax.jit(of)(3.0)) == 9.0


def double(x):
    return 2 * x


def test_options_reach_jax():
    program = lean_jit(double, compiler_options={"no_such_option": True})
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_option"):
        program(jnp.ones(3))


def test_the_function_names_its_program():
    lowered = jax.jit(lean_jit(double)).lower(jnp.ones(3)).as_text()
    assert "@double" in lowered
