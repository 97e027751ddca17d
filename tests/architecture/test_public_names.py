"""Every public class has its zoo row, its docstring and its place in the docs."""

import dataclasses
import inspect
import re
from pathlib import Path

import jax
import mypy.api
import pytest

import hyperopt_jax as hj
from hyperopt_jax import problems
from hyperopt_jax.acquisition import BaseAcquisition, BaseHallucination
from hyperopt_jax.base import Settings
from hyperopt_jax.bayesian._settings import BayesianSettings
from hyperopt_jax.grid import GridSettings
from hyperopt_jax.kernels import BaseKernel
from tests import zoo

ROOT = Path(__file__).parents[2]
PUBLIC = {
    n: v
    for n, v in vars(hj).items()
    if not n.startswith("_") and not inspect.ismodule(v)
}


def concrete(base):
    return {
        c
        for c in PUBLIC.values()
        if inspect.isclass(c) and issubclass(c, base) and not inspect.isabstract(c)
    }


def own(kinds):
    """The kinds of this package; the zoo also has some as a user would write them."""
    return {kind for kind in kinds if kind.__module__.startswith("hyperopt_jax.")}


def test_every_class_has_its_row_in_the_zoo():
    assert concrete(hj.Optimizer) == {row.cls for row in zoo.SEARCHES}
    assert concrete(hj.Space) == own(type(make()) for make in zoo.SPACES.values())
    assert concrete(BaseKernel) == {type(k) for k in zoo.KERNELS.values()}
    assert concrete(BaseAcquisition) == {type(a) for a in zoo.ACQUISITIONS.values()}
    assert concrete(BaseHallucination) == {type(h) for h in zoo.HALLUCINATIONS.values()}
    nodes = jax.tree.leaves(
        zoo.every_space(),
        is_leaf=lambda s: isinstance(s, (hj.Space, hj.CompositeSpace)),
    )
    kinds = concrete(hj.Space) | concrete(hj.CompositeSpace)
    assert own(type(node) for node in nodes) == kinds


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_names_are_documented(name):
    value = PUBLIC[name]
    if callable(value):
        assert inspect.getdoc(value), f"{name} has no docstring"
    pages = "\n".join(p.read_text() for p in (ROOT / "docs").rglob("*.md"))
    assert re.search(rf"\b{name}\b", pages), f"{name} stands nowhere in docs/"


def test_every_problem_is_documented():
    pages = "\n".join(p.read_text() for p in (ROOT / "docs").rglob("*.md"))
    for problem in problems.all_problems():
        name = type(problem).__name__
        assert re.search(rf"\b{name}\b", pages), f"{name} stands nowhere in docs/"


def test_the_seed_names_are_importable_from_their_modules():
    from hyperopt_jax.acquisition import EI, PI, UCB, BaseAcquisition  # noqa: F401
    from hyperopt_jax.base import Optimizer, OptimizerState  # noqa: F401
    from hyperopt_jax.bayesian import (  # noqa: F401
        BayesianSearch,
        BayesianSearchState,
    )
    from hyperopt_jax.grid import GridSearch, GridSearchState  # noqa: F401
    from hyperopt_jax.kernels import RBF, BaseKernel, Matern  # noqa: F401
    from hyperopt_jax.random import RandomSearch  # noqa: F401
    from hyperopt_jax.spaces import DiscreteSpace, LinearSpace, Space  # noqa: F401


def test_classic_defaults_are_the_published_ones():
    search = hj.BayesianSearch()
    assert search.jitter == 1e-6
    assert search.kernel == hj.Matern(length_scale=1.0, nu=0.5)
    assert search.acquisition == hj.PI(xi=0.01)
    assert (search.n_candidates, search.n_restarts, search.n_lbfgs_steps) == (
        1000,
        2,
        10,
    )
    assert (search.n_hparam_steps, search.n_warmup, search.n_parallel) == (20, 1, 4)
    assert search.maximize is True
    assert search.hallucination == hj.SampleHallucination()
    state, _ = hj.BayesianSearch.init({"x": hj.LinearSpace(0.0, 1.0)})
    assert state.X.shape == (200, 1)
    assert (hj.RandomSearch().n_parallel, hj.GridSearch().shuffle) == (1, False)
    assert hj.Matern().nu == 2.5
    assert (hj.UCB().kappa, hj.EI().xi, hj.PI().xi) == (2.0, 0.01, 0.01)


def test_a_star_import_leaves_the_modules_of_others_alone():
    names = {}
    exec("import random\nfrom hyperopt_jax import *", names)
    assert names["random"].__name__ == "random"
    assert names["BayesianSearch"] is hj.BayesianSearch


@pytest.mark.parametrize(
    ("search", "settings"),
    [
        (hj.RandomSearch, Settings),
        (hj.GridSearch, GridSettings),
        (hj.BayesianSearch, BayesianSettings),
    ],
)
def test_type_checkers_know_the_settings_of_a_search(search, settings):
    fields = {field.name for field in dataclasses.fields(search)}
    assert fields == set(settings.__annotations__)


@pytest.mark.slow
def test_what_users_write_has_the_types_that_are_declared(tmp_path):
    script = tmp_path / "study.py"
    script.write_text(
        """
from typing import Any

import jax
from hyperopt_jax import BayesianSearch, LinearSpace, best_trial, python_loop


def accuracy(key: jax.Array, params: dict[str, Any]) -> float:
    return float(params["x"])


state, search = BayesianSearch.tuned({"x": LinearSpace(0.0, 1.0)}, n_max=10)
key = jax.random.key(0)
state, (params, results) = search.optimize(state, key, accuracy, evaluate=python_loop)
state = search.update_state(state, key, [0.5, 0.25], [{"x": 0.1}, {"x": 0.2}])
best, result = best_trial(params, results)
best, result = best_trial(*search.history(state))
"""
    )
    out, code = types_of(script)
    assert code == 0, out

    script.write_text(
        """
from hyperopt_jax import BayesianSearch, GridSearch, LinearSpace, RandomSearch

space = {"x": LinearSpace(0.0, 1.0)}
BayesianSearch.tuned(space, n_max=10, n_paralel=4)
BayesianSearch.init(space, n_candidates="many")
RandomSearch.init(space, maximise=False)
GridSearch.init(space, shufle=True)
"""
    )
    out, code = types_of(script)
    assert code == 1
    for line, name in (
        (5, "n_paralel"),
        (6, "n_candidates"),
        (7, "maximise"),
        (8, "shufle"),
    ):
        assert re.search(rf"study.py:{line}: error: .*{name}", out), out


def types_of(script):
    """What the type checker says of a user's script, and its exit status."""
    out, _, code = mypy.api.run(
        ["--strict", "--follow-imports=silent", "--no-incremental", str(script)]
    )
    return out, code
