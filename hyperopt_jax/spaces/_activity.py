"""Which parts of a conditional space are active, as a few static tables."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hyperopt_jax.spaces._layout import Layout, Literal, Scope

# A literal that is never true, and one that always is, to fill up rows.
NEVER, TRUE = Literal(-1, 1.0, 0.0), Literal(-1, -np.inf, np.inf)


class Activity(NamedTuple):
    """When each scope of a space is active, in terms of the values of `parents`.

    A scope is active where, in every one of its clauses, the value of some parent lies
    in an interval and that parent is active itself.
    """

    scopes: tuple[Scope, ...]
    parents: tuple[int, ...]
    parent_scopes: tuple[int, ...]

    @classmethod
    def of(cls, flat: Layout) -> "Activity":
        """The activity of a space that has conditions."""
        literals = [
            literal
            for scope in flat.scopes
            for clause in scope.clauses
            for literal in clause
        ]
        parents = tuple(sorted({literal.parent for literal in literals}))
        return cls(
            flat.scopes, parents, tuple(flat.leaves[p].scopes[0] for p in parents)
        )

    @property
    def depth(self) -> int:
        """How many conditions stand above one another at most."""
        depths = [0] * len(self.scopes)
        scope_of = dict(zip(self.parents, self.parent_scopes, strict=True))
        for _ in self.scopes:
            before = list(depths)
            for i, scope in enumerate(self.scopes):
                above = [depths[scope_of[x.parent]] for c in scope.clauses for x in c]
                depths[i] = 1 + max(above) if above else 0
            if depths == before:
                break
        return max(depths)

    def __call__(self, values: Float[Array, "n k"]) -> Bool[Array, "n s"]:
        """Which scopes are active, from the values of the parents."""
        column, low, high = self._literals()
        has_parent = column >= 0
        x = values[:, np.maximum(column, 0)]
        dtype = values.dtype
        inside = (x >= jnp.asarray(low, dtype)[None]) & (
            x <= jnp.asarray(high, dtype)[None]
        )
        truth = jnp.where(has_parent[None], inside, low[None] < high[None])
        scope_of = np.asarray((*self.parent_scopes, 0))[column]
        active = jnp.ones((values.shape[0], len(self.scopes)), bool)
        for _ in range(self.depth):
            active = jnp.all(jnp.any(truth & active[:, scope_of], axis=3), axis=2)
        return active

    def _literals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns of parents, lower and upper ends as tables (scope, clause, literal)."""
        n_clauses = max(len(scope.clauses) for scope in self.scopes)
        n_literals = max(len(c) for scope in self.scopes for c in scope.clauses)
        place = {parent: i for i, parent in enumerate(self.parents)} | {-1: -1}
        shape = len(self.scopes), n_clauses, n_literals
        column, low, high = np.zeros(shape, int), np.zeros(shape), np.zeros(shape)
        for i, scope in enumerate(self.scopes):
            for j in range(n_clauses):
                clause = scope.clauses[j] if j < len(scope.clauses) else (TRUE,)
                for k in range(n_literals):
                    literal = clause[k] if k < len(clause) else NEVER
                    column[i, j, k] = place[literal.parent]
                    low[i, j, k], high[i, j, k] = literal.low, literal.high
        return column, low, high
