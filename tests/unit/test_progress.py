"""The progress bar: it moves while a compiled loop runs, and costs no new program."""

import sys
import time
import types

import jax
import jax.numpy as jnp
import pytest

from hyperopt_jax import LinearSpace, RandomSearch, _progress
from hyperopt_jax.errors import MissingExtraError

SPACE = {"x": LinearSpace(0.0, 1.0)}
KEY = jax.random.key(0)


class Bar:
    """Stands in for tqdm and remembers what it was told."""

    opened: list["Bar"]

    def __init__(self, total, unit):
        self.total, self.unit, self.n = total, unit, 0
        self.seen, self.closed = [], False
        Bar.opened.append(self)

    def update(self, more):
        assert not self.closed
        self.n += more
        self.seen.append(self.n)

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    """The bars that the test opens."""
    monkeypatch.setattr(Bar, "opened", [], raising=False)
    fake = types.ModuleType("tqdm.auto")
    fake.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm.auto", fake)
    return Bar.opened


@pytest.fixture(params=["absent", "without_auto"])
def no_tqdm(request, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    if request.param == "absent":
        monkeypatch.setitem(sys.modules, "tqdm", None)


def objective(key, params):
    return params["x"]


class TestScan:
    def test_moves_to_the_end(self, bars):
        state, optimizer = RandomSearch.init(SPACE, n_parallel=2)
        optimizer.optimize_scan(state, KEY, objective, 7, progress_bar=True)
        (bar,) = bars
        assert (bar.total, bar.unit) == (7, "batch")
        assert (bar.seen[0], bar.seen[-1]) == (1, 7)
        assert bar.seen == sorted(bar.seen)
        assert bar.closed
        assert not _progress._bars

    def test_slow_steps_are_seen_one_by_one(self, bars):
        def slow(x):
            time.sleep(2 * _progress.SECONDS_BETWEEN_REPORTS)
            return x

        def objective(key, params):
            x = params["x"]
            return jax.pure_callback(slow, x, x, vmap_method="sequential")

        state, optimizer = RandomSearch.init(SPACE)
        optimizer.optimize_scan(state, KEY, objective, 4, progress_bar=True)
        assert bars[0].seen == [1, 2, 3, 4]

    def test_fast_steps_are_not(self, bars):
        state, optimizer = RandomSearch.init(SPACE)
        for _ in range(2):  # compiled, then
            started = time.perf_counter()
            optimizer.optimize_scan(state, KEY, objective, 1999, progress_bar=True)
            seconds = time.perf_counter() - started
        seen = bars[-1].seen
        assert seen[-1] == 1999
        assert len(seen) <= 6 + seconds / _progress.SECONDS_BETWEEN_REPORTS
        steps = zip([1, *seen], seen, strict=False)
        assert all(now <= _progress.MAX_GROWTH * before for before, now in steps)

    def test_a_new_bar_is_no_new_program(self, bars):
        traces = []

        def counted(key, params):
            traces.append(1)
            return params["x"]

        state, optimizer = RandomSearch.init(SPACE)
        for seed in range(3):
            optimizer.optimize_scan(
                state, jax.random.key(seed), counted, 5, progress_bar=True
            )
        assert len(traces) == 1
        assert [bar.n for bar in bars] == [5, 5, 5]

    def test_changes_no_result(self, bars):
        state, optimizer = RandomSearch.init(SPACE)
        _, with_bar = optimizer.optimize_scan(
            state, KEY, objective, 5, progress_bar=True
        )
        _, without = optimizer.optimize_scan(state, KEY, objective, 5)
        assert len(bars) == 1
        assert jnp.array_equal(with_bar[1], without[1])

    def test_is_silent_inside_another_program(self, bars):
        state, optimizer = RandomSearch.init(SPACE)

        def study(key):
            return optimizer.optimize_scan(state, key, objective, 3, progress_bar=True)[
                1
            ][1]

        results = jax.vmap(study)(jax.random.split(KEY, 2))
        assert results.shape == (2, 3, 1)
        assert not bars

    @pytest.mark.parametrize("driver", ["optimize", "optimize_scan"])
    def test_is_silent_where_only_the_objective_is_traced(self, bars, driver):
        state, optimizer = RandomSearch.init(SPACE)

        @jax.jit
        def study(shift):
            moved = lambda key, p: objective(key, p) + shift  # noqa: E731
            run = getattr(optimizer, driver)
            return run(state, KEY, moved, 3, progress_bar=True)[1][1]

        assert len(study(0.5)) == 3
        assert not bars

    def test_no_steps(self, bars):
        state, optimizer = RandomSearch.init(SPACE)
        optimizer.optimize_scan(state, KEY, objective, 0, progress_bar=True)
        assert all(bar.closed for bar in bars)


class TestLoop:
    def test_is_silent_inside_another_program(self, bars):
        state, optimizer = RandomSearch.init(SPACE)

        @jax.jit
        def study(key):
            return optimizer.optimize(state, key, objective, 3, progress_bar=True)[1][1]

        assert len(study(KEY)) == 3
        assert not bars

    def test_moves_in_trials(self, bars):
        state, optimizer = RandomSearch.init(SPACE, n_parallel=2)
        optimizer.optimize(state, KEY, objective, 3, progress_bar=True)
        (bar,) = bars
        assert (bar.total, bar.unit) == (6, "trial")
        assert bar.seen == [2, 4, 6]
        assert bar.closed

    def test_is_closed_where_the_run_fails(self, bars):
        def stop(event):
            raise RuntimeError("enough")

        state, optimizer = RandomSearch.init(SPACE)
        with pytest.raises(RuntimeError, match="enough"):
            optimizer.optimize(
                state, KEY, objective, 3, callback=stop, progress_bar=True
            )
        (bar,) = bars
        assert bar.seen == [1]
        assert bar.closed
        assert not _progress._bars


class TestReport:
    def test_out_of_order_reports_never_move_back(self, bars):
        with _progress.progress(True, 10, "step") as number:
            for done in (3, 1, 7, 7, 10):
                _progress.report(number, done)
        assert bars[0].seen == [3, 7, 10]

    def test_a_late_report_is_ignored(self, bars):
        with _progress.progress(True, 10, "step") as number:
            pass
        _progress.report(number, 5)
        assert bars[0].n == 0

    def test_two_bars_do_not_mix(self, bars):
        with (
            _progress.progress(True, 4, "a") as one,
            _progress.progress(True, 9, "b") as other,
        ):
            _progress.report(one, 2)
            _progress.report(other, 8)
        assert [bar.n for bar in bars] == [2, 8]

    def test_nothing_is_shown_unasked(self, bars):
        with _progress.progress(False, 10, "step") as number:
            assert number is None
        assert not bars


class TestMissing:
    def test_the_error_names_the_extra(self, no_tqdm):
        state, optimizer = RandomSearch.init(SPACE)
        for run in (optimizer.optimize, optimizer.optimize_scan):
            with pytest.raises(MissingExtraError, match=r"hyperopt_jax\[progress\]"):
                run(state, KEY, objective, 2, progress_bar=True)

    def test_nothing_is_missed_without_a_bar(self, no_tqdm):
        state, optimizer = RandomSearch.init(SPACE)
        optimizer.optimize_scan(state, KEY, objective, 2)

    def test_it_is_an_import_error(self):
        assert issubclass(MissingExtraError, ImportError)


def test_the_real_bar_reaches_its_end(capsys):
    pytest.importorskip("tqdm")
    state, optimizer = RandomSearch.init(SPACE)
    optimizer.optimize_scan(state, KEY, objective, 5, progress_bar=True)
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert "batch" in shown
