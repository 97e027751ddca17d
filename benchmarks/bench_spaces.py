"""Search spaces: what categories, conditions and constraints cost, and what they gain.

python benchmarks/bench_spaces.py --quick
python benchmarks/bench_spaces.py --part estimators --seeds 10 --trials 80
"""

import gc

import _report
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from _estimators import PROBLEMS, best_of_tpe

PARTS = "throughput", "compile", "categories", "estimators"
FULL = {"seeds": 10, "trials": 80, "rounds": 5, "problems": list(PROBLEMS)}
STUDIES_A_SEED = 20  # of what is compiled, and costs nothing
QUICK = {"seeds": 1, "trials": 12, "rounds": 1, "problems": ["wine"]}


def options():
    parser = _report.parser("bench_spaces", __doc__.splitlines()[0])
    add = parser.add_argument
    add("--part", nargs="+", choices=PARTS, default=list(PARTS), help="(all)")
    add(
        "--seeds",
        type=int,
        help="studies of estimators (10); 20 times as many of categories",
    )
    add("--trials", type=int, help="trials a study (80)")
    add("--problems", nargs="+", choices=PROBLEMS, help="of estimators (all)")
    add("--rounds", type=int, help="measurements of a row (5)")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def ten_parameters():
    from hyperopt_jax import (
        BooleanSpace,
        ChoiceSpace,
        LinearSpace,
        LogSpace,
        QLinearSpace,
        QLogSpace,
    )

    return {
        **{f"x{i}": LinearSpace(0.0, 1.0) for i in range(3)},
        **{f"l{i}": LogSpace(1e-5, 1e-1) for i in range(2)},
        "n": QLinearSpace(1, 12),
        "w": QLogSpace(8, 1024),
        "act": ChoiceSpace(["a", "b", "c", "d"]),
        "opt": ChoiceSpace(["a", "b", "c", "d"]),
        "on": BooleanSpace(),
    }


def constrained():
    from hyperopt_jax import ConstrainedSpace

    def small(p):
        return (p["w"] * p["n"] <= 2048) & (p["x0"] + p["x1"] <= 1.2)

    return ConstrainedSpace(ten_parameters(), small)


def throughput(report, args):
    """Milliseconds of one compiled call."""
    from hyperopt_jax.spaces import Codec

    def checked(n):
        codec = Codec(constrained())
        U = jax.random.uniform(jax.random.key(0), (n, codec.n_coordinates))
        return jax.jit(codec_call(codec, "is_feasible")), U

    def sampled(n, space):
        codec = Codec(space)

        def draw(key):
            return codec.decode(codec.sample(key, n)[0])

        return jax.jit(draw), jax.random.key(0)

    n = 10_000 if args.quick else 100_000
    rows = {
        f"{n} candidates against a predicate": lambda: checked(n),
        f"{10 * n} samples of 10 parameters": lambda: sampled(10 * n, ten_parameters()),
        f"{n} feasible samples": lambda: sampled(n, constrained()),
    }
    for name, make in rows.items():
        call, argument = make()
        _, first = _report.timed(call, argument)
        times = [_report.timed(call, argument)[1] for _ in range(5 * args.rounds)]
        row = {"call": name, "first s": first, "ms": 1e3 * float(np.median(times))}
        report.add("one compiled call", row)


def codec_call(codec, name):
    return lambda table: getattr(codec, name)(table)


def compile_times(report, args):
    """Ten leaves and a thousand of the same kinds: operations, a proposal, studies."""
    from hyperopt_jax import (
        BayesianSearch,
        BooleanSpace,
        ChoiceSpace,
        LinearSpace,
        LogSpace,
        QLinearSpace,
        RandomSearch,
        spaces,
    )

    kinds = [
        lambda i: LinearSpace(float(i), i + 1.0),
        lambda i: LogSpace(1.0 + i, 2.0 + i),
        lambda i: QLinearSpace(-i, i + 5),
        lambda i: ChoiceSpace([f"{i}", f"{i}b", None]),
        lambda i: BooleanSpace(),
    ]
    searches = {
        "random": lambda space: RandomSearch.init(space),
        "tuned": lambda space: BayesianSearch.tuned(space, 50, n_parallel=1),
    }

    def proposal(state, search, n):
        return search.get_next_params(state, jax.random.key(0))

    def study(state, search, n, loss=_of_one_leaf):
        return search.optimize_scan(state, jax.random.key(0), loss, 2)[1][1]

    def study_of_all(state, search, n):
        return study(state, search, n, _of_all_leaves)

    def in_a_program(state, search, n):
        return jax.jit(lambda: study(state, search, n))()

    def with_histories(state, search, n):
        key = jax.random.key(0)
        run = lambda: search.optimize_scan(state, key, _of_one_leaf, 2)[1]  # noqa: E731
        return jax.jit(run)()

    whats = {
        "a proposal": proposal,
        "a study": study,
        "a study, objective of all leaves": study_of_all,
        "a study inside jit": in_a_program,
        "a study inside jit, histories out": with_histories,
    }

    def operation(name):
        def make(n):
            space = space_of(n)
            params = spaces.sample(space, jax.random.key(0), 3)
            arguments = {
                "sample": (jax.random.key(0), 3),
                "encode": (params,),
                "decode": (spaces.encode(space, params),),
            }
            return lambda: getattr(spaces, name)(space, *arguments[name])

        return make

    def study_with(name, what):
        def make(n):
            state, optimizer = searches[name](space_of(n))
            return lambda: what(state, optimizer, n)

        return make

    def space_of(n):
        return {f"p{i:04d}": kinds[i % 5](i) for i in range(n)}

    cases = [("", name, operation(name)) for name in ("sample", "encode", "decode")]
    for name in searches:
        cases += [
            (name, title, study_with(name, what)) for title, what in whats.items()
        ]
    title = "no search: a bare loop, objective of all leaves"
    cases.append(("", title, lambda n: lambda: _bare_loop(n)))
    for name, title, make in cases:
        _seconds_to_compile(make, 10)
        base = None
        for n in (10, 100, 1000):
            times = [_seconds_to_compile(make, n) for _ in range(args.rounds)]
            own = float(np.median(times))
            base = base or own
            row = {"what": title, "search": name, "leaves": n, "compile s": own}
            report.add("compiling", {**row, "/ 10 leaves": own / base})


def _seconds_to_compile(make, n):
    """What tracing and XLA take for the first call of `make(n)`."""
    call = make(n)
    jax.clear_caches()
    gc.collect()
    with _report.CompileClock() as clock:
        jax.block_until_ready(call())
    return clock.xla + clock.tracing


def _of_one_leaf(key, params):
    return jnp.square(params["p0001"])


def _of_all_leaves(key, params):
    return sum(jnp.square(leaf.astype(float)) for leaf in params.values())


def _bare_loop(n):
    """What an objective of `n` leaves costs a program that draws numbers for them."""

    def body(least, key):
        X = jax.random.uniform(key, (1, n))
        params = dict(enumerate(jnp.unstack(X, axis=1)))
        loss = jax.vmap(_of_all_leaves)(key[None], params)
        return jnp.minimum(least, loss), (X, loss)

    keys = jax.random.split(jax.random.key(0), 2)
    return jax.jit(lambda: jax.lax.scan(body, jnp.full(1, jnp.inf), keys))()[1][1]


def categories(report, args):
    """64 choices beside five floats: what a suggestion costs, and what it gains."""
    from hyperopt_jax import BayesianSearch, ChoiceSpace, LinearSpace, RandomSearch

    floats = {f"x{i}": LinearSpace(0.0, 1.0) for i in range(5)}
    offsets = np.random.default_rng(0).uniform(0, 1, (64, 6)).astype(np.float32)

    def loss(key, p):
        row = jnp.asarray(offsets)[p["c"]]
        x = jnp.stack([p[f"x{i}"] for i in range(5)])
        return 2 * row[5] + jnp.sum((x - row[:5]) ** 2)

    base = None
    for name, space in (
        ("5 floats", floats),
        ("6 floats", {**floats, "x5": LinearSpace(0.0, 1.0)}),
        ("64 choices and 5 floats", {**floats, "c": ChoiceSpace(range(64))}),
    ):
        state, search = BayesianSearch.tuned(space, 64, n_parallel=1)
        told = RandomSearch.init(space, n_parallel=40)
        params = told[1].get_next_params(told[0], jax.random.key(1))
        state = search.update_state(state, jax.random.key(2), jnp.arange(40.0), params)
        _, first = _report.timed(search.get_next_params, state, jax.random.key(3))
        times = [
            _report.timed(search.get_next_params, state, jax.random.key(i))[1]
            for i in range(20 * args.rounds)
        ]
        own = float(np.median(times))
        base = base or own
        row = {
            "space": name,
            "first s": first,
            "ask ms": 1e3 * own,
            "/ 5 floats": own / base,
        }
        report.add("one suggestion after 40 trials", row)

    trials = min(60, args.trials)
    space = {**floats, "c": ChoiceSpace(range(64))}
    starts = {
        "tuned": lambda: BayesianSearch.tuned(
            space, trials, n_parallel=1, maximize=False
        ),
        "random": lambda: RandomSearch.init(space, n_parallel=1, maximize=False),
    }
    n = STUDIES_A_SEED * args.seeds
    best = {
        name: _best_of_studies(start, loss, trials, n) for name, start in starts.items()
    }
    _add_scores(report, f"64 choices and 5 floats, {trials} trials", best)


def _best_of_studies(start, loss, trials, n):
    """The best losses of `n` studies, in one program."""
    state, search = start()
    run = lambda key: search.optimize_scan(state, key, loss, trials)[1][1].min()  # noqa: E731
    keys = jax.random.split(jax.random.key(0), n)
    return np.asarray(jax.jit(jax.vmap(run))(keys)).tolist()


def _add_scores(report, title, best, **cells):
    for name, losses in best.items():
        row = {**cells, "contender": name, "median loss": float(np.median(losses))}
        for other in best:
            if other != name:
                wins = sum(a < b for a, b in zip(losses, best[other], strict=True))
                row[f"beats {other}"] = f"{wins}/{len(losses)}"
        if len(losses) > 1 and name != "tuned":
            test = scipy.stats.mannwhitneyu(best["tuned"], losses)
            row["p against tuned"] = float(test.pvalue)
        report.add(title, {**row, "hidden": {"losses": list(map(float, losses))}})


def estimators(report, args):
    """Problems with families, conditions and a constraint."""
    for problem in (PROBLEMS[name] for name in args.problems):
        contenders = {"tuned": _ours, "random": _ours, "optuna-tpe": _tpe}
        best = {}
        for name, run in contenders.items():
            cells = _report.attempt(_race, run, name, problem, args)
            if "failure" in cells:
                row = {"problem": problem.name, "contender": name, **cells}
                report.add("estimators that fail", row)
            else:
                best[name] = cells["losses"]
        if "tuned" in best:
            title = f"estimators, {args.trials} trials"
            _add_scores(report, title, best, problem=problem.name)


def _race(run, name, problem, args):
    return {"losses": [run(name, problem, args.trials, s) for s in range(args.seeds)]}


def _ours(name, problem, trials, seed):
    from hyperopt_jax import BayesianSearch, RandomSearch, python_loop

    if name == "tuned":
        state, search = BayesianSearch.tuned(
            problem.space, trials, n_parallel=1, maximize=False
        )
    else:
        state, search = RandomSearch.init(problem.space, maximize=False)
    key = jax.random.key(seed)
    _, (_, results) = search.optimize(state, key, problem, trials, evaluate=python_loop)
    return float(np.min(np.concatenate(results)))


def _tpe(name, problem, trials, seed):
    return best_of_tpe(problem.loss, trials, seed)


RUNS = {
    "throughput": throughput,
    "compile": compile_times,
    "categories": categories,
    "estimators": estimators,
}


def main():
    _report.pin_threads()
    args = options()
    report = _report.Report(args)
    for part in args.part:
        RUNS[part](report, args)
    report.show()


if __name__ == "__main__":
    main()
