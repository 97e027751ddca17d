"""The losses of `_estimators.py` on grids, which a compiled search can play over many seeds.

Every family has few hyperparameters, so a grid of some thousand losses and linear
interpolation between them keep what a forest does not: the fine differences among good
configurations. A grid takes ten minutes or so to cross-validate once, and is kept.
"""

import functools
from dataclasses import dataclass

import _report
import jax
import jax.numpy as jnp
import numpy as np
from _estimators import LARGEST_FOREST, PROBLEMS

from hyperopt_jax import encode_choices

# The axes of each grid; C and gamma by their decimal logarithms.
GRIDS = {
    "forest": {
        "trees": [5, 7, 10, 14, 20, 28, 40, 57, 80, 100],
        "depth": list(range(1, 16)),
        "max_features": np.linspace(0.1, 1.0, 10).tolist(),
        "bootstrap": [False, True],
    },
    "knn": {
        "neighbours": list(range(1, 51)),
        "weights": ["uniform", "distance"],
        "p": np.linspace(1.0, 3.0, 21).tolist(),
    },
    "linear": {"C": np.linspace(-3, 3, 41).tolist()},
    "poly": {
        "C": np.linspace(-3, 3, 19).tolist(),
        "gamma": np.linspace(-5, 1, 19).tolist(),
        "degree": [2, 3, 4],
    },
    "rbf": {
        "C": np.linspace(-3, 3, 31).tolist(),
        "gamma": np.linspace(-5, 1, 31).tolist(),
    },
}
KERNELS = [name for name in GRIDS if name not in ("forest", "knn")]


@dataclass(frozen=True, eq=False)
class Tabulated:
    """An estimator problem as an objective that is interpolated, and traceable."""

    name: str

    @property
    def space(self):
        return PROBLEMS[self.name].space

    @functools.cached_property
    def tables(self):
        """The losses by the name of their grid; cross-validated once, then kept on disk."""
        path = _report.RESULTS / f"grid_{self.name}.npz"
        if not path.exists():
            tables = {grid: self._scored(grid) for grid in GRIDS}
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **tables)
        with np.load(path) as tables:
            return dict(tables)

    @property
    def least(self):
        return min(float(table.min()) for table in self.tables.values())

    def loss(self, config):
        """The loss of one plain configuration."""
        return float(self._compiled(None, encode_choices(self.space, config)))

    @functools.cached_property
    def _compiled(self):
        return jax.jit(self)

    def _scored(self, grid):
        axes = GRIDS[grid]
        shape = tuple(map(len, axes.values()))
        table = np.empty(shape)
        for index in np.ndindex(shape):
            values = [axis[i] for axis, i in zip(axes.values(), index, strict=True)]
            config = _configuration(grid, dict(zip(axes, values, strict=True)))
            table[index] = PROBLEMS[self.name].loss(config)
        _report.progress("grid", {"problem": self.name, "grid": grid})
        return table

    def __call__(self, key, params):
        svm = params["svm"]
        losses = {
            "forest": self._between("forest", params["forest"]),
            "knn": self._between("knn", params["knn"]),
        }
        for kernel in KERNELS:
            own = {"C": svm["C"], **svm["kernel"][kernel]}
            logs = {k: jnp.log10(own[k]) for k in ("C", "gamma") if k in own}
            losses[kernel] = self._between(kernel, own | logs)
        kernels = jnp.stack([losses[kernel] for kernel in KERNELS])
        families = [losses["forest"], losses["knn"], kernels[svm["kernel"]["choice"]]]
        return jnp.stack(families)[params["choice"]]

    def _between(self, grid, own):
        """The loss among the points of a grid."""
        places = []
        for name, axis in GRIDS[grid].items():
            # A choice is its index.
            numbers = range(len(axis)) if isinstance(axis[0], str) else axis
            known = jnp.asarray(np.asarray(numbers, float), float)
            steps = jnp.arange(len(axis), dtype=known.dtype)
            places.append(jnp.interp(own[name].astype(known.dtype), known, steps)[None])
        table = jnp.asarray(self.tables[grid], float)
        return jax.scipy.ndimage.map_coordinates(table, places, 1, mode="nearest")[0]


def _configuration(grid, own):
    """A plain configuration from the values on the axes of a grid."""
    if grid == "forest":
        # The nearest forest that fits into memory, where a search never looks.
        own["trees"] = min(own["trees"], LARGEST_FOREST // own["depth"])
    if grid in ("forest", "knn"):
        return {"choice": grid, grid: own}
    own = {k: 10.0**v if k in ("C", "gamma") else v for k, v in own.items()}
    kernel = {"choice": grid, grid: {k: v for k, v in own.items() if k != "C"}}
    return {"choice": "svm", "svm": {"C": own["C"], "kernel": kernel}}
