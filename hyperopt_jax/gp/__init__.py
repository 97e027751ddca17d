"""Gaussian process regression on masked, fixed-size buffers."""

from hyperopt_jax.gp._fit import fit as fit
from hyperopt_jax.gp._hyper import (
    Hyperparameters as Hyperparameters,
    length_scale_mean as length_scale_mean,
    prior_penalty as prior_penalty,
)
from hyperopt_jax.gp._marginal import (
    gaussian_nll as gaussian_nll,
    gram as gram,
    log_marginal_likelihood as log_marginal_likelihood,
)
from hyperopt_jax.gp._posterior import (
    Local as Local,
    Posterior as Posterior,
    condition as condition,
)
from hyperopt_jax.gp._taylor import (
    Taylor as Taylor,
    expand as expand,
    noise_shows as noise_shows,
)
