"""Configurations that a user gives, as a table of points of the space."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from hyperopt_jax._checks import is_concrete
from hyperopt_jax.errors import ParamsError
from hyperopt_jax.spaces._base import Space
from hyperopt_jax.spaces._checked import check_one_space
from hyperopt_jax.spaces._codec import Codec, codec_of
from hyperopt_jax.spaces._layout import layout, on_the_host
from hyperopt_jax.spaces._operations import contains, names
from hyperopt_jax.spaces._plain import row_of
from hyperopt_jax.spaces._shown import with_numbers
from hyperopt_jax.spaces._tables import n_columns, ravel, unravel
from hyperopt_jax.spaces._vector import entry_of

# A number so near to a value of a finite parameter stands for it: 0.7 for 7 * 0.1.
ROUNDING = 1e-6


def given_points(space: PyTree, points: PyTree) -> Float[Array, "m c"]:
    """Points of `space`: a pytree with leaves (m,), or a list of configurations.

    Raises:
        ParamsError: another structure, or a point that is not one of the space.
    """
    if isinstance(points, list) and not points:
        raise ParamsError("expected at least one point, got an empty list")
    X = _snapped(space, ravel(space, points))
    if is_concrete(space, X):
        inside = np.asarray(contains(space, X))
        if not inside.all():
            row = int(np.argmin(inside))
            point = np.asarray(X)[row]
            strange = ", ".join(_strange(space, point))
            raise ParamsError(
                f"expected points inside the search space that satisfy its constraints, "
                f"got number {row} of {len(inside)} with "
                f"{f'{strange} outside' if strange else 'a broken constraint'}: "
                f"{_by_name(space, point)}"
            )
    return X


def _strange(space: PyTree, row: Float[np.ndarray, " c"]) -> list[str]:
    """The parameters, active ones, of which a row of a table holds no value."""
    active = np.asarray(codec_of(space).active(jnp.asarray(row)[None]))[0]
    return [
        name or "the value"
        for name, block in zip(names(space), layout(space).blocks, strict=True)
        if active[block.start : block.end].any()
        and not block.space.contains(row[block.start : block.end].reshape(block.shape))
    ]


def _by_name(space: PyTree, row: Float[np.ndarray, " c"]) -> dict[str, Any]:
    """The values of one row of a table, for people."""
    values = {}
    for name, block in zip(names(space), layout(space).blocks, strict=True):
        own = row[block.start : block.end]
        if own.size:
            # As whole numbers where they are, also of a kind that has no others.
            whole = (
                not jnp.issubdtype(block.dtype, jnp.floating) and not (own % 1).any()
            )
            own = own.astype(block.dtype if whole else own.dtype).reshape(block.shape)
            values[name or "the value"] = with_numbers(own)
    return values


def encode_choices(space: PyTree, configurations: Any) -> PyTree:
    """Parameters for plain Python's configurations: `decode_choices` backwards.

    Objects become the indices of choices, names those of branches. Branches that were not
    chosen, entries beyond a list's length and names that a condition switches off may be
    left out; they carry their fillers. Use it for `start_points`, to tell results of other
    studies, and for configurations from a file.

    Args:
        configurations: one configuration (scalar leaves come back), or a list of q of them
            (leaves (q,)). A list is always one of configurations, also where the space
            itself is a list.

    Raises:
        SpaceError: a stack of spaces.
        ParamsError: an object that is no choice, an active parameter without a value, or
            one that the space does not have.

    ```python
    space = {"act": ChoiceSpace(["relu", "tanh"]), "lr": LogSpace(1e-5, 1e-1)}
    encode_choices(space, [{"act": "tanh", "lr": 0.01}, {"act": "relu", "lr": 0.1}])
    # {"act": [1, 0], "lr": [0.01, 0.1]}
    ```
    """
    check_one_space(space)
    if not is_concrete(configurations):
        raise ParamsError(
            "expected concrete values for encode_choices, got traced ones"
        )
    rows = configurations if isinstance(configurations, list) else [configurations]
    table = np.zeros((0, n_columns(space)), jnp.result_type(float))
    with on_the_host():
        X = np.concatenate([table, *(row_of(space, one)[None, :] for one in rows)])
        # NumPy's: its NaNs, for what is left out, would be an error of JAX's under
        # jax_debug_nans.
        points, is_missing = _completed(space, X)
        missing = np.asarray(is_missing)
    if missing.any():
        row, column = (int(i) for i in np.argwhere(missing)[0])
        name = np.repeat(names(space), layout(space).widths("values"))[column]
        raise ParamsError(
            f"expected a value for {str(name)!r}, which is active in configuration "
            f"number {row}, got none"
        )
    return unravel(space, points if isinstance(configurations, list) else points[0])


@eqx.filter_jit
def _completed(
    space: PyTree, X: Float[Any, "m c"]
) -> tuple[Float[Array, "m c"], Bool[Array, "m c"]]:
    """Snapped points with fillers for NaNs, and which of those values are active."""
    codec, left_out = Codec(space), jnp.isnan(X)
    X = jnp.where(left_out, codec.filler(), X)
    return _snapped(space, X), left_out & codec.active(X)


@eqx.filter_jit
def _snapped(space: PyTree, X: Float[Array, "m c"]) -> Float[Array, "m c"]:
    codec = Codec(space)
    leaves = layout(space).spaces
    widths = codec.widths["values"]
    is_finite = np.repeat([leaf.is_discrete for leaf in leaves], widths)
    is_whole = np.repeat([jnp.issubdtype(s.dtype, jnp.integer) for s in leaves], widths)
    _, values = codec.snapped(codec.encode(X))
    rounding = jnp.maximum(ROUNDING * jnp.abs(X), _rounding_of_steps(leaves, widths, X))
    # Millions and the next whole number are that near too.
    rounding = jnp.where(is_whole[None, :], jnp.minimum(rounding, 0.5), rounding)
    near = jnp.abs(values - X) <= rounding
    # What is inactive carries its filler, as in every proposal.
    return jnp.where((near & is_finite[None, :]) | ~codec.active(X), values, X)


def _rounding_of_steps(
    leaves: Sequence[Space], widths: Sequence[int], X: Float[Array, "m c"]
) -> Float[Array, "m c"]:
    """What each value may lie beside one of a grid of floats; 0 where there is none."""
    rounding, end = jnp.zeros_like(X), 0
    for leaf, width in zip(leaves, widths, strict=True):
        start, end = end, end + width
        own = entry_of(leaf)
        if own.is_discrete and jnp.issubdtype(own.dtype, jnp.floating):
            part = own.rounding(X[:, start:end])
            rounding = rounding.at[:, start:end].set(part)
    return rounding
