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
    trials = search.shrink(state, search.capacity(n)).trials
    rows, fitted = trials.mask.shape[0], _fit_rows(trials).shape[0]
    refits = REFITS_PER_DOUBLING * math.log2((n + 10) / n) / 10
    steps = refits * search.n_hparam_steps
    gradients = search.n_restarts * (search.n_lbfgs_steps + 1)
    points = search.n_candidates + 3 * gradients  # a gradient costs two more values

    rate = rates(rows, search.n_candidates, d)
    flops = points * 2 * rows**2  # k L^-T
    flops += rows**3 / 3  # L^-1, one triangle
    flops += steps * (1 / 3 + 2 / 3) * fitted**3  # L^-1, and one triangle of K^-1
    entries = points * rows + rows**2 + 3 * steps * fitted**2
    parts = {
        "products ms": flops * rate["flop"],
        "Cholesky ms": cholesky(rows) + steps * cholesky(fitted),
        "kernel ms": entries * rate["entry"],
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


def rates(rows, n_points, d):
    """Seconds for an operation of a matrix product and for an entry of a kernel."""
    from hyperopt_jax.kernels import Matern

    kernel = Matern(nu=2.5)
    rng = np.random.default_rng(0)
    C, X = (jnp.asarray(rng.random((m, d)), float) for m in (n_points, rows))
    k, L = jnp.ones((n_points, rows)), jnp.ones((rows, rows))
    return {
        "flop": least(jnp.matmul, k, L) / (2 * n_points * rows**2),
        "entry": least(lambda C, X: kernel(C, X, jnp.ones(d)), C, X)
        / (n_points * rows),
    }


def cholesky(rows):
    """Seconds for one factorisation."""
    return least(jax.lax.linalg.cholesky, jnp.eye(rows) + 0.1)


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
