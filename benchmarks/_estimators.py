"""Tuning problems with families, conditions and a constraint.

Each chooses among three scikit-learn estimators with two to four hyperparameters of their
own, on a data set that scikit-learn brings along, or makes (`friedman`); the loss is
cross-validated.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperopt_jax import (
    BooleanSpace,
    ChoiceSpace,
    ConditionalSpace,
    ConstrainedSpace,
    LinearSpace,
    LogSpace,
    QLinearSpace,
    QLogSpace,
    decode_choices,
)

FOLDS = 3
MAX_ROWS = 600  # of digits; the others have fewer
LARGEST_FOREST = 400  # trees times depth, for the memory that a forest may take


@dataclass(frozen=True)
class EstimatorProblem:
    """A data set and the families of estimators to choose from."""

    name: str
    is_classification: bool

    @property
    def space(self) -> Any:
        return ConstrainedSpace(ConditionalSpace(_branches(self)), _fits_in_memory)

    def loss(self, config: dict[str, Any]) -> float:
        """The cross-validated loss of one plain configuration; lower is better."""
        from sklearn.model_selection import cross_val_score

        X, y = _data(self.name)
        scoring = "neg_log_loss" if self.is_classification else "neg_mean_squared_error"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # solvers that did not converge
            scores = cross_val_score(
                _estimator(self.is_classification, config),
                X,
                y,
                cv=FOLDS,
                scoring=scoring,
            )
        return float(-np.mean(scores))

    def __call__(self, key: Any, params: Any) -> float:
        return self.loss(decode_choices(self.space, params))


PROBLEMS = {
    "breast_cancer": EstimatorProblem("breast_cancer", True),
    "wine": EstimatorProblem("wine", True),
    "diabetes": EstimatorProblem("diabetes", False),
    "digits": EstimatorProblem("digits", True),
    "iris": EstimatorProblem("iris", True),
    "friedman": EstimatorProblem("friedman", False),
}


def _branches(problem: EstimatorProblem) -> dict[str, Any]:
    return {
        "svm": {
            "C": LogSpace(1e-3, 1e3),
            "kernel": ConditionalSpace(
                {
                    "rbf": {"gamma": LogSpace(1e-5, 1e1)},
                    "poly": {
                        "gamma": LogSpace(1e-5, 1e1),
                        "degree": QLinearSpace(2, 4),
                    },
                    "linear": {},
                }
            ),
        },
        "forest": {
            "trees": QLogSpace(5, 100),
            "depth": QLinearSpace(1, 15),
            "max_features": LinearSpace(0.1, 1.0),
            "bootstrap": BooleanSpace(),
        },
        "knn": {
            "neighbours": QLogSpace(1, 50),
            "weights": ChoiceSpace(["uniform", "distance"]),
            "p": LinearSpace(1.0, 3.0),
        },
    }


def _fits_in_memory(params: Any) -> Any:
    forest = params["forest"]
    small = forest["trees"] * forest["depth"] <= LARGEST_FOREST
    # The branches count in the order of their names: forest is the first.
    return small | (params["choice"] != 0)


def fits_in_memory(config: dict[str, Any]) -> bool:
    """The same constraint on a plain configuration."""
    forest = config.get("forest")
    return forest is None or forest["trees"] * forest["depth"] <= LARGEST_FOREST


def suggest(trial: Any) -> dict[str, Any]:
    """The same space as an Optuna objective asks for it."""
    choice = trial.suggest_categorical("choice", ["forest", "knn", "svm"])
    if choice == "forest":
        own = {
            "trees": trial.suggest_int("trees", 5, 100, log=True),
            "depth": trial.suggest_int("depth", 1, 15),
            "max_features": trial.suggest_float("max_features", 0.1, 1.0),
            "bootstrap": trial.suggest_categorical("bootstrap", [False, True]),
        }
    elif choice == "knn":
        own = {
            "neighbours": trial.suggest_int("neighbours", 1, 50, log=True),
            "weights": trial.suggest_categorical("weights", ["uniform", "distance"]),
            "p": trial.suggest_float("p", 1.0, 3.0),
        }
    else:
        kernel = trial.suggest_categorical("kernel", ["linear", "poly", "rbf"])
        inner: dict[str, Any] = {}
        if kernel != "linear":
            inner["gamma"] = trial.suggest_float(f"{kernel}_gamma", 1e-5, 1e1, log=True)
        if kernel == "poly":
            inner["degree"] = trial.suggest_int("degree", 2, 4)
        own = {
            "C": trial.suggest_float("C", 1e-3, 1e3, log=True),
            "kernel": {"choice": kernel, kernel: inner},
        }
    return {"choice": choice, choice: own}


def best_of_tpe(
    loss: Callable[[dict[str, Any]], float], trials: int, seed: int
) -> float:
    """The best loss that Optuna's TPE, multivariate and by groups, finds in the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # settings that are experimental or deprecated
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    best, done = np.inf, 0
    while done < trials:
        trial = study.ask()
        config = suggest(trial)
        if not fits_in_memory(config):
            # It has no constraints on what it proposes: such a trial is not counted.
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        own = loss(config)
        study.tell(trial, own)
        best, done = min(best, own), done + 1
    return float(best)


@functools.cache
def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    if name == "friedman":
        return datasets.make_friedman1(300, noise=1.0, random_state=0)
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X[:MAX_ROWS], y[:MAX_ROWS]


def _estimator(is_classification: bool, config: dict[str, Any]) -> Any:
    from sklearn import ensemble, neighbors, pipeline, preprocessing, svm

    kind = "Classifier" if is_classification else "Regressor"
    choice = config["choice"]
    own = config[choice]
    if choice == "forest":
        return getattr(ensemble, f"RandomForest{kind}")(
            n_estimators=own["trees"],
            max_depth=own["depth"],
            max_features=own["max_features"],
            bootstrap=own["bootstrap"],
            random_state=0,
        )
    if choice == "knn":
        model = getattr(neighbors, f"KNeighbors{kind}")(
            n_neighbors=own["neighbours"], weights=own["weights"], p=own["p"]
        )
    else:
        kernel = own["kernel"]["choice"]
        inner = own["kernel"][kernel]
        settings = {"C": own["C"], "kernel": kernel, "max_iter": 20_000, **inner}
        if is_classification:
            model = svm.SVC(probability=True, random_state=0, **settings)
        else:
            model = svm.SVR(**settings)
    return pipeline.make_pipeline(preprocessing.StandardScaler(), model)
