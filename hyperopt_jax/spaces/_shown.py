"""How spaces and their numbers are written for people."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import is_concrete

# Longer arrays are shown by their dtype and shape.
MAX_SHOWN = 16


def shortest(number: Any) -> float:
    """The number with the fewest digits that rounds to this one: 0.1 as it was written."""
    return float(str(np.asarray(number)[()]))


def with_numbers(space: PyTree) -> PyTree:
    """`space` with Python's numbers for its arrays, to be written and nothing else."""
    return jax.tree.map(_numbers, space)


def _numbers(leaf: Any) -> Any:
    """A short concrete array as a number or a list of them."""
    if not isinstance(leaf, (jax.Array, np.ndarray, np.generic)) or not is_concrete(
        leaf
    ):
        return leaf
    array = np.asarray(leaf)
    if array.size > MAX_SHOWN:
        return leaf
    if array.dtype.kind == "f":
        numbers = [shortest(number) for number in array.ravel()]
        return np.array(numbers).reshape(array.shape).tolist()
    return array.tolist()
