"""Bayesian search: a Gaussian process proposes, the results teach it."""

from hyperopt_jax.bayesian._search import BayesianSearch as BayesianSearch
from hyperopt_jax.bayesian._state import BayesianSearchState as BayesianSearchState
