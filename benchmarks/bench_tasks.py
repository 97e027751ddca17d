"""Mixed tuning tasks: reals, integers and categories of scikit-learn's estimators.

python benchmarks/bench_tasks.py --quick
python benchmarks/bench_tasks.py --seeds 8 --trials 60

A study's score is (best - least) / (first - least): `least` is the smallest loss known,
by this run and by 20,000 random points; `first` is what random search has after 5
trials, on average. So 0 is the best known and 1 is a start.
"""

import _report
import jax
import numpy as np
from _tasks import N_SAMPLED, tasks

PEERS = {
    "optuna-random": "RandomSampler",
    "optuna-tpe": "TPESampler",
    "optuna-cmaes": "CmaEsSampler",
    "optuna-gp": "GPSampler",
}
VARIANTS = {
    "tuned": lambda d: {},
    "tuned, n_local=d": lambda d: {"n_local": d},
    "tuned, n_warmup=5": lambda d: {"n_warmup": 5},
    "tuned, n_candidates=4096": lambda d: {"n_candidates": 4096},
}
FULL = {"seeds": 8, "trials": 60, "contenders": [*VARIANTS, *PEERS]}
QUICK = {"seeds": 2, "trials": 12, "contenders": ["tuned", "optuna-tpe"]}


def options():
    parser = _report.parser("bench_tasks", __doc__.splitlines()[0])
    add = parser.add_argument
    add("--contenders", nargs="+", choices=[*VARIANTS, *PEERS], help="(all)")
    add("--seeds", type=int, help="studies a task (8)")
    add("--trials", type=int, help="trials a study (60)")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def race(name, task, args):
    """The best loss of each seed."""
    run = _peer if name in PEERS else _ours
    losses = run(name, task, args.seeds, args.trials)
    row = {"task": task.name, "contender": name, "best": losses}
    _report.progress("task", row)
    return row


def _ours(name, task, seeds, trials):
    from hyperopt_jax import BayesianSearch, spaces

    def loss(key, params):
        one = jax.tree.map(lambda leaf: leaf[None], params)
        return task.landscape(spaces.encode(task.space, one)[0])

    def study(key):
        settings = VARIANTS[name](len(task.space))
        state, search = BayesianSearch.tuned(
            task.space, trials, n_parallel=1, maximize=False, **settings
        )
        return search.optimize_scan(state, key, loss)[1][1].min()

    keys = jax.random.split(jax.random.key(0), seeds)
    return np.asarray(jax.jit(jax.vmap(study))(keys)).tolist()


def _peer(name, task, seeds, trials):
    import optuna

    from hyperopt_jax import spaces
    from hyperopt_jax.integrations import to_optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = getattr(optuna.samplers, PEERS[name])
    distributions = to_optuna(task.space)
    value = jax.jit(task.landscape)
    choices = {k: s.choices for k, s in task.space.items() if hasattr(s, "choices")}

    def played(seed):
        study = optuna.create_study(sampler=sampler(seed=seed))
        for _ in range(trials):
            trial = study.ask(distributions)
            params = {
                k: np.asarray([list(choices[k]).index(v) if k in choices else v])
                for k, v in trial.params.items()
            }
            u = spaces.encode(task.space, params)
            study.tell(trial, float(value(u[0])))
        return study.best_value

    return [played(seed) for seed in range(seeds)]


def score(rows, task):
    """Adds each row's scores, now that the least loss of the run is known."""
    from hyperopt_jax import spaces

    sampled = spaces.sample(task.space, jax.random.key(1), N_SAMPLED)
    U = spaces.encode(task.space, sampled)
    random = np.asarray(jax.lax.map(task.landscape, U, batch_size=512))
    first = random[: N_SAMPLED // 5 * 5].reshape(-1, 5).min(axis=1).mean()
    least = min([random.min(), *(min(row["best"]) for row in rows if "best" in row)])
    for row in rows:
        if "best" in row:
            row["score"] = [(y - least) / (first - least) for y in row["best"]]


def main():
    _report.pin_threads()
    args = options()
    report = _report.Report(args)
    title = f"mixed tasks, {args.trials} trials"
    scores = {name: [] for name in args.contenders}
    for task in tasks(args.quick):
        rows = []
        task.landscape  # noqa: B018 (scored here, since nothing traced can do it)
        for name in args.contenders:
            who = {"task": task.name, "contender": name}
            rows.append(_report.attempt(race, name, task, args))
            rows[-1] = {**who, **rows[-1]}
        score(rows, task)
        for row in rows:
            scores[row["contender"]] += row.get("score", [])
            row["score"] = float(np.mean(row.get("score", np.nan)))
            report.add(title, row)
    for name, every in scores.items():
        if every:
            error = float(np.std(every) / np.sqrt(len(every)))
            row = {"contender": name, "mean": float(np.mean(every)), "+-": error}
            report.add(f"{title}, all tasks", row)
    report.show()


if __name__ == "__main__":
    main()
