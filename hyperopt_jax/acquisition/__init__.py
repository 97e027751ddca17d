"""Acquisition functions, which score a point by its posterior, and hallucinations,
which stand in for results that are not in yet.

Both speak the language of the literature: higher is better, `y_max` is the incumbent.
Inside a search they see standardised results (mean 0, standard deviation 1), so `xi`
and `kappa` mean the same for every objective.
"""

from hyperopt_jax.acquisition._base import BaseAcquisition as BaseAcquisition
from hyperopt_jax.acquisition._hallucination import (
    BaseHallucination as BaseHallucination,
    ConstantHallucination as ConstantHallucination,
    MeanHallucination as MeanHallucination,
    SampleHallucination as SampleHallucination,
    UCBHallucination as UCBHallucination,
)
from hyperopt_jax.acquisition._lookahead import KnowledgeGradient as KnowledgeGradient
from hyperopt_jax.acquisition._marginal import (
    EI as EI,
    PI as PI,
    UCB as UCB,
    LogEI as LogEI,
)
from hyperopt_jax.acquisition._sampled import (
    LogNoisyEI as LogNoisyEI,
    MaxValueEntropy as MaxValueEntropy,
    ThompsonSampling as ThompsonSampling,
)
