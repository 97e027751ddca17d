"""Every contender behind one shape, so that a race is a loop over names.

Two families. A `Program` is a search that JAX compiles whole: this package, and
hyperoptax, whose API it shares. A `Host` is a Python object that is asked and told.
Both minimise a `Task` and both offer

    points(task, seeds)   the proposals in trial order, (n_seeds, n_trials, d)
    session(task, seed)   ask and tell by hand; for the clocks, `preload` puts trials
                          on record and `rewind` goes back to them

Packages are imported where they are used: a missing one fails its own row only.
"""

import contextlib
import functools
import json
import os
import pathlib
import subprocess
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True, eq=False)
class Task:
    """Minimise `value` (a traceable `(d,) -> ()`) over the box `bounds`."""

    value: Callable
    bounds: tuple[tuple[float, float], ...]
    n_trials: int  # the budget, and the capacity of every fixed buffer
    n_parallel: int = 1
    noise: float = 0.0  # standard deviation of what is added to every result
    instances: tuple["Task", ...] = ()  # where given, what the seeds play, in turn
    is_traceable: bool = True  # else `value` is a Python function
    levels: tuple[int, ...] = ()  # how many each coordinate has, 0 for an interval

    def of(self, seed):
        """What `seed` plays."""
        return self.instances[seed % len(self.instances)] if self.instances else self

    @property
    def lows(self):
        return np.array(self.bounds)[:, 0]

    @property
    def highs(self):
        return np.array(self.bounds)[:, 1]

    def placed(self, params, xp=jnp):
        """The point of some parameters: numbers, or a level's number from 0 on."""
        point = xp.stack(params, -1)
        if not self.levels:
            return point
        levels = np.array(self.levels)
        steps = (self.highs - self.lows) / np.maximum(levels - 1, 1)
        return xp.where(levels > 0, self.lows + point * steps, point)

    def traced(self, key, params):
        value = self.value(self.placed(params))
        return value + self.noise * jax.random.normal(key, (), value.dtype)

    @functools.cached_property
    def compiled(self):
        if not self.is_traceable:
            return self.value
        return jax.jit(lambda x: self.value(x))  # a bound method may not hash

    def concrete(self, point, rng):
        """The result as a plain float, from a NumPy vector."""
        value = self.compiled(np.asarray(point, jnp.result_type(float)))
        return float(value) + self.noise * rng.standard_normal()

    def sample(self, n, seed):
        """`n` uniform points of the box and their results."""
        rng = np.random.default_rng(seed)
        points = rng.uniform(self.lows, self.highs, (n, len(self.bounds)))
        return points, np.array([self.concrete(point, rng) for point in points])


# --- Searches that compile -------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """`init(task) -> (state, optimizer)`, under the API that the two packages share.

    `bare` says that ask and tell do not compile themselves, so that the clocks do it
    for them, and that seeds run one after another: under `vmap`, rounding would lead
    hyperoptax to other results than its users see.
    """

    init: Callable
    bare: bool = False

    def study(self, task):
        """`(state, run)` with `run(state, key) -> (points, results)`: one program."""
        state, optimizer = self.init(task)
        n_iterations = -(-task.n_trials // task.n_parallel)

        def run(state, key):
            _, (params, results) = optimizer.optimize_scan(
                state, key, task.traced, n_iterations
            )
            points = task.placed(params).reshape(-1, len(task.bounds))
            return points, results.reshape(-1)

        return state, run

    def program(self, task, inside_jit=False):
        """`key -> (points, results)` as a user calls it, or inside a larger program."""
        state, run = self.study(task)
        whole = functools.partial(run, state)
        return jax.jit(whole) if inside_jit or self.bare else whole

    def points(self, task, seeds):
        if not task.is_traceable:
            return np.stack([self._in_python(task.of(seed), seed) for seed in seeds])
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        if task.instances:
            return self._points_each(task, seeds, keys)
        state, run = self.study(task)

        def study(key):
            return run(state, key)[0]

        return np.asarray(self._over_seeds(study)(keys))

    def _points_each(self, task, seeds, keys):
        """One program for all instances: their values are pytrees that stack."""
        played = [task.of(seed) for seed in seeds]
        values = jax.tree.map(
            lambda *leaves: np.stack(leaves), *[t.value for t in played]
        )
        noises = np.array([t.noise for t in played], jnp.result_type(float))

        def study(args):
            value, noise, key = args
            state, run = self.study(replace(played[0], value=value, noise=noise))
            return run(state, key)[0]

        return np.asarray(self._over_seeds(study)((values, noises, keys)))

    def _in_python(self, task, seed):
        """The proposals of one study whose objective is no part of a program."""
        from hyperopt_jax import python_loop

        if self.bare:
            raise NotImplementedError("raced on what JAX can trace only")
        state, optimizer = self.init(task)
        rng = np.random.default_rng(seed)
        _, (batches, _) = optimizer.optimize(
            state,
            jax.random.key(seed),
            lambda key, params: task.concrete(np.stack(params), rng),
            -(-task.n_trials // task.n_parallel),
            evaluate=python_loop,
        )
        return np.concatenate([np.stack(batch, -1) for batch in batches])

    def _over_seeds(self, study):
        in_turn = functools.partial(jax.lax.map, study)
        return jax.jit(in_turn if self.bare else jax.vmap(study))

    def session(self, task, seed):
        return _ProgramSession(*self.init(task), task, seed, self.bare)


class _ProgramSession:
    def __init__(self, state, optimizer, task, seed, bare):
        wrap = jax.jit if bare else lambda function: function
        self.state = self.start = state
        self.n_parallel = task.n_parallel
        self.keys = iter(list(jax.random.split(jax.random.key(seed), 1000)))
        self._ask = wrap(lambda *args: optimizer.get_next_params(*args))
        self._tell = wrap(lambda *args: optimizer.update_state(*args))
        self._preload = optimizer.update_state

    def ask(self):
        return self._ask(self.state, next(self.keys))

    def tell(self, params, result):
        results = np.full(self.n_parallel, result, jnp.result_type(float))
        self.state = self._tell(self.state, next(self.keys), results, params)
        return self.state

    def preload(self, points, results):
        points, results = (jnp.asarray(a, float) for a in (points, results))
        self.state = self._preload(self.state, next(self.keys), results, points)
        self.start = self.state

    def rewind(self):
        self.state = self.start


def _box(task, real, whole=None):
    box = [real(float(low), float(high)) for low, high in task.bounds]
    levels = task.levels or [0] * len(box)
    pairs = zip(box, levels, strict=True)
    return [whole(0, int(n) - 1) if n else space for space, n in pairs]


def _settings(task):
    return {"n_parallel": task.n_parallel, "maximize": False}


def _tuned(task):
    from hyperopt_jax import BayesianSearch, LinearSpace, QLinearSpace

    return BayesianSearch.tuned(
        _box(task, LinearSpace, QLinearSpace), n_max=task.n_trials, **_settings(task)
    )


def _classic(task):
    from hyperopt_jax import BayesianSearch, LinearSpace, QLinearSpace

    return BayesianSearch.init(
        _box(task, LinearSpace, QLinearSpace), n_max=task.n_trials, **_settings(task)
    )


def _random(task):
    from hyperopt_jax import LinearSpace, QLinearSpace, RandomSearch

    return RandomSearch.init(_box(task, LinearSpace, QLinearSpace), **_settings(task))


def _hyperoptax(task):
    from hyperoptax import BayesianSearch, LinearSpace

    _reals_only(task)
    return BayesianSearch.init(
        _box(task, LinearSpace), n_max=task.n_trials, **_settings(task)
    )


# --- Searches that are asked and told --------------------------------------------


@dataclass(frozen=True)
class Host:
    """`session(task, seed)` with `ask() -> x` and `tell(x, result)`; `x` is `(d,)`."""

    session: Callable

    def points(self, task, seeds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the peers' own, one a trial
            return np.stack([self._study(task.of(seed), seed) for seed in seeds])

    def _study(self, task, seed):
        session = self.session(task, seed)
        rng = np.random.default_rng(seed)
        points = []
        for _ in range(-(-task.n_trials // task.n_parallel)):
            batch = [session.ask() for _ in range(task.n_parallel)]
            for point in batch:
                session.tell(point, task.concrete(point, rng))
            points += batch
        return np.stack(points)


def _one_at_a_time(task):
    if task.n_parallel > 1:
        raise NotImplementedError("raced one trial at a time only")


def _reals_only(task):
    if task.levels:
        raise NotImplementedError("raced on real numbers only")


class _Optuna:
    def __init__(self, sampler, settings, task, seed):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna
        self.task = task
        boxes = [optuna.distributions.FloatDistribution(*b) for b in task.bounds]
        for i, n in enumerate(task.levels):
            if n:
                boxes[i] = optuna.distributions.IntDistribution(0, int(n) - 1)
        self.distributions = {f"x{i}": box for i, box in enumerate(boxes)}
        self.sampler = getattr(optuna.samplers, sampler)(seed=int(seed), **settings)
        self.preload([], [])

    def ask(self):
        # A trial runs until it is told, so a sampler sees the others of its batch.
        self.running.append(self.study.ask(self.distributions))
        params = self.running[-1].params
        return self.task.placed([params[name] for name in self.distributions], np)

    def tell(self, point, result):
        self.study.tell(self.running.pop(0), result)

    def preload(self, points, results):
        self.start = [
            self.optuna.trial.create_trial(
                params=dict(zip(self.distributions, map(float, point), strict=True)),
                distributions=self.distributions,
                value=float(result),
            )
            for point, result in zip(points, results, strict=True)
        ]
        self.rewind()

    def rewind(self):
        """A study with the first trials only; what the sampler has learnt, it keeps."""
        self.study = self.optuna.create_study(sampler=self.sampler)
        self.study.add_trials(self.start)
        self.running = []


class _Bayex:
    """Starts from 10 uniform points, as Optuna's samplers do; bayex brings none."""

    n_startup = 10

    def __init__(self, task, seed):
        _one_at_a_time(task)
        _reals_only(task)
        self.optimizer = _bayex_optimizer(task.bounds)
        self.keys = iter(list(jax.random.split(jax.random.key(seed), 1000)))
        self.startup = list(task.sample(self.n_startup, seed)[0])
        self.seen = []
        self.state = self.start = None

    def ask(self):
        if self.state is None:
            return self.startup[len(self.seen)]
        params = self.optimizer.sample(next(self.keys), self.state)
        return np.array([float(column[0]) for column in params.values()])

    def tell(self, point, result):
        if self.state is None:
            self.seen.append((point, result))
            if len(self.seen) == self.n_startup:
                self.preload(*map(np.array, zip(*self.seen, strict=True)))
            return
        self.state = self.optimizer.fit(self.state, result, self._params(point))
        jax.block_until_ready(self.state.ys)

    def preload(self, points, results):
        results = np.asarray(results, jnp.result_type(float))
        self.state = self.start = self.optimizer.init(results, self._params(points.T))

    def rewind(self):
        self.state = self.start

    def _params(self, columns):
        dtype = jnp.result_type(float)
        return {
            name: np.asarray(column, dtype)
            for name, column in zip(self.optimizer.domain, columns, strict=True)
        }


@functools.cache
def _bayex_optimizer(bounds):
    """One optimizer a box: bayex compiles anew for every fresh instance."""
    import bayex

    real = bayex.domain.Real
    return bayex.Optimizer(
        {f"x{i}": real(float(low), float(high)) for i, (low, high) in enumerate(bounds)}
    )


class _BoTorch:
    """BoTorch's own parts put together as its tutorials do, after Sobol points."""

    def __init__(self, task, seed):
        import botorch  # noqa: F401 (a missing package should fail here)
        import torch

        _one_at_a_time(task)
        _reals_only(task)
        self.task, self.seed = task, int(seed)
        self.n_startup = max(5, len(task.bounds) + 1)
        torch.manual_seed(self.seed)
        self.sobol = torch.quasirandom.SobolEngine(
            len(task.bounds), scramble=True, seed=self.seed
        )
        self.preload([], [])

    def ask(self):
        if len(self.results) < self.n_startup:
            u = self.sobol.draw(1)[0].double().numpy()
        else:
            u = self._model_based()
        return self.task.lows + u * (self.task.highs - self.task.lows)

    def _model_based(self):
        import torch
        from botorch.acquisition import LogExpectedImprovement
        from botorch.exceptions import ModelFittingError
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.models.transforms import Standardize
        from botorch.optim import optimize_acqf
        from gpytorch.mlls import ExactMarginalLogLikelihood

        width = self.task.highs - self.task.lows
        U = torch.tensor((np.array(self.points) - self.task.lows) / width)
        y = -torch.tensor(self.results, dtype=torch.double)[:, None]
        model = SingleTaskGP(U, y, outcome_transform=Standardize(1))
        # A fit that fails leaves the hyperparameters that it began with.
        with contextlib.suppress(ModelFittingError):
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        box = torch.tensor([[0.0], [1.0]], dtype=torch.double).expand(2, len(width))
        u, _ = optimize_acqf(
            LogExpectedImprovement(model, best_f=y.max()),
            bounds=box,
            q=1,
            num_restarts=5,
            raw_samples=256,
        )
        return u[0].numpy()

    def tell(self, point, result):
        self.points.append(point)
        self.results.append(float(result))

    def preload(self, points, results):
        self.start = list(points), [float(result) for result in results]
        self.rewind()

    def rewind(self):
        self.points, self.results = (list(part) for part in self.start)


class _Nevergrad:
    def __init__(self, task, seed):
        import nevergrad

        box = nevergrad.p.Array(
            shape=task.lows.shape, lower=task.lows, upper=task.highs
        )
        if task.levels:
            scalars = [nevergrad.p.Scalar(lower=a, upper=b) for a, b in task.bounds]
            for i, n in enumerate(task.levels):
                if n:
                    whole = nevergrad.p.Scalar(lower=0, upper=int(n) - 1)
                    scalars[i] = whole.set_integer_casting()
            box = nevergrad.p.Tuple(*scalars)
        self.task = task
        box.random_state.seed(int(seed))
        self.optimizer = nevergrad.optimizers.NGOpt(
            box, budget=task.n_trials, num_workers=task.n_parallel
        )
        self.running = []

    def ask(self):
        self.running.append(self.optimizer.ask())
        return self.task.placed(list(self.running[-1].value), np)

    def tell(self, point, result):
        self.optimizer.tell(self.running.pop(0), result)

    def preload(self, points, results):
        raise NotImplementedError("not raced on the clock")


class _Elsewhere:
    """A peer in the Python that an environment variable names (`_elsewhere.py`)."""

    def __init__(self, name, variable, task, seed):
        _one_at_a_time(task)
        _reals_only(task)
        python = os.environ.get(variable)
        if python is None:
            raise ModuleNotFoundError(
                f"expected {variable} to name a Python that has {name}"
            )
        script = pathlib.Path(__file__).with_name("_elsewhere.py")
        self.process = subprocess.Popen(
            [python, str(script), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        # When this session is forgotten, so is the process.
        weakref.finalize(self, _end, self.process)
        low, high = task.lows.tolist(), task.highs.tolist()
        self._send({"low": low, "high": high, "seed": int(seed)})

    def _send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")

    def ask(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"ended with exit status {self.process.wait()}")
        return np.array(json.loads(line))

    def tell(self, point, result):
        self._send(result)

    def preload(self, points, results):
        raise NotImplementedError("not raced on the clock")


def _end(process):
    process.kill()
    process.wait()


def _elsewhere(name, variable):
    return Host(functools.partial(_Elsewhere, name, variable))


def _optuna(sampler, **settings):
    return Host(functools.partial(_Optuna, sampler, settings))


CONTENDERS = {
    "tuned": Program(_tuned),
    "classic": Program(_classic),
    "random": Program(_random),
    "hyperoptax": Program(_hyperoptax, bare=True),
    "bayex": Host(_Bayex),
    "botorch": Host(_BoTorch),
    # Without greenlet, Optuna's GPSampler falls back to a slower L-BFGS-B that refines
    # its starts one after another, and says nothing; so the `bench` extra asks for it.
    "optuna-gp": _optuna("GPSampler"),
    "optuna-gp-det": _optuna("GPSampler", deterministic_objective=True),
    "optuna-tpe": _optuna("TPESampler"),
    "optuna-cmaes": _optuna("CmaEsSampler"),
    "nevergrad": Host(_Nevergrad),
    "vizier": _elsewhere("vizier", "VIZIER_PYTHON"),
    "hebo": _elsewhere("hebo", "HEBO_PYTHON"),
}
