"""What the surrogate models: standardised results, the worst of them by rank only."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperopt_jax import history
from hyperopt_jax._numerics import masked_rank, normal_quantile


class Targets(NamedTuple):
    """Standardised results `t`, higher is better.

    A target stands for the loss `8 * (location - scale * t)` (results, or minus results
    where they are maximised), but for the worst ones, of which only the rank counts.
    Eighths, since differences of results at both ends of the float range overflow.
    """

    t: Float[Array, " c"]
    location: Float[Array, ""]
    scale: Float[Array, ""]


def targets_of(
    trials: history.Trials, maximize: bool, ranked: Float[Array, ""] | float
) -> Targets:
    """The targets of the recorded trials.

    The share `ranked` of the results, from the worst, stands at the standard normal
    quantiles of their ranks, ties in the middle of theirs; so no disaster, and no heap of
    useless results, flattens the differences that matter. The better results keep theirs,
    in a unit that gives them the spread of their own quantiles. Failed trials stand at
    the worst target; free rows at 0.
    """
    ok = trials.succeeded
    count = jnp.sum(ok, dtype=jnp.int32)
    loss = jnp.where(ok, history.losses(trials, maximize) / 8, 0.0)
    n_better, n_equal = (n.astype(loss.dtype) for n in masked_rank(loss, ok))
    n = jnp.maximum(count, 1).astype(loss.dtype)
    quantile = -normal_quantile(jnp.where(ok, (n_better + 0.5 * n_equal) / n, 0.5))

    keeps = ok & (n_better <= (1 - jnp.asarray(ranked, n.dtype)) * (n - 1))
    best = jnp.min(jnp.where(keeps, loss, jnp.inf))
    worst_kept = jnp.max(jnp.where(keeps, loss, -jnp.inf))
    lowest = jnp.min(jnp.where(keeps, quantile, jnp.inf))
    # Results may be near an end of the float range: scale before anything is squared.
    # Differences that processors take for zero are none.
    width = worst_kept - best
    width = jnp.where(width > float(jnp.finfo(loss.dtype).tiny), width, 1 / 8)
    rise = jnp.where(keeps, (worst_kept - loss) / width, 0.0)
    squares = jnp.stack([rise**2, jnp.where(keeps, (quantile - lowest) ** 2, 0.0)])
    rises, quantiles = jnp.sum(squares, axis=1)
    unit = jnp.where(rises > 0, jnp.sqrt(quantiles / _or_one(rises)), 1.0)
    targets = jnp.where(keeps, lowest + unit * rise, quantile)

    mean = jnp.sum(jnp.where(ok, targets, 0.0)) / n
    variance = jnp.sum(jnp.where(ok, (targets - mean) ** 2, 0.0)) / n
    std = jnp.sqrt(_or_one(variance))
    targets = jnp.where(ok, (targets - mean) / std, 0.0)
    failed = trials.mask & ~ok
    return Targets(
        jnp.where(failed, jnp.min(targets), targets),
        jnp.where(count > 0, worst_kept - width * (mean - lowest) / unit, 0.0),
        width * std / unit,
    )


def _or_one(value: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(value > 0, value, 1.0)
