"""Mixed tuning tasks: reals, integers and categories of scikit-learn's estimators.

python benchmarks/bench_tasks.py --quick
python benchmarks/bench_tasks.py --seeds 8 --trials 60
python benchmarks/bench_tasks.py --real --contenders tuned optuna-tpe

A study's score is (best - least) / (first - least): `least` is the smallest loss known,
by this run and by random points; `first` is what random search has after 5 trials, on
average. So 0 is the best known and 1 is a start. `--real` cross-validates every trial
(minutes a task and contender); else forests fitted to losses stand in.
"""

import functools
import math
import tempfile
from pathlib import Path

import _report
import jax
import numpy as np
from _tasks import N_SAMPLED, tasks

SAMPLERS = {
    "optuna-random": "RandomSampler",
    "optuna-tpe": "TPESampler",
    "optuna-cmaes": "CmaEsSampler",
    "optuna-gp": "GPSampler",
}
PEERS = [*SAMPLERS, "smac"]
VARIANTS = {
    "tuned": lambda d: {},
    "tuned, ranked=0": lambda d: {"ranked": 0.0},
    "tuned, ranked=0.25": lambda d: {"ranked": 0.25},
    "tuned, ranked=0.75": lambda d: {"ranked": 0.75},
    "tuned, n_greedy=2": lambda d: {"n_greedy": 2},
    "tuned, n_local=0": lambda d: {"n_local": 0},
    "tuned, n_local=d": lambda d: {"n_local": d},
    "tuned, n_warmup=5": lambda d: {"n_warmup": 5},
}
FULL = {"seeds": 8, "trials": 60, "contenders": [*VARIANTS, *PEERS]}
QUICK = {"seeds": 2, "trials": 12, "contenders": ["tuned", "optuna-tpe"]}


def options():
    parser = _report.parser("bench_tasks", __doc__.splitlines()[0])
    add = parser.add_argument
    add("--contenders", nargs="+", choices=[*VARIANTS, *PEERS], help="(all)")
    add("--seeds", type=int, help="studies a task (8)")
    add("--trials", type=int, help="trials a study (60)")
    add("--real", action="store_true", help="cross-validate every trial")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def race(name, task, args):
    """The best loss of each seed."""
    if name in PEERS:
        losses = [_peer(name, task, seed, args) for seed in range(args.seeds)]
    elif args.real:
        losses = [_ours_real(name, task, seed, args) for seed in range(args.seeds)]
    else:
        losses = _ours(name, task, args)
    row = {"task": task.name, "contender": name, "best": losses}
    _report.progress("task", row)
    return row


def _search(name, task, args):
    from hyperopt_jax import BayesianSearch

    settings = VARIANTS[name](len(task.space))
    return BayesianSearch.tuned(
        task.space, args.trials, n_parallel=1, maximize=False, **settings
    )


def _ours(name, task, args):
    from hyperopt_jax import spaces

    def loss(key, params):
        one = jax.tree.map(lambda leaf: leaf[None], params)
        return task.landscape(spaces.encode(task.space, one)[0])

    def study(key):
        state, search = _search(name, task, args)
        return search.optimize_scan(state, key, loss)[1][1].min()

    keys = jax.random.split(jax.random.key(0), args.seeds)
    return np.asarray(jax.jit(jax.vmap(study))(keys)).tolist()


def _ours_real(name, task, seed, args):
    from hyperopt_jax import python_loop

    state, search = _search(name, task, args)
    key = jax.random.key(seed)
    state, _ = search.optimize(state, key, task, evaluate=python_loop)
    return float(search.best_result(state))


def _peer(name, task, seed, args):
    study = _smac if name == "smac" else functools.partial(_optuna, SAMPLERS[name])
    return study(task, _loss_of(task, args), seed, args.trials)


def _loss_of(task, args):
    """The loss of a configuration with the objects that its choices stand for."""
    from hyperopt_jax import spaces

    choices = {k: s.choices for k, s in task.space.items() if hasattr(s, "choices")}

    def loss(config):
        if args.real:
            return task.loss(config)
        params = {
            k: np.asarray([list(choices[k]).index(v) if k in choices else v])
            for k, v in config.items()
        }
        return float(_landscape_of(task)(spaces.encode(task.space, params)[0]))

    return loss


def _optuna(sampler, task, loss, seed, n_trials):
    import optuna

    from hyperopt_jax.integrations import to_optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = to_optuna(task.space)
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    for _ in range(n_trials):
        trial = study.ask(distributions)
        study.tell(trial, loss(trial.params))
    return study.best_value


def _smac(task, loss, seed, n_trials):
    from smac import HyperparameterOptimizationFacade, Scenario

    from hyperopt_jax.integrations import to_configspace

    losses = []

    def told(config, seed):
        values = {k: np.asarray(v).item() for k, v in config.items()}
        losses.append(loss(values))
        # An estimator that diverged is as bad as the worst that did not.
        worst = max(filter(np.isfinite, losses), default=1e5)
        return losses[-1] if np.isfinite(losses[-1]) else worst

    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            to_configspace(task.space),
            deterministic=True,
            n_trials=n_trials,
            seed=seed,
            output_directory=Path(folder),
        )
        HyperparameterOptimizationFacade(scenario, told, logging_level=40).optimize()
    return float(np.nanmin(losses))


@functools.cache
def _landscape_of(task):
    return jax.jit(task.landscape)


def score(rows, task, args):
    """Adds each row's scores, now that the least loss of the run is known."""
    random = task.table[1] if args.real else _sampled(task)
    first = _mean_least_of(random, 5)
    least = min([random.min(), *(min(row["best"]) for row in rows if "best" in row)])
    for row in rows:
        if "best" in row:
            row["score"] = [(y - least) / (first - least) for y in row["best"]]


def _sampled(task):
    from hyperopt_jax import spaces

    sampled = spaces.sample(task.space, jax.random.key(1), N_SAMPLED)
    U = spaces.encode(task.space, sampled)
    return np.asarray(jax.lax.map(task.landscape, U, batch_size=512))


def _mean_least_of(losses, n):
    """The least of `n` of the losses, drawn without replacement, on average."""
    ordered, total = np.sort(losses), len(losses)
    # The i-th smallest is the least of those drawn in C(total - i - 1, n - 1) draws.
    chance = [
        math.comb(total - i - 1, n - 1) / math.comb(total, n) for i in range(total)
    ]
    return float(ordered @ np.array(chance))


def main():
    _report.pin_threads()
    args = options()
    report = _report.Report(args)
    kind = "estimators" if args.real else "forests"
    title = f"mixed tasks ({kind}), {args.trials} trials"
    scores = {name: [] for name in args.contenders}
    for task in tasks(args.quick):
        rows = []
        task.table  # noqa: B018 (scored here, since nothing traced can do it)
        for name in args.contenders:
            who = {"task": task.name, "contender": name}
            rows.append(_report.attempt(race, name, task, args))
            rows[-1] = {**who, **rows[-1]}
        score(rows, task, args)
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
