"""BLAS has one thread while our programs run, and the user's number at all other times."""

import contextlib
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from hyperopt_jax import BayesianSearch, LinearSpace, RandomSearch, _blas_threads

KEY = jax.random.key(0)
SPACE = {"x": LinearSpace(0.0, 1.0)}
CONTROLLER = ThreadpoolController().select(user_api="blas")


def n_threads() -> set[int]:
    return {library.num_threads for library in CONTROLLER.lib_controllers}


def n_threads_seen(x):
    """The number of BLAS threads while the program that computes `x` runs."""

    def look(_):
        time.sleep(0.05)  # JAX has long returned, unless the caller waits
        return np.float32(max(n_threads()))

    number = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(look, number, x, vmap_method="sequential")


@pytest.fixture
def no_choice(monkeypatch):
    """The user has not chosen a number of threads."""
    for name in _blas_threads.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    _blas_threads._libraries.cache_clear()
    yield
    _blas_threads._libraries.cache_clear()


@pytest.fixture
def two_threads(no_choice):
    """BLAS has two threads to begin with, and again after the test."""
    if not CONTROLLER.lib_controllers:
        pytest.skip("a BLAS whose threads cannot be counted")
    with threadpool_limits(2, user_api="blas"):
        yield
        assert n_threads() == {2}


class Recorder:
    """Stands in for the libraries and counts."""

    def __init__(self):
        self.n_limited = self.n_restored = 0

    def limit(self, limits):
        assert limits == 1
        self.n_limited += 1
        return self

    def restore_original_limits(self):
        self.n_restored += 1


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(_blas_threads, "_libraries", lambda: recorder)
    return recorder


def test_one_thread_inside_and_as_many_as_before_after_it(two_threads):
    with _blas_threads.one_blas_thread():
        assert n_threads() == {1}
        with _blas_threads.one_blas_thread():
            assert n_threads() == {1}
        assert n_threads() == {1}
    assert n_threads() == {2}


def test_an_error_puts_the_threads_back(two_threads):
    with contextlib.suppress(KeyError), _blas_threads.one_blas_thread():
        raise KeyError
    assert n_threads() == {2}


def test_the_first_of_several_threads_limits_and_the_last_restores(recorder):
    entered, leave = threading.Event(), threading.Event()

    def inside():
        with _blas_threads.one_blas_thread():
            entered.set()
            leave.wait(60)

    other = threading.Thread(target=inside)
    with _blas_threads.one_blas_thread():
        other.start()
        entered.wait(60)
    assert (recorder.n_limited, recorder.n_restored) == (1, 0)  # one is still inside
    leave.set()
    other.join(60)
    assert (recorder.n_limited, recorder.n_restored) == (1, 1)


def test_the_limit_holds_while_a_program_runs(two_threads):
    program = _blas_threads.on_one_blas_thread(jax.jit(n_threads_seen))
    assert program(jnp.float32(0)) == 1


@pytest.mark.parametrize("driver", ["optimize", "optimize_scan"])
def test_a_compiled_run_has_one_thread(driver, two_threads):
    state, search = RandomSearch.init(SPACE)
    run = getattr(search, driver)
    _, (_, results) = run(state, KEY, lambda key, p: n_threads_seen(p["x"]), 2)
    assert np.ravel(results).tolist() == [1, 1]


def test_an_evaluator_and_a_callback_keep_all_threads(two_threads):
    seen = []

    def evaluate(func, keys, params):
        seen.append(n_threads())
        return np.zeros(1)

    state, search = RandomSearch.init(SPACE)
    see = lambda event: seen.append(n_threads())  # noqa: E731
    search.optimize(state, KEY, lambda key, p: 0.0, 1, evaluate=evaluate, callback=see)
    search.optimize(state, KEY, lambda key, p: p["x"], 1, callback=see)
    assert seen == [{2}, {2}, {2}]


def test_asking_and_telling_are_limited(recorder):
    state, search = BayesianSearch.tuned(
        SPACE, n_max=4, n_parallel=1, n_candidates=8, n_restarts=1
    )
    params = search.get_next_params(state, KEY)
    assert (recorder.n_limited, recorder.n_restored) == (1, 1)
    search.update_state(state, KEY, jnp.zeros(1), params)
    assert (recorder.n_limited, recorder.n_restored) == (2, 2)


@pytest.mark.parametrize("name", _blas_threads.CHOSEN_BY_USER)
def test_the_users_choice_is_kept(name, two_threads, monkeypatch):
    monkeypatch.setenv(name, "2")
    with _blas_threads.one_blas_thread():
        assert n_threads() == {2}
    assert _blas_threads.on_one_blas_thread(n_threads)() == {2}


def test_a_guarded_program_can_be_traced(no_choice):
    program = _blas_threads.on_one_blas_thread(jax.jit(lambda x: 2 * x))
    assert jax.jit(program)(jnp.float32(3)) == 6
    doubled = jax.vmap(program)(jnp.arange(3.0))
    np.testing.assert_array_equal(doubled, [0, 2, 4])
