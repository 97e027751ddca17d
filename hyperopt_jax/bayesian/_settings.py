"""The settings of a Bayesian search as keyword arguments."""

from collections.abc import Callable
from typing import Any, Literal

from jaxtyping import ArrayLike

from hyperopt_jax.acquisition import BaseAcquisition
from hyperopt_jax.base import Settings
from hyperopt_jax.kernels import BaseKernel


class BayesianSettings(Settings, total=False):
    """The settings of `BayesianSearch`, for editors and type checkers.

    `BayesianSearch` says what each is and checks it.
    """

    jitter: ArrayLike
    kernel: BaseKernel
    acquisition: BaseAcquisition
    n_candidates: int
    n_restarts: int
    n_lbfgs_steps: int
    n_hparam_steps: int
    n_warmup: int
    hallucination: Callable[..., Any]
    warmup: Literal["random", "spread"]
    n_local: int
    n_greedy: int | None
    ranked: ArrayLike
