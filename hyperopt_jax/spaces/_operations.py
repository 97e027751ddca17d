"""What one does with a whole space: sample, encode, look into, take apart."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from hyperopt_jax._checks import check_int, check_key, flattened, is_concrete
from hyperopt_jax.errors import ParamsError, SpaceError
from hyperopt_jax.spaces import _compiled
from hyperopt_jax.spaces._base import CompositeSpace, as_array
from hyperopt_jax.spaces._checked import check_leaves, check_one_space, check_space
from hyperopt_jax.spaces._codec import Codec, codec_of
from hyperopt_jax.spaces._layout import (
    columns_of,
    full_layout,
    is_node,
    is_searched,
    layout,
    on_the_host,
)
from hyperopt_jax.spaces._plain import as_plain
from hyperopt_jax.spaces._tables import as_table, lists_configurations, ravel, unravel


def sample(space: PyTree, key: PRNGKeyArray, n: int) -> PyTree:
    """`n` independent configurations: a pytree like the space, leaves (n, ...).

    Uniform on the feasible part of a space with constraints, where samples repeat only
    if it is less than about a hundred-thousandth of the volume. One compiled program for
    each structure of space and `n`.

    Raises:
        SpaceError: a space that cannot be searched, or a stack of spaces.
        ParamsError: no key.
        SettingError: `n` < 1.

    ```python
    from hyperopt_jax import spaces

    spaces.sample({"lr": LogSpace(1e-5, 1e-1)}, jax.random.key(0), 1000)
    ```
    """
    check_space(space)
    check_key(key)
    return unravel(space, _compiled.draw(codec_of(space), key, check_int("n", n, 1)))


def encode(space: PyTree, params: PyTree) -> Float[Array, "n d"]:
    """Where configurations lie in the unit cube, one row each.

    Raises:
        SpaceError: a stack of spaces.
        ParamsError: params of another space.
    """
    check_one_space(space)
    return _compiled.encode(codec_of(space), ravel(space, params))


def decode(space: PyTree, U: Float[Array, "n d"]) -> PyTree:
    """The configurations at the rows of `U` in the unit cube; leaves (n, ...).

    Raises:
        SpaceError: a stack of spaces.
        ParamsError: no numbers, or a table of another width than the space has
            coordinates, or that is not finite.
    """
    check_one_space(space)
    n_coordinates = sum(layout(space).widths("places"))
    U = as_array(U, "a table of numbers to decode").astype(jnp.result_type(float))
    if U.ndim != 2 or U.shape[1] != n_coordinates:
        raise ParamsError(
            f"expected a table of {n_coordinates} coordinates a row for this space, "
            f"got shape {U.shape}"
        )
    if is_concrete(U) and not np.isfinite(np.asarray(U)).all():
        raise ParamsError(
            "expected finite coordinates, got a NaN or an infinity among them"
        )
    return unravel(space, _compiled.decode(codec_of(space), U))


def active(space: PyTree, params: PyTree) -> PyTree:
    """Which parameters count: a pytree like `params` of truth values.

    All of them, except inside conditional spaces and lists. Works inside a compiled
    objective.

    ```python
    space = ConditionalSpace({"a": LinearSpace(0.0, 1.0), "b": LinearSpace(0.0, 1.0)})
    params = {"choice": jnp.int32(1), "a": jnp.float32(0.5), "b": jnp.float32(0.1)}
    active(space, params)  # {"a": False, "b": True, "choice": True}
    ```
    """
    check_one_space(space)
    leaves = _active(space, ravel(space, params))
    if not _is_batched(space, params):
        leaves = [leaf[0] for leaf in leaves]
    return jax.tree.unflatten(layout(space).treedef, leaves)


@eqx.filter_jit
def _active(space: PyTree, X: Float[Array, "n c"]) -> list[Bool[Array, "n ..."]]:
    codec, leaves = Codec(space), []
    mask, in_scope = codec.active(X), codec.active_scopes(X)
    for i, leaf in enumerate(layout(space).leaves):
        columns, shape = columns_of([i], codec.widths["values"]), leaf.space.shape
        if columns.size:
            part = mask[:, columns].reshape(X.shape[0], *shape)
        else:
            # A constant has no column; it is as active as the branch that it is in.
            whole = in_scope[:, leaf.scopes[0]].reshape(-1, *(1 for _ in shape))
            part = jnp.broadcast_to(whole, (X.shape[0], *shape))
        leaves.append(part)
    return leaves


def contains(space: PyTree, params: PyTree) -> Bool[Array, " n"]:
    """Which configurations are points of the space, constraints included; one a row.

    Inactive parameters may have any value. Floats are held to the precision in which a
    search works.

    Raises:
        SpaceError: a stack of spaces.
        ParamsError: params of another structure, or a number that is not finite.
    """
    check_one_space(space)
    return _contains(space, ravel(space, params))


@eqx.filter_jit
def _contains(space: PyTree, X: Float[Array, "n c"]) -> Bool[Array, " n"]:
    codec = Codec(space)
    # What does not count is taken for a value that fits.
    X = jnp.where(codec.active(X), X, codec.filler())
    kept = codec.is_allowed(X)
    for i, leaf in enumerate(layout(space).leaves):
        columns = columns_of([i], codec.widths["values"])
        if columns.size:
            values = X[:, columns].reshape(X.shape[0], *leaf.space.shape)
            kept = kept & leaf.space.contains(values)
    return kept


def names(space: PyTree) -> list[str]:
    """A name for each parameter, such as "opt/lr", in the order of `flatten`."""
    check_leaves(space)
    return ["/".join(leaf.path) for leaf in full_layout(space).leaves]


def flatten(space: PyTree, params: PyTree) -> dict[str, Any]:
    """A pytree of parameters as one flat dict of named leaves.

    Raises:
        ParamsError: params of another structure.
        SpaceError: two parameters of one name, such as {"a/b": ...} and {"a": {"b": ...}}.

    ```python
    from hyperopt_jax import spaces

    space = {"opt": {"lr": LogSpace(1e-5, 1e-1)}}
    spaces.flatten(space, {"opt": {"lr": 0.01}})  # {"opt/lr": 0.01}
    ```
    """
    leaves, structure = flattened(params)
    if structure != layout(space).structure:
        raise ParamsError(
            f"expected params with the structure of the search space, "
            f"{layout(space).treedef}, got {structure}"
        )
    return dict(zip(own_names(space), leaves, strict=True))


def unflatten(space: PyTree, named: Mapping[str, Any]) -> PyTree:
    """The pytree of parameters from named leaves; the inverse of `flatten`.

    Raises:
        ParamsError: a name that is missing, or one too many.
    """
    own = own_names(space)
    if not isinstance(named, Mapping):
        raise ParamsError(f"expected a dict of the names {own}, got {named!r}")
    if set(own) != set(named):
        raise ParamsError(
            f"expected the names {own}, got {sorted(named, key=str)}; "
            f"{sorted(set(own) ^ set(named), key=str)} stand on one side only"
        )
    treedef: Any = layout(space).treedef
    return treedef.unflatten([named[name] for name in own])


def own_names(space: PyTree) -> list[str]:
    """The names, no two of them alike."""
    own = names(space)
    twice = sorted({name for name in own if own.count(name) > 1})
    if twice:
        raise SpaceError(
            f"expected a name for each parameter, got {twice} twice; do not write '/' "
            f"in the keys of a space"
        )
    return own


class Parts(NamedTuple):
    """A space in three: each with the structure of the whole and None elsewhere."""

    discrete: PyTree
    categorical: PyTree
    continuous: PyTree


def split(space: PyTree) -> Parts:
    """A space as its discrete, categorical and continuous parts.

    Each part is a space of its own, None where the others are; `merge` puts parts, or
    parameters of parts, together again. Numbers with finitely many values are discrete,
    choices and switches categorical.

    Raises:
        SpaceError: a conditional or constrained part, whose parameters belong together.

    ```python
    from hyperopt_jax import spaces

    space = {"lr": LogSpace(1e-5, 1e-1), "act": ChoiceSpace(["relu", "tanh"])}
    parts = spaces.split(space)
    assert spaces.merge(*parts) == space
    ```
    """
    check_leaves(space)

    def part(node: Any) -> str:
        if isinstance(node, CompositeSpace):
            raise SpaceError(
                f"expected plain spaces to split, got a {type(node).__name__}, whose "
                f"parameters belong together"
            )
        if node.is_nominal:
            return "categorical"
        return "discrete" if node.is_discrete else "continuous"

    def only(kind: str) -> PyTree:
        return jax.tree.map(
            lambda node: node if part(node) == kind else None, space, is_leaf=is_node
        )

    return Parts(*(only(kind) for kind in Parts._fields))


def merge(*parts: PyTree) -> PyTree:
    """Parts of a space, or parameters of such parts, as one pytree.

    Raises:
        SpaceError: two parts with something in one place, or parts of other structures.
    """

    def one(*nodes: Any) -> Any:
        found = [node for node in nodes if node is not None]
        if len(found) > 1:
            raise SpaceError(f"expected one part for each parameter, got {found}")
        return found[0] if found else None

    try:
        return jax.tree.map(one, *parts, is_leaf=lambda n: n is None or is_node(n))
    except SpaceError:
        raise
    except (TypeError, ValueError) as error:
        raise SpaceError(
            f"expected parts of one structure, such as split returns, got {parts!r}"
        ) from error


def decode_choices(space: PyTree, params: PyTree) -> Any:
    """Configurations for plain Python: objects for indices, Python's own numbers.

    `encode_choices` is the inverse. Indices of choices become the chosen objects, the
    index of a conditional space the name of its branch, numbers Python's own and arrays
    NumPy's. Floats have the digits that one would write: 0.1, whatever single precision
    adds to it. Branches that were not chosen and entries beyond a list's length are left
    out.

    Args:
        params: one configuration (one dict comes back), or a batch or a list of them, or
            the stacked history of `optimize_scan`, trial after trial (a list of dicts).

    Raises:
        SpaceError: a stack of spaces.
        ParamsError: params of another space, or traced ones.

    ```python
    space = {"act": ChoiceSpace(["relu", "tanh"]), "lr": LogSpace(1e-5, 1e-1)}
    decode_choices(space, {"act": jnp.int32(1), "lr": jnp.float32(0.25)})
    # {"act": "tanh", "lr": 0.25}
    ```
    """
    check_one_space(space)
    if not is_concrete(params):
        raise ParamsError(
            "expected concrete params for decode_choices, got traced ones; inside a "
            "compiled objective branch with ChoiceSpace.switch"
        )
    params = _trial_after_trial(space, params)
    with on_the_host():
        X = as_table(space, params)
        rows = [as_plain(space, unravel(space, row)) for row in X]
    return rows if _is_batched(space, params) else rows[0]


def _trial_after_trial(space: PyTree, params: PyTree) -> PyTree:
    """The leaves (t, q) of a stacked history as (t q,), and all else as it is."""
    leaves, structure = flattened(params)
    flat = layout(space)
    if structure != flat.structure:
        return params
    own = [s.shape for s in flat.spaces]
    arrays = [np.asarray(leaf) for leaf in leaves]
    n_axes = {a.ndim - len(shape) for a, shape in zip(arrays, own, strict=True)}
    if n_axes != {2}:
        return params
    one_axis = [a.reshape(-1, *a.shape[2:]) for a in arrays]
    return jax.tree.unflatten(structure, one_axis)


def _is_batched(space: PyTree, params: PyTree) -> bool:
    flat, leaves = layout(space), jax.tree.leaves(params)
    spaces = flat.spaces
    if len(leaves) != len(spaces) or lists_configurations(flat, params):
        return True
    return any(
        np.shape(leaf) != own.shape
        for own, leaf in zip(spaces, leaves, strict=True)
        if is_searched(own)
    )
