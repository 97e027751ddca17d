"""Search spaces in the grammars of other libraries, in and out.

Nothing here is imported with `hyperopt_jax`, and no other library is imported before a
function needs it.
"""

from hyperopt_jax.integrations._autogl import (
    ChoiceHP as ChoiceHP,
    LogRangeHP as LogRangeHP,
    RangeHP as RangeHP,
    from_autogl as from_autogl,
    from_hps as from_hps,
    to_autogl as to_autogl,
    to_hps as to_hps,
)
from hyperopt_jax.integrations._configspace import (
    from_configspace as from_configspace,
    to_configspace as to_configspace,
)
from hyperopt_jax.integrations._domain import Domain as Domain
from hyperopt_jax.integrations._optuna import (
    from_optuna as from_optuna,
    to_optuna as to_optuna,
)
from hyperopt_jax.integrations._ranges import (
    from_ranges as from_ranges,
    to_ranges as to_ranges,
)
