"""Regret: how near to the optimum each contender comes, over problems and seeds.

python benchmarks/bench_quality.py --quick
python benchmarks/bench_quality.py --dim 5 --seeds 10 --trials 60
python benchmarks/bench_quality.py --families --dim 5 --contenders tuned botorch
python benchmarks/bench_quality.py --families --levels 0 0 4 --contenders tuned optuna-gp
python benchmarks/bench_quality.py --bbob --dim 5 --contenders tuned nevergrad
"""

from dataclasses import replace

import _report
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from _bbob import BOUNDS, Function, functions
from _families import families, levels_of, one_of
from _peers import CONTENDERS, Task

FLOOR = 1e-6  # gaps below are equal: float32 proposals cannot tell them apart
HIT = 1e-2
BASELINE_SEEDS = 100  # random search costs nothing, so its median is known well
GAPS, SCORES, DUELS = "simple regret", "scores", "wins"


FULL = {"seeds": 10, "trials": 60, "problems": None, "contenders": list(CONTENDERS)}
QUICK = {
    "seeds": 3,
    "trials": 20,
    "problems": ["Branin", "Hartmann6", "Ackley"],
    "contenders": ["tuned", "optuna-tpe"],
}
QUICK_FAMILIES = ["Ackley", "Rosenbrock", "SphereAtBoundary"]
QUICK_FUNCTIONS = ["Sphere", "Discus", "Weierstrass"]


def options():
    parser = _report.parser("bench_quality", __doc__.splitlines()[0])
    add = parser.add_argument
    add("--dim", type=int, default=5, help="where a problem lets one choose (5)")
    add("--seeds", type=int, help="studies a problem (10)")
    add("--trials", type=int, help="trials a study (60)")
    add("--problems", nargs="+", help="class names, such as Branin (all)")
    add("--contenders", nargs="+", choices=CONTENDERS, help="(all)")
    add("--batch", type=int, default=1, help="trials asked for at once (1)")
    add("--noise", type=float, default=0.0, help="share of the values' spread (0)")
    add("--levels", type=int, nargs="+", default=[], help="of coordinates in turn (0)")
    add("--move", type=int, default=0, metavar="SEED", help="of the moves (0)")
    add("--published", action="store_true", help="problems as published, not moved")
    sets = parser.add_mutually_exclusive_group()
    instance = "every seed another instance"
    sets.add_argument("--families", action="store_true", help=instance)
    sets.add_argument("--bbob", action="store_true", help=f"BBOB's, {instance}")
    args = parser.parse_args()
    if (args.families or args.bbob) and (args.published or args.move):
        parser.error("instances are moved already: no --published, no --move")
    if any(args.levels) and not args.families:
        parser.error("--levels are those of --families")
    defaults = QUICK if args.quick else FULL
    if args.quick and (args.families or args.bbob):
        quick = QUICK_FAMILIES if args.families else QUICK_FUNCTIONS
        defaults = {**QUICK, "problems": quick}
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    others = [name for name in args.contenders if name != "random"]
    args.contenders = ["random", *others]  # first: the yardstick of all other rows
    return args


def chosen(args):
    """The problems of the race, by name; shifted and rotated, since many have their
    optimum at the centre, which some searches try first. With `--families` and `--bbob`,
    a stack of instances each.
    """
    if args.bbob:
        every = {one.name: one for one in functions(args.dim, args.seeds)}
    else:
        every = _families(args) if args.families else _problems(args)
    unknown = set(args.problems or ()) - set(every)
    if unknown:
        raise SystemExit(f"expected problems among {[*every]}, got {[*unknown]}")
    return {name: every[name] for name in args.problems or every}


def _families(args):
    every = families(args.dim, args.levels)
    return {one.name: one.instances(args.seeds) for one in every}


def _problems(args):
    from hyperopt_jax.problems import all_problems

    every = {type(problem).__name__: problem for problem in all_problems(args.dim)}
    if not args.published:
        keys = jax.random.split(jax.random.key(args.move), len(every))
        moves = zip(every, keys, strict=True)  # of all, whichever are chosen
        every = {name: every[name].moved(key) for name, key in moves}
    return every


def is_stack(problem):
    return problem.shift.ndim == 2


def make_task(problem, args):
    if isinstance(problem, Function):
        bounds = (BOUNDS,) * problem.dim
        task = Task(None, bounds, args.trials, args.batch, is_traceable=False)
        tasks = (replace(task, value=gap) for gap in problem.instances)
        return _of_instances(_noisy(task, args) for task in tasks)
    if is_stack(problem):
        rows = range(len(problem.shift))
        return _of_instances(make_task(one_of(problem, row), args) for row in rows)
    with jax.enable_x64(True):  # an instance may be in double precision
        low, high = problem.lower.tolist(), problem.upper.tolist()
    bounds = tuple(zip(low, high, strict=True))
    levels = ()
    if any(args.levels):
        levels = tuple(levels_of(len(bounds), args.levels).tolist())
    task = Task(problem.value, bounds, args.trials, args.batch, levels=levels)
    return _noisy(task, args)


def _of_instances(tasks):
    first, *others = tasks
    return replace(first, instances=(first, *others))


def _noisy(task, args):
    if not args.noise:
        return task
    spread = float(np.std(task.sample(1000, seed=0)[1]))
    return replace(task, noise=args.noise * spread)


def regrets(problem, points):
    """Best gap so far, (n_seeds, n_trials), noiseless and in double precision."""
    values = values_of(problem, points)
    gaps = np.where(np.isfinite(values), values, np.inf) - problem.optimum
    return np.maximum(np.minimum.accumulate(gaps, axis=1), FLOOR)


def values_of(problem, points):
    """The objective at `points (n_seeds, n_trials, d)`."""
    if isinstance(problem, Function):
        return problem.values(points)
    with jax.enable_x64(True):
        points = jnp.asarray(points, jnp.float64)
        if is_stack(problem):
            problem = one_of(problem, np.arange(len(points)) % len(problem.shift))
            value = jax.vmap(lambda one, points: jax.vmap(one.value)(points))
            return np.asarray(jax.jit(value)(problem, points))
        return np.asarray(jax.jit(jax.vmap(jax.vmap(problem.value)))(points))


def race(name, problem, task, seeds, gaps):
    """One cell of the race; keeps its final gaps in `gaps[name]`."""
    curves = regrets(problem, CONTENDERS[name].points(task, seeds))
    final = gaps[name] = curves[:, -1]
    hits = int((final <= HIT).sum())
    return {
        "gap": final.tolist(),
        "vs random": float(np.median(final) / np.median(gaps["random"])),
        f"gap <= {HIT:g}": f"{hits}/{len(seeds)}",
        "hidden": {"median gap after each trial": np.median(curves, 0).tolist()},
    }


def score(gaps_by_problem, name):
    """How far below random search, in decades, and on how many problems."""
    decades, better = [], 0
    for gaps in gaps_by_problem.values():
        if name in gaps:
            baseline = np.median(gaps["random"])
            decades.append(float(np.mean(np.log10(gaps[name] / baseline))))
            better += bool(np.median(gaps[name]) < baseline)
    if not decades:
        return {"failure": "no result"}
    return {
        "mean log10(gap / random)": float(np.mean(decades)),
        "best problem": min(decades),
        "worst problem": max(decades),
        "beats random": f"{better}/{len(decades)}",
    }


def duel(gaps_by_problem, name, other):
    """Wins by the median gap; clear ones by a rank-sum test at 5 %."""
    count = dict.fromkeys(["wins", "ties", "losses", "clear wins", "clear losses"], 0)
    for gaps in gaps_by_problem.values():
        if name not in gaps or other not in gaps:
            continue
        ours, theirs = np.median(gaps[name]), np.median(gaps[other])
        outcome = "wins" if ours < theirs else "losses" if ours > theirs else "ties"
        count[outcome] += 1
        if outcome != "ties":
            test = scipy.stats.mannwhitneyu(gaps[name], gaps[other])
            count[f"clear {outcome}"] += int(test.pvalue < 0.05)
    return count


def main():
    _report.pin_threads()
    args = options()
    report = _report.Report(args)
    gaps_by_problem = {}
    for title, problem in chosen(args).items():
        task = make_task(problem, args)
        gaps = gaps_by_problem[title] = {}
        for name in args.contenders:
            least = BASELINE_SEEDS if name == "random" else 1
            seeds = range(max(args.seeds, least))
            cells = _report.attempt(race, name, problem, task, seeds, gaps)
            row = {"problem": title, "d": problem.dim, "contender": name, **cells}
            _report.progress(GAPS, row)
            report.add(GAPS, row)
    for name in args.contenders:
        report.add(SCORES, {"contender": name, **score(gaps_by_problem, name)})
    for name in ("tuned", "classic"):
        for other in args.contenders:
            if name in args.contenders and other != name:
                row = {"contender": name, "against": other}
                report.add(DUELS, {**row, **duel(gaps_by_problem, name, other)})
    report.show()


if __name__ == "__main__":
    main()
