"""Random search."""

from typing import Any, Self, Unpack

from jaxtyping import PRNGKeyArray, PyTree

from hyperopt_jax._checks import (
    bool_setting,
    check_key,
    check_one_study,
    check_state,
    int_setting,
)
from hyperopt_jax._evaluate import Results
from hyperopt_jax.base import Optimizer, OptimizerState, Settings, check_results, make
from hyperopt_jax.spaces import check_space, codec_of, draw, is_stack, ravel, unravel


class RandomSearchState(OptimizerState):
    """The space, and nothing else: random search is memoryless."""

    space: PyTree


class RandomSearch(Optimizer):
    """Independent samples of the space.

    Use it as the baseline, for very cheap objectives, and where thousands of trials run
    at once; `BayesianSearch` needs far fewer trials. It remembers nothing: read the
    best trial from the histories with `hyperopt_jax.best_trial`, and give
    `first_trial` when you continue a run, or it draws the same samples again.

    Args:
        n_parallel: trials a batch, >= 1.
        maximize: whether callbacks take higher results for better.

    Raises:
        SettingError: a setting out of its range.

    Source: Bergstra & Bengio, JMLR 13 (2012).

    ```python
    state, optimizer = RandomSearch.init({"x": LinearSpace(0.0, 1.0)}, n_parallel=8)
    params = optimizer.get_next_params(state, jax.random.key(0))
    ```
    """

    n_parallel: int = int_setting("n_parallel", 1, low=1)
    maximize: bool = bool_setting("maximize", True)

    @classmethod
    def init(
        cls, space: PyTree, **settings: Unpack[Settings]
    ) -> tuple[RandomSearchState, Self]:
        """A state and the search, for a pytree of spaces.

        Raises:
            SpaceError: no space in the pytree, or something else among them.
            UnknownSettingError: a setting that random search does not have.
        """
        check_space(space)
        return RandomSearchState(space), make(cls, settings)

    def get_next_params(self, state: RandomSearchState, key: PRNGKeyArray) -> PyTree:
        """`n_parallel` independent samples; leaves (n_parallel,).

        Raises:
            ParamsError: no key.
        """
        _check(self, state)
        check_key(key)
        return unravel(state.space, draw(codec_of(state.space), key, self.n_parallel))

    def update_state(
        self,
        state: RandomSearchState,
        key: PRNGKeyArray,
        results: Results,
        params: PyTree,
    ) -> RandomSearchState:
        """The state, unchanged.

        Raises:
            ParamsError: params of another space, or results that do not fit them.
        """
        _check(self, state)
        check_results(results, ravel(state.space, params, lost_too=True).shape[0])
        return state


def _check(optimizer: RandomSearch, state: Any) -> None:
    check_state(optimizer, state, RandomSearchState)
    check_one_study(is_stack(state.space))
