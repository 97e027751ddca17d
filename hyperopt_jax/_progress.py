"""A progress bar that a compiled loop can move.

The bar lives on the host under a number; the program carries the number as data, so a
new bar is no new program. It also carries the step at which it reports next, which the
host says in answer to each report: often enough to see movement, however long a step
takes, and no more often.
"""

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from hyperopt_jax.errors import MissingExtraError

# A report costs up to half a millisecond. Steps may take longer than those before them,
# so after step n a loop reports again by step 10 n.
SECONDS_BETWEEN_REPORTS, MAX_GROWTH = 0.1, 10

NEVER = np.iinfo(np.int32).max

_bars: dict[int, "_Bar"] = {}
_numbers = itertools.count()


class _Bar:
    """A bar on the screen, and how fast a compiled loop moves it."""

    def __init__(self, screen: Any):
        self.screen = screen
        self.last = 0, time.perf_counter()

    def move(self, done: int) -> None:
        """Forward to `done` steps (reports may come out of order)."""
        if done > self.screen.n:
            self.screen.update(done - self.screen.n)

    def next_report(self, done: int) -> int:
        """When a loop that reports step `done` now shall report again.

        Not at the end, which the host sees by itself.
        """
        (last, then), now = self.last, time.perf_counter()
        self.last = done, now
        per_step = max(now - then, 1e-9) / max(done - last, 1)
        steps = SECONDS_BETWEEN_REPORTS / per_step
        due = done + int(min(max(steps, 1), (MAX_GROWTH - 1) * done))
        return due if due < self.screen.total else NEVER


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
    _bars[number] = _Bar(tqdm(total=total, unit=unit))
    try:
        yield number
    finally:
        _bars.pop(number).screen.close()


def report(number: int, done: int) -> None:
    """Moves bar `number` forward to `done` steps; nothing where it is closed."""
    if number in _bars:
        _bars[number].move(done)


def report_from_loop(
    number: Int[Array, ""], done: Int[Array, ""], due: Int[Array, ""]
) -> Int[Array, ""]:
    """`report` from inside a compiled loop at step `due`; the step of the next one.

    The program must return the last one, or the reports are dead code.
    """
    answer = jax.ShapeDtypeStruct((), jnp.int32)
    return lax.cond(
        done >= due,
        lambda: jax.pure_callback(_answer, answer, number, done),
        lambda: due,
    )


def _answer(number: Any, done: Any) -> np.int32:
    bar, done = _bars.get(int(number)), int(done)
    if bar is None:
        return np.int32(NEVER)
    bar.move(done)
    return np.int32(bar.next_report(done))


def as_number(bar: int) -> Int[Array, ""]:
    """A bar's number as data for a compiled program."""
    return jnp.asarray(bar, jnp.int32)
