"""Warnings that point to the user's code."""

import sys
import warnings
from pathlib import Path

import equinox as eqx

# Equinox calls the methods of modules in the name of their users.
_OURS = tuple(str(Path(file).parent / "_")[:-1] for file in (__file__, eqx.__file__))


def warn(message: str, category: type[Warning]) -> None:
    """`warnings.warn`, at the line outside of this package that led here."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
