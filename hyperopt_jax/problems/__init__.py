"""Test problems with a known optimum: for tests, benchmarks and docs alike."""

from hyperopt_jax.problems._base import (
    Problem as Problem,
    all_problems as all_problems,
)
from hyperopt_jax.problems._classic_fixed import (
    Branin as Branin,
    Hartmann3 as Hartmann3,
    Hartmann6 as Hartmann6,
    SixHumpCamel as SixHumpCamel,
)
from hyperopt_jax.problems._classic_scalable import (
    Ackley as Ackley,
    DixonPrice as DixonPrice,
    Ellipsoid as Ellipsoid,
    Griewank as Griewank,
    Levy as Levy,
    Michalewicz as Michalewicz,
    Rastrigin as Rastrigin,
    Rosenbrock as Rosenbrock,
    Sphere as Sphere,
    StyblinskiTang as StyblinskiTang,
)
from hyperopt_jax.problems._hard_landscapes import (
    AttractiveSector as AttractiveSector,
    BentCigar as BentCigar,
    DifferentPowers as DifferentPowers,
    Gallagher as Gallagher,
    SchafferF7 as SchafferF7,
    Schwefel as Schwefel,
    SharpRidge as SharpRidge,
    StepEllipsoid as StepEllipsoid,
)
