"""A choice that owns spaces of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jax import lax
from jaxtyping import PyTree

from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces._base import CompositeSpace
from hyperopt_jax.spaces._choice import ChoiceSpace
from hyperopt_jax.spaces._layout import Literal, Walk


class ConditionalSpace(CompositeSpace):
    """A choice between branches, each with parameters of its own.

    Use it for model families, optimizers, architectures: whatever brings its own
    hyperparameters. Branches are spaces of any kind, conditional ones included, or empty
    (`{}`). The parameters are a dict with the index of the branch and *all* branches,
    so shapes are static: `{"choice": 1, "forest": {...}, "svm": {...}}`. The index counts
    the names in alphabetical order, as `names` lists them, whatever order they were given
    in; `space.choice.index("svm")` is that of one name. Parameters of the branches that
    were not chosen are inactive: they carry the middle of their range, `active` says so,
    and a model does not see their values.

    The choice is uniform over the branches, whatever their size. Under a constraint, in a
    branch too, samples are uniform on what is left: a branch of which it leaves a
    hundredth is drawn a hundredth as often.

    Args:
        branches: dict from names to spaces, with at least one branch.
        choice_name: the key of the index in the parameters; no branch may have it.

    Raises:
        SpaceError: no branch, a name that is no string, or one that is `choice_name`.

    Source: the tree-structured spaces of Bergstra et al., NeurIPS 2011; what a model sees
    is described in `Codec.features`.

    ```python
    model = ConditionalSpace(
        {"linear": {"l2": LogSpace(1e-4, 1.0)}, "tree": {"depth": QLinearSpace(1, 9)}}
    )
    state, search = RandomSearch.init({"model": model, "seed": QLinearSpace(0, 9)})
    params = search.get_next_params(state, jax.random.key(0))
    ```
    """

    branches: dict[str, PyTree]
    choice_name: str = eqx.field(static=True)

    def __init__(self, branches: Mapping[str, PyTree], choice_name: str = "choice"):
        if not isinstance(branches, Mapping) or not branches:
            raise SpaceError(
                f"expected a dict of at least one branch for ConditionalSpace, got "
                f"{branches!r}"
            )
        for name in (*branches, choice_name):
            if not isinstance(name, str):
                raise SpaceError(
                    f"expected strings for the names of a ConditionalSpace, got {name!r}"
                )
        if choice_name in branches:
            raise SpaceError(
                f"expected no branch with the name of the choice, got "
                f"{choice_name!r}; pass another choice_name"
            )
        self.branches = dict(branches)
        self.choice_name = choice_name

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the branches; the index of the choice counts in this order."""
        # Sorted, as JAX sorts the keys of a dict: the order survives flattening.
        return tuple(sorted(self.branches))

    @property
    def choice(self) -> ChoiceSpace:
        """The space of the index: one of the names."""
        return ChoiceSpace(self.names)

    def switch(
        self,
        params: PyTree,
        functions: Mapping[str, Callable[..., Any]],
        *operands: Any,
    ) -> Any:
        """`functions[name](params[name], *operands)` for the branch that was chosen.

        Works inside a compiled objective; all functions return one structure
        (`jax.lax.switch`).

        Raises:
            ParamsError: not one function for each branch, or params of something else.

        ```python
        space = ConditionalSpace({"a": LinearSpace(0.0, 1.0), "b": QLinearSpace(1, 3)})
        params = {"choice": jnp.int32(1), "a": jnp.float32(0.5), "b": jnp.int32(2)}
        space.switch(params, {"a": lambda x: x, "b": lambda n: 1.0 * n})  # 2.0
        ```
        """
        if not isinstance(functions, Mapping) or set(functions) != set(self.names):
            raise ParamsError(
                f"expected one function for each of the branches {list(self.names)}, "
                f"by name, got {functions!r}"
            )
        if not all(map(callable, functions.values())):
            raise ParamsError(f"expected functions for the branches, got {functions!r}")
        own = {self.choice_name, *self.names}
        if not isinstance(params, Mapping) or not own <= set(params):
            raise ParamsError(
                f"expected the params of this conditional space, a dict of {sorted(own)}, "
                f"got {params!r}"
            )

        def call(name: str) -> Callable[[Any], Any]:
            return lambda given: functions[name](given[0][name], *given[1])

        branches = [call(name) for name in self.names]
        return lax.switch(params[self.choice_name], branches, (params, operands))

    def expand(self, walk: Walk, path: tuple[str, ...], scope: int) -> Any:
        choice = walk.leaf(self.choice, (*path, self.choice_name), (scope,))
        structure: dict[str, Any] = {self.choice_name: choice}
        for i, name in enumerate(self.names):
            inner = walk.scope((Literal(choice.leaf, i, i),))
            structure[name] = walk.visit(self.branches[name], (*path, name), inner)
        return structure

    def n_points(self, count: Callable[[PyTree], float]) -> float:
        """The sum over the branches."""
        return sum(count(branch) for branch in self.branches.values())

    def table(self, table_of: Callable[[PyTree], list[np.ndarray]]) -> list[np.ndarray]:
        tables = {name: table_of(self.branches[name]) for name in self.names}
        blocks = []
        for i, name in enumerate(self.names):
            n = tables[name][0].shape[0] if tables[name] else 1
            block: dict[str, list[np.ndarray]] = {
                other: columns if other == name else [np.resize(c, n) for c in columns]
                for other, columns in tables.items()
            }
            block[self.choice_name] = [np.full(n, i, np.int32)]
            blocks.append([c for key in sorted(block) for c in block[key]])
        return [np.concatenate(columns) for columns in zip(*blocks, strict=True)]
