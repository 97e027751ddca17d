"""Mixed tuning tasks: estimators, and forests in their place that are cheap to repeat.

Each task is a scikit-learn estimator with real, integer and categorical
hyperparameters on a data set that scikit-learn brings along. `N_SCORED` random
configurations are cross-validated once, and a random forest is fitted to their losses:
a landscape which a compiled search can play over many seeds (surrogate benchmarks:
Eggensperger et al. 2015). It has the tails and the categories of the real one, but not
the fine differences among good configurations.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import _report
import jax
import jax.numpy as jnp
import numpy as np

N_SCORED, N_TREES, FOLDS = 700, 40, 3
N_SAMPLED = 20_000  # for what is the best, and what random search finds
SCALERS = ["none", "standard", "minmax"]


@dataclass(frozen=True, eq=False)
class Task:
    """`loss(config)` is cross-validated; `landscape` stands in for it."""

    name: str
    space: dict[str, Any]
    data: Callable
    estimator: Callable
    scoring: str

    def loss(self, config):
        from sklearn.model_selection import cross_val_score

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # solvers that did not converge
            scores = cross_val_score(
                self.estimator(**config), *self.data(), cv=FOLDS, scoring=self.scoring
            )
        return float(-np.mean(scores))

    def __call__(self, key, params):
        from hyperopt_jax import decode_choices

        return self.loss(decode_choices(self.space, params))

    @functools.cached_property
    def landscape(self):
        """The forest, from the table of losses."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(N_TREES, random_state=0, max_features=0.7)
        return Landscape.of(forest.fit(*self.table))

    @functools.cached_property
    def table(self):
        """Random configurations and their losses; scored once, then kept on disk."""
        path = _report.RESULTS / f"task_{self.name}.npz"
        if not path.exists():
            U, losses = self._scored()
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, U=U, losses=losses)
        table = np.load(path)
        return table["U"], table["losses"]

    def _scored(self):
        from hyperopt_jax import decode_choices, spaces

        params = spaces.sample(self.space, jax.random.key(0), N_SCORED)
        losses = []
        for config in decode_choices(self.space, params):
            losses.append(self.loss(config))
            if len(losses) % 100 == 0:
                _report.progress("task", {"name": self.name, "scored": len(losses)})
        losses = np.array(losses)
        finite = losses[np.isfinite(losses)]
        # One estimator that diverges must not decide every split of the forest.
        q1, q3 = np.quantile(finite, [0.25, 0.75])
        losses = np.where(np.isfinite(losses), losses, finite.max())
        losses = np.minimum(losses, q3 + 50 * (q3 - q1))
        return np.asarray(spaces.encode(self.space, params), float), losses


@dataclass(frozen=True, eq=False)
class Landscape:
    """A forest as arrays: one row a tree, one column a node; leaves lead to themselves."""

    children: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    depth: int

    @classmethod
    def of(cls, forest):
        trees = [tree.tree_ for tree in forest.estimators_]
        n = max(tree.node_count for tree in trees)

        def padded(table, fill=0):
            return np.stack([np.pad(row, (0, n - len(row))) for row in table]) + fill

        def next_nodes(tree):
            stay = np.arange(tree.node_count)
            sides = tree.children_left, tree.children_right
            return [np.where(side < 0, stay, side) for side in sides]

        left, right = zip(*map(next_nodes, trees), strict=True)
        return cls(
            np.stack([padded(left), padded(right)]),
            padded([np.maximum(tree.feature, 0) for tree in trees]),
            padded([tree.threshold for tree in trees]),
            padded([tree.value[:, 0, 0] for tree in trees]),
            max(tree.max_depth for tree in trees),
        )

    def __call__(self, u):
        """The loss at the point `u` of the unit cube."""
        tree = jnp.arange(len(self.value))
        children, column, threshold, value = map(
            jnp.asarray, (self.children, self.column, self.threshold, self.value)
        )

        def descend(_, node):
            right = u[column[tree, node]] > threshold[tree, node]
            return children[right.astype(jnp.int32), tree, node]

        leaf = jax.lax.fori_loop(0, self.depth, descend, jnp.zeros_like(tree))
        return jnp.mean(value[tree, leaf])


def tasks(quick):
    from hyperopt_jax import (
        BooleanSpace as Boolean,
        ChoiceSpace as Choice,
        LinearSpace as Linear,
        LogSpace as Log,
        QLinearSpace as Integer,
        QLogSpace as LogInteger,
    )

    found = [
        Task(
            "svc",
            {
                "C": Log(1e-3, 1e3),
                "gamma": Log(1e-5, 1e1),
                "kernel": Choice(["rbf", "poly", "sigmoid"]),
                "degree": Integer(2, 5),
                "coef0": Linear(0.0, 2.0),
                "scaler": Choice(SCALERS),
            },
            _digits,
            _svc,
            "accuracy",
        ),
        Task(
            "mlp",
            {
                "hidden": LogInteger(4, 64),
                "learning_rate": Log(1e-4, 1.0),
                "alpha": Log(1e-6, 1e1),
                "activation": Choice(["relu", "tanh", "logistic"]),
                "batch_size": LogInteger(16, 200),
                "scaler": Choice(SCALERS),
            },
            _wine,
            _mlp,
            "neg_log_loss",
        ),
        Task(
            "sgd",
            {
                "alpha": Log(1e-7, 1e1),
                "l1_ratio": Linear(0.0, 1.0),
                "eta0": Log(1e-4, 1e1),
                "loss": Choice(["hinge", "log_loss", "modified_huber", "perceptron"]),
                "penalty": Choice(["l1", "l2", "elasticnet"]),
                "schedule": Choice(["constant", "optimal", "invscaling", "adaptive"]),
                "scaler": Choice(SCALERS),
            },
            _breast_cancer,
            _sgd,
            "accuracy",
        ),
        Task(
            "knn",
            {
                "neighbours": LogInteger(1, 60),
                "weights": Choice(["uniform", "distance"]),
                "p": Linear(1.0, 4.0),
                "components": Integer(2, 40),
                "scaler": Choice(SCALERS),
            },
            _digits,
            _knn,
            "accuracy",
        ),
        Task(
            "trees",
            {
                "trees": LogInteger(3, 30),
                "depth": Integer(1, 20),
                "leaf": LogInteger(1, 30),
                "max_features": Linear(0.05, 1.0),
                "criterion": Choice(["gini", "entropy", "log_loss"]),
                "bootstrap": Boolean(),
            },
            _wine,
            _trees,
            "neg_log_loss",
        ),
        Task(
            "svr",
            {
                "C": Log(1e-2, 1e4),
                "gamma": Log(1e-5, 1e1),
                "epsilon": Log(1e-2, 1e2),
                "kernel": Choice(["rbf", "poly", "sigmoid", "linear"]),
                "degree": Integer(2, 4),
                "scaler": Choice(SCALERS),
            },
            _diabetes,
            _svr,
            "neg_mean_squared_error",
        ),
    ]
    return found[2:3] if quick else found


def _digits():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X[:500], y[:500]


def _wine():
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True)


def _breast_cancer():
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


def _diabetes():
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)


def _after(scaler, *steps):
    from sklearn import pipeline, preprocessing

    kinds = {
        "none": preprocessing.FunctionTransformer,
        "standard": preprocessing.StandardScaler,
        "minmax": preprocessing.MinMaxScaler,
    }
    return pipeline.make_pipeline(kinds[scaler](), *steps)


def _svc(scaler, **settings):
    from sklearn.svm import SVC

    return _after(scaler, SVC(max_iter=3000, **settings))


def _svr(scaler, **settings):
    from sklearn.svm import SVR

    return _after(scaler, SVR(max_iter=2000, **settings))


def _mlp(scaler, hidden, learning_rate, **settings):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        (hidden,),
        learning_rate_init=learning_rate,
        max_iter=12,
        random_state=0,
        **settings,
    )
    return _after(scaler, model)


def _sgd(scaler, schedule, **settings):
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(
        learning_rate=schedule, max_iter=30, random_state=0, **settings
    )
    return _after(scaler, model)


def _knn(scaler, neighbours, components, **settings):
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(neighbours, **settings)
    return _after(scaler, PCA(components, random_state=0), model)


def _trees(trees, depth, leaf, **settings):
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        trees, max_depth=depth, min_samples_leaf=leaf, random_state=0, **settings
    )
