"""An acquisition that looks one trial ahead, at what its result would change."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from hyperopt_jax._numerics import matmul
from hyperopt_jax.acquisition._base import BaseAcquisition, Scores
from hyperopt_jax.acquisition._marginal import LogEI
from hyperopt_jax.gp import Posterior

# Standard normal results at which gains are looked at, between -5 and 5.
N_NODES, LAST_NODE = 41, 5.0


class KnowledgeGradient(BaseAcquisition):
    """Logarithm of the knowledge gradient, by how much the best posterior mean is expected
    to rise with the result of a trial at x:

    a(x) = log(E[max_i m'(x_i)] - max_i m(x_i)), where m' is the posterior mean once that
    result is in, and the x_i are all trials so far and, in the first term, x itself.

    Use it where results are noisy and what counts is the recommended configuration, the
    one of the best posterior mean, more than the best result seen: a trial is worth what
    it teaches about all the others too, repeating a good one included. With no noise it
    is `LogEI`.

    With c and c* the covariances of m'(x_i) and of the best m'(x_i) with the standardised
    result Z, the gain is the largest of m(x_i) + c_i Z - m* - c* Z. Its part that is due
    to x alone is an expected improvement, which is exact; what the other trials add is
    integrated over Z by the trapezoidal rule.

    Given a mean and a standard deviation alone, it is `LogEI`.

    Source: Scott, Frazier & Powell, SIAM J. Optimization 21 (2011), section 3; Frazier,
    Powell & Dayanik, INFORMS J. Computing 21 (2009).

    ```python
    state, search = BayesianSearch.tuned(
        space, n_max=24, n_parallel=1, acquisition=KnowledgeGradient()
    )
    search.get_next_params(state, jax.random.key(0))
    ```
    """

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        return LogEI().evaluate(mean, std, y_max)

    def bound(
        self,
        posterior: Posterior,
        candidates: Float[Array, "c d"],
        imagined: Bool[Array, " n"],
        y_max: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> Scores:
        nodes, weights = (jnp.asarray(a, y_max.dtype) for a in _trapezoidal_rule())

        def scores(points: Float[Array, "m d"]) -> Float[Array, " m"]:
            means, slopes = posterior.one_more(points)
            best = jnp.argmax(means[0, :-1])
            known = posterior.mask.any()
            incumbent = jnp.where(known, means[:, best], y_max)
            # All in comparison with the best trial, whose mean moves as well.
            gains = means - incumbent[:, None]
            slopes = slopes - slopes[:, best][:, None]
            exact = self.evaluate(gains[:, -1], jnp.abs(slopes[:, -1]), jnp.zeros(()))
            rises = gains[:, None, :] + slopes[:, None, :] * nodes[None, :, None]
            own = jnp.maximum(rises[:, :, -1], 0.0)
            more = jnp.maximum(jnp.max(rises[:, :, :-1], axis=2) - own, 0.0)
            return jnp.logaddexp(exact, _log(matmul(more, weights)))

        return scores


def _log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The logarithm, -inf with gradient 0 where there is next to nothing."""
    some = x > float(jnp.finfo(x.dtype).tiny)
    return jnp.where(some, jnp.log(jnp.where(some, x, 1.0)), -jnp.inf)


def _trapezoidal_rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for E[g(Z)], exact for g that is linear between the nodes.

    A weight is the second difference of E[max(Z - z, 0)] = phi(z) - z Phi(-z).
    """
    nodes, step = np.linspace(-LAST_NODE, LAST_NODE, N_NODES, retstep=True)

    def excess(z: float) -> float:
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return density - z * math.erfc(z / math.sqrt(2)) / 2

    beyond = [nodes[0] - step, *nodes, nodes[-1] + step]
    return nodes, np.diff([excess(z) for z in beyond], 2) / step
