"""`python -m hyperopt_jax demo`: the command line, and a very small run of it."""

import csv
import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperopt_jax import __main__ as command_line, __version__

pytest.importorskip("optax")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from hyperopt_jax import _demo

# The width stays: XLA takes twice as long to compile the products of a narrow network.
TINY = _demo.Settings(n_trials=5, n_parallel=2, n_steps=30, n_final_runs=2)
CONFIGURATION = {
    "learning_rate": 0.01,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "dropout": 0.1,
    "label_smoothing": 0.01,
    "warmup": 0.25,
    "schedule": 0,
}


def configuration(**changes):
    return {k: jnp.asarray(v) for k, v in {**CONFIGURATION, **changes}.items()}


@pytest.fixture(scope="module", autouse=True)
def standard_promotion():
    # optax's Adam raises a traced b1 to an integer step: not for "strict".
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def digits():
    return _demo.load_digits()


# -- A run ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "a new folder"
    return out, _demo.run(TINY, out)


def test_run_saves_every_trial_of_both_searches(finished):
    out, _ = finished
    with (out / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["search", "trial", *_demo.search_space(), "result"]
    # 5 trials in batches of 2 are made 6.
    numbers = [(row["search"], int(row["trial"])) for row in rows]
    assert numbers == [
        (search, trial)
        for search in ("BayesianSearch", "RandomSearch")
        for trial in range(6)
    ]
    for name, space in _demo.search_space().items():
        values = np.array([float(row[name]) for row in rows])
        slack = 1e-5 * float(space.upper_bound)
        assert (values >= float(space.lower_bound) - slack).all()
        assert (values <= float(space.upper_bound) + slack).all()
    assert {row["schedule"] for row in rows} <= {"0", "1", "2"}
    results = np.array([float(row["result"]) for row in rows])
    assert (results >= 0.0).all()
    assert (results <= 1.0).all()


def test_run_saves_a_picture(finished):
    out, _ = finished
    assert (out / "history.png").read_bytes().startswith(b"\x89PNG")


def test_run_scores_the_retrained_networks(finished):
    _, scores = finished
    assert len(scores) == 2
    for score in scores:
        assert set(score) == set(_demo.SCORES)
        assert all(values.shape == (2,) for values in score.values())
        for values in score.values():
            # Better than the 10 % of guessing, even after so little training.
            assert (values > 0.15).all()
            assert (values <= 1.0).all()


# -- The example ----------------------------------------------------------------------


def test_split_is_disjoint_and_stratified(digits):
    assert [len(part.labels) for part in digits] == [539, 629, 629]
    shares = [
        np.bincount(part.labels, minlength=10) / len(part.labels) for part in digits
    ]
    np.testing.assert_allclose(shares[1], shares[0], atol=0.005)
    np.testing.assert_allclose(shares[2], shares[0], atol=0.005)
    images = np.concatenate([part.images for part in digits])
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert len(np.unique(images, axis=0)) == 1797


def test_training_learns(digits):
    settings = dataclasses.replace(TINY, n_steps=200)
    weights = jax.jit(_demo.train, static_argnums=3)(
        jax.random.key(0), configuration(), digits.train, settings
    )
    assert float(_demo.accuracy(weights, digits.validation)) > 0.9


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [("constant", 1.0, 1.0), ("cosine", 0.5, 0.0), ("linear", 0.5, 0.0)],
)
def test_schedule_warms_up_and_decays(schedule, middle, end):
    params = configuration(
        learning_rate=0.5, warmup=0.2, schedule=_demo.SCHEDULES.index(schedule)
    )
    rate = _demo.learning_rate_schedule(params, n_steps=100)
    steps = jnp.asarray([0, 9, 19, 60, 100])
    expected = 0.5 * np.array([1 / 20, 1 / 2, 1.0, middle, end])
    np.testing.assert_allclose(jax.vmap(rate)(steps), expected, rtol=1e-5, atol=1e-7)


def test_schedule_without_warmup_starts_at_the_full_rate():
    rate = _demo.learning_rate_schedule(configuration(warmup=0.0), n_steps=100)
    assert float(rate(jnp.asarray(0))) == pytest.approx(0.01)


def test_dropout_keeps_the_mean_and_drops_the_rate():
    # One hidden unit a row that is always 1, passed on as it is.
    weights = [(jnp.zeros((1, 1)), jnp.ones(1)), (jnp.ones((1, 1)), jnp.zeros(1))]
    out = _demo.network(weights, jnp.zeros((4000, 1)), 0.25, jax.random.key(0))
    assert float((out == 0).mean()) == pytest.approx(0.25, abs=0.03)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.03)
    assert (_demo.network(weights, jnp.zeros((5, 1))) == 1.0).all()


def test_best_so_far_passes_over_failed_trials():
    results = np.array([np.nan, 0.3, -np.inf, 0.5, np.inf, np.nan, 0.4])
    expected = [np.nan, 0.3, 0.3, 0.5, 0.5, 0.5, 0.5]
    np.testing.assert_array_equal(_demo.best_so_far(results), expected)


# -- The command line -----------------------------------------------------------------


def test_no_command_prints_help(capsys):
    assert command_line.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"hyperopt_jax {__version__}\n"


def test_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "hyperopt_jax", "demo", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    for option in ("--trials", "--n-parallel", "--seed", "--out", "--quick"):
        assert option in done.stdout


def test_options_reach_the_run(monkeypatch, tmp_path):
    calls = []
    monkeypatch.chdir(tmp_path)  # the default folder is made in the current one
    monkeypatch.setattr(_demo, "run", lambda *arguments: calls.append(arguments))
    assert command_line.main(["demo"]) == 0
    numbers = ["--trials=8", "--n-parallel=2", "--seed=5"]
    assert command_line.main(["demo", "--quick", *numbers, f"--out={tmp_path}"]) == 0
    (default, default_out), (quick, out) = calls
    assert default == _demo.Settings()
    assert default_out.name == "hyperopt_jax_demo"
    assert quick == dataclasses.replace(_demo.QUICK, n_trials=8, n_parallel=2, seed=5)
    assert out == tmp_path


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--trials", "0", "a whole number >= 1, got '0'"),
        ("--n-parallel", "two", "a whole number >= 1, got 'two'"),
        ("--seed", "-1", "a whole number from 0 to 4294967295, got '-1'"),
    ],
)
def test_bad_number_is_one_sentence(option, value, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["demo", f"{option}={value}"])
    assert stopped.value.code == 2
    assert f"argument {option}: expected {expected}" in capsys.readouterr().err


def test_missing_extra_is_one_sentence(monkeypatch, capsys):
    def find_spec(module):
        return None if module in {"sklearn", "rich"} else object()

    monkeypatch.setattr(command_line, "find_spec", find_spec)
    assert command_line.main(["demo"]) == 1
    error = capsys.readouterr().err
    # tqdm is there, so rich is not missed.
    assert error == (
        "error: the demo needs scikit-learn, not installed here; run "
        'pip install "hyperopt_jax[demo]"\n'
    )


def test_unusable_folder_is_said_before_the_work(tmp_path, capsys):
    file = tmp_path / "taken"
    file.write_text("")
    assert command_line.main(["demo", "--out", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"error: expected --out to be a folder, got the file {file}\n"
    assert printed.out == ""
    assert command_line.main(["demo", "--out", str(tmp_path / (300 * "x"))]) == 1
    assert capsys.readouterr().err.startswith("error: cannot make the folder ")
