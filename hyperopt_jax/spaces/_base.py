"""What a kind of search space must say about itself."""

import abc
import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from hyperopt_jax._checks import is_concrete
from hyperopt_jax._numerics import hashed_uniform
from hyperopt_jax.errors import ParamsError
from hyperopt_jax.spaces._shown import with_numbers


def of_own_shape(contains: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a kind's `contains` see arrays only, with the shape of its values at the end.

    What ends with another shape is no value.
    """

    @functools.wraps(contains)
    def checked(space: "Space", value: Any) -> Bool[Array, "..."]:
        kind = type(space).__name__
        value = as_array(value, f"numbers for {kind}, the index in place of a choice")
        n_leading = max(value.ndim - len(space.shape), 0)
        if value.shape[n_leading:] != space.shape:
            return jnp.zeros(value.shape[:n_leading], bool)
        return contains(space, value)

    return checked


def as_array(value: Any, wanted: str) -> Array:
    """`value` as an array; raises `ParamsError` where JAX cannot hold it as one."""
    try:
        # By way of NumPy: JAX would take text for the name of a dtype.
        held = isinstance(value, jax.Array) or not is_concrete(value)
        return jnp.asarray(value if held else _not_wrapped(np.asarray(value)))
    except (OverflowError, TypeError, ValueError) as error:
        raise ParamsError(f"expected {wanted}, got {value!r}") from error


def _not_wrapped(array: np.ndarray) -> np.ndarray:
    """`array`, as floats where JAX's whole numbers are too narrow for it."""
    if array.dtype.kind not in "iu":
        return array
    narrow = jax.dtypes.canonicalize_dtype(array.dtype)
    return array if np.array_equal(array.astype(narrow), array) else array.astype(float)


class Space(eqx.Module):
    """One searched parameter: a leaf of the pytree that describes a search.

    A kind of space is written for *single values*: the codec batches it over the
    parameters of the same kind and over the trials, so that a thousand parameters
    compile like two. Bounds and values are array leaves, so they can be `vmap`ped.

    A kind gives `dtype`, `decode` (place in the unit cube -> value), `encode` (back) and
    `transform` (nearest value of the space). `decode` of uniform numbers is the law
    that random search draws from, and distances between `features` are what a model
    sees. A kind with finitely many values also gives `is_discrete`, `n_values`, `nth`
    and `points`.

    A value is a number and its place one number of [0, 1], unless the kind says
    otherwise with `shape` and `cube_shape`, which are static.
    """

    @property
    @abc.abstractmethod
    def dtype(self) -> jnp.dtype:
        """The dtype of a value."""

    @abc.abstractmethod
    def decode(self, u: Float[Array, "..."]) -> Shaped[Array, "..."]:
        """The value at `u` in [0, 1], with this space's dtype."""

    @abc.abstractmethod
    def encode(self, value: Shaped[Array, "..."]) -> Float[Array, "..."]:
        """Where in [0, 1] `value` lies; `decode(encode(value))` gives it back."""

    @abc.abstractmethod
    def transform(self, value: Any) -> Shaped[Array, "..."]:
        """`value`, with any leading axes, as this space would return it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a value; () for a number."""
        return ()

    @property
    def cube_shape(self) -> tuple[int, ...]:
        """The shape of a value's place in the unit cube; () for one coordinate."""
        return ()

    @property
    def is_discrete(self) -> bool:
        """Whether the space holds finitely many values."""
        return False

    @property
    def is_nominal(self) -> bool:
        """Whether neighbouring places in the cube mean nothing: a choice, a switch.

        A local search draws such a coordinate anew instead of moving it a little.
        """
        return False

    def n_values(self) -> Float[Array, ""]:
        """How many values the space holds; inf for an interval."""
        return jnp.asarray(jnp.inf)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, "..."]:
        """The value with this index in rising order, of a space with finitely many.

        By default the one in the middle of this one of `n_values` equal parts of [0, 1].
        """
        if not self.is_discrete or self.cube_shape != ():
            raise NotImplementedError(f"{type(self).__name__} has no nth value")
        u = (index + 0.5) / self.n_values()
        return self.decode(u.astype(jnp.result_type(float)))

    def points(self) -> Shaped[Array, "n ..."]:
        """All values, of a space with finitely many and concrete bounds."""
        raise NotImplementedError(f"{type(self).__name__} cannot list its values")

    def features(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """What a model sees of the place `u` of a value (not of one between values).

        Euclidean distances between features are the model's distances; about 1 between
        the values farthest apart. The place itself unless a kind says otherwise.
        """
        return u

    @property
    def feature_groups(self) -> tuple[int, ...]:
        """Which length scale each feature has, numbered from 0; one each by default."""
        return tuple(range(math.prod(self.cube_shape)))

    @property
    def neutral_feature(self) -> float:
        """Where the features of an inactive parameter stand."""
        return 0.5

    @property
    def sees_places(self) -> bool:
        """Whether `features` returns the place itself, so that it need not run."""
        return type(self).features is Space.features

    @property
    def bare(self) -> "Space":
        """This space without what only the host needs, such as names of choices."""
        return self

    @of_own_shape
    def contains(self, value: Any) -> Bool[Array, "..."]:
        """Which of `value`, with any leading axes, are values of this space.

        Raises:
            ParamsError: no numbers; a choice is the number of its place.
        """
        moved = jnp.asarray(self.transform(value))
        floats = jnp.issubdtype(value.dtype, jnp.floating)
        if jnp.issubdtype(moved.dtype, jnp.floating) and (
            not floats or moved.dtype.itemsize < value.dtype.itemsize
        ):
            # A space that was made in single precision has no values but those.
            value = value.astype(moved.dtype)
        moved = moved.astype(value.dtype)
        same = moved == value
        if self.is_discrete and jnp.issubdtype(value.dtype, jnp.floating):
            # Nine steps of 0.1 are not 0.9 to the last digit.
            same = same | (jnp.abs(moved - value) <= self.rounding(value))
        return jnp.all(same, axis=tuple(range(same.ndim - len(self.shape), same.ndim)))

    def rounding(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """How far from one of finitely many values a number may lie that stands for it."""
        return 4 * float(jnp.finfo(value.dtype).eps) * jnp.abs(value)

    def sample(
        self, key: PRNGKeyArray, shape: tuple[int, ...] = ()
    ) -> Shaped[Array, "..."]:
        """Independent values of this space, with the given leading shape.

        ```python
        LogSpace(1e-5, 1e-1).sample(jax.random.key(0), (3,))
        ```
        """
        u = hashed_uniform(key, shape + self.cube_shape, jnp.result_type(float))
        u = u.reshape(math.prod(shape), *self.cube_shape)
        return jax.vmap(self.decode)(u).reshape(shape + self.shape)

    def __repr__(self) -> str:
        return eqx.tree_pformat(with_numbers(self))

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Space) or type(self) is not type(other):
            return NotImplemented
        return _equal_trees(self, other)

    def __hash__(self) -> int:
        arrays, structure = jax.tree.flatten(self)
        if not is_concrete(arrays):
            return hash(structure)
        return hash((structure, *map(_as_key, arrays)))


class CompositeSpace(eqx.Module):
    """A node of a search space that owns others: conditions, lists, constraints.

    The codec replaces it by the leaves that it owns. A new kind gives `expand`, which
    registers what it owns with the `Walk` that it is handed and returns the structure of
    its parameters, and `table`, all its points.
    """

    @abc.abstractmethod
    def expand(self, walk: Any, path: tuple[str, ...], scope: int) -> Any:
        """The structure of this node's parameters, its leaves registered in `walk`."""

    @abc.abstractmethod
    def n_points(self, count: Any) -> float:
        """How many configurations there are; `count` says it for what the node owns."""

    @abc.abstractmethod
    def table(self, table_of: Any) -> Any:
        """Every point of a finite node as a host table in the order of its columns."""

    def __repr__(self) -> str:
        return eqx.tree_pformat(with_numbers(self))

    def __eq__(self, other: object) -> Any:
        if type(self) is not type(other):
            return NotImplemented
        return _equal_trees(self, other)

    def __hash__(self) -> int:
        leaves, structure = jax.tree.flatten(self, is_leaf=_is_leaf)
        return hash((structure, tuple(hash(s) for s in leaves if isinstance(s, Space))))


def _is_leaf(node: Any) -> bool:
    return isinstance(node, Space)


def _equal_trees(a: Any, b: Any) -> bool:
    """Whether two pytrees have one structure and equal concrete arrays."""
    x, y = jax.tree.leaves(a), jax.tree.leaves(b)
    structure: Any = jax.tree.structure(a)
    other: Any = jax.tree.structure(b)
    if structure != other or not is_concrete(x, y):
        return a is b
    return all(
        s.shape == t.shape and s.dtype == t.dtype and ((s == t) | _are_nan(s, t)).all()
        for s, t in zip(map(np.asarray, x), map(np.asarray, y), strict=True)
    )


def _as_key(array: Any) -> tuple[Any, ...]:
    """The numbers of an array and not their bytes: 0.0 equals -0.0, and NaN is NaN."""
    return tuple(x if x == x else "nan" for x in np.ravel(array).tolist())


def _are_nan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where both are NaN, which equals nothing else."""
    return (a != a) & (b != b)
