"""Hard constraints over a space."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from hyperopt_jax._checks import as_numbers, is_concrete
from hyperopt_jax.errors import SpaceError
from hyperopt_jax.spaces import _feasible
from hyperopt_jax.spaces._base import CompositeSpace
from hyperopt_jax.spaces._enumerate import filled, table_of as list_points
from hyperopt_jax.spaces._layout import Rule, Walk, on_the_host, slots_of
from hyperopt_jax.spaces._tables import n_columns


class ConstrainedSpace(CompositeSpace):
    """A space of which only the points that satisfy hard constraints are proposed.

    Use it for combinations that cannot run: a model that does not fit in memory, a
    window longer than the series. No search proposes an infeasible point, and
    independent samples are uniform on what is left. The parameters look like those of
    `space`. Constraints on *results* are something else: return NaN for a failed trial.

    Points are found by rejection, so constraints that leave less than about a
    hundred-thousandth of the volume want narrower bounds: below that, samples repeat. An
    equality of floats leaves nothing: compute one parameter from the others instead.

    Args:
        space: a space or a pytree of them; may be conditional. Where a ConstrainedSpace
            is part of a branch, it counts while the branch is active.
        predicate: `predicate(params) -> bool` for *one* configuration, traced by JAX:
            write `&`, `|` and `jnp.where`. Choices are indices: compare them with
            `space.index(...)`. Inactive parameters carry the middle of their range.
        A: (m, k) numbers, a column for each number of `space` in the order of
            `hyperopt_jax.spaces.names`; the constraint is A x <= b.
        b: (m,) numbers.

    Raises:
        SpaceError: neither a predicate nor A and b, or shapes that do not fit. Starting a
            search raises it where no feasible point is found among a million samples.

    ```python
    space = ConstrainedSpace(
        {"width": QLogSpace(8, 1024), "depth": QLinearSpace(1, 12)},
        lambda p: p["width"] * p["depth"] <= 2048,
    )
    state, search = RandomSearch.init(space, n_parallel=4)
    ```
    """

    space: PyTree
    predicate: Callable[[PyTree], Any] | None = eqx.field(static=True)
    A: Float[Array, "m k"] | None
    b: Float[Array, " m"] | None

    def __init__(
        self,
        space: PyTree,
        predicate: Callable[[PyTree], Any] | None = None,
        A: Any = None,
        b: Any = None,
    ):
        if predicate is None and A is None:
            raise SpaceError("expected a predicate, or A and b, for ConstrainedSpace")
        if predicate is not None and not callable(predicate):
            raise SpaceError(
                f"expected a function for ConstrainedSpace.predicate, got {predicate!r}"
            )
        _check_takes_one(predicate)
        self.space, self.predicate = space, predicate
        self.A, self.b = _half_spaces(space, A, b)

    def expand(self, walk: Walk, path: tuple[str, ...], scope: int) -> Any:
        structure = walk.visit(self.space, path, scope)
        leaves = slots_of(structure)
        rule = Rule(self.space, self.A, self.b, self.predicate, leaves, scope)
        walk.rules.append(rule)
        return structure

    def n_points(self, count: Callable[[PyTree], float]) -> float:
        """How many points are feasible, by listing them."""
        total = count(self.space)
        if not np.isfinite(total):
            return total
        columns = self.table(list_points)
        return float(columns[0].shape[0]) if columns else 1.0

    def table(self, table_of: Callable[[PyTree], list[np.ndarray]]) -> list[np.ndarray]:
        columns = filled(self.space, table_of(self.space))
        dtype = jnp.result_type(float)
        # Of constants alone there is one point, without a column.
        n = columns[0].shape[0] if columns else 1
        if n == 0:
            return columns
        X = np.concatenate([np.zeros((n, 0)), *(c[:, None] for c in columns)], axis=1)
        with on_the_host():
            kept = np.asarray(_holds(self, jnp.asarray(X, dtype)))
        if not columns and not kept.any():
            raise SpaceError(
                "expected a space with feasible points, got constants that do not satisfy "
                "all constraints"
            )
        return [column[kept] for column in columns]

    def holds(self, X: Float[Array, "n k"]) -> Bool[Array, " n"]:
        """Which rows of values of `space` satisfy this constraint."""
        rule = Rule(self.space, self.A, self.b, self.predicate, (), 0)
        return _feasible.holds(rule, X)


def _check_takes_one(predicate: Callable[..., Any] | None) -> None:
    """Raises `SpaceError` where a predicate cannot be called with the parameters alone."""
    if predicate is None:
        return
    try:
        signature = inspect.signature(predicate)
    except (TypeError, ValueError):  # one that cannot be read
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise SpaceError(
            f"expected ConstrainedSpace.predicate to be a function of one argument, the "
            f"parameters, got {predicate!r} ({error})"
        ) from error


@eqx.filter_jit
def _holds(space: ConstrainedSpace, X: Float[Array, "n k"]) -> Bool[Array, " n"]:
    return space.holds(X)


def _half_spaces(space: PyTree, A: Any, b: Any) -> tuple[Any, Any]:
    if A is None and b is None:
        return None, None
    if A is None or b is None:
        raise SpaceError("expected ConstrainedSpace.A and b together, got one of them")
    if is_concrete(A, b) and (as_numbers(A) is None or as_numbers(b) is None):
        raise SpaceError(f"expected numbers for ConstrainedSpace.A and b, got {A!r}")
    dtype = jnp.result_type(float)
    A, b = jnp.asarray(A).astype(dtype), jnp.asarray(b).astype(dtype)
    if is_concrete(A, b) and not (np.isfinite(A).all() and not np.isnan(b).any()):
        raise SpaceError(
            f"expected finite numbers for ConstrainedSpace.A, got {A} and b {b}"
        )
    k = n_columns(space)
    if A.ndim != 2 or A.shape[1] != k or b.shape != A.shape[:1]:
        raise SpaceError(
            f"expected ConstrainedSpace.A of shape (m, {k}), a column for each number of "
            f"the space, and b of shape (m,), got {A.shape} and {b.shape}"
        )
    return A, b
