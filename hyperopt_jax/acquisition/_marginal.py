"""Acquisitions that look at one point's mean and standard deviation alone."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from hyperopt_jax._checks import float_setting
from hyperopt_jax._numerics import log_expected_excess, normal_cdf, normal_pdf
from hyperopt_jax.acquisition._base import BaseAcquisition


class UCB(BaseAcquisition):
    """Upper confidence bound, a(x) = mean + kappa std.

    Use it where results are noisy, or to set exploration by hand.

    Args:
        kappa: number >= 0; larger explores more.

    Raises:
        SettingError: `kappa` negative or not finite.

    Source: Srinivas et al., ICML 2010 (arXiv 0912.3995), eq. 6.

    ```python
    UCB(kappa=2.0)(jnp.zeros(3), jnp.ones(3))  # [2., 2., 2.]
    ```
    """

    kappa: float = float_setting("kappa", 2.0, low=0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        return mean + self.kappa * std


class EI(BaseAcquisition):
    """Expected improvement, a(x) = (mean - xi - y_max) Phi(z) + std phi(z) with
    z = (mean - xi - y_max) / std.

    At `std = 0` it is max(mean - xi - y_max, 0). Far from the incumbent it underflows
    to 0; `LogEI` has the same maximum and does not.

    Args:
        xi: number >= 0, the improvement (in standard deviations of the results) below
            which a point is worth nothing.

    Raises:
        SettingError: `xi` negative or not finite.

    Source: Jones, Schonlau & Welch, J. Global Optimization 13 (1998), eq. 15.

    ```python
    EI(xi=0.0)(jnp.zeros(1), jnp.ones(1), y_max=0.0)  # [0.3989]
    ```
    """

    xi: float = float_setting("xi", 0.01, low=0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = mean - self.xi - y_max
        certain, z = _standardised(gap, std)
        value = gap * normal_cdf(z) + std * normal_pdf(z)
        return jnp.where(certain, jnp.maximum(gap, 0.0), value)


class PI(BaseAcquisition):
    """Probability of improvement, a(x) = Phi((mean - xi - y_max) / std).

    At `std = 0` it is 1 where mean - xi > y_max and 0 elsewhere. It is greedy: it asks
    how likely an improvement is, not how large. Prefer `LogEI`.

    Args:
        xi: number >= 0, the smallest improvement that counts.

    Raises:
        SettingError: `xi` negative or not finite.

    Source: Kushner, J. Basic Engineering 86 (1964).

    ```python
    PI(xi=0.0)(jnp.zeros(1), jnp.ones(1), y_max=0.0)  # [0.5]
    ```
    """

    xi: float = float_setting("xi", 0.01, low=0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = mean - self.xi - y_max
        certain, z = _standardised(gap, std)
        return jnp.where(certain, (gap > 0).astype(gap.dtype), normal_cdf(z))


class LogEI(BaseAcquisition):
    """Logarithm of the expected improvement,
    a(x) = log(phi(z) + z Phi(z)) + log(std) with z = (mean - xi - y_max) / std.

    The same maximum as `EI`, with a gradient that still points somewhere where EI is
    zero to machine precision: the default of `BayesianSearch.tuned`.

    Args:
        xi: number >= 0, as in `EI`.

    Raises:
        SettingError: `xi` negative or not finite.

    Source: Ament et al., NeurIPS 2023 (arXiv 2310.20708), eq. 8-9.

    ```python
    LogEI()(jnp.array([-50.0]), jnp.ones(1), y_max=0.0)  # [-1258.7], where EI is 0
    ```
    """

    xi: float = float_setting("xi", 0.0, low=0.0)

    def evaluate(self, mean: Array, std: Array, y_max: Array) -> Array:
        gap = mean - self.xi - y_max
        std = jnp.maximum(std, lax.stop_gradient(_certainty(gap, std)))
        return log_expected_excess(gap / std) + jnp.log(std)


def _certainty(gap: Array, std: Array) -> Array:
    """The std that is as good as none beside `gap`.

    Above it neither gap / std nor its derivatives, down to gap / std^2, overflow.
    """
    return 1e-12 * jnp.abs(gap) + float(jnp.finfo(std.dtype).tiny) ** (1 / 3)


def _standardised(gap: Array, std: Array) -> tuple[Array, Array]:
    """Whether `std` is as good as zero beside `gap`, and gap / std where it is not."""
    certain = std <= lax.stop_gradient(_certainty(gap, std))
    safe = jnp.where(certain, 1.0, std)
    # Beyond 40 standard deviations nothing changes, but the square would overflow.
    z = jnp.clip(jnp.where(certain, 0.0, gap) / safe, -40.0, 40.0)
    return certain, z
