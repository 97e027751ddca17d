"""A quadratic model around one point that knows how far it can be trusted.

About a centre c, an analytic function is f(c) + linear + quadratic + remainder, and the
terms of order k shrink like (|x - c| / R)^k inside its radius R. As a prior over
functions, with r = (x - c)'(y - c) / R^2, one variance v and the steepness s,

    cov(f(x) - f(c), f(y) - f(c)) = v (s r + r^2 / 2),   remainder(x) ~ N(0, v r(x, x)^3),

so a far point is an observation of the quadratic with a large error, and no point has to
be left out. Conditioning on the trials gives the quadratic of least Frobenius norm that
fits the near ones (the model of Powell 2006, NEWUOA), with error bars. R and s follow
from the distance within which the model is used: R is so large that trials within it
are interpolated, s lets the minimum be at some times that distance.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from hyperopt_jax._numerics import PRECISION, inner_products, matmul

# R, in distances within which the model is used, and s = (10 / 50)^2: a minimum may be ten
# such distances away. Were R larger, float32 would round away the remainder, r^2 / s of
# the variance.
RADIUS, STEEPNESS = 50.0, 0.04

# How much more likely noise must be, as a logarithm (twenty times), and by what factors of
# its variance the function may then be the gentler.
EVIDENCE = 3.0
SHARES = 10.0 ** -np.arange(0.0, 6.0, 0.5)


class Taylor(eqx.Module):
    """The prior of the module's text, about `centre`; rows are points.

    R^2 is `radius2` and v is `scale`.
    """

    centre: Float[Array, " d"]
    radius2: Float[Array, ""]
    scale: Float[Array, ""]

    def cross(
        self, U: Float[Array, "m d"], V: Float[Array, "n d"]
    ) -> Float[Array, "m n"]:
        """Covariance of the quadratic at the rows of `U` and of `V`."""
        centre = self.centre[None, :]
        r = inner_products(U - centre, V - centre) / self.radius2
        return self.scale * (STEEPNESS * r + r * r / 2)

    def variance(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        """Variance of the quadratic at the rows of `U`."""
        r = self._ratio(U)
        return self.scale * (STEEPNESS * r + r * r / 2)

    def remainder(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        """Variance of what the quadratic leaves out at the rows of `U`."""
        return self.scale * self._ratio(U) ** 3

    def paths(
        self, key: PRNGKeyArray, n: int
    ) -> Callable[[Float[Array, "m d"]], Float[Array, "m n"]]:
        """`n` quadratics drawn from this prior.

        With u = (x - c) / R and independent standard normal g and G they are
        sqrt(v) (sqrt(s) g'u + u'G u / sqrt(2)).
        """
        d = self.centre.shape[0]
        slope_key, curvature_key = jax.random.split(key)
        g = jax.random.normal(slope_key, (d, n), self.centre.dtype)
        G = jax.random.normal(curvature_key, (n, d, d), self.centre.dtype)

        def path(U: Float[Array, "m d"]) -> Float[Array, "m n"]:
            u = (U - self.centre[None, :]) / jnp.sqrt(self.radius2)
            bent = jnp.einsum("mi,nij,mj->mn", u, G, u, precision=PRECISION)
            inclined = STEEPNESS**0.5 * matmul(u, g)
            return jnp.sqrt(self.scale) * (inclined + bent / 2**0.5)

        return path

    def is_elsewhere(self, U: Float[Array, "m d"]) -> Bool[Array, " m"]:
        """Which rows are not the centre itself, about which there is nothing to learn."""
        apart = 16 * float(jnp.finfo(U.dtype).eps)
        return jnp.sum((U - self.centre[None, :]) ** 2, axis=1) > apart**2

    def _ratio(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        return jnp.sum((U - self.centre[None, :]) ** 2, axis=1) / self.radius2


def expand(
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    mask: Bool[Array, " n"],
    centre: Float[Array, " d"],
    value: Float[Array, ""],
    distance2: Float[Array, ""],
) -> Taylor:
    """The expansion about `centre`, where the target is `value`.

    It is for points up to the squared distance `distance2`. Its variance is what the
    trials suggest, each taken alone.
    """
    prior = Taylor(centre, RADIUS**2 * distance2, jnp.ones_like(value))
    known = mask & prior.is_elsewhere(U)
    variance = jnp.where(known, prior.variance(U) + prior.remainder(U), 1.0)
    rise = jnp.where(known, t - value, 0.0)
    count = jnp.maximum(jnp.sum(known, dtype=t.dtype), 1)
    scale = jnp.sum(rise**2 / variance) / count
    # Never zero: trials without any difference say nothing about the size of one.
    tiny = float(jnp.finfo(t.dtype).tiny) ** 0.5
    return eqx.tree_at(lambda p: p.scale, prior, jnp.maximum(scale, tiny))


def noise_shows(
    taylor: Taylor,
    U: Float[Array, "n d"],
    t: Float[Array, " n"],
    mask: Bool[Array, " n"],
    value: Float[Array, ""],
    noise: Float[Array, ""],
) -> Bool[Array, ""]:
    """Whether results near the centre differ as by noise, and not as by a slope.

    A function falls off from its best point with the distance, noise does not care. So
    what each trial alone suggests is compared: the likelihood of its rise, t - value, by
    the expansion, against that of a gentler expansion and two results' share of the
    variance `noise`. How much gentler is chosen for the likelihood. The stationary
    surrogate calls noise whatever it cannot follow, kinks and valleys too; here these
    do not count.
    """
    known = mask & taylor.is_elsewhere(U)
    variance = jnp.where(known, taylor.variance(U) + taylor.remainder(U), 1.0)
    rise2 = jnp.where(known, (t - value) ** 2, 0.0)

    def log_likelihood(variance: Float[Array, "k n"]) -> Float[Array, " k"]:
        terms = jnp.log(variance) + rise2[None, :] / variance
        return -0.5 * jnp.sum(jnp.where(known[None, :], terms, 0.0), axis=1)

    shares = jnp.asarray(SHARES, t.dtype)[:, None]
    noisy = log_likelihood(shares * variance[None, :] + 2 * noise)
    return jnp.max(noisy) > log_likelihood(variance[None, :])[0] + EVIDENCE
