"""A progress bar that a compiled loop can move.

The bar lives on the host under a number; the program carries the number as data, so a
new bar is no new program, and reports only every so many steps.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from hyperopt_jax.errors import MissingExtraError

# Enough to see movement, few enough to cost milliseconds: a call to the host is some
# hundred microseconds.
MAX_REPORTS = 10

_bars: dict[int, Any] = {}
_numbers = itertools.count()


@contextlib.contextmanager
def progress(shown: bool, total: int, unit: str) -> Iterator[int | None]:
    """Opens a bar of `total` steps and yields its number; closes it at the end.

    Yields None where nothing is to be shown.
    """
    if not shown:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise MissingExtraError(
            "progress_bar=True needs tqdm; install it with pip install "
            '"hyperopt_jax[progress]"'
        ) from None
    number = next(_numbers)
    _bars[number] = tqdm(total=total, unit=unit)
    try:
        yield number
    finally:
        # A compiled loop reports on its own time: wait for the last report.
        jax.effects_barrier()
        _bars.pop(number).close()


def report(number: int, done: int) -> None:
    """Moves bar `number` forward to `done` steps (reports may come out of order)."""
    bar = _bars.get(int(number))
    if bar is not None and int(done) > bar.n:
        bar.update(int(done) - bar.n)


def report_from_loop(number: Int[Array, ""], done: Int[Array, ""], total: int) -> None:
    """`report` from inside a compiled loop, at most `MAX_REPORTS` times and at the end."""
    every = max(1, -(-total // MAX_REPORTS))
    lax.cond(
        (done % every == 0) | (done == total),
        lambda: jax.debug.callback(report, number, done),
        lambda: None,
    )


def as_number(bar: int) -> Int[Array, ""]:
    """A bar's number as data for a compiled program."""
    return jnp.asarray(bar, jnp.int32)
