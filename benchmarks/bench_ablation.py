"""Ablation: what each setting of `BayesianSearch.tuned` is worth, one at a time.

python benchmarks/bench_ablation.py --quick
python benchmarks/bench_ablation.py --dims 2 5 10 20 --seeds 20
python benchmarks/bench_ablation.py --variants n_local kernel --noise 0.1
python benchmarks/bench_ablation.py --variants n_local --plateaus 4
python benchmarks/bench_ablation.py --variants n_local --workers 8
python benchmarks/bench_ablation.py --variants n_local --levels 2 5 20 100 0
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import _report
import jax
import jax.numpy as jnp
import numpy as np

FLOOR = 1e-9  # gaps below are equal
RANDOM_STUDIES = 100  # of each instance: the yardstick should be steady
BASELINE = "tuned"
FULL = {"dims": [2, 5, 10, 20], "seeds": 20, "trials": 60, "variants": None}
QUICK = {
    "dims": [2],
    "seeds": 2,
    "trials": 12,
    "variants": ["n_local=0", "REFITS_PER_DOUBLING=1"],
}


@dataclass(frozen=True)
class Variant:
    """`BayesianSearch.tuned` but for `settings(d)` and the constants of its modules.

    `against` names the variant that it is compared to, where that is not `tuned`.
    """

    settings: Callable[[int], dict] = lambda d: {}
    constants: tuple[tuple[str, str, float], ...] = ()  # (module, name, value)
    against: str = BASELINE


def variants():
    """All rows of the table by name, "setting=value"; the baseline first."""
    from hyperopt_jax import acquisition, kernels

    def length(d):
        return 0.5 * math.sqrt(d)  # where `tuned` starts

    rows = {BASELINE: Variant()}

    def vary(setting, against=BASELINE, also=(), **values):
        for label, value in values.items():
            of = value if callable(value) else lambda d, value=value: value
            rows[f"{setting}={label}"] = Variant(
                lambda d, of=of: {**dict(also), setting: of(d)}, against=against
            )

    def numbers(*values):
        return {f"{value:g}": value for value in values}

    def constant(module, name, *values, against=BASELINE, also=()):
        for value in values:
            rows[f"{name}={value:g}"] = Variant(
                lambda d: dict(also), ((module, name, value),), against
            )

    halves = {"d/2": lambda d: d // 2, "d": lambda d: d, "2d": lambda d: 2 * d}
    vary("n_local", **numbers(0, 1, 2), **halves)
    vary("n_greedy", never=None, **numbers(1, 2, 4))
    vary("n_candidates", **numbers(128, 512, 2048))
    vary("n_restarts", **numbers(1, 4, 8))
    vary("n_lbfgs_steps", **numbers(6, 12, 24))
    vary("n_hparam_steps", **numbers(5, 10, 20, 60))
    vary("n_warmup", **numbers(3, 5, 10))
    vary("warmup", random="random", spread="spread")
    vary("ranked", **numbers(0, 0.25, 0.5))
    vary(
        "kernel",
        **{
            "Matern 3/2": lambda d: kernels.Matern(length(d), nu=1.5),
            "Matern 5/2": lambda d: kernels.Matern(length(d), nu=2.5),
            "RBF": lambda d: kernels.RBF(length(d)),
        },
    )
    vary("jitter", **numbers(1e-9, 1e-6, 1e-4))
    names = "LogEI EI UCB PI LogNoisyEI KnowledgeGradient MaxValueEntropy"
    kinds = [getattr(acquisition, name) for name in names.split()]
    vary("acquisition", **{kind.__name__: lambda d, k=kind: k() for kind in kinds})
    # By default EI and PI ask for an improvement of 0.01 at least, and LogEI does not.
    greedy = {
        f"{kind.__name__} xi=0": kind for kind in (acquisition.EI, acquisition.PI)
    }
    vary(
        "acquisition", **{name: lambda d, k=k: k(xi=0.0) for name, k in greedy.items()}
    )

    batch = "n_parallel=4"
    vary("n_parallel", **numbers(4))
    vary(
        "hallucination",
        against=batch,
        also={"n_parallel": 4},
        mean=lambda d: acquisition.MeanHallucination(),
        sample=lambda d: acquisition.SampleHallucination(),
        UCB=lambda d: acquisition.UCBHallucination(),
        incumbent=lambda d: acquisition.ConstantHallucination(),
    )

    constant("bayesian._tell", "REFITS_PER_DOUBLING", 1, 2, 8)
    constant("bayesian._region", "GLOBAL_TRIALS", 1, 4)
    constant("bayesian._region", "GROWTH", 1, 4)
    constant("bayesian._region", "SHRINK", 0.25, 0.7)
    constant("bayesian._region", "FADING", 0.25, 1)
    constant("bayesian._region", "MAX_CYCLES", 1, 6)
    constant("bayesian._region", "MAX_NOISE_VARIANCE", 1e-4, 1e-1, 1e9)
    constant(
        "bayesian._explore",
        "LARGE_IMPROVEMENT",
        *(0, 0.3, 3),
        against="n_greedy=2",
        also={"n_greedy": 2},
    )
    constant("gp._hyper", "LENGTH_SCALE_MEAN", -2.6, -0.6)
    constant("gp._hyper", "LENGTH_SCALE_STD", 0.5, 1.732, 3)
    constant("gp._hyper", "AMPLITUDE_STD", 1, 9)
    constant("gp._hyper", "NOISE_MEAN", -13, -9, -3)
    constant("gp._hyper", "NOISE_STD", 2, 8)
    constant("gp._taylor", "RADIUS", 10, 200)
    constant("gp._taylor", "STEEPNESS", 0.004, 0.4)
    constant("gp._taylor", "EVIDENCE", 0, 1, 1e9)
    return rows


def options():
    parser = _report.parser("bench_ablation", __doc__.splitlines()[0])
    add = parser.add_argument
    add("--float32", dest="x64", action="store_false", help="JAX in single precision")
    parser.set_defaults(x64=True)
    add("--dims", type=int, nargs="+", help="(2 5 10 20)")
    add("--seeds", type=int, help="instances of each problem (20)")
    add("--trials", type=int, help="trials a study (60)")
    add("--noise", type=float, default=0.0, help="share of the values' spread (0)")
    add("--plateaus", type=int, default=0, help="levels in a decade of gaps (0: none)")
    add("--workers", type=int, default=1, help="that finish in any order (1)")
    add("--levels", type=int, nargs="+", default=[], help="of coordinates in turn (0)")
    add("--variants", nargs="+", help="names, or settings for all of theirs (all)")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def chosen(names):
    """The variants of these names or settings, each after what it is compared to."""
    every = variants()
    settings = {name.split("=")[0] for name in every}
    unknown = set(names or ()) - set(every) - settings
    if unknown:
        raise SystemExit(f"expected variants among {[*every]}, got {[*unknown]}")
    picked = [
        name
        for wanted in names or every
        for name in every
        if wanted in (name, name.split("=")[0])
    ]
    ordered = [one for name in picked for one in (every[name].against, name)]
    return {name: every[name] for name in dict.fromkeys([BASELINE, *ordered])}


@contextlib.contextmanager
def constants_of(variant):
    """Within, the constants are the variant's and nothing is compiled with others."""
    import importlib

    modules = [
        (importlib.import_module(f"hyperopt_jax.{module}"), name, value)
        for module, name, value in variant.constants
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in modules]

    def put(values):
        for module, name, value in values:
            setattr(module, name, value)
        if values:
            jax.clear_caches()  # programs hold the constants that they were traced with

    put(modules)
    try:
        yield
    finally:
        put(before)


class Course:
    """All instances in one dimension, their noise and how random search does on them.

    Arrays begin with (n_problems, n_seeds); points lie in the unit cube.
    """

    def __init__(self, dim, args):
        from _families import families, levels_of

        self.dim, self.trials, self.plateaus = dim, args.trials, args.plateaus
        self.workers = args.workers
        self.families = families(dim, args.levels)
        self.levels = levels_of(dim, args.levels)
        with jax.enable_x64(True):
            boxes = [(f.problem.lower, f.problem.upper) for f in self.families]
            self.low, self.high = np.array(boxes).transpose(1, 0, 2)
        self.stacks = [family.instances(args.seeds) for family in self.families]
        self.shape = (len(self.stacks), args.seeds)
        rng = np.random.default_rng(0)
        U = rng.random((*self.shape, RANDOM_STUDIES, args.trials, dim))
        if self.levels.any():
            drawn = np.floor(U * self.levels) / np.maximum(self.levels - 1, 1)
            U = np.where(self.levels > 0, drawn, U)
        values = self.gaps(U)
        self.noise = args.noise * values.std((2, 3))
        seen = rng.standard_normal(values.shape) * self.noise[..., None, None]
        seen += flattened(values, self.plateaus)
        typical = np.median(of_best_seen(values, seen), (1, 2))
        self.yardstick = np.maximum(typical, FLOOR)  # 0 in a small finite space

    def gaps(self, U):
        """True gaps of points, noiseless and in double precision."""
        axes = tuple(range(1, U.ndim - 1))
        low, high = (np.expand_dims(a, axes) for a in (self.low, self.high))
        every = zip(self.families, self.stacks, low + U * (high - low), strict=True)
        with jax.enable_x64(True):
            return np.stack([true_gaps(f.problem, *rest) for f, *rest in every])

    def objective(self, row, shift, rotation, noise):
        """The instance `row, shift, rotation` as an objective over the unit cube.

        All problems are computed and one is taken, so that one program serves all.
        """
        import equinox as eqx

        bases = [family.problem for family in self.families]
        low = jnp.asarray(self.low, float)
        width = jnp.asarray(self.high - self.low, float)

        def func(key, params):
            u = self.places(params)
            x = low[row] + u * width[row]
            moved = [
                eqx.tree_at(lambda p: (p.shift, p.rotation), p, (shift, rotation))
                for p in bases
            ]
            values = jnp.stack([p.value(x) - p.optimum for p in moved])
            value = flattened(values[row], self.plateaus, jnp)
            return value + noise * jax.random.normal(key, (), u.dtype)

        return func

    def places(self, params):
        """Where in the unit cube the parameters of a study lie."""
        last = np.maximum(self.levels - 1, 1)
        return jnp.stack([p / n for p, n in zip(params, last, strict=True)], -1)

    def search(self, variant):
        from hyperopt_jax import BayesianSearch, LinearSpace, QLinearSpace

        space = [
            QLinearSpace(0, int(n) - 1) if n else LinearSpace(0.0, 1.0)
            for n in self.levels
        ]
        settings = {"n_parallel": 1, "maximize": False, **variant.settings(self.dim)}
        return BayesianSearch.tuned(space, self.trials, **settings)

    def decades(self, variant):
        """log10(gap / median gap of random search) of the variant on each instance, of
        the trial with the best result and of the one that it recommends.
        """
        n = math.prod(self.shape)
        rows = np.repeat(np.arange(self.shape[0], dtype=np.int32), self.shape[1])
        leaves = [
            np.concatenate([getattr(stack, name) for stack in self.stacks])
            for name in ("shift", "rotation")
        ]

        def study(seed, noise, row, shift, rotation):
            state, optimizer = self.search(variant)
            key = jax.random.key(seed)
            func = self.objective(row, shift, rotation, noise)
            if self.workers > 1:
                state, (params, results) = by_workers(
                    optimizer, state, key, func, self.trials, self.workers
                )
            else:
                n_batches = -(-self.trials // optimizer.n_parallel)
                state, (params, results) = optimizer.optimize_scan(
                    state, key, func, n_batches
                )
            points = self.places(params).reshape(-1, self.dim)
            return points, results.reshape(-1), self.places(optimizer.recommend(state))

        studies = jax.jit(jax.vmap(study))
        seeds = np.arange(n, dtype=np.uint32)
        with constants_of(variant):
            found = studies(seeds, self.noise.reshape(-1), rows, *leaves)
        U, seen, recommended = (
            np.asarray(a).reshape(*self.shape, *a.shape[1:]) for a in found
        )
        U, seen = U[:, :, : self.trials], seen[:, :, : self.trials]
        best = of_best_seen(self.gaps(U.astype(float)), seen)
        gaps = np.stack([best, self.gaps(recommended.astype(float))])
        return np.log10(np.maximum(gaps, FLOOR) / self.yardstick[:, None])


def by_workers(optimizer, state, key, func, n_trials, n_workers):
    """The state and the history of trials that end in random order.

    Whenever one of `n_workers` has ended, the next one is asked for while the others run.
    """
    together = dataclasses.replace(optimizer, n_parallel=n_workers)
    first = together.get_next_params(state, key)

    def end_one(carry, i):
        state, running = carry
        own = jax.random.fold_in(key, i + 1)
        ended = jax.random.randint(own, (), 0, n_workers)
        others = (ended + 1 + jnp.arange(n_workers - 1)) % n_workers
        params = jax.tree.map(lambda leaf: leaf[ended], running)
        result = func(own, params)
        batch = jax.tree.map(lambda leaf: leaf[None], params)
        state = optimizer.update_state(state, own, result[None], batch)
        pending = jax.tree.map(lambda leaf: leaf[others], running)
        new = optimizer.get_next_params(state, own, pending=pending)
        running = jax.tree.map(
            lambda leaf, one: leaf.at[ended].set(one[0]), running, new
        )
        return (state, running), (params, result)

    steps = jnp.arange(n_trials, dtype=jnp.int32)
    (state, _), history = jax.lax.scan(end_one, (state, first), steps)
    return state, history


def flattened(gaps, plateaus, xp=np):
    """The gaps in steps, `plateaus` of them in a decade: each at the foot of its own."""
    if not plateaus:
        return gaps
    levels = xp.floor(plateaus * xp.log10(xp.maximum(gaps, FLOOR)))
    return 10 ** (levels / plateaus)


def true_gaps(problem, instances, X):
    """Gaps at the points `X (n_seeds, ..., d)` of a family's instances."""
    values = jax.jit(jax.vmap(lambda one, x: jax.vmap(one.value)(x)))
    flat = X.reshape(len(X), -1, X.shape[-1])
    return np.asarray(values(instances, flat)).reshape(X.shape[:-1]) - problem.optimum


def of_best_seen(gaps, seen):
    """The true gap of the trial with the best result, along the last axis."""
    best = np.argmin(np.where(np.isfinite(seen), seen, np.inf), -1)
    return np.take_along_axis(gaps, best[..., None], -1)[..., 0]


def measure(course, variant, base):
    """One row; `base` are the decades of what it is compared to, None for itself."""
    (decades, recommended), seconds = _report.timed(course.decades, variant)
    cells = {"score": float(decades.mean())}
    if course.noise.any():
        cells["recommended"] = float(recommended.mean())
        cells["less score"] = float((recommended - decades).mean())
        cells["its se"] = compared(recommended, decades)["se"]
    if base is not None:
        cells |= compared(decades, base)
    hidden = {
        f.name: row.tolist() for f, row in zip(course.families, decades, strict=True)
    }
    return {**cells, "seconds": seconds, "hidden": {"decades": hidden}}, decades


def compared(decades, base):
    """The mean difference to `base`, paired by instance, and its standard error, for
    these problems and other instances of them.
    """
    difference = decades - base
    n_problems, n_seeds = difference.shape
    error = math.nan
    if n_seeds > 1:
        variances = difference.var(1, ddof=1) / n_seeds
        error = math.sqrt(variances.sum()) / n_problems
    better = int((difference.mean(1) < 0).sum())
    worse = int((difference.mean(1) > 0).sum())
    mean = float(difference.mean())
    return {
        "difference": mean,
        "se": error,
        "difference / se": mean / error if error else 0.0,
        "better, worse on": f"{better}, {worse} of {n_problems}",
    }


def run(course, name, variant, optimizers, known):
    """The cells of a row; keeps its decades in `known[name]`."""
    base = known.get(variant.against) if name != variant.against else None
    same = optimizers[name] == optimizers[variant.against]
    if base is not None and same and not variant.constants:
        return {"score": float(base.mean()), "same as": variant.against}
    cells, known[name] = measure(course, variant, base)
    return cells


def main():
    _report.pin_threads()
    args = options()
    report = _report.Report(args)
    rows = chosen(args.variants)
    courses = {dim: Course(dim, args) for dim in args.dims}
    known = {dim: {} for dim in args.dims}
    for name, variant in rows.items():
        for dim, course in courses.items():
            title = f"d={dim}: mean log10(gap / random) after {args.trials} trials"
            optimizers = {n: course.search(rows[n])[1] for n in (name, variant.against)}
            cells = _report.attempt(run, course, name, variant, optimizers, known[dim])
            row = {"variant": name, "d": dim, "against": variant.against, **cells}
            _report.progress(title, row)
            report.add(title, row)
    report.show()


if __name__ == "__main__":
    main()
