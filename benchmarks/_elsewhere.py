"""A peer in a Python of its own, asked and told through a pipe.

Run by that Python, not by ours: python _elsewhere.py vizier

Vizier and HEBO pin versions of JAX, NumPy and others that exclude this package's. One line
of JSON each way: first the box and the seed; then a point to evaluate, the result, the
next point, and so on. This file imports nothing that the other environment may lack.
"""

import json
import os
import random
import sys

import numpy as np


def vizier(low, high, seed):
    """The default algorithm of Vizier's service."""
    import jax

    jax.config.update("jax_enable_x64", True)  # it asks for double precision itself
    from vizier import algorithms, pyvizier
    from vizier._src.algorithms.designers.gp_ucb_pe import VizierGPUCBPEBandit

    problem = pyvizier.ProblemStatement()
    names = [f"x{i}" for i in range(len(low))]
    for name, a, b in zip(names, low, high, strict=True):
        problem.search_space.root.add_float_param(name, a, b)
    goal = pyvizier.ObjectiveMetricGoal.MINIMIZE
    metric = pyvizier.MetricInformation(name="loss", goal=goal)
    problem.metric_information.append(metric)
    designer = VizierGPUCBPEBandit(problem, rng=jax.random.PRNGKey(seed))
    number = 0
    while True:
        number += 1
        (suggestion,) = designer.suggest(1)
        result = yield [suggestion.parameters[name].value for name in names]
        trial = suggestion.to_trial(number)
        trial.complete(pyvizier.Measurement(metrics={"loss": result}))
        told, running = algorithms.CompletedTrials([trial]), algorithms.ActiveTrials([])
        designer.update(told, running)


def hebo(low, high, seed):
    """HEBO with its defaults."""
    import pandas as pd
    import torch
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    names = [f"x{i}" for i in range(len(low))]
    rows = [
        {"name": name, "type": "num", "lb": a, "ub": b}
        for name, a, b in zip(names, low, high, strict=True)
    ]
    search = HEBO(DesignSpace().parse(rows), scramble_seed=seed)
    while True:
        suggestion = search.suggest(n_suggestions=1)
        result = yield suggestion[names].to_numpy(float)[0].tolist()
        search.observe(pd.DataFrame(suggestion), np.array([[result]]))


def main():
    # Whatever the peer prints goes to stderr; the pipe is for JSON alone.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    task = json.loads(sys.stdin.readline())
    random.seed(task["seed"])
    np.random.seed(task["seed"])  # HEBO draws from it
    search = {"vizier": vizier, "hebo": hebo}[sys.argv[1]](**task)
    point = next(search)
    while True:
        pipe.write(json.dumps(point) + "\n")
        line = sys.stdin.readline()
        if not line:
            return
        point = search.send(json.loads(line))


if __name__ == "__main__":
    main()
