"""What the host asks of a codec, each question as one program.

Step by step it would be dozens of small ones, which take seconds to compile.
"""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from hyperopt_jax.spaces import _feasible
from hyperopt_jax.spaces._codec import Codec


@eqx.filter_jit
def draw(codec: Codec, key: PRNGKeyArray, n: int) -> Float[Array, "n c"]:
    """`n` independent configurations."""
    return codec.decode_found(*codec.sample(key, n))


@eqx.filter_jit
def encode(codec: Codec, X: Float[Array, "n c"]) -> Float[Array, "n d"]:
    """Where the values of each row lie in the unit cube."""
    return codec.encode(X)


@eqx.filter_jit
def decode(codec: Codec, U: Float[Array, "n d"]) -> Float[Array, "n c"]:
    """The values at each row of the unit cube."""
    return codec.snapped(U)[1]


@eqx.filter_jit
def active(codec: Codec, X: Float[Any, "n c"]) -> Bool[Array, "n c"]:
    """Which values of each row are active."""
    return codec.active(X)


@eqx.filter_jit
def active_scopes(codec: Codec, X: Float[Array, "n c"]) -> Bool[Array, "n s"]:
    """In which rows the parts with each scope are active."""
    return codec.active_scopes(X)


@eqx.filter_jit
def filler(codec: Codec) -> Float[Array, "1 c"]:
    """The values that parameters carry while they are inactive."""
    return codec.filler()


@eqx.filter_jit
def is_lost(codec: Codec, X: Float[Any, "n c"]) -> Bool[Array, " n"]:
    """Which rows were proposed because no feasible point was found."""
    return codec.is_lost(X)


@eqx.filter_jit
def probe(codec: Codec) -> Bool[Array, ""]:
    """Whether there is a feasible point among as many as a search would look at."""
    return _feasible.probe(codec)
