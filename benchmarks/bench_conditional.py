"""Ablation in conditional spaces: variants of `BayesianSearch.tuned` over many seeds.

python benchmarks/bench_conditional.py --quick
python benchmarks/bench_conditional.py --seeds 48 --variants n_greedy LARGE_IMPROVEMENT

Beside random search and Optuna's TPE, on the problems of `bench_spaces.py --part estimators`,
interpolated on grids of their losses (ten minutes or so a problem to cross-validate, once).
A study's score is (best - least) / (first - least): `least` is the smallest loss on the
grids, `first` what random search has after 5 trials, on average.
"""

import _report
import jax
import numpy as np
from _estimators import PROBLEMS, best_of_tpe
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


def race(problem, variant, args):
    """The best losses of the studies of a variant."""
    from hyperopt_jax import BayesianSearch, spaces

    d = spaces.n_groups(problem.space)
    settings = {"n_parallel": 1, "maximize": False, **variant.settings(d)}

    def start():
        return BayesianSearch.tuned(problem.space, args.trials, **settings)

    with constants_of(variant):
        return studies(start, problem, args.seeds, args.trials).min(1)


def of_tpe(problem, args):
    """The best losses of studies of TPE."""
    seeds = range(args.seeds)
    return {"best": [best_of_tpe(problem.loss, args.trials, seed) for seed in seeds]}


def scored(problem, best, random, tpe):
    """The cells of a row."""
    best = np.asarray(best)
    first = random[:, :5].min(1).mean()
    scores = (best - problem.least) / (first - problem.least)
    cells = {
        "score": float(scores.mean()),
        "se": float(scores.std() / np.sqrt(len(scores))),
        "beats random": wins(best, random.min(1)),
    }
    if tpe is not None:
        cells["beats TPE"] = wins(best, np.asarray(tpe))
    return {**cells, "hidden": {"scores": scores.tolist()}}


def wins(best, rivals):
    """How often one of these studies beats one of the rivals'; a draw is half of it."""
    better = (best[:, None] < rivals) + 0.5 * (best[:, None] == rivals)
    return float(better.mean())


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
        raced = _report.attempt(of_tpe, problem, args)
        tpe = raced.get("best")
        cells = scored(problem, random.min(1), random, tpe)
        report.add(title, {"problem": problem.name, "variant": "random", **cells})
        cells = raced if tpe is None else scored(problem, tpe, random, tpe)
        report.add(title, {"problem": problem.name, "variant": "optuna-tpe", **cells})
        for name, variant in rows.items():
            who = {"problem": problem.name, "variant": name}
            cells = scored(problem, race(problem, variant, args), random, tpe)
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
