"""Search spaces: leaves of any pytree, and the codec that maps them to the unit cube."""

from hyperopt_jax.spaces._base import CompositeSpace as CompositeSpace, Space as Space
from hyperopt_jax.spaces._checked import (
    check_precision as check_precision,
    check_space as check_space,
    is_constrained as is_constrained,
    is_space as is_space,
    is_stack as is_stack,
)
from hyperopt_jax.spaces._choice import (
    BooleanSpace as BooleanSpace,
    ChoiceSpace as ChoiceSpace,
    OrdinalSpace as OrdinalSpace,
)
from hyperopt_jax.spaces._codec import (
    Codec as Codec,
    codec_of as codec_of,
    codec_told as codec_told,
)
from hyperopt_jax.spaces._compiled import draw as draw, is_lost as is_lost
from hyperopt_jax.spaces._conditional import ConditionalSpace as ConditionalSpace
from hyperopt_jax.spaces._constrained import ConstrainedSpace as ConstrainedSpace
from hyperopt_jax.spaces._dependent import (
    Condition as Condition,
    DependentSpace as DependentSpace,
)
from hyperopt_jax.spaces._describe import describe as describe
from hyperopt_jax.spaces._discrete import DiscreteSpace as DiscreteSpace
from hyperopt_jax.spaces._enumerate import (
    all_points as all_points,
    check_finite as check_finite,
    enumerate_space as enumerate_space,
    size as size,
)
from hyperopt_jax.spaces._fixed import FixedSpace as FixedSpace
from hyperopt_jax.spaces._given import (
    encode_choices as encode_choices,
    given_points as given_points,
)
from hyperopt_jax.spaces._json import from_json as from_json, to_json as to_json
from hyperopt_jax.spaces._linear import LinearSpace as LinearSpace
from hyperopt_jax.spaces._list import ListSpace as ListSpace
from hyperopt_jax.spaces._log import LogSpace as LogSpace
from hyperopt_jax.spaces._logit import (
    LogitSpace as LogitSpace,
    ReverseLogSpace as ReverseLogSpace,
)
from hyperopt_jax.spaces._normal import (
    LogNormalSpace as LogNormalSpace,
    NormalSpace as NormalSpace,
)
from hyperopt_jax.spaces._operations import (
    Parts as Parts,
    active as active,
    contains as contains,
    decode as decode,
    decode_choices as decode_choices,
    encode as encode,
    flatten as flatten,
    merge as merge,
    names as names,
    sample as sample,
    split as split,
    unflatten as unflatten,
)
from hyperopt_jax.spaces._outside import outside as outside
from hyperopt_jax.spaces._permutation import PermutationSpace as PermutationSpace
from hyperopt_jax.spaces._qlinear import QLinearSpace as QLinearSpace
from hyperopt_jax.spaces._qlog import QLogSpace as QLogSpace
from hyperopt_jax.spaces._shown import with_numbers as with_numbers
from hyperopt_jax.spaces._simplex import SimplexSpace as SimplexSpace
from hyperopt_jax.spaces._subset import SubsetSpace as SubsetSpace
from hyperopt_jax.spaces._tables import (
    as_table as as_table,
    has_discrete as has_discrete,
    is_conditional as is_conditional,
    n_columns as n_columns,
    n_groups as n_groups,
    n_params as n_params,
    ravel as ravel,
    shapes_of as shapes_of,
    unravel as unravel,
)
from hyperopt_jax.spaces._vector import VectorSpace as VectorSpace
