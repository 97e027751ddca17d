"""The best trial of a run, from its histories."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from hyperopt_jax._checks import check_bool, is_concrete
from hyperopt_jax.errors import ParamsError


class BestSoFar:
    """The best trial of a run so far, on the host."""

    def __init__(self, maximize: bool):
        self.sign = 1.0 if maximize else -1.0
        self.params: PyTree | None = None
        self.result = math.nan

    def see(self, params: PyTree, results: Float[Any, " q"]) -> None:
        """Takes a batch into account."""
        results = np.asarray(results)
        row = _best_row(results, self.sign)
        if row is None:
            return
        result = float(results[row])
        if not self.sign * result <= self.sign * self.result:
            self.params, self.result = _configuration(params, (row,)), result


def best_trial(
    params_hist: PyTree, results_hist: Any, maximize: bool = True
) -> tuple[PyTree, float]:
    """The best configuration of a run and its result, from the histories of a driver.

    Works on the host, for every search and for both drivers' histories. Failed trials
    never win.

    Args:
        params_hist: as `optimize` (a list) or `optimize_scan` (stacked) returned it, or
            your own list of configurations, such as those of `decode_choices`.
        results_hist: likewise.
        maximize: whether higher results are better.

    Returns:
        The parameters, with scalar leaves, and the result.

    Raises:
        ParamsError: no trial with a finite result, histories of different runs, or traced
            ones.
        SettingError: `maximize` not True or False.

    ```python
    params, result = best_trial(params_hist, results_hist, maximize=False)
    ```
    """
    sign = 1.0 if check_bool("maximize", maximize) else -1.0
    if not is_concrete(params_hist, results_hist):
        raise ParamsError(
            "expected concrete histories for best_trial, which works on the host, got "
            "traced ones; inside a program index them with jnp.argmax of the results"
        )
    batches = _batches_of(results_hist)
    results = np.concatenate([np.ravel(batch) for batch in batches])
    stacked = _are_stacked(params_hist, results_hist, batches)
    row = _best_row(results, sign)
    if row is None:
        raise ParamsError(
            f"expected at least one trial with a finite result, got {results.size} "
            f"trial(s) without one"
        )
    ends = np.cumsum([batch.size for batch in batches])
    i = int(np.searchsorted(ends, row, side="right"))
    place = np.unravel_index(row - ends[i] + batches[i].size, batches[i].shape)
    if stacked:
        best = _configuration(params_hist, (i, *place))
    else:
        best = _configuration(params_hist[i], place)
    return best, float(results[row])


def _batches_of(results_hist: Any) -> list[Float[np.ndarray, "..."]]:
    """The results batch by batch, or trial by trial."""
    try:
        if isinstance(results_hist, jax.Array):
            results_hist = np.asarray(results_hist)
        # One by one: NumPy would take a list of JAX's arrays apart number by number.
        batches = [np.asarray(batch, float) for batch in results_hist]
    except (TypeError, ValueError) as error:
        raise ParamsError(
            f"expected numbers for results_hist, got a {type(results_hist).__name__} of "
            f"others: {error}"
        ) from error
    if not batches:
        raise ParamsError(
            "expected the history of at least one trial, got an empty one"
        )
    return batches


def _are_stacked(
    params_hist: PyTree, results_hist: Any, batches: list[np.ndarray]
) -> bool:
    """Whether the leaves of `params_hist` have the axes of all results.

    Otherwise it is a list of batches, or of single trials, as the results are.
    """
    shapes = {batch.shape for batch in batches}
    shape = (len(batches), *shapes.pop()) if len(shapes) == 1 else None
    stacked = shape is not None and _have_axes(params_hist, shape)
    listed = (
        isinstance(params_hist, (list, tuple))
        and len(params_hist) == len(batches)
        and all(map(_have_axes, params_hist, (batch.shape for batch in batches)))
    )
    if not (stacked or listed):
        raise ParamsError(
            f"expected params_hist and results_hist of one run, got results of shape "
            f"{shape or [batch.shape for batch in batches]} and leaves of shapes "
            f"{[np.shape(leaf) for leaf in jax.tree.leaves(params_hist)]}"
        )
    if stacked and listed and isinstance(results_hist, (list, tuple)):
        # As many arrays as batches, each with as many rows and columns: the values of
        # the leaves of a list, or batches of one leaf's vectors.
        if jax.tree_util.all_leaves(params_hist):
            raise ParamsError(
                f"expected histories that can be read in one way, got two lists of "
                f"{len(batches)} arrays each; stack results_hist with jnp.stack, and "
                f"params_hist too where its items are batches"
            )
        return False
    return stacked


def _have_axes(params: PyTree, shape: tuple[int, ...]) -> bool:
    """Whether every leaf has the axes `shape`, and then those of a value."""
    return all(
        np.shape(leaf)[: len(shape)] == shape for leaf in jax.tree.leaves(params)
    )


def _best_row(results: Float[np.ndarray, " n"], sign: float) -> int | None:
    """The number of the best finite result; None where there is none."""
    ok = np.isfinite(results)
    return int(np.argmax(np.where(ok, sign * results, -np.inf))) if ok.any() else None


def _configuration(params: PyTree, place: tuple[Any, ...]) -> PyTree:
    """What the leaves of `params` hold at `place`; what is no number stays as it is."""

    def value(leaf: Any) -> Any:
        array = np.asarray(leaf)
        if array.dtype == bool or jnp.issubdtype(array.dtype, jnp.number):
            return jnp.asarray(array[place])
        return leaf

    return jax.tree.map(value, params)
