"""The least time that the arithmetic of a trial takes on this machine.

What `BayesianSearch.tuned` computes for one trial among `n`, one at a time, counted from
its settings, over the rates at which this machine does the same kinds of work alone.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from _report import timed

REPEATS = 30


def trial(n, d):
    """Seconds a trial at least takes, by part, and seconds that it does take."""
    from hyperopt_jax import BayesianSearch, LinearSpace
    from hyperopt_jax.bayesian._tell import REFITS_PER_DOUBLING, _fit_rows

    space = [LinearSpace(0.0, 1.0)] * d
    state, search = BayesianSearch.tuned(
        space, n_max=n + 10, n_parallel=1, maximize=False
    )
    rows = search.capacity(n)
    fitted = _fit_rows(search.shrink(state, rows).trials).shape[0]
    refits = REFITS_PER_DOUBLING * math.log2((n + 10) / n) / 10
    steps = refits * search.n_hparam_steps
    gradients = search.n_restarts * (search.n_lbfgs_steps + 1)
    points = search.n_candidates + 3 * gradients  # a gradient costs two more values

    rate = rates(rows, fitted, search.n_candidates)
    parts = {
        "screen and refine ms": points * rate["predict"],
        "condition ms": rate["factor"] + rate["entry"] * rows**2,
        "refit ms": steps * (rate["refit step"] + 3 * rate["entry"] * fitted**2),
    }
    took = achieved(space, state, search, n)
    floor = sum(parts.values())
    return {
        "rows": rows,
        **{name: 1e3 * seconds for name, seconds in parts.items()},
        "floor ms": 1e3 * floor,
        "took ms": 1e3 * took,
        "took / floor": took / floor,
    }


def rates(rows, fitted, n_points):
    """Seconds for the pieces, each a compiled program that does nothing else."""
    from hyperopt_jax.kernels import Matern

    kernel = Matern(nu=2.5)
    rng = np.random.default_rng(0)
    X, C = (jnp.asarray(rng.random((m, 5))) for m in (rows, n_points))
    K, Kf = (jnp.asarray(np.eye(m) + 0.1) for m in (rows, fitted))
    t = jnp.asarray(rng.random(rows))

    def predict(C, X, L, t):
        k = kernel(C, X, jnp.ones(5))
        return k @ t, jnp.sum((k @ L.T) ** 2, axis=1)

    def factor(K):
        L = jax.lax.linalg.cholesky(K)
        eye = jnp.eye(K.shape[0])
        return jax.lax.linalg.triangular_solve(L, eye, left_side=True, lower=True)

    def refit_step(K):
        L_inverse = factor(K)
        return L_inverse.T @ L_inverse

    return {
        "predict": least(predict, C, X, K, t) / n_points,
        "factor": least(factor, K),
        "refit step": least(refit_step, Kf),
        "entry": least(lambda X: kernel(X, X, jnp.ones(5)), X) / rows**2,
    }


def least(program, *args):
    """Seconds of the fastest of many calls of the compiled `program`."""
    compiled = jax.jit(program)
    jax.block_until_ready(compiled(*args))
    return min(timed(compiled, *args)[1] for _ in range(REPEATS))


def achieved(space, state, search, n):
    """Seconds a trial of `optimize_scan`, for the ten trials after `n`."""
    rng = np.random.default_rng(1)
    points = jnp.asarray(rng.random((n, len(space))), float)
    results = jnp.sum((points - 0.3) ** 2, axis=1)
    key = jax.random.key(0)
    told = search.update_state(state, key, results, points)

    def objective(key, params):
        return jnp.sum((jnp.stack(params) - 0.3) ** 2)

    def study():
        return search.optimize_scan(told, key, objective, 10)

    jax.block_until_ready(study())
    return min(timed(study)[1] for _ in range(5)) / 10
