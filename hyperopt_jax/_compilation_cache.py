"""Compiled programs on disk, so that the next process does not compile them again."""

import os
import sys
from pathlib import Path

import jax

from hyperopt_jax.errors import SettingError

_DIRECTORY = "jax_compilation_cache_dir"
_MIN_SECONDS = "jax_persistent_cache_min_compile_time_secs"
_JAX_MIN_SECONDS = 1.0  # JAX's default, which leaves out most programs of a search


def cache_compilations(directory: str | os.PathLike[str] | None = None) -> str:
    """Keeps compiled programs on disk, for the processes that come after this one.

    Sets up JAX's persistent compilation cache, for all of JAX and not for searches
    alone. Call it first thing in a script: JAX opens the directory when it first
    compiles and then stays with it. Calling it again changes nothing.

    An entry fits one program, one version of JAX and one kind of device. Nothing is
    ever deleted; deleting the directory is safe. Give machines with different
    processors directories of their own. Programs with a progress bar are not kept.

    Args:
        directory: where to keep the programs; made where it does not exist. An address
            with `://` is handed to JAX as it is. None keeps the directory that JAX has
            been given already (by `jax_compilation_cache_dir` or the environment
            variable `JAX_COMPILATION_CACHE_DIR`), or else takes `hyperopt_jax/jax` in
            the user's cache directory.

    Returns:
        The directory.

    Raises:
        SettingError: a directory that cannot be made or written to.

    ```python
    hyperopt_jax.cache_compilations()
    ```
    """
    given = getattr(jax.config, _DIRECTORY) if directory is None else directory
    try:
        path = os.fspath(_default_directory() if given is None else given)
    except TypeError as error:
        raise SettingError(
            f"expected a path for the directory of compiled programs, got {given!r}"
        ) from error
    if "://" not in path:
        path = _made(path)
    jax.config.update(_DIRECTORY, path)
    # A search is one program of seconds among small ones of 10 to 500 ms, and an entry
    # is read in about one: everything is worth keeping. A user's own choice stays.
    if getattr(jax.config, _MIN_SECONDS) == _JAX_MIN_SECONDS:
        jax.config.update(_MIN_SECONDS, 0.0)
    return path


def _made(directory: str) -> str:
    """The absolute path of a directory that exists now; raises `SettingError`."""
    problem = "no permission to write there"
    try:
        path = Path(directory).expanduser().absolute()
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK | os.X_OK):
            return str(path)
    except (OSError, RuntimeError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    raise SettingError(
        f"expected a directory for compiled programs that can be made and written to, "
        f"got {directory!r} ({problem}); give another one to cache_compilations"
    )


def _default_directory() -> Path:
    """`hyperopt_jax/jax` where this system keeps a user's caches."""
    if sys.platform == "win32":
        root, fallback = os.environ.get("LOCALAPPDATA"), "~/AppData/Local"
    elif sys.platform == "darwin":
        root, fallback = None, "~/Library/Caches"
    else:
        root, fallback = os.environ.get("XDG_CACHE_HOME"), "~/.cache"
        if root and not os.path.isabs(root):  # the XDG rule: such a value is no value
            root = None
    return Path(root or fallback) / "hyperopt_jax" / "jax"
