"""The identity of a study: fixed settings, budget, objectives and swept keys. It is never continued with others."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, distribution_to_json

from cifar_exp.errors import UserError
from cifar_exp.sweep.search.space import Space, Swept
from cifar_exp.sweep.settings import SweepSettings

# Settings that do not change the result of a trial.
MAY_CHANGE = (
    *("logger", "name", "tags", "resume", "data.root"),
    *("trainer.enable_progress_bar", "trainer.accelerator", "trainer.devices"),
)
MAY_CHANGE_BELOW = tuple(f"{key}." for key in MAY_CHANGE)
SHOWN = 3
GIVE_ANOTHER = "Give another hydra.sweeper.study_name, and another hydra.sweep.dir."


def identity(space: Space, settings: SweepSettings) -> dict[str, Any]:
    """Return the identity of the study of a space and its settings, as JSON."""
    return {
        "fixed": dict(space.fixed_values),
        "swept": {key: _kind(one) for key, one in space.swept.items()},
        "objectives": dict(zip(settings.metrics, settings.directions, strict=True)),
        "fill": settings.fill,
    }


def check_same(started: Mapping[str, Any], now: Mapping[str, Any], study_name: str) -> None:
    """Compare two identities.

    Raises:
        UserError: the settings that the study was started with and those of this command, where they differ.
    """
    before, after = _settings(started), _settings(now)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not changed:
        return
    lines = [
        f"{key}: the study '{study_name}' was started with {before.get(key, 'the default')}, "
        f"this command has {after.get(key, 'the default')}."
        for key in changed[:SHOWN]
    ]
    more = f"\n… and {len(changed) - SHOWN} more." if len(changed) > SHOWN else ""
    raise UserError("\n".join(lines) + f"{more}\n{GIVE_ANOTHER}")


def _settings(about: Mapping[str, Any]) -> dict[str, str]:
    """Return each fixed or swept key with its setting."""
    objectives = ", ".join(f"{direction} {name}" for name, direction in about["objectives"].items())
    fixed = about["fixed"].items()
    return {
        **{key: text for key, text in fixed if key not in MAY_CHANGE and not key.startswith(MAY_CHANGE_BELOW)},
        **about["swept"],
        "hydra.sweeper.objectives": objectives,
        "hydra.sweeper.fill": str(about["fill"]),
    }


def _kind(swept: Swept) -> str:
    """Return the values of a choice; of a range only its kind, because its ends may change."""
    distribution = swept.distribution
    if isinstance(distribution, CategoricalDistribution):
        return f"choice({','.join(text for text, _ in swept.choices.values())})"
    kind = json.loads(distribution_to_json(distribution))
    name = "integers" if kind["name"].startswith("Int") else "reals"
    return f"a range of {name}{', logarithmic' if kind['attributes'].get('log') else ''}"
