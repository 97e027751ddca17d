"""Stationary kernels: functions of one scaled distance, periodic ones, sums and products."""

from hyperopt_jax.kernels._algebra import (
    Product as Product,
    Scaled as Scaled,
    Sum as Sum,
)
from hyperopt_jax.kernels._base import Angles as Angles, BaseKernel as BaseKernel
from hyperopt_jax.kernels._periodic import (
    Periodic as Periodic,
    periodic_parts as periodic_parts,
    with_periods_of_columns as with_periods_of_columns,
)
from hyperopt_jax.kernels._radial import (
    RBF as RBF,
    Matern as Matern,
    RadialKernel as RadialKernel,
)
from hyperopt_jax.kernels._tied import TiedKernel as TiedKernel
