"""Hyperparameter search that compiles: a study is a pure function of a pytree and a key."""

import types as _types

from hyperopt_jax._best import best_trial as best_trial
from hyperopt_jax._compilation_cache import cache_compilations as cache_compilations
from hyperopt_jax._evaluate import (
    python_loop as python_loop,
    vectorised as vectorised,
)
from hyperopt_jax.acquisition import (
    EI as EI,
    PI as PI,
    UCB as UCB,
    BaseAcquisition as BaseAcquisition,
    BaseHallucination as BaseHallucination,
    ConstantHallucination as ConstantHallucination,
    KnowledgeGradient as KnowledgeGradient,
    LogEI as LogEI,
    LogNoisyEI as LogNoisyEI,
    MaxValueEntropy as MaxValueEntropy,
    MeanHallucination as MeanHallucination,
    SampleHallucination as SampleHallucination,
    ThompsonSampling as ThompsonSampling,
    UCBHallucination as UCBHallucination,
)
from hyperopt_jax.base import (
    BatchCompleted as BatchCompleted,
    Optimizer as Optimizer,
    OptimizerState as OptimizerState,
)
from hyperopt_jax.bayesian import (
    BayesianSearch as BayesianSearch,
    BayesianSearchState as BayesianSearchState,
)
from hyperopt_jax.errors import HyperoptError as HyperoptError, Status as Status
from hyperopt_jax.grid import (
    GridSearch as GridSearch,
    GridSearchState as GridSearchState,
)
from hyperopt_jax.kernels import (
    RBF as RBF,
    BaseKernel as BaseKernel,
    Matern as Matern,
    Periodic as Periodic,
    Product as Product,
    RadialKernel as RadialKernel,
    Scaled as Scaled,
    Sum as Sum,
)
from hyperopt_jax.random import (
    RandomSearch as RandomSearch,
    RandomSearchState as RandomSearchState,
)
from hyperopt_jax.spaces import (
    BooleanSpace as BooleanSpace,
    ChoiceSpace as ChoiceSpace,
    CompositeSpace as CompositeSpace,
    Condition as Condition,
    ConditionalSpace as ConditionalSpace,
    ConstrainedSpace as ConstrainedSpace,
    DependentSpace as DependentSpace,
    DiscreteSpace as DiscreteSpace,
    FixedSpace as FixedSpace,
    LinearSpace as LinearSpace,
    ListSpace as ListSpace,
    LogitSpace as LogitSpace,
    LogNormalSpace as LogNormalSpace,
    LogSpace as LogSpace,
    NormalSpace as NormalSpace,
    OrdinalSpace as OrdinalSpace,
    PermutationSpace as PermutationSpace,
    QLinearSpace as QLinearSpace,
    QLogSpace as QLogSpace,
    ReverseLogSpace as ReverseLogSpace,
    SimplexSpace as SimplexSpace,
    Space as Space,
    SubsetSpace as SubsetSpace,
    VectorSpace as VectorSpace,
    active as active,
    decode_choices as decode_choices,
    encode_choices as encode_choices,
)

# What a star import brings: no modules, one of which would take the place of Python's own
# `random`.
__all__ = [
    name
    for name, value in globals().items()
    if not name.startswith("_") and not isinstance(value, _types.ModuleType)
]

__version__ = "0.1.0"
