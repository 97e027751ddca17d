"""One row for each thing that the shared contract suites test.

A new optimizer, space, acquisition, kernel or hallucination is one row here; the
architecture tests fail where a public class has none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

import hyperopt_jax as hj


class SearchRow(NamedTuple):
    """An optimizer: how to start it on a space, and what is special about it."""

    name: str
    cls: type
    start: Callable[..., tuple[Any, Any]]
    finite_only: bool = False
    remembers: bool = True


FAST = {
    "n_candidates": 64,
    "n_restarts": 2,
    "n_lbfgs_steps": 4,
    "n_hparam_steps": 4,
}

SEARCHES = [
    SearchRow(
        "random",
        hj.RandomSearch,
        lambda space, n_max, **kw: hj.RandomSearch.init(space, **kw),
        remembers=False,
    ),
    SearchRow(
        "grid",
        hj.GridSearch,
        lambda space, n_max, **kw: hj.GridSearch.init(space, **kw),
        finite_only=True,
    ),
    SearchRow(
        "grid-shuffled",
        hj.GridSearch,
        lambda space, n_max, **kw: hj.GridSearch.init(space, shuffle=True, **kw),
        finite_only=True,
    ),
    SearchRow(
        "bayesian",
        hj.BayesianSearch,
        lambda space, n_max, **kw: hj.BayesianSearch.init(space, n_max, **FAST | kw),
    ),
    SearchRow(
        "bayesian-tuned",
        hj.BayesianSearch,
        lambda space, n_max, **kw: hj.BayesianSearch.tuned(space, n_max, **FAST | kw),
    ),
]


SPACES = {
    "linear": lambda: hj.LinearSpace(-2.0, 3.0),
    "log": lambda: hj.LogSpace(1e-4, 1.0),
    "qlinear": lambda: hj.QLinearSpace(-1, 3),
    "qlog": lambda: hj.QLogSpace(1, 100),
    "discrete": lambda: hj.DiscreteSpace([16, 64, 32]),
    "discrete-float": lambda: hj.DiscreteSpace([0.5, 0.1]),
}

KERNELS = {
    "rbf": hj.RBF(),
    "matern12": hj.Matern(nu=0.5),
    "matern32": hj.Matern(nu=1.5),
    "matern52": hj.Matern(nu=2.5),
    "matern-inf": hj.Matern(nu=float("inf")),
}

ACQUISITIONS = {
    "ei": hj.EI(),
    "pi": hj.PI(),
    "ucb": hj.UCB(),
    "logei": hj.LogEI(),
}

HALLUCINATIONS = {
    "mean": hj.MeanHallucination(),
    "sample": hj.SampleHallucination(),
    "ucb": hj.UCBHallucination(),
    "constant": hj.ConstantHallucination(),
    "constant-value": hj.ConstantHallucination(0.5),
}


def mixed_space() -> dict[str, Any]:
    """Every kind of space, nested."""
    return {
        "linear": SPACES["linear"](),
        "nested": [SPACES["log"](), (SPACES["qlinear"](), SPACES["qlog"]())],
        "discrete": SPACES["discrete"](),
        "discrete-float": SPACES["discrete-float"](),
    }


def finite_space() -> dict[str, Any]:
    """Finite kinds only, nested: 60 points."""
    return {
        "whole": SPACES["qlinear"](),
        "nested": [SPACES["discrete"](), SPACES["discrete-float"]()],
        "two": hj.QLinearSpace(0, 1),
    }


def space_for(row: SearchRow) -> dict[str, Any]:
    """The largest space of the zoo that the search can take."""
    return finite_space() if row.finite_only else mixed_space()


def loss(key: Any, params: Any) -> Any:
    """A smooth objective over any space of the zoo; traceable, no two points alike."""
    total = jnp.zeros(())
    for i, leaf in enumerate(_leaves(params)):
        value = leaf.astype(total.dtype)
        total = total + (jnp.tanh(value / 10) - 0.1 * (i + 1)) ** 2
    return total


def _leaves(params: Any) -> list[Any]:
    import jax

    return jax.tree.leaves(params)
