"""Everything this package raises or warns of on purpose, and the codes of a study.

Every error is a `HyperoptError` and also the built-in that fits it, so both
`except HyperoptError` and `except ValueError` do what they say. The message is one
sentence: what was expected, what came, what to do.
"""

import enum


class HyperoptError(Exception):
    """Base of every error that `hyperopt_jax` raises on purpose."""


class SpaceError(HyperoptError, ValueError):
    """A search space, or a leaf of one, that cannot be searched."""


class SettingError(HyperoptError, ValueError):
    """A setting of an optimizer, kernel, acquisition or problem out of its range."""


class UnknownSettingError(HyperoptError, TypeError):
    """A setting that the optimizer does not have."""


class ObjectiveError(HyperoptError, TypeError):
    """An objective with the wrong signature or result, or that cannot be traced."""


class ParamsError(HyperoptError, ValueError):
    """Parameters or results that do not fit the study they are given to."""


class StateError(HyperoptError, TypeError):
    """A state that belongs to another optimizer, or those of several studies in one."""


class ExhaustedError(HyperoptError, ValueError):
    """A finite search was asked for more points than it has left."""


class MissingExtraError(HyperoptError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class AllFailedWarning(UserWarning):
    """The best trial of a study was asked for, and none has a finite result."""


class BufferFullWarning(UserWarning):
    """Results were told to a study that has no room for all of them."""


class OutsideBoundsWarning(UserWarning):
    """Values out of the bounds of a space, or between its values, were told to a model."""


class Status(enum.IntEnum):
    """What happened to a study, as a number that a compiled loop can carry.

    `OK`: nothing to report. `BUFFER_FULL`: results were told after the buffer was
    full and were not kept. `EXHAUSTED`: every point of a finite search had been
    proposed, and some were again. `INFEASIBLE`: no point that satisfies the constraints
    was found, and NaN proposed. Read it with `Status(int(state.status))`;
    `Status.sentence` says it in words.
    """

    OK = 0
    BUFFER_FULL = 1
    EXHAUSTED = 2
    INFEASIBLE = 3

    @property
    def sentence(self) -> str:
        """The status as one sentence for a person."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.OK: "The study is in order.",
    Status.BUFFER_FULL: (
        "Results were told after the buffer was full and were not kept; "
        "start the study with a larger n_max."
    ),
    Status.EXHAUSTED: (
        "Every point of the search had been proposed, so earlier points were "
        "proposed again; ask for fewer iterations."
    ),
    Status.INFEASIBLE: (
        "No point that satisfies the constraints was found among two million samples; "
        "loosen the constraints, or narrow the bounds to where they can hold."
    ),
}
