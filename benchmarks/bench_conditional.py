"""Ablation in conditional spaces: variants of `BayesianSearch.tuned` over many seeds.

python benchmarks/bench_conditional.py --quick
python benchmarks/bench_conditional.py --seeds 48 --variants n_greedy LARGE_IMPROVEMENT

The problems of `bench_spaces.py --part estimators`, interpolated on grids of their losses
(ten minutes or so a problem to cross-validate, once). A study's score is (best - least) /
(first - least): `least` is the smallest loss on the grids, `first` what random search has
after 5 trials, on average.
"""

import _report
import jax
import numpy as np
from _estimators import PROBLEMS
from _tabulated import Tabulated
from bench_ablation import BASELINE, chosen, compared, constants_of

RANDOM_STUDIES = 400
FULL = {"seeds": 48, "trials": 80, "variants": ["n_greedy"], "problems": [*PROBLEMS]}
QUICK = {"seeds": 4, "trials": 12, "variants": ["n_greedy=1"], "problems": ["wine"]}


def options():
    parser = _report.parser("bench_conditional", __doc__.splitlines()[0])
    add = parser.add_argument
    add("--seeds", type=int, help="studies a problem (48)")
    add("--trials", type=int, help="trials a study (80)")
    add("--problems", nargs="+", choices=PROBLEMS, help="(all)")
    add("--variants", nargs="+", help="names, or settings for all of theirs (n_greedy)")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def studies(start, problem, seeds, trials):
    """All results of the studies, (seeds, trials)."""

    def study(key):
        state, search = start()
        return search.optimize_scan(state, key, problem, trials)[1][1]

    keys = jax.random.split(jax.random.key(0), seeds)
    return np.asarray(jax.jit(jax.vmap(study))(keys)).reshape(seeds, trials)


def race(problem, variant, args, random):
    """The cells of a row."""
    from hyperopt_jax import BayesianSearch, spaces

    d = spaces.n_groups(problem.space)
    settings = {"n_parallel": 1, "maximize": False, **variant.settings(d)}

    def start():
        return BayesianSearch.tuned(problem.space, args.trials, **settings)

    with constants_of(variant):
        results = studies(start, problem, args.seeds, args.trials)
    return scored(problem, results.min(1), random)


def scored(problem, best, random):
    first = random[:, :5].min(1).mean()
    scores = (best - problem.least) / (first - problem.least)
    rivals = random.min(1)
    wins = (best[:, None] < rivals) + 0.5 * (best[:, None] == rivals)
    return {
        "score": float(scores.mean()),
        "se": float(scores.std() / np.sqrt(len(scores))),
        "beats random": float(wins.mean()),
        "hidden": {"scores": scores.tolist()},
    }


def main():
    from hyperopt_jax import RandomSearch

    _report.pin_threads()
    args = options()
    report = _report.Report(args)
    title = f"conditional problems, {args.trials} trials"
    rows = chosen(args.variants)
    scores = {name: [] for name in rows}
    for problem in map(Tabulated, args.problems):
        problem.tables  # noqa: B018 (scored here, since nothing traced can do it)

        def start(space=problem.space):
            return RandomSearch.init(space, n_parallel=1, maximize=False)

        random = studies(start, problem, RANDOM_STUDIES, args.trials)
        cells = scored(problem, random.min(1), random)
        report.add(title, {"problem": problem.name, "variant": "random", **cells})
        for name, variant in rows.items():
            who = {"problem": problem.name, "variant": name}
            cells = race(problem, variant, args, random)
            scores[name].append(cells["hidden"]["scores"])
            _report.progress(title, {**who, **cells})
            report.add(title, {**who, **cells})
    base = np.array(scores[BASELINE])
    for name, every in scores.items():
        cells = {"score": float(np.mean(every))}
        if name != BASELINE:
            cells |= compared(np.array(every), base)
        report.add(f"{title}, all problems", {"variant": name, **cells})
    report.show()


if __name__ == "__main__":
    main()
