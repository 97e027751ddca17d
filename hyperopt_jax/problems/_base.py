"""What a test problem must say about itself, and the moves and noise common to all."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from hyperopt_jax._checks import check_int, check_key, check_number
from hyperopt_jax.errors import ParamsError, SettingError
from hyperopt_jax.spaces import LinearSpace

# One number for all coordinates, or one for each.
Coordinates = float | tuple[float, ...] | np.ndarray


class Problem(eqx.Module):
    """A function to be minimised whose minimum is known.

    Use one wherever a search must be judged: it is an objective `func(key, params)`
    for the drivers (with `maximize=False`), and brings its `space`, its best place
    `optimizer` and its best value `optimum`. As published, most of these functions
    have their optimum in the middle of the box or in line with the axes, which
    flatters some searches; `moved` takes that away.

    With box width w, rotation R, and o the optimizer as published,

        value(x) = evaluate(o + w * R((x - optimizer) / w)),  optimizer = o + shift,

    so the turn is made where the box is a unit cube, about the optimum, and `optimum`
    stays exact. A problem is a pytree whose `shift`, `rotation` and `noise` are array
    leaves, so that many moved problems stack and `vmap`.

    **To add one**, subclass it in a file of this folder: the class attributes `box`
    and `source` (and `min_dim`, `max_dim` if not every dimension will do), the
    properties `optimum` and `published_optimizer`, and `evaluate` for one point.
    `evaluate` must not fall below `optimum` anywhere, also outside the box, because
    a turned box reaches there. `all_problems` and the tests then find it.

    Args:
        dim: the number of coordinates; as near to 2 as the problem allows if left out.

    Raises:
        SettingError: `dim` is no whole number, or not one this problem allows.

    ```python
    import jax
    from hyperopt_jax import BayesianSearch
    from hyperopt_jax.problems import Ackley

    problem = Ackley(dim=3).moved(jax.random.key(0))
    state, search = BayesianSearch.tuned(problem.space, n_max=20, maximize=False)
    state, _ = search.optimize_scan(state, jax.random.key(1), problem)
    print(search.best_result(state) - problem.optimum)
    ```
    """

    box: eqx.AbstractClassVar[tuple[Coordinates, Coordinates]]
    source: eqx.AbstractClassVar[str]
    min_dim: ClassVar[int] = 1
    max_dim: ClassVar[int | None] = None

    dim: int = eqx.field(static=True)
    shift: Float[Array, " d"]
    rotation: Float[Array, "d d"]
    # None and not 0: the program of a noiseless problem then draws no random numbers.
    noise: Float[Array, ""] | None

    def __init__(self, dim: int | None = None):
        self.dim = self.nearest_dim(2) if dim is None else self._check_dim(dim)
        # From NumPy, which compiles nothing.
        self.shift = jnp.asarray(np.zeros(self.dim))
        self.rotation = jnp.asarray(np.eye(self.dim))
        self.noise = None

    @property
    @abc.abstractmethod
    def optimum(self) -> float:
        """The least value, the same after any move."""

    @property
    @abc.abstractmethod
    def published_optimizer(self) -> Coordinates:
        """A place of the least value before any move."""

    @abc.abstractmethod
    def evaluate(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """The published formula at one point: no move, no noise."""

    @classmethod
    def nearest_dim(cls, dim: int) -> int:
        """The allowed dimension nearest to `dim`."""
        most = dim if cls.max_dim is None else cls.max_dim
        return max(cls.min_dim, min(dim, most))

    @property
    def lower(self) -> Float[Array, " d"]:
        """The lower corner of the box."""
        return jnp.asarray(self._spread(self.box[0]), self.shift.dtype)

    @property
    def upper(self) -> Float[Array, " d"]:
        """The upper corner of the box."""
        return jnp.asarray(self._spread(self.box[1]), self.shift.dtype)

    @property
    def optimizer(self) -> Float[Array, "*stack d"]:
        """A place of the least value, after the move; for a stack, one for each."""
        published = self._spread(self.published_optimizer)
        start = jnp.asarray(published, self.shift.dtype)
        return jnp.broadcast_to(start, self.shift.shape) + self.shift

    @property
    def space(self) -> dict[str, LinearSpace]:
        """The box as a search space, `{"x0": LinearSpace(...), "x1": ...}`."""
        low, high = (self._spread(corner) for corner in self.box)
        return {
            f"x{i}": LinearSpace(float(low[i]), float(high[i])) for i in range(self.dim)
        }

    def __call__(
        self, key: PRNGKeyArray | None, params: Mapping[str, ArrayLike]
    ) -> Float[Array, ""]:
        """The objective for the drivers, with `maximize=False`.

        Args:
            key: seeds the noise; not looked at (and may be None) without noise.
            params: scalars "x0", "x1", ... as proposed for `space`.

        Raises:
            ParamsError: params are no dict, or a coordinate is missing.
        """
        if not isinstance(params, Mapping):
            raise ParamsError(
                f"expected params as a dict of x0 to x{self.dim - 1} after the key, got "
                f"a {type(params).__name__}; for a raw point call `value`"
            )
        names = [f"x{i}" for i in range(self.dim)]
        missing = [name for name in names if name not in params]
        if missing:
            raise ParamsError(
                f"expected params with x0 to x{self.dim - 1}, got none for "
                f"{missing[0]}; propose them from this problem's space"
            )
        value = self.value(jnp.stack([jnp.asarray(params[name]) for name in names]))
        if self.noise is None:
            return value
        error = jax.random.normal(jnp.asarray(key), (), value.dtype)
        return value + self.noise.astype(value.dtype) * error

    def value(self, x: ArrayLike | Sequence[float]) -> Float[Array, ""]:
        """The moved function at one raw point of shape (dim,), without noise.

        Computed in the dtype of `x`, whatever dtype the problem was made with.

        Raises:
            ParamsError: `x` is not of shape (dim,); `vmap` it over many points.
        """
        x = jnp.asarray(x)
        if x.shape != (self.dim,):
            raise ParamsError(
                f"expected x of shape ({self.dim},), got {x.shape}; "
                "use jax.vmap(problem.value) for many points"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(self.shift.dtype)
        published = jnp.asarray(self._spread(self.published_optimizer), x.dtype)
        width = jnp.asarray(self._width, x.dtype)
        # x minus the whole optimizer, so that the difference is exactly 0 there.
        away = (x - (published + self.shift.astype(x.dtype))) / width
        turned = jnp.matmul(
            self.rotation.astype(x.dtype), away, precision=jax.lax.Precision.HIGHEST
        )
        return self.evaluate(published + width * turned)

    def moved(self, key: PRNGKeyArray, shift: bool = True, rotate: bool = True) -> Self:
        """This problem with its optimum elsewhere and its axes turned.

        The new optimum is uniform over the middle 80 % of the box; the turn is a
        uniformly random orthogonal matrix (mirrored ones included). Both replace an
        earlier move of the same kind. Values change, `optimum` does not.

        Args:
            key: the same key gives the same move.
            shift: whether to draw a new place for the optimum.
            rotate: whether to draw a new turn.

        Raises:
            ParamsError: no key.

        Traceable, so a stack of problems for a vmapped sweep is one line:

        ```python
        import jax
        from hyperopt_jax.problems import Branin

        keys = jax.random.split(jax.random.key(0), 16)
        problems = jax.vmap(Branin().moved)(keys)
        values = jax.vmap(lambda problem: problem.value(problem.optimizer))(problems)
        ```
        """
        check_key(key)
        place_key, turn_key = jax.random.split(key)
        dtype = self.shift.dtype
        offset, turn = self.shift, self.rotation
        if shift:
            place = jax.random.uniform(place_key, (self.dim,), dtype, 0.1, 0.9)
            published = self._spread(self.published_optimizer)
            start = jnp.asarray(self._spread(self.box[0]) - published, dtype)
            offset = start + jnp.asarray(self._width, dtype) * place
        if rotate:
            turn = jax.random.orthogonal(turn_key, self.dim, dtype=dtype)
        return eqx.tree_at(lambda p: (p.shift, p.rotation), self, (offset, turn))

    def noisy(self, std: ArrayLike) -> Self:
        """This problem with normal noise of standard deviation `std` on each call.

        Only calls are noisy; `value` and `optimum` stay those of the function below.

        Args:
            std: scalar of at least 0, in the units of the value; may be traced.

        Raises:
            SettingError: `std` is negative, not finite or no scalar.

        ```python
        import jax
        from hyperopt_jax.problems import Branin

        Branin().noisy(0.5)(jax.random.key(0), {"x0": 1.0, "x1": 2.0})
        ```
        """
        noise = jnp.asarray(check_number("std", std, 0.0), self.shift.dtype)
        if noise.shape != ():
            raise SettingError(
                f"expected a scalar std, got shape {noise.shape}; "
                "use jax.vmap(problem.noisy) for a stack of problems"
            )
        return eqx.tree_at(lambda p: p.noise, self, noise, is_leaf=lambda p: p is None)

    @property
    def _width(self) -> np.ndarray:
        return self._spread(self.box[1]) - self._spread(self.box[0])

    def _spread(self, coordinates: Coordinates) -> np.ndarray:
        """One number, or one a coordinate, as `dim` float64 numbers."""
        return np.broadcast_to(np.asarray(coordinates, np.float64), (self.dim,))

    @classmethod
    def _check_dim(cls, dim: Any) -> int:
        dim = check_int(f"dim of {cls.__name__}", dim, 1)
        if cls.nearest_dim(dim) == dim:
            return dim
        allowed = f">= {cls.min_dim}" if cls.max_dim is None else f"= {cls.min_dim}"
        if cls.max_dim not in (None, cls.min_dim):
            allowed = f"from {cls.min_dim} to {cls.max_dim}"
        raise SettingError(
            f"expected dim of {cls.__name__} {allowed}, got {dim}; "
            f"{cls.__name__}({cls.nearest_dim(dim)}) is the nearest"
        )


def all_problems(dim: int = 5) -> list[Problem]:
    """One of each problem of this package, as near to `dim` coordinates as it allows.

    Found by walking the subclasses, so a new problem needs no entry anywhere.

    Raises:
        SettingError: `dim` is no whole number of at least 1.

    ```python
    from hyperopt_jax.problems import all_problems

    for problem in all_problems(dim=3):
        print(type(problem).__name__, problem.dim, problem.optimum, problem.source)
    ```
    """
    dim = check_int("dim", dim, 1)
    return [kind(kind.nearest_dim(dim)) for kind in _kinds(Problem)]  # type: ignore[type-abstract]


def _kinds(parent: type[Problem]) -> list[type[Problem]]:
    """The public concrete problems of this package below `parent`."""
    found = []
    for kind in parent.__subclasses__():
        is_ours = kind.__module__.startswith(f"{__package__}.")
        is_public = not kind.__name__.startswith("_")
        if is_ours and is_public and not kind.__abstractmethods__:
            found.append(kind)
        found.extend(_kinds(kind))
    return found
