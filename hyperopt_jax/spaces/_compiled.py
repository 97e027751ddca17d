"""What the host asks of a codec, each question as one program.

Step by step it would be dozens of small ones, which take seconds to compile.
"""

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, PyTree

from hyperopt_jax.spaces import _feasible
from hyperopt_jax.spaces._codec import Codec

# For answers at once, also inside somebody's program that the space is no part of. Where
# programs are called: under `jax.ensure_compile_time_eval`, which does for single steps,
# they would be run step by step while they are traced.
on_the_host = jax.core.eval_context


@eqx.filter_jit
def active(space: PyTree, X: Float[Array, "n c"]) -> Bool[Array, "n c"]:
    """Which values of each row are active."""
    return Codec(space).active(X)


@eqx.filter_jit
def active_scopes(space: PyTree, X: Float[Array, "n c"]) -> Bool[Array, "n s"]:
    """In which rows the parts with each scope are active."""
    return Codec(space).active_scopes(X)


@eqx.filter_jit
def filler(space: PyTree) -> Float[Array, "1 c"]:
    """The values that parameters carry while they are inactive."""
    return Codec(space).filler()


@eqx.filter_jit
def is_lost(space: PyTree, X: Float[Array, "n c"]) -> Bool[Array, " n"]:
    """Which rows were proposed because no feasible point was found."""
    return Codec(space).is_lost(X)


@eqx.filter_jit
def probe(space: PyTree) -> Bool[Array, ""]:
    """Whether there is a feasible point among as many as a search would look at."""
    return _feasible.probe(Codec(space))
