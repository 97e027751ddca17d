"""Families of problem instances: every seed is the same landscape in another place.

One moved problem for all seeds tells how a search does on that one; a family asks about
the landscape. There is one family for each problem that exists in any dimension, shifted
and rotated by the seed, and one "at the boundary" for each of `AT_BOUNDARY`: rotated
too, with about half of the optimum's coordinates on a face of the box. Where some
coordinates have a few values only, the optimum is at some of these.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hyperopt_jax import problems
from hyperopt_jax.problems import Problem, all_problems

AT_BOUNDARY = (problems.Sphere, problems.Ellipsoid)


@dataclass(frozen=True, eq=False)
class Family:
    """`move(key)` is one instance of `problem`."""

    name: str
    problem: Problem
    move: Callable

    def instances(self, n_seeds: int) -> Problem:
        """The instances of seeds 0, 1, ... as one stack.

        Its leaves are NumPy's, in double precision whatever JAX is set to, so that a
        seed is the same instance in every run.
        """
        with jax.enable_x64(True):
            family_key = jax.random.key(zlib.crc32(self.name.encode()))
            seeds = jnp.arange(n_seeds, dtype=jnp.uint32)
            keys = jax.vmap(jax.random.fold_in, (None, 0))(family_key, seeds)
            return jax.tree.map(np.asarray, jax.vmap(self.move)(keys))


def families(dim: int, levels: tuple[int, ...] = ()) -> list[Family]:
    """All families in `dim` coordinates, which have so many `levels` each, in turn.

    Evenly spread from one face of the box to the other; 0 for any number between.
    """
    with jax.enable_x64(True):  # an instance takes its precision from the problem
        every = [p for p in all_problems(dim) if p.max_dim is None and p.dim == dim]
    inside = [Family(type(p).__name__, p, p.moved) for p in every]
    edged = [
        Family(f"{f.name}AtBoundary", f.problem, _to_boundary(f.problem))
        for f in inside
        if isinstance(f.problem, AT_BOUNDARY)
    ]
    every = inside + edged
    if not any(levels):
        return every
    n = levels_of(dim, levels)
    return [Family(f.name, f.problem, _to_levels(f, n)) for f in every]


def levels_of(dim: int, levels: tuple[int, ...]) -> np.ndarray:
    """How many levels each of `dim` coordinates has."""
    return np.resize(np.asarray(levels or (0,)), dim)


def one_of(instances: Problem, seed: int | np.ndarray) -> Problem:
    """The problem of one seed, or a stack of those of several."""
    return jax.tree.map(lambda leaf: leaf[seed], instances)


def _to_boundary(problem: Problem) -> Callable:
    def move(key):
        turn_key, side_key, edge_key = jax.random.split(key, 3)
        moved = problem.moved(turn_key)
        side = jax.random.bernoulli(side_key, 0.5, (problem.dim,))
        on_face = jax.random.bernoulli(edge_key, 0.5, (problem.dim,)).at[0].set(True)
        face = jnp.where(side, problem.upper, problem.lower)
        away = jnp.where(on_face, face - moved.optimizer, 0.0)
        return eqx.tree_at(lambda p: p.shift, moved, moved.shift + away)

    return move


def _to_levels(family: Family, levels: np.ndarray) -> Callable:
    problem = family.problem

    def move(key):
        moved, low = family.move(key), problem.lower  # in the precision of an instance
        step = (problem.upper - low) / np.maximum(levels - 1, 1)
        level = jnp.round((moved.optimizer - low) / step)
        away = jnp.where(levels > 0, low + level * step - moved.optimizer, 0.0)
        return eqx.tree_at(lambda p: p.shift, moved, moved.shift + away)

    return move
