"""Speed: compile, first call and steady state apart, as ratios within one run.

python benchmarks/bench_speed.py --quick
python benchmarks/bench_speed.py --part ask_tell peers studies sweep throughput capacity cold threads floor
"""

import functools
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import _floor
import _report
import jax
import jax.numpy as jnp
import numpy as np
from _peers import CONTENDERS, Task

OURS = ("tuned", "classic")
STRETCH = 10
BRANIN_BOX = ((-5.0, 10.0), (0.0, 15.0))


def branin(x):
    x, y = x
    wave = 10 * (1 - 1 / (8 * jnp.pi)) * jnp.cos(x)
    return (y - 5.1 / (4 * jnp.pi**2) * x**2 + 5 / jnp.pi * x - 6) ** 2 + wave + 10


def bowl(x):
    """Smooth, of any dimension, with its minimum off the centre."""
    return jnp.mean((x - 0.3) ** 2) + 0.1 * jnp.mean(jnp.cos(9 * x))


def bowl_task(d, n_trials, n_parallel=1):
    return Task(bowl, ((0.0, 1.0),) * d, n_trials, n_parallel)


# --- ask and tell ----------------------------------------------------------------


def ask_tell(contender, n, d, n_parallel, n_max=None):
    """The mean of ask and tell over the `STRETCH` trials after `n`.

    A stretch and not one trial, since a search may refit now and then only. Without
    `n_max`, ours gets a buffer for the largest study of the table, since its cost
    should not depend on it, and the peers one that just holds the trials.
    """
    n_max = n_max or max(n + STRETCH, 256 if contender in OURS else 0)
    n_steps = max(1, STRETCH // n_parallel)
    jax.clear_caches()  # every row compiles for itself
    session = CONTENDERS[contender].session(bowl_task(d, n_max, n_parallel), seed=0)
    points, results = bowl_task(d, n).sample(n, seed=1)
    session.preload(points, results)
    middle = float(np.median(results))

    def steps(count):
        for _ in range(count):  # an objective would wait for its parameters
            told = session.tell(jax.block_until_ready(session.ask()), middle)
        return told

    with _report.CompileClock() as clock:
        _, first = _report.timed(steps, 1)
    session.rewind()
    steps(n_steps)  # a buffer that grows on the way has then grown
    session.rewind()
    with _report.CompileClock() as later:
        _, steady = _report.timed(steps, n_steps)
    return {
        "compile s": clock.xla,
        "first s": first,
        "steady ms": 1e3 * steady / n_steps,
        "later compiles": later.count,
    }


def part_ask_tell(report, quick):
    """Cost of one ask+tell: ours along each axis, peers at two sizes."""
    title = "ask+tell"
    base = {"n": 50, "d": 5, "n_parallel": 1}
    axes = {"n": [10, 200, 1000, 5000], "d": [2, 20, 100], "n_parallel": [4, 16, 64]}
    if quick:
        axes = {"n": [200], "d": [20], "n_parallel": [4]}
    cells = [base] + [{**base, axis: v} for axis, vs in axes.items() for v in vs]
    rows = [{"contender": name, **c} for name in OURS for c in cells]
    for name in ("hyperoptax", "bayex", "botorch", "optuna-gp", "optuna-tpe"):
        rows += [{"contender": name, **base, "n": n} for n in (50, 200)[: 2 - quick]]
    _report.in_rounds(report, title, rows, ask_tell, 1 if quick else 3)
    ratio = ["steady ms"]
    report.relate(title, "/ tuned", ratio, {"contender": "tuned"}, same=list(base))
    report.relate(title, "/ own base", ratio, base, same=["contender"])


def part_peers(report, quick):
    """The same against the searches with as good a model, and over more rounds."""
    title = "ask+tell of searches with a model, d=5"
    rows = [
        {"contender": name, "n": n, "d": 5, "n_parallel": 1}
        for name in ("tuned", "optuna-gp", "botorch")
        for n in (50, 200)[: 2 - quick]
    ]
    _report.in_rounds(report, title, rows, ask_tell, 1 if quick else 5)
    report.relate(title, "/ tuned", ["steady ms"], {"contender": "tuned"}, same=["n"])


def part_capacity(report, quick):
    """Cost with 20 trials on record in a large buffer against a small one."""
    title = "ask+tell with 20 trials on record, d=5"
    names = (*OURS, "hyperoptax")
    rows = [{"contender": name, "n_max": n} for name in names for n in (64, 1000)]
    measure = functools.partial(ask_tell, n=20, d=5, n_parallel=1)
    _report.in_rounds(report, title, rows, measure, 1 if quick else 3)
    report.relate(title, "/ n_max 64", ["steady ms"], {"n_max": 64}, ["contender"])


# --- whole studies ---------------------------------------------------------------


def whole_study(contender, task, inside_jit=False):
    """A study from its first call on; tracing includes lowering."""
    jax.clear_caches()
    program = CONTENDERS[contender].program(task, inside_jit)
    keys = jax.random.split(jax.random.key(0), 6)
    with _report.CompileClock() as clock:
        _, first = _report.timed(program, keys[0])
    run = float(np.median([_report.timed(program, key)[1] for key in keys[1:]]))
    return {
        "tracing s": clock.tracing,
        "compile s": clock.xla,
        "first s": first,
        "run s": run,
    }


def part_studies(report, quick):
    """`optimize_scan` whole, and how compile time grows."""
    rounds = 1 if quick else 5
    clocks = ["tracing s", "compile s", "run s"]

    def branin_study(contender, how):
        task = Task(branin, BRANIN_BOX, 100)
        return whole_study(contender, task, how == "inside jit")

    title = "Branin, 100 trials, n_parallel=1, one program"
    ours = [(name, how) for name in OURS for how in ("called", "inside jit")]
    rows = [*ours, ("hyperoptax", "inside jit")]
    rows = [{"contender": name, "how": how} for name, how in rows]
    _report.in_rounds(report, title, rows, branin_study, rounds)
    report.relate(title, "/ hyperoptax", clocks, {"contender": "hyperoptax"})

    def shaped_study(contender, d, n_parallel):
        cells = whole_study(contender, bowl_task(d, 128, n_parallel))
        return {name: cells[name] for name in clocks[:2]}

    title = "compile time of a study of 128 trials"
    base, wide = {"d": 2, "n_parallel": 1}, {"d": 100, "n_parallel": 1}
    shapes = (base, wide, {"d": 2, "n_parallel": 64})
    rows = [{"contender": n, **shape} for n in OURS for shape in shapes]
    # hyperoptax unrolls its batch, which takes minutes at 64
    shapes = (base,) if quick else (base, wide, {"d": 2, "n_parallel": 8})
    rows += [{"contender": "hyperoptax", **shape} for shape in shapes]
    _report.in_rounds(report, title, rows, shaped_study, rounds)
    report.relate(title, "/ own base", clocks[:2], base, same=["contender"])


# --- many studies in one program -------------------------------------------------


TOGETHER = {
    "vmap": jax.vmap,
    "lax.map": lambda run: lambda *all: jax.lax.map(lambda one: run(*one), all),
}


def sweep(contender, by, n_studies, n_trials):
    """Studies with different bounds in one program, against the same ones in turn."""
    jax.clear_caches()
    rng = np.random.default_rng(0)
    corners = np.array(BRANIN_BOX)[:, 0] + rng.uniform(0, 5, (n_studies, 2))
    tasks = [
        Task(branin, tuple((low, low + 10) for low in corner.tolist()), n_trials)
        for corner in corners
    ]
    run = CONTENDERS[contender].study(tasks[0])[1]
    states = [CONTENDERS[contender].study(task)[0] for task in tasks]
    keys = jax.random.split(jax.random.key(1), n_studies)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    alone, together = jax.jit(run), jax.jit(TOGETHER[by](run))

    def in_turn():
        return [alone(state, key) for state, key in zip(states, keys, strict=True)]

    with _report.CompileClock() as clock_alone:
        apart = in_turn()
    with _report.CompileClock() as clock:
        batch, first = _report.timed(together, stacked, keys)
    turns = _report.timed(in_turn)[1]
    seconds = _report.timed(together, stacked, keys)[1]
    points = np.stack([np.asarray(points) for points, _ in apart])
    difference = np.abs(points - np.asarray(batch[0])).max(axis=2)
    agree = np.where(difference > 1e-3, np.arange(n_trials), n_trials).min(axis=1)
    return {
        "compile s": clock.xla,
        "first s": first,
        "run s": seconds,
        "run / in turn": seconds / turns,
        "run / one study": seconds / turns * n_studies,
        "compile / one study": clock.xla / clock_alone.xla,
        "bit-equal": f"{int((difference == 0).all(axis=1).sum())}/{n_studies}",
        "within 1e-3 for": f"{int(np.median(agree))}/{n_trials}",
    }


def part_sweep(report, quick):
    """64 studies with 64 different bounds in one program."""
    n_studies, n_trials = (8, 20) if quick else (64, 50)
    title = f"{n_studies} studies with different bounds, {n_trials} trials each"
    rows = [{"contender": name, "by": "vmap"} for name in (*OURS, "hyperoptax")]
    rows.append({"contender": "tuned", "by": "lax.map"})
    measure = functools.partial(sweep, n_studies=n_studies, n_trials=n_trials)
    _report.in_rounds(report, title, rows, measure, 1 if quick else 5)


# --- as many studies as the machine can do ---------------------------------------

_MANY_JAX_SCRIPT = """
import time
import jax, jax.numpy as jnp
from hyperopt_jax import BayesianSearch, LinearSpace
def bowl(key, p):
    return sum((x - 0.3) ** 2 + 0.1 * jnp.cos(9 * x) for x in p.values())
def study(low, key):
    space = {{f"x{{i}}": LinearSpace(low, low + 1.5) for i in range(5)}}
    state, search = BayesianSearch.tuned(space, n_max=50, n_parallel=1, maximize=False)
    state, _ = search.optimize_scan(state, key, bowl, 50)
    return search.best_result(state)
lows = jnp.linspace(-1.0, 0.0, {n_studies})
program = jax.jit(jax.vmap(study))
for seed in range(2):
    keys = jax.random.split(jax.random.key(seed), {n_studies})
    start = time.perf_counter()
    jax.block_until_ready(program(lows, keys))
    seconds = time.perf_counter() - start
print(seconds)
"""
_MANY_OPTUNA_SCRIPT = """
import math, time, warnings
import optuna
warnings.simplefilter("ignore")
optuna.logging.set_verbosity(50)
def study(seed):
    low = -1 + seed / {n_studies}
    def bowl(trial):
        xs = [trial.suggest_float(f"x{{i}}", low, low + 1.5) for i in range(5)]
        return sum((x - 0.3) ** 2 + 0.1 * math.cos(9 * x) for x in xs)
    sampler = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)
    optuna.create_study(sampler=sampler).optimize(bowl, n_trials=50)
study(0)
start = time.perf_counter()
for seed in range({n_studies}):
    study(seed)
print(time.perf_counter() - start)
"""


def throughput(contender, studies, processes):
    """Studies of 50 trials a second, already compiled, on the whole machine.

    One thread of BLAS each, which is all that small matrices can use; XLA's own pool has
    a thread a core.
    """
    script = _MANY_JAX_SCRIPT if contender == "tuned" else _MANY_OPTUNA_SCRIPT
    script = script.format(n_studies=studies)
    env = {k: v for k, v in os.environ.items() if k != "NPROC"}
    with ThreadPoolExecutor(processes) as pool:
        printed = list(pool.map(fresh_python, [script] * processes, [env] * processes))
    return {"studies / s": processes * studies / max(map(float, printed))}


def part_throughput(report, quick):
    """Many independent studies: one program here, a process a core for the peer."""
    title = "studies of 50 trials, d=5, with different bounds and seeds"
    cores = os.cpu_count() or 1
    rows = [
        {"contender": "tuned", "studies": 16 if quick else 256, "processes": 1},
        {"contender": "optuna-gp", "studies": 1 if quick else 4, "processes": cores},
    ]
    _report.in_rounds(report, title, rows, throughput, 1 if quick else 3)
    report.relate(title, "/ optuna-gp", ["studies / s"], {"contender": "optuna-gp"})


# --- a fresh process -------------------------------------------------------------

_JAX_SCRIPT = """
import jax, jax.numpy as jnp
from {package} import BayesianSearch, LinearSpace
def branin(key, p):
    x, y = p["x"], p["y"]
    bend = y - 5.1 / (4 * jnp.pi**2) * x**2 + 5 / jnp.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * jnp.pi)) * jnp.cos(x) + 10
space = {{"x": LinearSpace(-5.0, 10.0), "y": LinearSpace(0.0, 15.0)}}
state, search = BayesianSearch.{init}(space, n_max=50, n_parallel=1, maximize=False)
state, _ = search.optimize_scan(state, jax.random.key(0), branin, 50)
print(search.best_result(state))
"""
_PYTHON_LOOP_SCRIPT = """
import math, jax
from hyperopt_jax import BayesianSearch, LinearSpace, python_loop
def branin(key, p):
    x, y = p["x"], p["y"]
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
space = {"x": LinearSpace(-5.0, 10.0), "y": LinearSpace(0.0, 15.0)}
state, search = BayesianSearch.tuned(space, n_max=50, n_parallel=1, maximize=False)
state, _ = search.optimize(state, jax.random.key(0), branin, 50, evaluate=python_loop)
print(search.best_result(state))
"""
_OPTUNA_SCRIPT = """
import math, optuna
def branin(trial):
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=0))
study.optimize(branin, n_trials=50)
print(study.best_value)
"""
COLD = {
    "tuned": _JAX_SCRIPT.format(package="hyperopt_jax", init="tuned"),
    "tuned, cached": "import hyperopt_jax; hyperopt_jax.cache_compilations()"
    + _JAX_SCRIPT.format(package="hyperopt_jax", init="tuned"),
    "tuned, python_loop": _PYTHON_LOOP_SCRIPT,
    "classic": _JAX_SCRIPT.format(package="hyperopt_jax", init="init"),
    "hyperoptax": _JAX_SCRIPT.format(package="hyperoptax", init="init"),
    "optuna-gp": _OPTUNA_SCRIPT,
}


def fresh_python(script, env):
    """What a script prints, run by a Python of its own."""
    command = [sys.executable, "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, env=env)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:]
        raise RuntimeError(last[0] if last else "no message")
    return process.stdout


def cold(contender, cache):
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
    if not contender.endswith("cached"):
        del env["JAX_COMPILATION_CACHE_DIR"]
    elif not os.listdir(cache):
        fresh_python(COLD[contender], env)  # the process that came before
    return {"wall s": _report.timed(fresh_python, COLD[contender], env)[1]}


def part_cold(report, quick):
    """A new Python, imports and compilation included, to the end of a study."""
    title = "Branin, 50 trials, from a cold process"
    rows = [{"contender": name} for name in COLD]
    with tempfile.TemporaryDirectory() as cache:
        measure = functools.partial(cold, cache=cache)
        _report.in_rounds(report, title, rows, measure, 1 if quick else 5)
    for base in ("tuned", "optuna-gp"):
        report.relate(title, f"/ {base}", ["wall s"], {"contender": base})


# --- BLAS threads on a busy machine ----------------------------------------------

_THREADS_SCRIPT = """
import statistics, time
import jax, jax.numpy as jnp
from hyperopt_jax import BayesianSearch, LinearSpace, cache_compilations
cache_compilations()
def bowl(key, p):
    return sum((x - 0.3) ** 2 + 0.1 * jnp.cos(9 * x) for x in p.values())
space = {f"x{i}": LinearSpace(0.0, 1.0) for i in range(5)}
state, search = BayesianSearch.tuned(space, n_max=256, n_parallel=1, maximize=False)
key = jax.random.key(0)
told, _ = search.optimize_scan(state, key, bowl, 100)
def scan():
    return search.optimize_scan(told, key, bowl, 10)
def ask_tell():
    state = told
    for i in range(10):
        params = search.get_next_params(state, jax.random.key(i))
        state = search.update_state(state, jax.random.key(i), jnp.zeros(1), params)
    return state
for run in (scan, ask_tell):
    jax.block_until_ready(run())
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    print(1e3 * statistics.median(seconds) / 10)
"""
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def threads(chosen, busy, cache):
    """Trials after 100, in a process of its own, beside `busy` processes."""
    env = {k: v for k, v in os.environ.items() if k not in _report.THREADS}
    env["JAX_COMPILATION_CACHE_DIR"] = cache
    if chosen != "none":
        env["OPENBLAS_NUM_THREADS"] = chosen
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(busy)]
    try:
        scan, asked = map(float, fresh_python(_THREADS_SCRIPT, env).split())
    finally:
        for other in others:
            other.kill()
            other.wait()
    return {"optimize_scan ms": scan, "ask+tell ms": asked}


def part_threads(report, quick):
    """One BLAS thread against one a core, where the machine is idle and where not."""
    title = "a trial after 100, d=5, by OPENBLAS_NUM_THREADS"
    cores = str(max(2, os.cpu_count() or 2))
    rows = [
        {"chosen": chosen, "busy": busy}
        for busy in (0, int(cores))
        for chosen in ("none", "1", cores)
    ]
    with tempfile.TemporaryDirectory() as cache:
        measure = functools.partial(threads, cache=cache)
        _report.in_rounds(report, title, rows, measure, 1 if quick else 3)
    clocks = ["optimize_scan ms", "ask+tell ms"]
    report.relate(title, "/ none", clocks, {"chosen": "none"}, ["busy"])


def part_floor(report, quick):
    """What a trial costs against what its arithmetic alone would."""
    rows = [{"n": n, "d": 5} for n in ((50,) if quick else (50, 200, 1000))]
    title = "a trial of optimize_scan over its arithmetic"
    _report.in_rounds(report, title, rows, _floor.trial, 1 if quick else 3)


PARTS = {
    "ask_tell": part_ask_tell,
    "peers": part_peers,
    "capacity": part_capacity,
    "studies": part_studies,
    "sweep": part_sweep,
    "throughput": part_throughput,
    "cold": part_cold,
    "threads": part_threads,
    "floor": part_floor,
}


def main():
    _report.pin_threads()
    parser = _report.parser("bench_speed", __doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    report = _report.Report(args)
    for part in args.part:
        PARTS[part](report, args.quick)
    report.show()


if __name__ == "__main__":
    main()
