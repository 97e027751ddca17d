"""Exhaustive search of a finite space."""

import math
from typing import Any, Self, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from hyperopt_jax._checks import (
    bool_setting,
    check_key,
    check_one_study,
    check_state,
    int_setting,
    is_concrete,
)
from hyperopt_jax._evaluate import Results
from hyperopt_jax.base import Optimizer, OptimizerState, Settings, check_results, make
from hyperopt_jax.errors import ExhaustedError, Status
from hyperopt_jax.spaces import (
    Codec,
    all_points,
    check_finite,
    check_space,
    ravel,
    unravel,
)


class GridSearchState(OptimizerState):
    """The grid, one row a point, and the row that comes next.

    `status` is `Status.EXHAUSTED` once a compiled loop has asked past the end.
    """

    space: PyTree
    grid: Shaped[Array, "n_total n_params"]
    grid_idx: Int[Array, ""]
    status: Int[Array, ""]


class GridSettings(Settings, total=False):
    """The settings of `GridSearch`, for editors and type checkers."""

    shuffle: bool


class GridSearch(Optimizer):
    """Every point of a finite space, once.

    Use it for small spaces that must be covered completely. The last parameter varies
    fastest, as in `itertools.product`. No point is dropped: where the grid is no
    multiple of `n_parallel`, the last batch is filled up from the front. Configurations
    that differ in inactive parameters only are one point, and infeasible ones are none.

    Args:
        shuffle: whether to visit the points in random order.
        n_parallel: trials a batch, >= 1.
        maximize: whether callbacks take higher results for better.

    Raises:
        SettingError: a setting out of its range.

    ```python
    space = {"layers": QLinearSpace(1, 3), "batch": DiscreteSpace([32, 64])}
    state, optimizer = GridSearch.init(space, n_parallel=2)
    state, (params, results) = optimizer.optimize_scan(
        state, jax.random.key(0), lambda key, p: -p["layers"] * p["batch"]
    )
    ```
    """

    shuffle: bool = bool_setting("shuffle", False)
    n_parallel: int = int_setting("n_parallel", 1, low=1)
    maximize: bool = bool_setting("maximize", True)

    @classmethod
    def init(
        cls,
        space: PyTree,
        key: PRNGKeyArray | None = None,
        **settings: Unpack[GridSettings],
    ) -> tuple[GridSearchState, Self]:
        """A state and the search, for a pytree of finite spaces.

        `key` permutes the grid where `shuffle` is set; None takes `PRNGKey(0)`.

        Raises:
            SpaceError: a leaf with infinitely many values, bounds that are traced, or
                more than ten million points.
            ParamsError: no key.
            UnknownSettingError: a setting that grid search does not have.
        """
        optimizer = make(cls, settings)
        if key is not None:
            check_key(key)
        grid = _grid(space)
        if optimizer.shuffle:
            key = jax.random.PRNGKey(0) if key is None else key
            grid = jax.random.permutation(key, grid)
        # An array each: two leaves that share one cannot be donated.
        grid_idx, status = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return GridSearchState(space, grid, grid_idx, status), optimizer

    def get_next_params(self, state: GridSearchState, key: PRNGKeyArray) -> PyTree:
        """The next `n_parallel` points of the grid; leaves (n_parallel,).

        Raises:
            ExhaustedError: the grid is at its end (inside a compiled loop, where
                nothing can be raised, the grid starts over and `update_state` sets the
                state's status).
        """
        _check(self, state)
        if is_concrete(state.grid_idx):
            self._check_left(state, 1)
        rows = _rows_from(state.grid, state.grid_idx, self.n_parallel)
        return unravel(state.space, rows)

    def update_state(
        self,
        state: GridSearchState,
        key: PRNGKeyArray,
        results: Results,
        params: PyTree,
    ) -> GridSearchState:
        """The state moved on by `n_parallel` points.

        Raises:
            ParamsError: params of another space, or results that do not fit them.
        """
        _check(self, state)
        check_results(results, ravel(state.space, params).shape[0])
        over = state.grid_idx >= state.grid.shape[0]
        return state.replace(
            grid_idx=state.grid_idx + self.n_parallel,
            status=jnp.where(over, jnp.int32(Status.EXHAUSTED), state.status),
        )

    def enqueue(
        self, state: GridSearchState, X: Float[Array, "m c"]
    ) -> tuple[GridSearchState, Float[Array, "0 c"]]:
        """The points `X` moved to the front of those that are left.

        So each is visited once; those that have been visited already are not again.
        """
        return state.replace(grid=_with_first(state, X)), X[:0]

    def n_told(self, state: GridSearchState) -> Int[Array, ""]:
        return state.grid_idx

    def n_left(self, state: GridSearchState) -> int:
        """Points not visited yet; all of them for a traced state."""
        _check(self, state)
        done = int(state.grid_idx) if is_concrete(state.grid_idx) else 0
        return max(0, state.grid.shape[0] - done)

    def _check_run(
        self, state: Any, key: Any, func: Any, n_iterations: int | None
    ) -> int:
        n_iterations = super()._check_run(state, key, func, n_iterations)
        if is_concrete(state.grid_idx):
            self._check_left(state, n_iterations)
        return n_iterations

    def _check_left(self, state: GridSearchState, n_batches: int) -> None:
        left = math.ceil(self.n_left(state) / self.n_parallel)
        if n_batches > left:
            raise ExhaustedError(
                f"Not enough grid points remaining: expected at most {left} more "
                f"batch(es) of {self.n_parallel} from a grid of {state.grid.shape[0]} "
                f"points, got a request for {n_batches}"
            )


def _check(optimizer: GridSearch, state: Any) -> None:
    check_state(optimizer, state, GridSearchState)
    check_one_study(state.grid.ndim > 2)


@eqx.filter_jit
def _rows_from(
    grid: Shaped[Array, "n_total n_params"], first: Int[Array, ""], q: int
) -> Shaped[Array, "q n_params"]:
    """`q` rows of the grid, which starts over at its end."""
    return grid[(first + jnp.arange(q, dtype=jnp.int32)) % grid.shape[0]]


@eqx.filter_jit
def _with_first(
    state: GridSearchState, X: Float[Array, "m c"]
) -> Shaped[Array, "n_total n_params"]:
    """The grid with the points `X` next, in their order."""
    codec, n = Codec(state.space), state.grid.shape[0]
    # In the unit cube, where configurations that differ in inactive parameters are one.
    U = codec.encode(jnp.concatenate([state.grid.astype(X.dtype), X]))
    same = jnp.all(U[:n, None, :] == U[None, n:, :], axis=-1)
    place = jnp.where(jnp.any(same, axis=1), jnp.argmax(same, axis=1), X.shape[0])
    is_done = jnp.arange(n, dtype=jnp.int32) < state.grid_idx
    return state.grid[jnp.argsort(jnp.where(is_done, -1, place), stable=True)]


def _grid(space: PyTree) -> Shaped[Array, "n_total n_params"]:
    """All points, the last parameter varying fastest."""
    check_space(space)
    check_finite(space, "GridSearch")
    columns = all_points(space)
    whole = all(np.issubdtype(c.dtype, np.integer) for c in columns)
    dtype = np.result_type(*columns) if whole else jnp.result_type(float)
    return jnp.asarray(np.stack([c.astype(dtype) for c in columns], axis=1))
