"""The pruners that `hydra/sweeper/pruner` chooses from."""

from collections.abc import Mapping
from typing import Any

from cifar_exp.errors import UserError, did_you_mean

PRUNER = "pruner"  # the study's user attribute with the pruner's settings

PRUNERS = {
    "median": "MedianPruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "none": "NopPruner",
}


def build_pruner(settings: Mapping[str, Any] | None) -> Any:
    """Return the Optuna pruner of `settings`, its `name` and Optuna's own options; None: no pruning.

    Raises UserError for an unknown name or option.
    """
    import optuna

    options = dict(settings or {"name": "none"})
    name = str(options.pop("name", "none"))
    if name not in PRUNERS:
        raise UserError(f"hydra.sweeper.pruner.name: no '{name}'.{did_you_mean(name, PRUNERS)} {', '.join(PRUNERS)}.")
    try:
        return getattr(optuna.pruners, PRUNERS[name])(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.pruner ({name}): {error}.") from None
