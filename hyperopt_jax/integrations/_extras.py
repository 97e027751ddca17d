"""Optional packages, imported when they are needed."""

import importlib
from typing import Any

from hyperopt_jax.errors import MissingExtraError


def require(module: str, extra: str) -> Any:
    """The module; raises `MissingExtraError` naming the extra where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"expected {module} to be installed for this; run "
            f'pip install "hyperopt_jax[{extra}]"'
        ) from error
