"""The flat view of a space: its leaves in order, what they depend on, its constraints.

`Walk` goes through a pytree of spaces once, on the host. Composite nodes hand it what
they own, so that conditions and constraints end up in one list for the whole space,
whatever the nesting.
"""

import contextlib
import functools
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import CompositeSpace, Space

# For answers at once, also inside somebody's program that the space is no part of. Where
# programs are called: under `jax.ensure_compile_time_eval`, which does for single steps,
# they would be run step by step while they are traced.
on_the_host = jax.core.eval_context

ALWAYS = 0
MAX_REMEMBERED = 64

R = TypeVar("R")


class Literal(NamedTuple):
    """Whether the value of the leaf `parent` lies in [low, high]; false if inactive."""

    parent: int
    low: float
    high: float


class Scope(NamedTuple):
    """When a leaf is active: where, in every clause, some literal is true."""

    clauses: tuple[tuple[Literal, ...], ...]


class Leaf(NamedTuple):
    """A leaf, its place in the tree, and the scope of each of its entries.

    `scopes` is one number, or one an entry of the first axis of the leaf.
    """

    path: tuple[str, ...]
    space: Space
    scopes: tuple[int, ...]


class Rule(eqx.Module):
    """A hard constraint on the leaves `leaves`, which form the space `space`.

    `predicate(params) -> bool`, and A x <= b for the columns x of the space.
    """

    space: PyTree
    A: Float[Array, "m k"] | None
    b: Float[Array, " m"] | None
    predicate: Callable[[PyTree], Any] | None = eqx.field(static=True)
    leaves: tuple[int, ...] = eqx.field(static=True)
    scope: int = eqx.field(static=True)


class Slot(NamedTuple):
    """Stands for leaf number `leaf` in the structure of the parameters."""

    leaf: int


class Walk:
    """Collects leaves, scopes and rules while it goes through a pytree of spaces."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.scopes: list[Scope] = [Scope(())]
        self.rules: list[Rule] = []

    def visit(self, node: Any, path: tuple[str, ...], scope: int) -> Any:
        """The structure of the parameters of `node`, with a `Slot` for each leaf."""
        if isinstance(node, Space):
            return self.leaf(node, path, (scope,))
        if isinstance(node, CompositeSpace):
            return node.expand(self, path, scope)
        treedef: Any
        children, treedef = jax.tree_util.tree_flatten_with_path(
            node, is_leaf=lambda child: child is not node
        )
        if any(not keys for keys, _ in children):
            where = "/".join(path) or "the root"
            raise no_space_at(where, node)
        return treedef.unflatten(
            [self.visit(child, (*path, name_of(k[0])), scope) for k, child in children]
        )

    def leaf(self, space: Space, path: tuple[str, ...], scopes: tuple[int, ...]) -> Any:
        """Registers a leaf and returns its `Slot`."""
        self.leaves.append(Leaf(path, space, scopes))
        return Slot(len(self.leaves) - 1)

    def scope(self, *clauses: tuple[Literal, ...]) -> int:
        """Registers a scope and returns its number."""
        self.scopes.append(Scope(clauses))
        return len(self.scopes) - 1


class Block(NamedTuple):
    """The columns [start, end) of the table of values, which hold one leaf."""

    space: Space
    start: int
    end: int
    shape: tuple[int, ...]
    dtype: Any


@dataclass(frozen=True, eq=False)
class Layout:
    """A space as lists: leaves in the order of JAX's flattening of the parameters."""

    leaves: tuple[Leaf, ...]
    treedef: Any
    scopes: tuple[Scope, ...]
    rules: tuple[Rule, ...]

    @functools.cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The leaves' spaces."""
        return tuple(leaf.space for leaf in self.leaves)

    @functools.cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Where each leaf stands in the table of values."""
        first = starts(self.widths("values")).tolist()
        places = zip(self.spaces, first[:-1], first[1:], strict=True)
        return tuple(Block(s, a, b, s.shape, s.dtype) for s, a, b in places)

    @functools.cached_property
    def structure(self) -> Any:
        """The structure of the parameters, of leaves that are no spaces."""
        numbers = [0.0] * self.treedef.num_leaves
        return jax.tree.structure(jax.tree.unflatten(self.treedef, numbers))

    @property
    def n_columns(self) -> int:
        """How many columns the table of values has."""
        return self.blocks[-1].end

    @property
    def is_conditional(self) -> bool:
        """Whether some leaf is not always active."""
        return len(self.scopes) > 1

    def widths(self, table: str) -> tuple[int, ...]:
        """How many columns each leaf has in the table of "values" or "places"."""
        return self._widths[table]

    @functools.cached_property
    def _widths(self) -> dict[str, tuple[int, ...]]:
        return {
            t: tuple(width(s, t) for s in self.spaces) for t in ("values", "places")
        }


def width(space: Space, table: str) -> int:
    """How many columns `space` has in the table of "values", "places" or "features"."""
    if table == "features":
        return len(space.feature_groups)
    if table == "index":
        return int(is_searched(space))
    shape = space.shape if table == "values" else space.cube_shape
    return math.prod(shape) if is_searched(space) else 0


def is_searched(space: Space) -> bool:
    """Whether there is anything to search in `space`."""
    return math.prod(space.cube_shape) > 0


class Remembered(Generic[R]):
    """A function of a space, which keeps what it returned for the last concrete ones.

    A study asks for the same things of the same space in every trial.
    """

    def __init__(self, function: Callable[[PyTree], R]):
        self._function = function
        self._known: dict[Any, R] = {}
        functools.update_wrapper(self, function)

    def __call__(self, space: PyTree) -> R:
        key = self._key(space)
        answer = self._known.get(key)
        if answer is not None:
            return answer
        if not is_concrete(space):
            return self._function(space)
        with on_the_host():
            self._known[key] = answer = self._function(space)
        if len(self._known) > MAX_REMEMBERED:
            self._known.pop(next(iter(self._known)), None)
        return answer

    @contextlib.contextmanager
    def told(self, space: PyTree, answer: R) -> Iterator[None]:
        """Within, `answer` is what is known of `space`, which may be traced."""
        key = self._key(space)
        self._known[key] = answer
        try:
            yield
        finally:
            self._known.pop(key, None)

    @staticmethod
    def _key(space: PyTree) -> Any:
        # In either precision there is another answer.
        return _Same(space), jax.config.jax_enable_x64  # type: ignore[attr-defined]


class _Same:
    """A space as a key, equal to one of the same structure with the very same leaves.

    Leaves never change, other than the dicts and lists that hold them, in composite
    nodes too.
    """

    def __init__(self, space: PyTree):
        self._structure: Any
        self._leaves, self._structure = jax.tree.flatten(
            space, is_leaf=lambda node: isinstance(node, Space)
        )

    def __hash__(self) -> int:
        return hash((self._structure, *map(id, self._leaves)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Same)
            and self._structure == other._structure
            and all(map(operator.is_, self._leaves, other._leaves))
        )


@Remembered
def layout(space: PyTree) -> Layout:
    """The flat view of `space`; raises `SpaceError` where something is no space."""
    leaves, treedef = jax.tree.flatten(space, is_leaf=is_node)
    if leaves and all(isinstance(leaf, Space) for leaf in leaves):
        # Most spaces: nothing but leaves, in containers.
        flat = tuple(Leaf((), leaf, (ALWAYS,)) for leaf in leaves)
        return Layout(flat, treedef, (Scope(()),), ())
    return full_layout(space)


def full_layout(space: PyTree) -> Layout:
    """`layout`, with the path of every leaf."""
    walk = Walk()
    structure = walk.visit(space, (), ALWAYS)
    slots, treedef = jax.tree.flatten(structure, is_leaf=lambda s: isinstance(s, Slot))
    if not slots:
        raise SpaceError(
            f"expected a pytree with at least one space in it, got {space!r}"
        )
    place = {slot.leaf: i for i, slot in enumerate(slots)}
    leaves = tuple(walk.leaves[slot.leaf] for slot in slots)
    scopes = tuple(
        Scope(
            tuple(
                tuple(
                    literal._replace(parent=place[literal.parent]) for literal in any_
                )
                for any_ in scope.clauses
            )
        )
        for scope in walk.scopes
    )
    rules = tuple(
        Rule(r.space, r.A, r.b, r.predicate, tuple(place[i] for i in r.leaves), r.scope)
        for r in walk.rules
    )
    return Layout(leaves, treedef, scopes, rules)


def is_node(node: Any) -> bool:
    """Whether `node` is a leaf or a composite node of a search space."""
    return isinstance(node, (Space, CompositeSpace))


def slots_of(structure: Any) -> tuple[int, ...]:
    """The leaves in a structure that `Walk.visit` returned, in flattening order."""
    slots = jax.tree.leaves(structure, is_leaf=lambda s: isinstance(s, Slot))
    return tuple(slot.leaf for slot in slots)


def starts(widths: tuple[int, ...]) -> np.ndarray:
    """The first column of each leaf in a table, and the end."""
    return np.concatenate([[0], np.cumsum(widths)]).astype(int)


def columns_of(leaves: Any, widths: tuple[int, ...]) -> np.ndarray:
    """The columns of some leaves in a table, in the order of `leaves`."""
    first = starts(widths)
    parts = [np.arange(first[i], first[i] + widths[i]) for i in leaves]
    return np.concatenate(parts) if parts else np.zeros(0, int)


def no_space_at(where: str, node: Any) -> SpaceError:
    """The error for what stands in a search space and is neither space nor container."""
    return SpaceError(
        f"expected a Space at {where} of the search space, got {node!r}; write "
        f"LinearSpace(low, high) for a range, FixedSpace(...) for a constant, and "
        f"register a class of yours with jax.tree_util.register_dataclass"
    )


def name_of(key: Any) -> str:
    """One step of a path as plain text."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)
