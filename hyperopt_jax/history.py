"""The fixed-capacity record of trials: what is kept, what counts, what is best.

A record is three buffers of one length, filled from the front: parameter values, raw
results and a mask of the filled rows; and a fourth that marks failed trials. A result
that is NaN or infinite is a *failed trial*: it fills a row and counts, but it is stored
as 0 and nothing downstream takes it for a number.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Trials(NamedTuple):
    """The record of a study; see the module."""

    X: Float[Array, "c d"]
    y: Float[Array, " c"]
    mask: Bool[Array, " c"]
    failed: Bool[Array, " c"]

    @property
    def succeeded(self) -> Bool[Array, " c"]:
        """Rows that hold a trial with a finite result."""
        return self.mask & ~self.failed

    @property
    def n_recorded(self) -> Int[Array, ""]:
        """How many trials are recorded, failed ones included."""
        return jnp.sum(self.mask, dtype=jnp.int32)


def empty(capacity: int, n_params: int) -> Trials:
    """A record with room for `capacity` trials."""
    # NumPy's zeros are moved and not compiled, which every new process would wait for.
    floats = jnp.result_type(float)
    X, y = np.zeros((capacity, n_params), floats), np.zeros(capacity, floats)
    mask, failed = np.zeros((2, capacity), bool)
    return Trials(*jax.device_put((X, y, mask, failed)))


def append(
    trials: Trials,
    X: Float[Array, "q d"],
    results: Float[Array, " q"],
    n_new: Int[Array, ""] | int,
) -> tuple[Trials, Bool[Array, ""]]:
    """The record with the first `n_new` of `X`, and whether there was room for them.

    A full record keeps what it has: only the free rows are written, first results first.
    """
    (capacity,), (q,) = trials.mask.shape, results.shape
    if q == 0:
        return trials, jnp.asarray(True)
    ok = jnp.isfinite(results)
    # Which new trial each row gets, if any: a gather, far less code than a scatter.
    source = jnp.arange(capacity, dtype=jnp.int32) - trials.n_recorded
    is_new = (source >= 0) & (source < n_new)
    source = jnp.clip(source, 0, q - 1)
    record = Trials(
        X=jnp.where(is_new[:, None], X[source], trials.X),
        y=jnp.where(is_new, jnp.where(ok, results, 0.0)[source], trials.y),
        mask=trials.mask | is_new,
        failed=jnp.where(is_new, ~ok[source], trials.failed),
    )
    return record, trials.n_recorded + n_new <= capacity


def losses(trials: Trials, maximize: bool) -> Float[Array, " c"]:
    """The results with one sign, lower is better; +inf where there is none."""
    signed = -trials.y if maximize else trials.y
    return jnp.where(trials.succeeded, signed, jnp.inf)


def best_row(trials: Trials, maximize: bool) -> Int[Array, ""]:
    """The row of the best trial; 0 while none has succeeded."""
    return jnp.argmin(losses(trials, maximize))
