"""Between pytrees of parameters and the table `X` of values."""

import contextlib
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PyTree, Shaped

from hyperopt_jax._checks import as_numbers, flattened, is_concrete
from hyperopt_jax.errors import ParamsError
from hyperopt_jax.spaces._fixed import FixedSpace
from hyperopt_jax.spaces._layout import (
    Layout,
    columns_of,
    is_searched,
    layout,
    name_of,
)

# How many names an error lists.
MAX_NAMED = 5


def n_params(space: PyTree) -> int:
    """How many parameters `space` has: its leaves, constants included."""
    return len(layout(space).leaves)


def n_columns(space: PyTree) -> int:
    """How many columns the table of values of `space` has."""
    return layout(space).n_columns


def n_groups(space: PyTree) -> int:
    """How many length scales a model of `space` has."""
    spaces = layout(space).spaces
    return sum(max(s.feature_groups, default=-1) + 1 for s in spaces)


def has_discrete(space: PyTree) -> bool:
    """Whether some searched parameter has finitely many values."""
    return any(is_searched(s.bare) and s.bare.is_discrete for s in layout(space).spaces)


def is_conditional(space: PyTree) -> bool:
    """Whether some parameter is not always active."""
    return layout(space).is_conditional


def unravel(space: PyTree, X: Shaped[Any, "... d"]) -> PyTree:
    """The columns of `X` (..., d) as a pytree like `space`, in the dtypes of its leaves.

    A concrete table is split on the host: one transfer back, and nothing to compile but a
    copy for each shape and dtype.
    """
    flat = layout(space)
    on_host = is_concrete(X)
    table = np.asarray(X) if on_host else X
    leading, widths = table.shape[:-1], flat.widths("values")
    leaves = {
        i: jnp.broadcast_to(block.space.value, leading + block.shape)
        for i, block in enumerate(flat.blocks)
        if isinstance(block.space, FixedSpace)
    }
    # All of one dtype at once: in a program, whatever is done to each of a thousand leaves
    # takes its time to trace and to compile.
    searched = {i: b.dtype for i, b in enumerate(flat.blocks) if i not in leaves}
    for dtype, members in _alike(searched).items():
        columns = columns_of(members, widths)
        whole = len(columns) == table.shape[-1]
        part = _converted(table if whole else table[..., columns], dtype)
        pieces = _split(part, [flat.blocks[i].shape for i in members])
        leaves.update(zip(members, pieces, strict=True))
    return jax.tree.unflatten(flat.treedef, [leaves[i] for i in range(len(leaves))])


def shapes_of(space: PyTree, q: int) -> PyTree:
    """The shapes and dtypes of `q` configurations."""
    flat = layout(space)
    leaves = [jax.ShapeDtypeStruct((q, *b.shape), b.dtype) for b in flat.blocks]
    return jax.tree.unflatten(flat.treedef, leaves)


def _alike(dtypes: dict[int, Any]) -> dict[Any, list[int]]:
    """The leaves of each dtype, in their order."""
    groups: dict[Any, list[int]] = {}
    for i, dtype in dtypes.items():
        groups.setdefault(dtype, []).append(i)
    return groups


def _split(table: Shaped[Any, "... d"], shapes: list[tuple[int, ...]]) -> list[Any]:
    """The columns of a table as leaves whose values have these shapes."""
    leading, widths = table.shape[:-1], list(map(math.prod, shapes))
    pieces: Any
    if isinstance(table, np.ndarray):
        pieces = np.split(table, np.cumsum(widths)[:-1], axis=-1)
        shaped = zip(pieces, shapes, strict=True)
        return [_on_device(piece.reshape(leading + shape)) for piece, shape in shaped]
    # Column after column: of numbers, in a batch, no piece is left to be reshaped, which
    # for a thousand leaves takes longer to trace than all else.
    n = math.prod(leading)
    columns = table.reshape(n, sum(widths)).T.reshape(n * sum(widths))
    pieces = lax.split(columns, [n * width for width in widths])
    leaves = []
    for piece, width, shape in zip(pieces, widths, shapes, strict=True):
        if width != 1:
            piece = piece.reshape(width, n).T
        if piece.shape != leading + shape:
            piece = piece.reshape(leading + shape)
        leaves.append(piece)
    return leaves


def _joined(arrays: list[Any], q: int, widths: list[int]) -> Shaped[Any, "q d"]:
    """Leaves of one dtype as the columns of a table; the inverse of `_split`."""
    parts = zip(arrays, widths, strict=True)
    if is_concrete(arrays):
        return np.concatenate([a.reshape(q, width) for a, width in parts], axis=1)
    columns = [
        a if a.shape == (q,) else a.reshape(q, width).T.reshape(q * width)
        for a, width in parts
    ]
    return lax.concatenate(columns, 0).reshape(sum(widths), q).T


def _converted(values: Any, dtype: Any) -> Any:
    """Numbers of a table in the dtype of the leaves that they belong to."""
    # What was told may lie between whole numbers; a model takes it for the nearest one.
    if _is_floating(values.dtype) and not _is_floating(dtype):
        if isinstance(values, np.ndarray):
            values = np.clip(np.rint(values), *_range_of(dtype, values.dtype))
        else:
            # The bare operation: `jnp.rint` is a function of its own in the program.
            values = lax.round(values, lax.RoundingMethod.TO_NEAREST_EVEN)
    return values.astype(dtype)


# As a program, which is put on the device in a quarter of the time that JAX takes to do so
# by itself: a proposal does it for every parameter.
_on_device = jax.jit(jnp.asarray)


@functools.cache
def _is_floating(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))


@functools.cache
def _range_of(whole: Any, floating: Any) -> tuple[Any, Any]:
    """The least and the largest number that both dtypes hold: others would wrap round."""
    if not jnp.issubdtype(whole, jnp.integer):  # truth values
        return np.asarray(0, floating), np.asarray(1, floating)
    info = jnp.iinfo(whole)
    high = np.asarray(info.max, floating)
    if int(high) > info.max:
        high = np.nextafter(high, np.asarray(0, floating))
    return np.asarray(info.min, floating), high


def columns_as_params(space: PyTree, row: list[Any]) -> PyTree:
    """One row of values, column by column, as a pytree of NumPy values."""
    flat = layout(space)
    leaves = [
        np.asarray(b.space.value)
        if isinstance(b.space, FixedSpace)
        else np.asarray(row[b.start : b.end], b.dtype).reshape(b.shape)[()]
        for b in flat.blocks
    ]
    return jax.tree.unflatten(flat.treedef, leaves)


def ravel(
    space: PyTree, params: PyTree, *, lost_too: bool = False
) -> Float[Array, "q d"]:
    """A batch of parameters as a table `X`.

    Args:
        params: a pytree with leaves (q,), a list of configurations, or a raw (q, d) table.
        lost_too: whether rows pass that were proposed where nothing feasible was found.

    Raises:
        ParamsError: another structure or number of parameters than the space's, leaves
            of different lengths, or a number that is not finite.
    """
    return jnp.asarray(as_table(space, params, lost_too=lost_too))


def as_table(
    space: PyTree, params: PyTree, *, lost_too: bool = False
) -> Float[Any, "q d"]:
    """`ravel`, with NumPy's array where the parameters are concrete.

    A compiled program takes that as it is; it would wait for one that is on its way to
    the device.
    """
    flat = layout(space)
    n_columns = flat.n_columns
    if lists_configurations(flat, params):
        rows = [as_table(space, one, lost_too=lost_too) for one in params]
        xp = np if is_concrete(rows) else jnp
        return xp.concatenate([np.zeros((0, n_columns), _float()), *rows])
    if isinstance(params, (np.ndarray, jax.Array)) and _is_table(flat, params):
        table = params
        if table.shape[1] != n_columns:
            raise ParamsError(
                f"expected a table of {n_columns} parameters a row for this space, "
                f"got shape {table.shape}"
            )
        xp = jnp if not is_concrete(table) else np
        table = xp.asarray(table).astype(_float())
    else:
        table = _columns_to_table(flat, params)
    if is_concrete(table):
        finite = np.isfinite(np.asarray(table))
        if not (finite.all() or (lost_too and _are_lost(flat, np.asarray(table)))):
            raise ParamsError(
                "expected finite params, got a NaN or an infinity among them"
            )
    return table


def _are_lost(flat: Layout, table: Float[np.ndarray, "q d"]) -> bool:
    """Whether the rows that are not finite say that nothing feasible was found."""
    floating = [_is_floating(block.dtype) for block in flat.blocks]
    in_floats = np.repeat(floating, flat.widths("values"))[None, :]
    finite = np.isfinite(table)
    lost = np.where(in_floats, np.isnan(table), finite).all(axis=1)
    return bool(flat.rules) and bool((finite.all(axis=1) | lost).all())


def lists_configurations(flat: Layout, params: Any) -> bool:
    """Whether `params` is a list of configurations; a space may be a list itself."""
    return isinstance(params, list) and flattened(params)[1] != flat.structure


def _is_table(flat: Layout, params: Any) -> bool:
    """Whether an array is a raw table, and not the values of the one leaf there is."""
    if np.ndim(params) != 2:
        return False
    lone = jax.tree.structure(0) == flat.treedef
    own = flat.spaces[0].shape if lone else ()
    return not (len(own) == 1 or np.shape(params) == own)


def _columns_to_table(flat: Layout, params: PyTree) -> Float[Array, "q d"]:
    columns = _columns(flat, params)
    searched = [
        (block.shape, values)
        for block, values in zip(flat.blocks, columns, strict=True)
        if block.start < block.end
    ]
    concrete = is_concrete(columns)
    for _, values in searched:
        if concrete and not _is_numeric(values):
            place = next(i for i, column in enumerate(columns) if column is values)
            raise ParamsError(
                f"expected numbers for {_named_places(flat.structure)[place]!r} of params, "
                f"got {values!r}; encode_choices makes params of strings and other objects"
            )
    xp = np if concrete else jnp
    arrays = [xp.asarray(values) for _, values in searched]
    shapes = [shape for shape, _ in searched]
    leading = {_leading(a.shape, s) for a, s in zip(arrays, shapes, strict=True)}
    axes = leading.pop() if len(leading) == 1 else None
    if axes is None:
        seen = sorted({xp.atleast_1d(a).shape for a in arrays})
        raise ParamsError(
            f"expected every leaf of params to have the same shape (q,), or (t, q) in a "
            f"history, followed by that of its values, got {', '.join(map(str, seen))}"
        )
    q: Any = math.prod(axes)
    widths = tuple(map(math.prod, shapes))
    groups = _alike({i: array.dtype for i, array in enumerate(arrays)})
    parts = []
    for members in groups.values():
        part = _joined([arrays[i] for i in members], q, [widths[i] for i in members])
        parts.append(part.astype(_float()))
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(columns_of([i for g in groups.values() for i in g], widths))
    return xp.concatenate(parts, axis=1)[:, order]


def _columns(flat: Layout, params: PyTree) -> list[Any]:
    """The leaves of `params`; a list of numbers is a column too."""
    columns, structure = flattened(params)
    if structure == flat.structure:
        return columns
    with contextlib.suppress(ValueError):
        columns = flat.treedef.flatten_up_to(params)
        if all(map(_is_column, columns)):
            return columns
    expected = (
        f"expected params with the structure of the search space, {flat.structure}"
    )
    if jax.tree_util.all_leaves([params]):
        raise ParamsError(
            f"{expected}, got one {type(params).__name__}; of a table, give a dict of its "
            f"columns"
        )
    own, told = _named_places(flat.structure), _named_places(structure)
    faults = [
        f"{what} {', '.join(names[:MAX_NAMED])}"
        for what, names in (
            ("without", [name for name in own if name not in told]),
            ("with the unknown", [name for name in told if name not in own]),
        )
        if names
    ]
    raise ParamsError(
        f"{expected}, got {structure}{f', {chr(32).join(faults)}' if faults else ''}"
    )


def _named_places(structure: Any) -> list[str]:
    """The leaves of a pytree by name, such as "opt/lr"."""
    tree = jax.tree.unflatten(structure, range(structure.num_leaves))
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return ["/".join(map(name_of, path)) or "the value" for path, _ in leaves]


def _is_column(values: Any) -> bool:
    """Whether `values` may be those of one leaf: an array, or a list of single ones."""
    if isinstance(values, list):
        return all(np.ndim(value) == 0 for value in jax.tree.leaves(values))
    return jax.tree_util.all_leaves([values])


def _leading(
    shape: tuple[int, ...], of_value: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The axes before those of a value: none, those of a batch or of a history.

    None where it is nothing of that.
    """
    n = len(shape) - len(of_value)
    if n not in (0, 1, 2) or shape[n:] != of_value:
        return None
    return shape[:n] or (1,)


def _is_numeric(column: Any) -> bool:
    # The usual kinds at once: this runs for every leaf of every update.
    try:
        kind = np.asarray(column).dtype.kind
    except ValueError:  # a ragged list
        return False
    return kind in "biuf" or as_numbers(column) is not None


def _float() -> jnp.dtype:
    """The float dtype of all tables: JAX's default precision."""
    return jnp.result_type(float)
