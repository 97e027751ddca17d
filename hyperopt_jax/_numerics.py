"""Small pure helpers with a stated range: distances, Cholesky, tails of the normal law.

They know nothing of searches. All are safe under `grad`, in float32 and float64.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import erfc
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, UInt

# Accelerators round matrix products to 10 or 8 bits by default, which destroys a kernel
# matrix; every product that feeds a factorisation asks for full precision.
PRECISION = lax.Precision.HIGHEST

# Few rows in few dimensions are subtracted pair by pair, which keeps all digits between
# near-duplicates; larger tables are matrix products, which are many times faster.
MAX_DIRECT_DIMENSIONS = 8
MAX_DIRECT_ROWS = 128

# Triangular blocks of up to so many rows are inverted by a solve, larger ones by halves:
# another halving would gain little more and take a tenth of a second to compile.
MAX_SOLVED_ROWS = 64

# Up to so many rows all pairs are compared, to rank them and to look at all earlier ones.
MAX_COMPARED_ROWS = 2048

LOG_2PI = math.log(2 * math.pi)


def as_floats(value: ArrayLike) -> Float[Array, "..."]:
    """`value` as an array of floats: whole numbers in JAX's default precision."""
    array = jnp.asarray(value)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(jnp.result_type(float))


def matmul(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """`a @ b` in the full precision of its dtype, on every backend."""
    return jnp.matmul(a, b, precision=PRECISION)


def inner_products(
    x: Float[Array, "n d"], y: Float[Array, "m d"]
) -> Float[Array, "n m"]:
    """The inner products of the rows of `x` with those of `y`.

    Made with a row too many, so that what is worked out of them entry by entry cannot
    overwrite them: where it does, XLA without fusion emitters needs five times as long.
    """
    return matmul(jnp.pad(x, ((0, 1), (0, 0))), y.T)[: x.shape[0]]


def squared_distance(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    inverse_scale: Float[Array, " d"] | None = None,
) -> Float[Array, "n m"]:
    """sum_k ((x_ik - y_jk) / scale_k)^2 for all pairs of rows."""
    (n, d), (m, _) = x.shape, y.shape
    if inverse_scale is None:
        inverse_scale = jnp.ones(d, x.dtype)
    if d <= MAX_DIRECT_DIMENSIONS and max(n, m) <= MAX_DIRECT_ROWS:
        # The sum as a product: it and its gradient are then a few large steps.
        squares = (x.T[:, :, None] - y.T[:, None, :]) ** 2
        return matmul(inverse_scale**2, squares.reshape(d, n * m)).reshape(n, m)
    # |x|^2 + |y|^2 - 2xy cancels; centred, the terms are as small as they can be.
    centre = lax.stop_gradient(jnp.mean(y, axis=0, keepdims=True))
    x = (x - centre) * inverse_scale[None, :]
    y = (y - centre) * inverse_scale[None, :]
    norms = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None, :]
    return jnp.maximum(norms - 2 * inner_products(x, y), 0.0)


def cholesky(
    K: Float[Array, "n n"], jitter: Float[Array, ""], max_tries: int = 5
) -> Float[Array, "n n"]:
    """Lower Cholesky factor of `K + jitter * I`, the jitter raised tenfold on failure.

    The jitter grows at most to `jitter * 10**(max_tries - 1)`; if that fails too, the
    factor holds NaN, which the caller must expect.
    """
    eye = jnp.eye(K.shape[0], dtype=K.dtype)

    def factor(jitter: Float[Array, ""]) -> Float[Array, "n n"]:
        return cholesky_of_symmetric(K + jitter * eye)

    def failed(carry: tuple) -> Bool[Array, ""]:
        tries, _, L = carry
        # A failed factorisation leaves NaN in the last pivot, whichever pivot failed.
        return (tries < max_tries) & ~jnp.isfinite(L[-1, -1])

    def retry(carry: tuple) -> tuple:
        tries, jitter, _ = carry
        jitter = jnp.where(tries == 0, jitter, 10 * jitter)
        return tries + 1, jitter, factor(jitter)

    # The first try runs inside the loop as well, so that it is compiled once.
    unfactored = jnp.full_like(K, jnp.nan)
    _, _, L = lax.while_loop(failed, retry, (0, jitter, unfactored))
    return L


def cholesky_of_symmetric(K: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower Cholesky factor of `K`, by its upper triangle; NaN on failure.

    LAPACK wants columns where XLA keeps rows. Read as the transpose, a symmetric matrix
    has both, which spares the steps before this one from writing across the rows.
    """
    return lax.linalg.cholesky(K.T, symmetrize_input=False)


def rounding_of(n: int, dtype: jnp.dtype) -> float:
    """What to add to the unit diagonal of `n` rows so that rounding leaves it positive."""
    return 0.25 * n * float(jnp.finfo(dtype).eps)


def inverse_lower(L: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The inverse of a lower triangular matrix.

    By halves, since [[A, 0], [B, C]] has the inverse [[A^-1, 0], [-C^-1 B A^-1, C^-1]]:
    products run at several times the speed of triangular solves, and need a third of
    their operations. A few rows of the identity make the number of rows one that can be
    halved.
    """
    n = L.shape[0]
    n_blocks = 2 ** max(0, math.ceil(math.log2(n / MAX_SOLVED_ROWS)))
    size = math.ceil(n / n_blocks) * n_blocks
    if size > n:
        L = jnp.pad(L, (0, size - n))
        L = L + jnp.diag(jnp.asarray(np.arange(size) >= n, L.dtype))
    return _inverse_by_halves(L)[:n, :n]


def _inverse_by_halves(L: Float[Array, "n n"]) -> Float[Array, "n n"]:
    n = L.shape[0]
    if n <= MAX_SOLVED_ROWS:
        # X L = I takes three fifths of the time of L X = I.
        eye = jnp.eye(n, dtype=L.dtype)
        return lax.linalg.triangular_solve(L, eye, left_side=False, lower=True)
    h = n // 2
    # Both halves at once. One after the other they would be two independent solves, and
    # two large batches of those that run side by side can lock up XLA on a CPU.
    A, C = jax.vmap(_inverse_by_halves)(jnp.stack([L[:h, :h], L[h:, h:]]))
    corner = -matmul(C, matmul(L[h:, :h], A))
    return jnp.block([[A, jnp.zeros_like(A)], [corner, C]])


def normal_pdf(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """Density of the standard normal law."""
    return jnp.exp(-0.5 * z * z - 0.5 * LOG_2PI)


def normal_cdf(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """Distribution function of the standard normal law, accurate in the lower tail."""
    return 0.5 * erfc(-z / math.sqrt(2))


def normal_quantile(p: Float[Array, "..."]) -> Float[Array, "..."]:
    """Inverse of `normal_cdf` on (0, 1), to rounding of `p` about 1/2.

    A few instructions, where the quantile that keeps all digits of the tails is a branch
    and six polynomials.
    """
    return math.sqrt(2) * lax.erf_inv(2 * p - 1)


def log_expected_excess(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(phi(z) + z Phi(z)), the logarithm of E[max(z + N(0, 1), 0)].

    Finite value and gradient for every finite z of the dtype, where the direct formula
    underflows from z = -14 (float32) or -38 (float64) and has lost all digits long
    before. Relative error of the value below 2e-5 in float32 and 3e-10 in float64, of
    the gradient below 1e-3 and 3e-10; below -1e18 (float32), whose square overflows,
    the value stays where it is. Switches from the direct formula to Mills' ratio at -1
    and to its asymptotic series in the far tail.
    """
    return _log_excess(z)


def _log_excess_and_slope(z: Float[Array, "..."]) -> tuple[Array, Array]:
    z = jnp.maximum(z, -_largest_square_root(z.dtype))
    direct = z > -1.0
    pdf, cdf, ratio, factor = _lower_tail(z)
    excess = pdf + jnp.maximum(z, _far_tail(z.dtype)) * cdf
    z_tail = jnp.where(direct, -2.0, z)
    log_pdf = -0.5 * z_tail * z_tail - 0.5 * LOG_2PI
    value = jnp.where(direct, 0.0, log_pdf) + jnp.log(jnp.where(direct, excess, factor))
    # The slope is Phi / excess.
    slope = jnp.where(direct, cdf / jnp.where(direct, excess, 1.0), ratio / factor)
    return value, slope


def _lower_tail(z: Float[Array, "..."]) -> tuple[Array, Array, Array, Array]:
    """phi(z), Phi(z), Mills' ratio R = Phi / phi and 1 + z R.

    The first two are for any z down to `_far_tail` and stay there below, the last two
    for z <= -1. There the sum cancels; in the limit it is, with w = 1 / z^2,
    w (1 - 3 w (1 - 5 w (1 - 7 w (1 - 9 w)))).
    """
    low = _far_tail(z.dtype)
    direct, far = z > -1.0, z <= low
    z_safe = jnp.where(far, low, z)
    pdf, cdf = normal_pdf(z_safe), normal_cdf(z_safe)
    z_tail = jnp.where(direct, -2.0, z)
    mills = cdf / jnp.where(direct, 1.0, pdf)
    z_far = jnp.where(far, z, low)
    w = 1.0 / (z_far * z_far)
    series = w * (1.0 - 3.0 * w * (1.0 - 5.0 * w * (1.0 - 7.0 * w * (1.0 - 9.0 * w))))
    factor = jnp.where(far, series, jnp.where(direct, 1.0, 1.0 + z_tail * mills))
    # R = (1 - factor) / -z where R itself is not computed.
    return pdf, cdf, jnp.where(far, (1.0 - series) / -z_far, mills), factor


def _far_tail(dtype: jnp.dtype) -> float:
    """Above it the normal distribution function still has all its digits."""
    return -10.0 if dtype == jnp.float32 else -30.0


def _largest_square_root(dtype: jnp.dtype) -> float:
    """A number whose square, ten times over, is safely in the range of the dtype."""
    return 0.1 * math.sqrt(float(jnp.finfo(dtype).max))


def _log_excess_value(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return _log_excess_and_slope(z)[0]


_log_excess = jax.custom_jvp(_log_excess_value)


@_log_excess.defjvp
def _log_excess_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, slope = _log_excess_and_slope(primals[0])
    return value, slope * tangents[0]


def log_truncation_information(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """log(z phi(z) / (2 Phi(z)) - log Phi(z)), the logarithm of what is learnt about a
    standard normal number, in nats, on hearing that it is below z.

    Falls from log(log(-z) + log(2 pi) / 2 - 1 / 2) in the lower tail to -z^2 / 2 +
    log(z / 2) - log(2 pi) / 2 in the upper one, with finite value and gradient for every
    finite z of the dtype (the value stays where it is beyond 1e18 in float32). The direct
    formula cancels in the one tail and underflows in the other. Error of the value, relative
    where it is above 1, below 5e-5 in float32 and 2e-11 in float64; relative error of the
    gradient below 5e-3 and 1e-7.
    """
    return _log_information(z)


def _log_information_and_slope(z: Float[Array, "..."]) -> tuple[Array, Array]:
    """With r = phi / Phi the slope of z r / 2 - log Phi is -r (1 + z (z + r)) / 2."""
    edge = _largest_square_root(z.dtype)
    z = jnp.clip(z, -edge, edge)
    x = jnp.abs(z)
    upper, lower = z > 1.0, z < -1.0
    pdf, beyond, mills, factor = _lower_tail(-x)
    cdf = jnp.where(lower, 0.5, jnp.where(z > 0, 1.0 - beyond, beyond))

    middle = jnp.where(upper | lower, 0.0, z)
    r = pdf / cdf
    h_middle = 0.5 * middle * r - jnp.log(cdf)
    slope_middle = -0.5 * r * (1.0 + middle * (middle + r)) / h_middle

    # Above, Q = 1 - Phi = phi R(x) is small and both terms have the factor phi.
    z_up = jnp.where(upper, z, 2.0)
    Q = jnp.where(upper, beyond, 0.5)
    R = jnp.where(upper, mills, 1.0)
    over_pdf = 0.5 * z_up / cdf - R * jnp.log1p(-Q) / Q
    log_up = -0.5 * z_up * z_up - 0.5 * LOG_2PI + jnp.log(over_pdf)
    slope_up = -0.5 * (1.0 + z_up * (z_up + pdf / cdf)) / (cdf * over_pdf)

    # Below, r = 1 / R = x + t with a small t, and the squares cancel: what is left is
    # log(2 pi) / 2 - log R - x t / 2, and 1 + z (z + r) = 1 - x t, which is a series of
    # its own where it is small.
    high = 7.0 if z.dtype == jnp.float32 else 30.0
    x_low = jnp.where(lower, x, 2.0)
    R = jnp.where(lower, mills, 0.4)
    w = 1.0 / jnp.maximum(x_low, high) ** 2
    series = 2.0 * w * (1.0 - w * (5.0 - w * (37.0 - 353.0 * w)))
    direct = 1.0 - x_low * jnp.where(lower, factor, 0.2) / R
    left = jnp.where(x_low >= high, series, direct)
    h_low = 0.5 * LOG_2PI - jnp.log(R) - 0.5 * (1.0 - left)
    slope_low = -0.5 * left / (R * h_low)

    log_h = jnp.log(jnp.where(lower, h_low, h_middle))
    value = jnp.where(upper, log_up, log_h)
    return value, jnp.where(upper, slope_up, jnp.where(lower, slope_low, slope_middle))


def _log_information_value(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return _log_information_and_slope(z)[0]


_log_information = jax.custom_jvp(_log_information_value)


@_log_information.defjvp
def _log_information_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, slope = _log_information_and_slope(primals[0])
    return value, slope * tangents[0]


def masked_rank(
    values: Float[Array, " n"], mask: Bool[Array, " n"]
) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """How many masked entries are smaller than each one, and how many equal it.

    Ranks come from comparing all pairs: for the rows of a usual study that is one kernel
    where a sort is many. Thousands are sorted.
    """
    if values.shape[0] > MAX_COMPARED_ROWS:
        ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
        n_smaller = jnp.searchsorted(ordered, values, side="left")
        n_up_to = jnp.searchsorted(ordered, values, side="right")
        return n_smaller.astype(jnp.int32), (n_up_to - n_smaller).astype(jnp.int32)
    others = jnp.where(mask, values, jnp.nan)[None, :]
    n_smaller = jnp.sum(others < values[:, None], axis=1, dtype=jnp.int32)
    n_equal = jnp.sum(others == values[:, None], axis=1, dtype=jnp.int32)
    return n_smaller, n_equal


def hashed_uniform(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype
) -> Float[Array, "..."]:
    """Independent numbers, uniform in [0, 1), that depend on `key` and their place.

    A place is mixed with the words of the key by the finaliser of MurmurHash3, twice. On
    a CPU that is several times as fast as `jax.random.uniform`, whose code would be the
    largest part of a small program. Multiples of 2^-24, or of 2^-53 in double precision.
    """
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = (jax.random.key_data(key) if typed else key).reshape(-1)
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    # 24 bits: the most that float32 holds exactly below 1.
    unit = (_hashed(words, place) >> 8).astype(dtype) / 2**24
    if jnp.finfo(dtype).nmant > 24:
        # As many again, from places that no number has as its first.
        unit = unit + (_hashed(words, ~place) >> 3).astype(dtype) / 2**53
    return unit


def _hashed(words: UInt[Array, " w"], place: UInt[Array, "..."]) -> UInt[Array, "..."]:
    """32 well-mixed bits for each place: another order of them for each key."""
    h = words[0] + place * jnp.uint32(0x9E3779B9)
    for word in (words[-1], words[0]):
        h = (h ^ word) + jnp.uint32(0x9E3779B9)
        h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
        h = h ^ (h >> 16)
    return h
