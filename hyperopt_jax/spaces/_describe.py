"""A space as a table for people."""

import math
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._checked import check_one_space
from hyperopt_jax.spaces._choice import OrdinalSpace
from hyperopt_jax.spaces._fixed import FixedSpace
from hyperopt_jax.spaces._layout import Layout, Literal, full_layout
from hyperopt_jax.spaces._vector import VectorSpace, entry_of

HEADER = "name", "kind", "values", "count", "active"


def describe(space: PyTree) -> str:
    """A table with a line for each parameter: name, kind, values, count, condition.

    ```python
    from hyperopt_jax import spaces

    print(spaces.describe({"lr": LogSpace(1e-5, 1e-1), "wide": BooleanSpace()}))
    ```
    """
    check_one_space(space)
    flat = full_layout(space)
    lines = [HEADER]
    for leaf in flat.leaves:
        lines.append(
            (
                "/".join(leaf.path) or ".",
                _kind(leaf.space),
                _values(leaf.space),
                _count(leaf.space),
                _condition(flat, leaf.scopes),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    rule = tuple("-" * width for width in widths)
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (lines[0], rule, *lines[1:])
    ]
    if flat.rules:
        text.append(f"and {len(flat.rules)} hard constraint(s)")
    return "\n".join(line.rstrip() for line in text)


def _kind(space: Space) -> str:
    lengths: list[int] = []
    while isinstance(space, VectorSpace):
        lengths += space.length
        space = space.space
    return " x ".join([type(space).__name__, *map(str, lengths)])


def _values(space: Space) -> str:
    inner = entry_of(space)
    if not is_concrete(inner):
        return "traced"
    if isinstance(inner, FixedSpace):
        return _short(repr(_plain(inner.constant)))
    if isinstance(inner, OrdinalSpace):
        return _short(", ".join(map(_object, inner.choices)))
    low, high = (getattr(inner, f"{end}_bound", None) for end in ("lower", "upper"))
    if hasattr(inner, "values"):
        return _short(", ".join(f"{v:g}" for v in np.asarray(inner.values)))
    if low is None or high is None:
        return ", ".join(f"{k}={v}" for k, v in vars(inner).items())
    step = getattr(inner, "step", None)
    by = "" if step is None else f" by {float(step):g}"
    return f"{float(low):g} to {float(high):g}{by}"


def _count(space: Space) -> str:
    if not is_concrete(space):
        return "?"
    with jax.ensure_compile_time_eval():
        n = float(space.n_values())
    return "inf" if math.isinf(n) else f"{n:g}"


def _condition(flat: Layout, scopes: tuple[int, ...]) -> str:
    """The condition of a leaf in words; those of the ends of a list."""
    first, last = (_clauses(flat, scope) for scope in (scopes[0], scopes[-1]))
    if len(set(scopes)) == 1:
        return first
    between = ", " if len(scopes) == 2 else ", ..., "
    return f"entry 1: {first}{between}entry {len(scopes)}: {last}"


def _clauses(flat: Layout, scope: int) -> str:
    """A condition in words: in every clause some literal is true."""
    clauses = [[_literal(flat, x) for x in any_] for any_ in flat.scopes[scope].clauses]
    texts = [
        f"({' or '.join(any_)})"
        if len(any_) > 1 and len(clauses) > 1
        else " or ".join(any_)
        for any_ in clauses
    ]
    return " and ".join(texts) or "always"


def _literal(flat: Layout, literal: Literal) -> str:
    parent = flat.leaves[literal.parent]
    name, low, high = "/".join(parent.path), literal.low, literal.high
    if isinstance(parent.space, OrdinalSpace) and low == high:
        return f"{name} = {_object(parent.space.choices[int(low)])}"
    if low == high:
        return f"{name} = {low:g}"
    if math.isinf(high):
        return f"{name} >= {low:g}"
    return (
        f"{name} <= {high:g}" if math.isinf(low) else f"{low:g} <= {name} <= {high:g}"
    )


def _object(item: Any) -> str:
    return getattr(item, "__name__", None) or repr(item)


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, jax.Array) else value


def _short(text: str, limit: int = 48) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
