"""The record of trials: room, failed trials, the best, and a stable structure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperopt_jax import history

NAN, INF = float("nan"), float("inf")
append = jax.jit(history.append)


def record(*batches, capacity: int = 6):
    """A record of (value, result) pairs told batch by batch; and the last room flag."""
    trials, had_room = history.empty(capacity, 2), True
    for batch in batches:
        x = jnp.asarray([[value, -value] for value, _ in batch], jnp.result_type(float))
        y = jnp.asarray([result for _, result in batch], x.dtype)
        trials, had_room = append(trials, x, y, len(batch))
    return trials, bool(had_room)


class TestAppend:
    def test_empty(self):
        trials = history.empty(4, 3)
        assert trials.X.shape == (4, 3)
        assert trials.y.shape == trials.mask.shape == trials.failed.shape == (4,)
        assert int(trials.n_recorded) == 0
        assert not trials.mask.any()
        assert not trials.succeeded.any()

    def test_fills_from_the_front(self):
        trials, had_room = record([(1.0, 10.0)], [(2.0, 20.0), (3.0, 30.0)])
        assert had_room
        assert int(trials.n_recorded) == 3
        assert trials.mask.tolist() == [True] * 3 + [False] * 3
        assert trials.X[:, 0].tolist() == [1, 2, 3, 0, 0, 0]
        assert trials.X[:, 1].tolist() == [-1, -2, -3, 0, 0, 0]
        assert trials.y.tolist() == [10, 20, 30, 0, 0, 0]

    def test_exactly_full_had_room(self):
        trials, had_room = record([(1.0, 1.0)] * 2, [(2.0, 2.0)] * 2, capacity=4)
        assert had_room
        assert trials.mask.all()

    def test_a_full_record_keeps_what_it_has(self):
        before, _ = record([(1.0, 1.0), (2.0, NAN)], capacity=2)
        after, had_room = record(
            [(1.0, 1.0), (2.0, NAN)], [(3.0, 9.0), (4.0, INF)], capacity=2
        )
        assert not had_room
        assert all(map(jnp.array_equal, before, after))

    def test_first_results_first_where_a_part_fits(self):
        trials, had_room = record(
            [(1.0, 1.0), (2.0, 2.0)], [(3.0, NAN), (4.0, 4.0), (5.0, 5.0)], capacity=4
        )
        assert not had_room
        assert trials.X[:, 0].tolist() == [1, 2, 3, 4]
        assert trials.y.tolist() == [1, 2, 0, 4]
        assert trials.failed.tolist() == [False, False, True, False]

    def test_a_batch_larger_than_the_record(self):
        trials, had_room = record([(float(i), float(i)) for i in range(5)], capacity=2)
        assert not had_room
        assert trials.y.tolist() == [0, 1]

    @pytest.mark.parametrize("bad", [NAN, INF, -INF], ids=str)
    def test_a_result_that_is_no_number_is_a_failed_trial(self, bad):
        trials, _ = record([(1.0, 5.0), (2.0, bad), (3.0, -5.0)])
        assert trials.failed.tolist() == [False, True] + [False] * 4
        assert trials.succeeded.tolist() == [True, False, True] + [False] * 3
        assert trials.X[1].tolist() == [2.0, -2.0]
        assert int(trials.n_recorded) == 3
        assert all(np.isfinite(part).all() for part in trials)

    def test_under_cond_and_scan(self, x64):
        trials = history.empty(5, 1)

        def step(trials, y):
            new, room = history.append(trials, y[None, None], y[None], 1)
            return lax.cond(y > 0, lambda: new, lambda: trials), room

        trials, room = lax.scan(step, trials, jnp.asarray([1.0, -1.0, 3.0]))
        assert trials.y.tolist() == [1, 3, 0, 0, 0]
        assert room.tolist() == [True] * 3
        before = jax.tree.map(jax.typeof, history.empty(5, 1))
        assert jax.tree.map(jax.typeof, trials) == before

    def test_vmap(self):
        records = jax.jit(
            jax.vmap(lambda y: history.append(history.empty(3, 1), y[:, None], y, 2))
        )
        trials, _ = records(jnp.asarray([[1.0, 2.0], [3.0, NAN]]))
        assert trials.y.tolist() == [[1, 2, 0], [3, 0, 0]]
        assert trials.failed.tolist() == [[False] * 3, [False, True, False]]

    def test_the_first_of_a_table_alone(self):
        before, _ = record([(1.0, 1.0)], capacity=3)
        table, results = jnp.asarray([[2.0, -2.0]] * 3), jnp.asarray([2.0, NAN, 9.0])
        for n_new, fits in ((0, True), (1, True), (2, True), (3, False)):
            trials, had_room = append(before, table, results, jnp.int32(n_new))
            assert bool(had_room) is fits
            assert int(trials.n_recorded) == min(3, 1 + n_new)
            assert trials.y.tolist() == [1, 2, 0][: 1 + n_new] + [0] * (2 - n_new)
            assert trials.failed.tolist() == [False, False, n_new >= 2]

    def test_an_empty_batch_changes_nothing(self):
        trials, _ = record([(1.0, 1.0)])
        after, had_room = history.append(trials, jnp.zeros((0, 2)), jnp.zeros(0), 0)
        assert had_room
        assert all(map(jnp.array_equal, trials, after))


class TestBest:
    TRIALS = ((1.0, 3.0), (2.0, NAN), (3.0, -7.0), (4.0, INF), (5.0, 8.0))

    def test_losses_have_one_sign(self):
        trials, _ = record(self.TRIALS)
        assert history.losses(trials, True).tolist() == [-3, INF, 7, INF, -8, INF]
        assert history.losses(trials, False).tolist() == [3, INF, -7, INF, 8, INF]

    def test_the_best_row(self):
        trials, _ = record(self.TRIALS)
        assert int(history.best_row(trials, True)) == 4
        assert int(history.best_row(trials, False)) == 2

    def test_a_free_row_never_wins(self):
        # Free and failed rows hold a 0, better than every result here.
        worse_than_zero, _ = record([(1.0, NAN), (2.0, 4.0), (3.0, 2.0)])
        assert int(history.best_row(worse_than_zero, False)) == 2
        worse_than_zero, _ = record([(1.0, NAN), (2.0, -4.0), (3.0, -2.0)])
        assert int(history.best_row(worse_than_zero, True)) == 2

    def test_the_first_of_equals_wins(self):
        trials, _ = record([(1.0, 2.0), (2.0, 5.0), (3.0, 5.0)])
        assert int(history.best_row(trials, True)) == 1

    @pytest.mark.parametrize("maximize", [True, False])
    def test_before_any_success(self, maximize):
        for trials, _ in (record(), record([(1.0, NAN), (2.0, INF)])):
            assert int(history.best_row(trials, maximize)) == 0
            assert np.isposinf(history.losses(trials, maximize)).all()

    def test_maximising_is_minimising_the_negative(self):
        up, _ = record(self.TRIALS)
        down, _ = record([(x, -y) for x, y in self.TRIALS])
        assert jnp.array_equal(history.losses(up, True), history.losses(down, False))
