"""`python -m hyperopt_jax demo`: tune a small network on real data.

A network with two hidden layers learns scikit-learn's handwritten digits. Seven
hyperparameters of its training are searched twice with the same number of trials:
by `BayesianSearch.tuned` and by `RandomSearch`. Each search, training included, is
one compiled program.

The data is split once into train, validation and test. A trial trains on train and is
scored on validation. Test is looked at once, at the end, for the best configuration
of each search.
"""

import csv
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hyperopt_jax import (
    BayesianSearch,
    DiscreteSpace,
    LinearSpace,
    LogSpace,
    RandomSearch,
    best_trial,
)

Params = dict[str, Array]  # one configuration: a scalar for each hyperparameter
Weights = list[tuple[Float[Array, "n_in n_out"], Float[Array, " n_out"]]]

SCHEDULES = ("constant", "cosine", "linear")
SCORES = ("validation accuracy", "test accuracy")
N_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much the demo does; the defaults take about a minute on two CPU cores."""

    n_trials: int = 64  # of each search
    n_parallel: int = 4
    seed: int = 0
    n_steps: int = 400  # optimizer steps of one training run
    batch_size: int = 64
    width: int = 128  # of both hidden layers
    n_final_runs: int = 8  # training runs that judge a search's best configuration

    @property
    def n_iterations(self) -> int:
        """Batches of a search: the trials, rounded up to whole batches."""
        return -(-self.n_trials // self.n_parallel)


QUICK = Settings(n_trials=16, n_steps=100, n_final_runs=2)


# -- What is tuned: data, search space, training --------------------------------------


class Part(NamedTuple):
    """One part of the data: images `(n, 64)` in [0, 1], labels `(n,)` in 0..9."""

    images: Float[Array, "n 64"]
    labels: Int[Array, " n"]


class Digits(NamedTuple):
    """The 1,797 digits: 30 % train, 35 % validation, 35 % test.

    Few images to learn from, so that regularisation matters; many to judge by, so
    that two accuracies of 98 % can be told apart.
    """

    train: Part
    validation: Part
    test: Part


def load_digits() -> Digits:
    """Scikit-learn's digits, split once and for all: stratified, with a fixed seed."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    images, labels = datasets.load_digits(return_X_y=True)

    def split(rows: np.ndarray, second_share: float) -> list[np.ndarray]:
        return train_test_split(
            rows, test_size=second_share, stratify=labels[rows], random_state=0
        )

    train_rows, rest = split(np.arange(len(labels)), 0.7)
    validation_rows, test_rows = split(rest, 0.5)
    return Digits(
        *(
            Part(
                jnp.asarray(images[rows] / 16, dtype=float),
                jnp.asarray(labels[rows], dtype=int),
            )
            for rows in (train_rows, validation_rows, test_rows)
        )
    )


def search_space() -> dict[str, Any]:
    """Seven hyperparameters, in ranges as wide as for a problem nobody knows yet."""
    return {
        "learning_rate": LogSpace(1e-5, 1.0),
        "weight_decay": LogSpace(1e-6, 1.0),
        "momentum": LinearSpace(0.0, 0.99),  # Adam's b1
        "dropout": LinearSpace(0.0, 0.8),
        "label_smoothing": LinearSpace(0.0, 0.4),
        "warmup": LinearSpace(0.0, 0.5),  # fraction of the steps
        "schedule": DiscreteSpace([0, 1, 2]),  # an index into SCHEDULES
    }


def initial_weights(key: PRNGKeyArray, width: int) -> Weights:
    """He-initialised weights and zero biases of 64 -> width -> width -> 10."""
    shapes = [(64, width), (width, width), (width, N_CLASSES)]
    ends = np.cumsum([n_in * n_out for n_in, n_out in shapes])
    # One draw for all layers: it compiles many times faster than one draw a layer.
    draws = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    return [
        (draw.reshape(n_in, n_out) * (2 / n_in) ** 0.5, jnp.zeros(n_out))
        for draw, (n_in, n_out) in zip(draws, shapes, strict=True)
    ]


def network(
    weights: Weights,
    images: Float[Array, "n 64"],
    dropout: Array | float = 0.0,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "n 10"]:
    """The network's logits; with a `key`, hidden units are dropped, as in training."""
    *hidden, (last_weight, last_bias) = weights
    shape = (len(hidden), len(images), last_weight.shape[0])
    kept = None if key is None else jax.random.bernoulli(key, 1 - dropout, shape)
    for layer, (weight, bias) in enumerate(hidden):
        images = jax.nn.relu(images @ weight + bias[None])
        if kept is not None:
            images = jnp.where(kept[layer], images / (1 - dropout), 0)
    return images @ last_weight + last_bias[None]


def learning_rate_schedule(params: Params, n_steps: int) -> optax.Schedule:
    """A linear warm-up, then one of SCHEDULES to the last step.

    The choice is data, not Python: all three factors are computed and one is picked,
    so that trials with different schedules train side by side under `vmap`.
    """
    warmup_steps = params["warmup"] * n_steps

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        step = jnp.asarray(step, dtype=float)
        ramp = jnp.minimum((step + 1) / jnp.maximum(warmup_steps, 1), 1)
        progress = jnp.clip((step - warmup_steps) / (n_steps - warmup_steps), 0, 1)
        factors = (
            jnp.ones_like(progress),
            (1 + jnp.cos(jnp.pi * progress)) / 2,
            1 - progress,
        )
        return params["learning_rate"] * ramp * jnp.stack(factors)[params["schedule"]]

    return schedule


def train(key: PRNGKeyArray, params: Params, data: Part, settings: Settings) -> Weights:
    """Train a fresh network on `data` with the configuration `params`."""
    optimizer = optax.adamw(
        learning_rate_schedule(params, settings.n_steps),
        b1=params["momentum"],
        weight_decay=params["weight_decay"],
    )

    def loss(weights: Weights, key: PRNGKeyArray) -> Float[Array, ""]:
        batch_key, dropout_key = jax.random.split(key)
        batch = jax.random.randint(
            batch_key, (settings.batch_size,), 0, len(data.labels)
        )
        logits = network(weights, data.images[batch], params["dropout"], dropout_key)
        targets = optax.smooth_labels(
            jax.nn.one_hot(data.labels[batch], N_CLASSES), params["label_smoothing"]
        )
        return optax.softmax_cross_entropy(logits, targets).mean()

    def step(carry: Any, key: PRNGKeyArray) -> tuple[Any, None]:
        weights, optimizer_state = carry
        gradient = jax.grad(loss)(weights, key)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        return (optax.apply_updates(weights, updates), optimizer_state), None

    weights_key, steps_key = jax.random.split(key)
    weights = initial_weights(weights_key, settings.width)
    (weights, _), _ = jax.lax.scan(
        step,
        (weights, optimizer.init(weights)),
        jax.random.split(steps_key, settings.n_steps),
    )
    return weights


def accuracy(weights: Weights, part: Part) -> Float[Array, ""]:
    """The fraction of images whose most probable label is the true one."""
    guesses = network(weights, part.images).argmax(axis=-1)
    return (guesses == part.labels).mean(dtype=float)


def make_objective(
    digits: Digits, settings: Settings
) -> Callable[[PRNGKeyArray, Params], Float[Array, ""]]:
    """What both searches maximise: the validation accuracy after a training run."""

    def objective(key: PRNGKeyArray, params: Params) -> Float[Array, ""]:
        weights = train(key, params, digits.train, settings)
        return accuracy(weights, digits.validation)

    return objective


# -- The two searches -----------------------------------------------------------------


class Search(NamedTuple):
    """One finished search; trials in the order in which they ran."""

    name: str
    params: dict[str, np.ndarray]  # (n_trials,) each
    results: np.ndarray  # (n_trials,)
    best: Params
    best_result: float


def search_both_ways(digits: Digits, settings: Settings) -> list[Search]:
    """`BayesianSearch.tuned` and `RandomSearch`: same space, budget and objective.

    Each is one compiled program, the training of all its trials included.
    """
    space = search_space()
    objective = make_objective(digits, settings)
    q, n_iterations = settings.n_parallel, settings.n_iterations
    starts = {
        "BayesianSearch": BayesianSearch.tuned(
            space, n_max=q * n_iterations, n_parallel=q
        ),
        "RandomSearch": RandomSearch.init(space, n_parallel=q),
    }
    searches = []
    for name, (state, optimizer) in starts.items():
        print(f"{name}: compiling and running ...", flush=True)
        start = time.perf_counter()
        _, (params, results) = optimizer.optimize_scan(
            state,
            jax.random.key(settings.seed),
            objective,
            n_iterations,
            progress_bar=True,
        )
        jax.block_until_ready(results)
        seconds = time.perf_counter() - start
        print(f"{name}: done in {seconds:.1f} s, compile included", flush=True)
        # Histories are (n_iterations, q); row by row is the order of the trials.
        trials = {parameter: np.ravel(params[parameter]) for parameter in space}
        searches.append(
            Search(name, trials, np.ravel(results), *best_trial(params, results))
        )
    return searches


def judge(
    digits: Digits, settings: Settings, configurations: list[Params]
) -> list[dict[str, np.ndarray]]:
    """Retrain each configuration from fresh seeds and score it, test set included.

    The best of many noisy trials looks better than it is: its luck was selected too.
    So the networks judged here are new ones, trained on train alone, as the trials
    were. Every score is an array `(n_final_runs,)`.
    """

    def run(key: PRNGKeyArray, params: Params) -> Params:
        weights = train(key, params, digits.train, settings)
        parts = (digits.validation, digits.test)
        return {
            name: accuracy(weights, part)
            for name, part in zip(SCORES, parts, strict=True)
        }

    # No key of the searches: theirs are derived from key(seed) by the trial's number.
    fresh = jax.random.split(jax.random.key(settings.seed + 1), settings.n_final_runs)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *configurations)
    all_runs = jax.vmap(jax.vmap(run, in_axes=(0, None)), in_axes=(None, 0))
    scores = jax.jit(all_runs)(fresh, stacked)
    return [
        {name: np.asarray(values[i]) for name, values in scores.items()}
        for i in range(len(configurations))
    ]


# -- The report -----------------------------------------------------------------------


def best_so_far(results: np.ndarray) -> np.ndarray:
    """The largest finite result up to each trial; NaN before the first one."""
    return np.fmax.accumulate(np.where(np.isfinite(results), results, np.nan))


def save_csv(path: Path, searches: list[Search]) -> None:
    """One row a trial: search, trial, every hyperparameter, result."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["search", "trial", *searches[0].params, "result"])
        for search in searches:
            columns = zip(*search.params.values(), search.results, strict=True)
            for trial, row in enumerate(columns):
                writer.writerow([search.name, trial, *row])


def save_plot(path: Path, searches: list[Search]) -> None:
    """Every trial as a dot, the best so far as a line, one colour a search."""
    # A Figure of its own, without pyplot: no window, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for search, colour in zip(searches, ("tab:blue", "tab:orange"), strict=True):
        trials = np.arange(1, search.results.size + 1)
        axes.plot(trials, 1 - search.results, ".", color=colour, alpha=0.4)
        axes.step(
            trials,
            1 - best_so_far(search.results),
            where="post",
            color=colour,
            label=f"{search.name}: best so far",
        )
    axes.set(
        xlabel="trial",
        ylabel="validation error (1 - accuracy)",
        yscale="log",
        title="Seven hyperparameters of a digits classifier",
    )
    axes.legend()
    figure.savefig(path, dpi=150)


def report(searches: list[Search], scores: list[dict[str, np.ndarray]]) -> str:
    """Best configurations and their scores, one column a search."""
    rows = [("best configuration", [search.name for search in searches])]
    for name in searches[0].params:
        values = [search.best[name] for search in searches]
        # The schedule by name, every number short.
        cells = [
            SCHEDULES[int(value)] if name == "schedule" else f"{float(value):.3g}"
            for value in values
        ]
        rows.append((f"  {name}", cells))
    rows.append(("in the search", []))
    found = [f"{100 * search.best_result:.2f} %" for search in searches]
    rows += [(f"  {SCORES[0]}", found), ("retrained", [])]
    for name in SCORES:
        rows.append((f"  {name}", [_median_and_range(score[name]) for score in scores]))
    return "\n".join(
        (f"{label:<22}" + "".join(f"{cell:>24}" for cell in cells)).rstrip()
        for label, cells in rows
    )


def _median_and_range(accuracies: np.ndarray) -> str:
    # A configuration at the edge of stability fails now and then: one such run would
    # drown a mean, and would be hidden by a median alone.
    percent = 100 * accuracies
    return f"{np.median(percent):.2f} % ({percent.min():.1f} to {percent.max():.1f})"


def run(settings: Settings, out: Path) -> list[dict[str, np.ndarray]]:
    """The whole demo; prints the outcome, writes two files into the folder `out`.

    Returns the scores of the retrained networks, one dict a search.
    """
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    digits = load_digits()
    n_trials = settings.n_iterations * settings.n_parallel
    print(
        f"Digits: {len(digits.train.labels)} train, "
        f"{len(digits.validation.labels)} validation, "
        f"{len(digits.test.labels)} test images. Each search: {n_trials} trials, "
        f"{settings.n_parallel} at once, {settings.n_steps} training steps each."
    )
    searches = search_both_ways(digits, settings)
    save_csv(out / "history.csv", searches)
    save_plot(out / "history.png", searches)
    scores = judge(digits, settings, [search.best for search in searches])
    print()
    print(report(searches, scores))
    print(
        f"\nRetrained: {settings.n_final_runs} new networks for each configuration, "
        "on the train images alone:\nthe median (worst to best). The test images were "
        "used only here.\nOne seed is one draw: --seed gives another."
    )
    print(f"\nSaved {out / 'history.png'} and {out / 'history.csv'}.")
    print(f"Took {time.perf_counter() - start:.0f} s.")
    return scores
