"""Search spaces: leaves of any pytree, and the codec that maps them to the unit cube."""

from hyperopt_jax.spaces._base import Space as Space
from hyperopt_jax.spaces._codec import (
    Codec as Codec,
    check_space as check_space,
    is_space as is_space,
    n_params as n_params,
    n_points as n_points,
    ravel as ravel,
    unravel as unravel,
)
from hyperopt_jax.spaces._discrete import DiscreteSpace as DiscreteSpace
from hyperopt_jax.spaces._linear import LinearSpace as LinearSpace
from hyperopt_jax.spaces._log import LogSpace as LogSpace
from hyperopt_jax.spaces._qlinear import QLinearSpace as QLinearSpace
from hyperopt_jax.spaces._qlog import QLogSpace as QLogSpace
