"""Python objects as a static part of a space."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from hyperopt_jax._checks import is_concrete


class Objects:
    """An immutable list of any Python objects, equal by value and hashable.

    What can be compared is compared, so that two spaces written alike are one program;
    what cannot is itself and nothing else. `1`, `1.0` and `True` are different; NaN is NaN.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Any):
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __repr__(self) -> str:
        return repr(list(self._items))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objects):
            return NotImplemented
        return len(self) == len(other) and all(map(same, self, other))

    def __hash__(self) -> int:
        # Coarse, since a dict or a list among the objects has no hash of its own.
        return hash((len(self), tuple(type(item).__qualname__ for item in self)))

    def index(self, item: Any) -> int | None:
        """The first place of `item`; None where it is not there."""
        return next((i for i, own in enumerate(self) if same(own, item)), None)

    def find(self, item: Any) -> int | None:
        """The place of `item`, or else of the only one like it.

        Files and other packages hand a 1 back as 1.0, and a tuple as a list.
        """
        place = self.index(item)
        if place is None:
            near = [i for i, own in enumerate(self) if _alike(own, item)]
            place = near[0] if len(near) == 1 else None
        return place


def _alike(a: Any, b: Any) -> bool:
    """Whether two objects are the same but for their types: numbers, lists, tuples."""
    a, b = (x.item() if isinstance(x, np.generic) else x for x in (a, b))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_alike, a, b))
    numbers = type(a) in (int, float) and type(b) in (int, float)
    return a == b if numbers else same(a, b)


def is_nan(item: Any) -> bool:
    """Whether an object is the float that equals nothing, not even itself."""
    return isinstance(item, (float, np.floating)) and bool(item != item)


def same(a: Any, b: Any) -> bool:
    """Whether two objects are one, or of one type and equal."""
    a, b = (x.item() if isinstance(x, np.generic) else x for x in (a, b))
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if is_nan(a):
        return is_nan(b)
    if isinstance(a, (np.ndarray, jax.Array)) and is_concrete(a, b):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False
