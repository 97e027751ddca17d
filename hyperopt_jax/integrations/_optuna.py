"""Optuna's distributions."""

from collections.abc import Mapping
from typing import Any

from hyperopt_jax.errors import SpaceError
from hyperopt_jax.integrations._extras import require
from hyperopt_jax.integrations._ranges import (
    bounds_of,
    check_dict,
    number_space,
    plain_constant,
    plain_numbers,
)
from hyperopt_jax.spaces import (
    BooleanSpace,
    ChoiceSpace,
    DiscreteSpace,
    FixedSpace,
    LinearSpace,
    LogSpace,
    OrdinalSpace,
    QLinearSpace,
    QLogSpace,
    Space,
)
from hyperopt_jax.spaces._operations import own_names
from hyperopt_jax.spaces._shown import shortest
from hyperopt_jax.spaces._steps import in_decimals


def from_optuna(distributions: Mapping[str, Any]) -> dict[str, Space]:
    """A space from a dict of Optuna distributions, such as `trial.distributions`.

    Args:
        distributions: dict from names to `FloatDistribution`, `IntDistribution` or
            `CategoricalDistribution`.

    Raises:
        MissingExtraError: Optuna is not installed.
        SpaceError: another kind of distribution.
    """
    kinds = require("optuna", "optuna").distributions
    if not isinstance(distributions, Mapping):
        raise SpaceError(
            f"expected a dict of Optuna distributions, got {distributions!r}"
        )
    space: dict[str, Space] = {}
    for name, item in distributions.items():
        if isinstance(item, kinds.CategoricalDistribution):
            space[name] = ChoiceSpace(item.choices)
        elif isinstance(item, (kinds.FloatDistribution, kinds.IntDistribution)):
            space[name] = number_space(name, item.low, item.high, item.log, item.step)
        else:
            raise SpaceError(
                f"expected an Optuna distribution for {name!r}, got {item!r}"
            )
    return space


def to_optuna(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Optuna distributions from a dict of spaces; nested names are joined with "/".

    Constants become a distribution with one value. Optuna has no order among choices,
    and knows conditions only inside an objective.

    Raises:
        MissingExtraError: Optuna is not installed.
        SpaceError: a kind that Optuna does not have.
    """
    kinds = require("optuna", "optuna").distributions
    check_dict(space, "to_optuna")
    out: dict[str, Any] = {}
    if not prefix:
        own_names(space)  # no two alike
    for key, node in space.items():
        name = f"{prefix}{key}"
        if isinstance(node, Mapping):
            out.update(to_optuna(node, f"{name}/"))
        else:
            out[name] = _distribution(kinds, name, node)
    return out


def _distribution(kinds: Any, name: str, node: Any) -> Any:
    if isinstance(node, FixedSpace):
        return kinds.CategoricalDistribution([plain_constant(node)])
    if isinstance(node, BooleanSpace):
        return kinds.CategoricalDistribution([False, True])
    if isinstance(node, OrdinalSpace):
        return kinds.CategoricalDistribution(list(node.choices))
    if isinstance(node, DiscreteSpace):
        # Exactly what decode_choices returns, since choices are found by equality.
        return kinds.CategoricalDistribution(plain_numbers(node.values))
    step = getattr(node, "step", None)
    if type(node) in (QLinearSpace, QLogSpace):
        low, high = bounds_of(node)
        width = 1 if step is None else int(step)
        if not (isinstance(node, QLogSpace) and width > 1):
            log = isinstance(node, QLogSpace)
            high -= (high - low) % width
            return kinds.IntDistribution(low, high, log=log, step=width)
    if type(node) in (LinearSpace, LogSpace):
        low, high = bounds_of(node)
        log = isinstance(node, LogSpace)
        if not (log and step is not None):
            by = None if step is None else shortest(step)
            if by is not None:
                # In decimals, since Optuna drops what is not a multiple.
                high = in_decimals(low, by, int(node.n_values()) - 1)
            return kinds.FloatDistribution(low, high, log=log, step=by)
    raise SpaceError(
        f"expected a space that Optuna has at {name!r}, got {node!r}; it has no such "
        f"distribution"
    )
