"""What both benchmarks share: pinned threads, clocks, tables and the JSON record."""

import argparse
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

THREADS = {
    "OPENBLAS_NUM_THREADS": "1",  # SciPy's BLAS, which XLA's CPU Cholesky calls
    "OMP_NUM_THREADS": "1",  # torch, scikit-learn
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",  # the size of XLA's own CPU thread pool
}
PACKAGES = (
    *("jax", "jaxlib", "equinox", "optax", "numpy", "scipy"),
    *("hyperoptax", "bayex", "optuna", "torch", "botorch", "gpytorch", "greenlet"),
    *("cmaes", "nevergrad", "ioh"),
)
RESULTS = Path(__file__).parent / "results"


def pin_threads():
    """Restart this process with one thread a library, unless it already has.

    BLAS libraries read these variables when they load, so they must be set before
    the first import of NumPy; a restart is the one way that no import order breaks.
    """
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.environ.update(THREADS)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def parser(name, description):
    """The options that both benchmarks take."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--quick", action="store_true", help="a short look, not a race")
    result.add_argument("--x64", action="store_true", help="JAX in double precision")
    result.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help="the JSON record"
    )
    return result


def timed(function, *args):
    """`(value, seconds)` of a call, the device's work included."""
    import jax

    start = time.perf_counter()
    value = jax.block_until_ready(function(*args))
    return value, time.perf_counter() - start


_SPANS = []  # (event, start, end) of all that JAX reported


@functools.cache  # JAX's listeners are global and stay
def _listen():
    import jax

    def listen(event, seconds, **_):
        now = time.perf_counter()
        _SPANS.append((event.rsplit("/", 1)[-1], now - seconds, now))

    jax.monitoring.register_event_duration_secs_listener(listen)


class CompileClock:
    """Seconds of tracing and lowering, seconds in XLA, and XLA's compilations, while
    it is open and as JAX reports them.

    So what a library compiles behind its caller's back (a buffer that grew, a fresh
    closure) is seen as well.
    """

    def __enter__(self):
        _listen()
        self._first = len(_SPANS)
        return self

    def __exit__(self, *_):
        tracing = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration")
        seen = _SPANS[self._first :]
        xla = [span for span in seen if span[0] == "backend_compile_duration"]
        self.count = len(xla)
        self.xla = _covered(xla)
        self.tracing = _covered([span for span in seen if span[0] in tracing])


def _covered(spans):
    """The length of the union of spans: tracing within tracing counts once."""
    total, until = 0.0, 0.0
    for _, start, end in sorted(spans, key=lambda span: span[1]):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def attempt(measure, *args, **kwargs):
    """The cells that `measure` returns, or one cell that says why there are none."""
    try:
        return measure(*args, **kwargs)
    except ImportError as error:
        return {"failure": f"not installed: {error.name or error}"}
    except Exception as error:  # noqa: BLE001 (a crash is a result of the race)
        text = (str(error).strip().splitlines() or [""])[0]
        return {"failure": f"{type(error).__name__}: {text[:90]}"}


def in_rounds(report, title, rows, measure, rounds):
    """Add a table: every row measured once a round, so that a busy minute of the
    machine falls on all alike. Its `float` cells become samples, one number a round.
    """
    samples = [[] for _ in rows]
    for _ in range(rounds):
        for row, sample in zip(rows, samples, strict=True):
            sample.append(attempt(measure, **row))
            progress(title, {**row, **sample[-1]})
    for row, sample in zip(rows, samples, strict=True):
        cells = next((cells for cells in sample if "failure" in cells), sample[-1])
        for name in [name for name in cells if isinstance(cells[name], float)]:
            cells = {**cells, name: [one[name] for one in sample]}
        report.add(title, {**row, **cells})


def progress(title, row):
    """Says on the error stream what was just measured: a race may take hours."""
    cells = [f"{name} {_text(row[name])}" for name in row if name != "hidden"]
    print(f"[{title}] {', '.join(cells)}", file=sys.stderr, flush=True)


class Report:
    """Rows gathered under table titles; the JSON is rewritten after every row.

    A cell is text, a number, or a sample: a list of numbers, which a table shows as
    "median (quartile-quartile)" and the JSON as it is. What a row has under "hidden"
    goes to the JSON only.
    """

    def __init__(self, args):
        self.out = args.out
        self.tables = {}
        self.context = _context(args)

    def add(self, title, row):
        self.tables.setdefault(title, []).append(row)
        self.save()

    def save(self):
        self.out.parent.mkdir(parents=True, exist_ok=True)
        record = {"context": self.context, "tables": self.tables}
        self.out.write_text(json.dumps(record, indent=1))

    def relate(self, title, column, cells, base, same=()):
        """Divide `cells` of every row by those of the row that it is measured against:
        the one with the values `base`, and the row's own values under `same`.
        """
        for row in self.tables[title]:
            wanted = {**{name: row[name] for name in same}, **base}
            for other in self.tables[title]:
                if any(other[name] != value for name, value in wanted.items()):
                    continue
                for cell in [name for name in cells if name in row and name in other]:
                    row[f"{cell} {column}"] = _middle(row[cell]) / _middle(other[cell])

    def show(self):
        self.save()
        for title, rows in self.tables.items():
            print(f"\n{title}\n{'-' * len(title)}")
            print(format_table(rows))
        print(f"\nwritten to {self.out}")
        load, cores = self.context["load"], self.context["cores"]
        if load > cores / 4:
            print(f"the machine was busy at the start: load {load:.2g}, {cores} cores")


def format_table(rows):
    """Plain aligned columns: text to the left, numbers to the right."""
    names = dict.fromkeys(name for row in rows for name in row if name != "hidden")
    failed = [names.pop(name) or name for name in ["failure"] if name in names]
    names = [*names, *failed]  # the reason last, where it may be long
    lines = [names] + [[_text(row.get(name, "")) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [any(isinstance(row.get(name), str) for row in rows) for name in names]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def _middle(cell):
    return statistics.median(cell) if isinstance(cell, list) else cell


def _text(cell):
    if isinstance(cell, list) and len(cell) > 1:
        low, middle, high = statistics.quantiles(cell, n=4, method="inclusive")
        return f"{middle:.3g} ({low:.3g}-{high:.3g})"
    cell = _middle(cell)
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def _context(args):
    import jax

    import hyperopt_jax

    jax.config.update("jax_enable_x64", args.x64)
    versions = {"hyperopt_jax": hyperopt_jax.__version__}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": " ".join(["python", *sys.argv]),
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "devices": [device.device_kind for device in jax.devices()],
        "x64": args.x64,
        "threads": {name: os.environ.get(name) for name in THREADS},
    }
