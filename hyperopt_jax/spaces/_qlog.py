"""Whole numbers with a log-uniform law."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyperopt_jax.spaces import _steps
from hyperopt_jax.spaces._bounds import as_datatype, check_whole
from hyperopt_jax.spaces._log import LogSpace
from hyperopt_jax.spaces._qlinear import _all_whole, _count, _nth_whole, _to_whole
from hyperopt_jax.spaces._steps import check_whole_step


class QLogSpace(LogSpace):
    """A positive whole number, log-uniform between two bounds that are both included.

    Use it for batch sizes, hidden widths, numbers of trees. The value k owns the stretch
    of the log axis from k - 1/2 to k + 1/2, so its mass is
    log((k + 1/2) / (k - 1/2)) / log((high + 1/2) / (low - 1/2)), at both ends too.
    Bounds beyond 2**24 (float32) are refused, and above about 2**17 a proposal is exact to
    a few units only.

    Args:
        lower_bound: whole number >= 1.
        upper_bound: whole number above `lower_bound`.
        base: number > 1; as in `LogSpace` it changes nothing in the law.
        datatype: dtype of a value, in every optimizer; integer or float.
        step: None for every whole number, or a whole number > 0: the values are then
            low, low + step, ..., the last one at most `upper_bound`.

    Raises:
        SpaceError: bounds not whole, not positive, not finite, equal, reversed, or too
            large for `datatype`; `base <= 1`; a step that is not whole or out of its
            range.

    ```python
    space = {"hidden_size": QLogSpace(8, 1024)}
    ```
    """

    datatype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        lower_bound: Any,
        upper_bound: Any,
        base: float = 10,
        datatype: Any = jnp.int32,
        step: Any = None,
    ):
        kind = type(self).__name__
        super().__init__(lower_bound, upper_bound, base, step)
        check_whole_step(kind, step, lower_bound, upper_bound)
        self.datatype = as_datatype(kind, datatype)
        check_whole(kind, lower_bound, upper_bound, step, self.datatype)

    @property
    def dtype(self) -> jnp.dtype:
        return self.datatype

    @property
    def is_discrete(self) -> bool:
        return True

    def n_values(self) -> Float[Array, ""]:
        return _count(self)

    def _edges(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Logarithms of the outer edges of the first and the last value's stretch."""
        if self.step is not None:
            return _steps.log_edges(self)
        return jnp.log(self.lower_bound - 0.5), jnp.log(self.upper_bound + 0.5)

    def decode(self, u: Float[Array, ""]) -> Shaped[Array, ""]:
        low, high = self._edges()
        return self.transform(jnp.exp(low * (1 - u) + high * u))

    def encode(self, value: Shaped[Array, ""]) -> Float[Array, ""]:
        low, high = self._edges()
        return (jnp.log(value.astype(low.dtype)) - low) / (high - low)

    def nth(self, index: Float[Array, ""]) -> Shaped[Array, ""]:
        return _nth_whole(self, index)

    def transform(self, value: Any) -> Shaped[Array, "..."]:
        return _to_whole(self, value)

    def points(self) -> Shaped[Array, " n"]:
        """All values in rising order (bounds must be concrete)."""
        return _all_whole(self)
