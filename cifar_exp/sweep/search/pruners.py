"""The pruners that `hydra/sweeper/pruner` chooses from."""

from collections.abc import Callable, Mapping
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

    Raises:
        UserError: an unknown name or option.
    """
    import optuna

    makers = {name: getattr(optuna.pruners, pruner) for name, pruner in PRUNERS.items()}
    return made_by_name("hydra.sweeper.pruner", {"name": "none", **(settings or {})}, makers)


def made_by_name(key: str, settings: Mapping[str, Any], makers: Mapping[str, Callable[..., Any]]) -> Any:
    """Return what the maker with the `name` in `settings` makes of the other settings.

    Raises:
        UserError: naming `key`, an unknown name or setting.
    """
    name = str(settings["name"])
    if name not in makers:
        raise UserError(f"{key}.name: no '{name}'.{did_you_mean(name, makers)} {', '.join(makers)}.")
    try:
        return makers[name](**{option: value for option, value in settings.items() if option != "name"})
    except (TypeError, ValueError) as error:
        raise UserError(f"{key} ({name}): {error}.") from None
