"""Grid search against itertools.product."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import DiscreteSpace, GridSearch, QLinearSpace, QLogSpace
from hyperopt_jax.spaces import is_space

KEY = jax.random.key(0)
SPACES = {
    "one": QLinearSpace(-2, 3),
    "pair": {"a": DiscreteSpace([4, 1, 2]), "b": QLinearSpace(0, 1)},
    "nested": {
        "b": [DiscreteSpace([0.5, 0.1]), QLogSpace(1, 3)],
        "a": (DiscreteSpace([7]), {"c": QLinearSpace(10, 12, jnp.int8)}),
    },
}
each = pytest.mark.parametrize("name", SPACES)


def expected(space) -> list[tuple]:
    """The grid by itertools.product, the last leaf varying fastest."""
    axes = [
        np.asarray(leaf.points()).tolist()
        for leaf in jax.tree.leaves(space, is_leaf=is_space)
    ]
    return list(itertools.product(*axes))


def rows(params) -> list[tuple]:
    """The proposals as tuples in the order of the leaves."""
    columns = [np.ravel(leaf).tolist() for leaf in jax.tree.leaves(params)]
    return list(zip(*columns, strict=True))


def mean(key, params):
    return sum(1.0 * leaf.astype("float32") for leaf in jax.tree.leaves(params))


def visited(space, n_parallel=1, driver="scan", key=None, **settings):
    state, optimizer = GridSearch.init(space, key, n_parallel=n_parallel, **settings)
    if driver == "ask":
        found = []
        while optimizer.n_left(state):
            params = optimizer.get_next_params(state, KEY)
            state = optimizer.update_state(state, KEY, jnp.zeros(n_parallel), params)
            found += rows(params)
        return found
    if driver == "loop":
        _, (params, _) = optimizer.optimize(state, KEY, mean)
        return [row for batch in params for row in rows(batch)]
    _, (params, _) = optimizer.optimize_scan(state, KEY, mean)
    return rows(params)


@each
def test_the_grid_itself(name):
    state, _ = GridSearch.init(SPACES[name])
    assert [tuple(row) for row in state.grid.tolist()] == expected(SPACES[name])


@each
@pytest.mark.parametrize("driver", ["ask", "loop", "scan"])
def test_every_point_once_in_order(name, driver):
    assert visited(SPACES[name], driver=driver) == expected(SPACES[name])


@pytest.mark.parametrize("driver", ["ask", "loop", "scan"])
@pytest.mark.parametrize("q", [2, 4, 6, 12, 17])
def test_batches_drop_nothing_and_wrap_round(q, driver):
    points = expected(SPACES["nested"])
    found = visited(SPACES["nested"], q, driver)
    n_batches = -(-len(points) // q)
    assert found == (points * 2)[: n_batches * q]


@each
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_shuffled_is_a_permutation(name, seed):
    key = None if seed is None else jax.random.PRNGKey(seed)
    found = visited(SPACES[name], key=key, shuffle=True)
    assert sorted(found) == sorted(expected(SPACES[name]))
    if len(found) > 3:
        assert found != expected(SPACES[name])
    same = jax.random.PRNGKey(seed or 0)
    assert found == visited(SPACES[name], key=same, shuffle=True)


@each
def test_values_keep_their_dtypes(name):
    state, optimizer = GridSearch.init(SPACES[name])
    params = optimizer.get_next_params(state, KEY)
    spaces = jax.tree.leaves(SPACES[name], is_leaf=is_space)
    assert [p.dtype for p in jax.tree.leaves(params)] == [s.dtype for s in spaces]


def test_whole_grids_are_whole():
    state, _ = GridSearch.init(SPACES["pair"])
    assert jnp.issubdtype(state.grid.dtype, jnp.integer)


def test_large_integers_stay_exact(x64):
    values = [2**30 + 1, 2**30 + 3, 5]
    found = visited({"a": DiscreteSpace(values), "b": QLinearSpace(0, 1)}, driver="ask")
    assert found == list(itertools.product(values, [0, 1]))


def test_resumes_where_it_stopped():
    state, optimizer = GridSearch.init(SPACES["nested"], n_parallel=2)
    state, (head, _) = optimizer.optimize_scan(state, KEY, mean, 2)
    _, (tail, _) = optimizer.optimize_scan(state, KEY, mean)
    assert rows(head) + rows(tail) == expected(SPACES["nested"])
