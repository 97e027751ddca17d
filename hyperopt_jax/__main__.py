"""The command line: `python -m hyperopt_jax demo`."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from hyperopt_jax import __version__
from hyperopt_jax.errors import HyperoptError, MissingExtraError, SettingError

_DEMO_HELP = (
    "tune a small network on scikit-learn's digits with BayesianSearch.tuned beside "
    "RandomSearch; prints the outcome, saves history.png and history.csv"
)
_LARGEST_SEED = 2**32 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        _run_demo(options)
    except HyperoptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hyperopt_jax",
        description="Hyperparameter search as pure, compiled JAX functions.",
    )
    parser.add_argument(
        "--version", action="version", version=f"hyperopt_jax {__version__}"
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    demo = commands.add_parser("demo", help=_DEMO_HELP, description=_DEMO_HELP)
    demo.add_argument(
        "--trials",
        type=_whole_number(1),
        metavar="N",
        help="trials of each search, made whole batches (default: 64; quick: 16)",
    )
    demo.add_argument(
        "--n-parallel",
        type=_whole_number(1),
        default=4,
        metavar="Q",
        help="trials trained at once (default: %(default)s)",
    )
    demo.add_argument(
        "--seed",
        type=_whole_number(0, _LARGEST_SEED),
        default=0,
        metavar="S",
        help="seed of both searches (default: %(default)s)",
    )
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("hyperopt_jax_demo"),
        metavar="DIR",
        help="folder of the two files (default: %(default)s)",
    )
    demo.add_argument(
        "--quick",
        action="store_true",
        help="fewer trials of shorter training: a look at the demo, not a result",
    )
    return parser


def _whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number from `low` to `high`, ends included."""
    expected = f">= {low}" if high is None else f"from {low} to {high}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(
                f"expected a whole number {expected}, got {text!r}"
            )
        return number

    return parse


def _run_demo(options: argparse.Namespace) -> None:
    _require_demo_extra()
    # Imported here, so that --help and the check above need none of the extra.
    from hyperopt_jax import _demo

    settings = _demo.QUICK if options.quick else _demo.Settings()
    changes = {"n_parallel": options.n_parallel, "seed": options.seed}
    if options.trials is not None:
        changes["n_trials"] = options.trials
    _make_folder(options.out)
    _demo.run(dataclasses.replace(settings, **changes), options.out)


def _make_folder(out: Path) -> None:
    """Make `out`, or raise `SettingError`: before the work, so that none is lost."""
    try:
        if out.exists() and not out.is_dir():
            raise SettingError(f"expected --out to be a folder, got the file {out}")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"cannot make the folder {out} ({error.strerror}); choose another --out"
        ) from error
    if not os.access(out, os.W_OK):
        raise SettingError(f"cannot write into the folder {out}; choose another --out")


def _require_demo_extra() -> None:
    """Raise `MissingExtraError` unless everything that the demo imports is there."""
    missing = [
        package
        for package, module in {
            "optax": "optax",
            "scikit-learn": "sklearn",
            "matplotlib": "matplotlib",
            "tqdm": "tqdm",
        }.items()
        if find_spec(module) is None
    ]
    if missing:
        raise MissingExtraError(
            f"the demo needs {', '.join(missing)}, not installed here; run "
            'pip install "hyperopt_jax[demo]"'
        )


if __name__ == "__main__":
    sys.exit(main())
