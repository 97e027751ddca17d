"""The noiseless functions of BBOB, as the package `ioh` computes them.

They were made by others to compare optimisers, and nothing in this package was chosen by
them: a second opinion on what the families say. Each of the 24 has any number of
instances, shifted and rotated. They are compiled C++ that JAX cannot trace, so every
search is asked and told.

Source: Hansen, Finck, Ros & Auger (2009), Real-Parameter Black-Box Optimization
Benchmarking 2009: Noiseless Functions Definitions, INRIA RR-6829.
"""

import dataclasses

import numpy as np

N_FUNCTIONS = 24
BOUNDS = (-5.0, 5.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Function:
    """The first instances of a function; `instances[i](x)` is the gap at x."""

    name: str
    dim: int
    instances: tuple

    optimum = 0.0

    def values(self, points):
        """The gaps at `points (n_seeds, n_trials, d)`, seed by seed."""
        played = (self.instances[i % len(self.instances)] for i in range(len(points)))
        return np.array(
            [[gap(x) for x in row] for gap, row in zip(played, points, strict=True)]
        )


def functions(dim, n_instances):
    """All functions in `dim` coordinates."""
    every = [
        [_problem(number, i + 1, dim) for i in range(n_instances)]
        for number in range(1, N_FUNCTIONS + 1)
    ]
    return [
        Function(problems[0].meta_data.name, dim, tuple(map(_gap, problems)))
        for problems in every
    ]


def _problem(number, instance, dim):
    import ioh

    kind = ioh.ProblemClass.BBOB
    return ioh.get_problem(number, instance, dim, kind)


def _gap(problem):
    def gap(x):
        return problem(np.asarray(x, float)) - problem.optimum.y

    return gap
