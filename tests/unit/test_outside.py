"""Which told values are out of bounds: counted by name, and never a proposal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperopt_jax as hj
from hyperopt_jax.spaces import Codec, n_columns, outside, ravel
from tests import zoo

SPACE = {
    "lr": hj.LogSpace(1e-3, 1.0),
    "net": [hj.QLinearSpace(1, 8), hj.ChoiceSpace(["a", "b"])],
    "rates": hj.VectorSpace(hj.LinearSpace(-1.0, 1.0), 3),
    "seed": hj.FixedSpace(3),
    "size": hj.DiscreteSpace([64, 16]),
}


def table(**changes):
    columns = {"lr": 0.1, "n": 3, "act": 1, "r0": 0.0, "r1": 1.0, "r2": -1.0}
    return np.float32([list((columns | {"size": 16} | changes).values())])


def test_counts_by_name():
    X = np.concatenate(
        [
            table(),
            table(lr=2.0, size=128),
            table(lr=1e-4, r0=-3.0, r2=1.1),
            table(n=0, act=2),
        ]
    )
    expected = {"lr": 2, "net/0": 1, "net/1": 1, "rates": 2, "size": 1}
    assert outside(SPACE, X) == expected
    assert outside(SPACE, X[:1]) == {}
    assert outside(SPACE, X[:0]) == {}


def test_both_ends_are_inside_and_so_is_their_rounding():
    assert outside(SPACE, table(lr=1.0, n=8, act=0, size=64)) == {}
    assert outside(SPACE, table(lr=np.nextafter(np.float32(1), np.float32(2)))) == {}
    assert outside(SPACE, table(lr=1.00001)) == {"lr": 1}


def test_between_the_values_is_outside_too():
    space = {
        "b": hj.BooleanSpace(),
        "d": hj.DiscreteSpace([0.1, 0.3]),
        "n": hj.QLinearSpace(1, 4),
    }
    assert outside(space, np.float32([[1, 0.3, 2], [0, 0.1, 4]])) == {}
    assert outside(space, np.float32([[2, 0.2, 1.7], [0.5, 0.1, 3]])) == {
        "b": 2,
        "d": 1,
        "n": 1,
    }


def test_ends_of_the_float_range():
    space = {"x": hj.LinearSpace(-3.4e38, 3.4e38)}
    assert outside(space, np.float32([[3.4e38], [-3.4e38]])) == {}


def test_arrays_of_arrays_have_the_bounds_of_their_entries():
    space = {"v": hj.VectorSpace(hj.VectorSpace(hj.LinearSpace(0.0, 1.0), 2), 2)}
    assert outside(space, np.float32([[0, 1, 0.5, 1], [2, 0, 0, -3]])) == {"v": 2}


def test_orders_subsets_and_weights_are_looked_at_whole():
    space = {
        "order": hj.PermutationSpace(3),
        "subset": hj.SubsetSpace(4, 2),
        "two": hj.VectorSpace(hj.SimplexSpace(2), 2),
    }
    good = [2, 0, 1, 1, 3, 0.25, 0.75, 0.5, 0.5]
    bad = [2, 2, 1, 3, 1, 0.25, 0.75, 0.5, 0.6]
    assert outside(space, np.float32([good, good])) == {}
    assert outside(space, np.float32([good, bad])) == {
        "order": 1,
        "subset": 1,
        "two": 1,
    }
    assert outside(space, np.float32([good])[:0]) == {}


def test_a_constant_array_has_no_values_to_look_at():
    space = {"w": hj.FixedSpace(np.ones(3)), "x": hj.LinearSpace(0.0, 1.0)}
    assert outside(space, np.float32([[0.5], [2.0]])) == {"x": 1}


def test_what_is_not_active_may_be_anything():
    space = hj.ConditionalSpace({"a": hj.LinearSpace(0.0, 1.0), "b": {}})
    for choice, counts in ((0, {"a": 1}), (1, {})):
        params = {"choice": jnp.asarray([choice]), "a": jnp.asarray([9.0])}
        params = {**params, "b": {}}
        assert outside(space, ravel(space, params)) == counts


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
def test_no_proposal_of_any_space_is_outside(wide):
    with jax.enable_x64(wide):
        space = zoo.every_space()
        codec = Codec(space)
        n = 64
        U = jax.random.uniform(jax.random.key(0), (n, codec.n_coordinates))
        faces = jnp.stack([jnp.zeros_like(U[0]), jnp.ones_like(U[0])])
        U = jnp.concatenate([U, faces, jnp.round(U)])
        X = jax.jit(lambda U: codec.decode(U))(U)
        assert X.shape == (2 * n + 2, n_columns(space))
        assert outside(space, X) == {}


def test_equal_shapes_with_other_bounds_are_kept_apart():
    X = np.float32([[1.5]])
    for high, expected in ((1.0, {"x": 1}), (2.0, {}), (1.0, {"x": 1})):
        assert outside({"x": hj.LinearSpace(0.0, high)}, X) == expected
    space = {"x": hj.LinearSpace(0.0, 1.0)}
    assert outside(space, X) == {"x": 1}
    space["x"] = hj.LinearSpace(0.0, 2.0)
    assert outside(space, X) == {}
