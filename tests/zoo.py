"""One row for each thing that the shared contract suites test.

A new optimizer, space, acquisition, kernel or hallucination is one row here; the
architecture tests fail where a public class has none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

import hyperopt_jax as hj
from tests.user_kinds import Direction, PowersOfTwo


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
    "linear-step": lambda: hj.LinearSpace(0.0, 1.0, step=0.25),
    "log": lambda: hj.LogSpace(1e-4, 1.0),
    "log-step": lambda: hj.LogSpace(1.0, 9.0, step=2.0),
    "qlinear": lambda: hj.QLinearSpace(-1, 3),
    "qlinear-step": lambda: hj.QLinearSpace(1, 9, step=4),
    "qlog": lambda: hj.QLogSpace(1, 100),
    "discrete": lambda: hj.DiscreteSpace([16, 64, 32]),
    "discrete-float": lambda: hj.DiscreteSpace([0.5, 0.1]),
    "reverse-log": lambda: hj.ReverseLogSpace(0.5, 0.999),
    "logit": lambda: hj.LogitSpace(0.01, 0.99),
    "normal": lambda: hj.NormalSpace(0.0, 1.0, -2.0, 3.0),
    "lognormal": lambda: hj.LogNormalSpace(1e-3, 10.0),
    "choice": lambda: hj.ChoiceSpace(["a", None, 3]),
    "ordinal": lambda: hj.OrdinalSpace(["small", "large"]),
    "boolean": lambda: hj.BooleanSpace(),
    "fixed": lambda: hj.FixedSpace(2.5),
    "fixed-array": lambda: hj.FixedSpace([1.0, 2.0]),
    "fixed-object": lambda: hj.FixedSpace("adam"),
    "vector": lambda: hj.VectorSpace(hj.LogSpace(1e-4, 1.0), (2, 2)),
    "vector-choice": lambda: hj.VectorSpace(hj.ChoiceSpace(["a", "b", "c"]), 2),
    "simplex": lambda: hj.SimplexSpace(3),
    "permutation": lambda: hj.PermutationSpace(4),
    "subset": lambda: hj.SubsetSpace(5, 2),
    "user-written": lambda: Direction(),
    "user-written-discrete": lambda: PowersOfTwo(2, 5),
}

COMPOSITES = {
    "conditional": lambda: hj.ConditionalSpace(
        {
            "svm": {
                "C": hj.LogSpace(1e-3, 1e3),
                "kernel": hj.ConditionalSpace(
                    {"rbf": {"gamma": hj.LogSpace(1e-4, 1.0)}, "linear": {}}
                ),
            },
            "forest": {"trees": hj.QLogSpace(10, 500)},
        }
    ),
    "list": lambda: hj.ListSpace(
        {"width": hj.QLinearSpace(1, 9), "act": hj.ChoiceSpace(["a", "b", "c"])}, 3
    ),
    "dependent": lambda: hj.DependentSpace(
        {"kind": hj.ChoiceSpace(["p", "q"]), "x": hj.LinearSpace(0.0, 1.0)},
        when={"x": hj.Condition("kind", is_in=["q"])},
    ),
    "constrained": lambda: hj.ConstrainedSpace(
        {"a": hj.LinearSpace(0.0, 1.0), "b": hj.QLinearSpace(1, 9)},
        lambda p: p["a"] * p["b"].astype(p["a"].dtype) <= 1.0,
    ),
}

KERNELS = {
    "rbf": hj.RBF(),
    "matern12": hj.Matern(nu=0.5),
    "matern32": hj.Matern(nu=1.5),
    "matern52": hj.Matern(nu=2.5),
    "matern-inf": hj.Matern(nu=float("inf")),
    "periodic": hj.Periodic(0.7, period=0.6),
    "scaled": 2.0 * hj.RBF(0.5),
    "sum": hj.Matern(0.5) + 0.3 * hj.Periodic(0.25, period=0.5),
    "product": hj.RBF(2.0) * hj.Periodic(0.7, period=0.5),
    "nested": (hj.RBF(0.5) + 0.2 * hj.Matern(0.1, nu=0.5)) * (3.0 * hj.Matern(2.0)),
}

ACQUISITIONS = {
    "ei": hj.EI(),
    "pi": hj.PI(),
    "ucb": hj.UCB(),
    "logei": hj.LogEI(),
    "thompson": hj.ThompsonSampling(n_features=32),
    "max-value": hj.MaxValueEntropy(n_draws=4, n_features=32),
    "log-noisy-ei": hj.LogNoisyEI(n_draws=8),
    "knowledge-gradient": hj.KnowledgeGradient(),
}

HALLUCINATIONS = {
    "mean": hj.MeanHallucination(),
    "sample": hj.SampleHallucination(),
    "ucb": hj.UCBHallucination(),
    "constant": hj.ConstantHallucination(),
    "constant-value": hj.ConstantHallucination(0.5),
}


def mixed_space() -> dict[str, Any]:
    """Every kind of number, nested."""
    return {
        "linear": SPACES["linear"](),
        "nested": [SPACES["log"](), (SPACES["qlinear"](), SPACES["qlog"]())],
        "discrete": SPACES["discrete"](),
        "discrete-float": SPACES["discrete-float"](),
    }


def every_space() -> dict[str, Any]:
    """Every kind of leaf and of composite node."""
    rows = SPACES | COMPOSITES
    return {name: make() for name, make in rows.items()}


def structured_space() -> Any:
    """Categories, conditions, a list and a constraint over all of it."""
    return hj.ConstrainedSpace(
        {
            "model": COMPOSITES["conditional"](),
            "widths": hj.ListSpace(hj.QLogSpace(1, 9), 3),
            "rate": SPACES["log"](),
        },
        lambda p: p["rate"] <= 0.5 / p["widths"]["length"].astype(p["rate"].dtype),
    )


def finite_structured_space() -> Any:
    """Finite parts with conditions and a constraint: 3 (4 + 1) 6 - 12 points."""
    return hj.ConstrainedSpace(
        {
            "kind": hj.ConditionalSpace({"a": {"k": hj.QLinearSpace(1, 4)}, "b": {}}),
            "act": SPACES["choice"](),
            "order": hj.PermutationSpace(3),
        },
        lambda p: (
            (p["kind"]["choice"] == 1) | (p["kind"]["a"]["k"] > 1) | (p["act"] == 0)
        ),
    )


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
        total = total + jnp.sum((jnp.tanh(value / 10) - 0.1 * (i + 1)) ** 2)
    return total


def _leaves(params: Any) -> list[Any]:
    import jax

    return jax.tree.leaves(params)
