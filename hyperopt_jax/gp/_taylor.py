"""A quadratic model around one point that knows how far it can be trusted.

About a centre c, an analytic function is f(c) + linear + quadratic + remainder, and the
terms of order k shrink like (|x - c| / R)^k inside its radius R. As a prior over
functions, with r = (x - c)'(y - c) / R^2 and one variance v,

    cov(f(x) - f(c), f(y) - f(c)) = v (r + r^2 / 2),   remainder(x) ~ N(0, v r(x, x)^3),

so a far point is an observation of the quadratic with a large error, and no point has to
be left out. Conditioning on the trials gives the quadratic of least Frobenius norm that
fits the near ones (the model of Powell 2006, NEWUOA), with error bars. R is chosen by
the marginal likelihood.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from hyperopt_jax._numerics import PRECISION, matmul

# Radii tried, from the nearest trial's distance to twenty times the farthest one's; and
# how many of the nearest trials decide among them.
N_RADII = 10
MAX_ROWS = 64


class Taylor(eqx.Module):
    """The prior of the module's text, about `centre`; rows are points, R^2 = `radius2`."""

    centre: Float[Array, " d"]
    radius2: Float[Array, ""]
    scale: Float[Array, ""]

    def cross(
        self, U: Float[Array, "m d"], V: Float[Array, "n d"]
    ) -> Float[Array, "m n"]:
        """Covariance of the quadratic at the rows of `U` and of `V`."""
        r = (
            matmul(U - self.centre[None, :], (V - self.centre[None, :]).T)
            / self.radius2
        )
        return self.scale * (r + r * r / 2)

    def variance(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        """Variance of the quadratic at the rows of `U`."""
        r = self._ratio(U)
        return self.scale * (r + r * r / 2)

    def remainder(self, U: Float[Array, "m d"]) -> Float[Array, " m"]:
        """Variance of what the quadratic leaves out at the rows of `U`."""
        return self.scale * self._ratio(U) ** 3

    def paths(
        self, key: PRNGKeyArray, n: int
    ) -> Callable[[Float[Array, "m d"]], Float[Array, "m n"]]:
        """`n` quadratics drawn from this prior.

        With u = (x - c) / R and independent standard normal g and G they are
        sqrt(v) (g'u + u'G u / sqrt(2)).
        """
        d = self.centre.shape[0]
        slope_key, curvature_key = jax.random.split(key)
        g = jax.random.normal(slope_key, (d, n), self.centre.dtype)
        G = jax.random.normal(curvature_key, (n, d, d), self.centre.dtype)

        def path(U: Float[Array, "m d"]) -> Float[Array, "m n"]:
            u = (U - self.centre[None, :]) / jnp.sqrt(self.radius2)
            bent = jnp.einsum("mi,nij,mj->mn", u, G, u, precision=PRECISION)
            return jnp.sqrt(self.scale) * (matmul(u, g) + bent / 2**0.5)

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
) -> Taylor:
    """The expansion about `centre`, where the target is `value`, of most evidence."""
    squared = jnp.sum((U - centre[None, :]) ** 2, axis=1)
    known = mask & Taylor(centre, jnp.ones_like(value), value).is_elsewhere(U)
    near = jnp.min(jnp.where(known, squared, jnp.inf))
    far = jnp.max(jnp.where(known, squared, 0.0))
    # Without any other trial, any radius will do.
    near, far = jnp.where(known.any(), near, 1.0), jnp.where(known.any(), far, 1.0)
    if U.shape[0] > MAX_ROWS:
        _, rows = lax.top_k(-jnp.where(known, squared, jnp.inf), MAX_ROWS)
        U, t, known = U[rows], t[rows], known[rows]
    away = U - centre[None, :]
    products = matmul(away, away.T)
    rise = jnp.where(known, t - value, 0.0)
    steps = jnp.linspace(0.0, 1.0, N_RADII, dtype=U.dtype)
    radius2 = near * (400 * far / near) ** steps
    evidence, scale = jax.vmap(_evidence, in_axes=(0, None, None, None))(
        radius2, products, rise, known
    )
    best = jnp.argmax(evidence)
    return Taylor(centre, radius2[best], scale[best])


def _evidence(
    radius2: Float[Array, ""],
    products: Float[Array, "n n"],
    rise: Float[Array, " n"],
    known: Bool[Array, " n"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The log marginal likelihood at its best variance, and that variance."""
    r = products / radius2
    own = jnp.diagonal(r)
    deviation = jnp.sqrt(jnp.where(known, own + own**2 / 2 + own**3, 1.0))
    inverse = 1 / deviation
    nugget = r.shape[0] * float(jnp.finfo(r.dtype).eps)
    both = known[:, None] & known[None, :] & ~jnp.eye(r.shape[0], dtype=bool)
    scaled = (r + r * r / 2) * inverse[:, None] * inverse[None, :]
    K = jnp.where(both, scaled, (1 + nugget) * jnp.eye(r.shape[0], dtype=r.dtype))
    # One more row, the targets, and its part of the factor is L^-1 y.
    y = (rise * inverse)[None, :]
    ample = jnp.full((1, 1), float(jnp.finfo(r.dtype).max) ** 0.5, r.dtype)
    with_targets = jnp.block([[K, y.T], [y, ample]])
    factor = lax.linalg.cholesky(with_targets, symmetrize_input=False)
    L, whitened = factor[:-1, :-1], factor[-1, :-1]
    count = jnp.maximum(jnp.sum(known, dtype=r.dtype), 1)
    # Never zero: trials without any difference say nothing about the size of one.
    tiny = float(jnp.finfo(r.dtype).tiny) ** 0.5
    scale = jnp.maximum(jnp.sum(whitened**2) / count, tiny)
    log_determinant = jnp.sum(jnp.log(jnp.diagonal(L)) + jnp.log(deviation))
    evidence = -0.5 * count * jnp.log(scale) - log_determinant
    return jnp.where(jnp.isfinite(evidence), evidence, -jnp.inf), scale
