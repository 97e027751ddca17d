"""A list of which the first few entries count."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces._base import CompositeSpace, Space
from hyperopt_jax.spaces._enumerate import check_count
from hyperopt_jax.spaces._layout import Literal, Walk, is_searched
from hyperopt_jax.spaces._qlinear import QLinearSpace
from hyperopt_jax.spaces._vector import VectorSpace


class ListSpace(CompositeSpace):
    """A list with a searched length: the first k of `max_length` entries are active.

    Use it for layers, stages, augmentations. The parameters are a dict
    `{"length": k, "values": ...}`, where `values` has the structure of `space` and each
    leaf a leading axis of `max_length`; entries from k on are inactive and carry the
    middle of their range. Lengths are equally likely.

    Args:
        space: a space or a pytree of them, without composite nodes.
        max_length: whole number >= 1.
        min_length: whole number from 0 to `max_length` - 1.

    Raises:
        SpaceError: another kind of entry, or lengths out of their range.

    ```python
    layers = ListSpace({"width": QLogSpace(8, 256)}, max_length=4)
    state, search = RandomSearch.init({"layers": layers})
    params = search.get_next_params(state, jax.random.key(0))
    params["layers"]["values"]["width"].shape  # (1, 4)
    ```
    """

    space: PyTree
    max_length: int = eqx.field(static=True)
    min_length: int = eqx.field(static=True)

    def __init__(self, space: PyTree, max_length: int, min_length: int = 1):
        leaves = jax.tree.leaves(space, is_leaf=_is_leaf)
        if not leaves or not all(
            isinstance(leaf, Space) and is_searched(leaf) for leaf in leaves
        ):
            raise SpaceError(
                f"expected plain spaces with something to search for the entries of a "
                f"ListSpace, got {space!r}; a constant stands beside the list"
            )
        lengths = max_length, min_length
        whole = all(type(n) is int or isinstance(n, np.integer) for n in lengths)
        if not whole or not 0 <= min_length < max_length:
            raise SpaceError(
                f"expected ListSpace with 0 <= min_length < max_length, got "
                f"{min_length!r} and {max_length!r}; use VectorSpace for a fixed length"
            )
        self.space = space
        self.max_length, self.min_length = map(int, lengths)

    @property
    def length(self) -> QLinearSpace:
        """The space of the length."""
        return QLinearSpace(self.min_length, self.max_length)

    @property
    def values(self) -> PyTree:
        """The space of the entries: a vector for each leaf."""
        return jax.tree.map(
            lambda leaf: VectorSpace(leaf, self.max_length),
            self.space,
            is_leaf=_is_leaf,
        )

    def expand(self, walk: Walk, path: tuple[str, ...], scope: int) -> Any:
        length = walk.leaf(self.length, (*path, "length"), (scope,))
        scopes = tuple(
            # The first entries are as active as the list itself.
            scope
            if i < self.min_length
            else walk.scope((Literal(length.leaf, i + 1, np.inf),))
            for i in range(self.max_length)
        )
        treedef: Any
        nodes, treedef = jax.tree_util.tree_flatten_with_path(
            self.values, is_leaf=_is_leaf
        )
        slots = [
            walk.leaf(vector, (*path, "values", *map(_step, keys)), scopes)
            for keys, vector in nodes
        ]
        return {"length": length, "values": treedef.unflatten(slots)}

    def n_points(self, count: Callable[[PyTree], float]) -> float:
        """The sum over the lengths of the numbers of lists."""
        lengths = np.arange(self.min_length, self.max_length + 1)
        with np.errstate(over="ignore"):
            return float(np.sum(np.float64(count(self.space)) ** lengths))

    def table(self, table_of: Callable[[PyTree], list[np.ndarray]]) -> list[np.ndarray]:
        entry, L = table_of(self.space), self.max_length
        check_count(self.n_points(lambda _: float(entry[0].shape[0])))
        blocks = []
        for k in range(self.min_length, L + 1):
            m = entry[0].shape[0]
            index = (
                np.indices((m,) * k).reshape(k, m**k) if k else np.zeros((0, 1), int)
            )
            index = np.concatenate([index, np.zeros((L - k, index.shape[1]), int)])
            lengths = np.full(index.shape[1], k, np.int32)
            blocks.append([lengths, *self._columns(entry, index)])
        return [np.concatenate(columns) for columns in zip(*blocks, strict=True)]

    def _columns(self, entry: list[np.ndarray], index: np.ndarray) -> list[np.ndarray]:
        """The columns of the vectors, leaf by leaf, whose entries are rows of `entry`."""
        columns, start = [], 0
        for leaf in jax.tree.leaves(self.space, is_leaf=_is_leaf):
            n = int(np.prod(leaf.shape, dtype=int))
            for i in range(self.max_length):
                columns += [entry[start + c][index[i]] for c in range(n)]
            start += n
        return columns


def _is_leaf(node: Any) -> bool:
    return isinstance(node, (Space, CompositeSpace))


def _step(key: Any) -> str:
    return str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))))
