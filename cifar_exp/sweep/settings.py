"""The schema of `hydra.sweeper`; the defaults are in `conf/hydra/sweeper`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from cifar_exp.config.messages import ConfigError, schema_errors
from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.network.cost import COSTS
from cifar_exp.network.spec import Name, Spec

Direction = Literal["maximize", "minimize"]
PositiveInt = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1, max_length=512)]

# What a trial may be judged by: keys of result.json, none of which comes from the test images.
OBJECTIVES = ("val/acc", *COSTS, "seconds_per_epoch")


def _one_of(names: Sequence[str], kind: str) -> AfterValidator:
    """Return the validator of a name that must be among `names`; `kind` is what they are, with its article."""

    def known(name: str) -> str:
        if name not in names:
            raise ValueError(f"'{name}' is not {kind}.{did_you_mean(name, names)} Known: {', '.join(names)}")
        return name

    return AfterValidator(known)


Objective = Annotated[str, _one_of(OBJECTIVES, "an objective")]
Cost = Annotated[str, _one_of(tuple(COSTS), "a cost")]


class SweepSettings(Spec):
    """The settings of the `budgeted` sweeper."""

    n_trials: PositiveInt  # ended trials to stop after; a second call continues up to that number
    n_jobs: PositiveInt = 1  # workers that the launcher starts
    study_name: Annotated[Name, Field(min_length=1, max_length=120)]  # begins the name of each run
    storage: Text | None = None  # None: study.db in the sweep's directory
    direction: Direction | Annotated[list[Direction], Field(min_length=1)] = "maximize"
    objectives: Annotated[list[Objective], Field(min_length=1)] | None = None
    params: dict[str, Any] | None = None  # Hydra's sweep syntax
    fill: Text | None = None  # a width that is made as large as the budget allows
    prefer: Cost | None = None  # of which random candidates have much
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    seed: Annotated[int, Field(ge=0)] | None = 0  # of the sampler; None: another one each time
    grace_period: PositiveInt = 60  # seconds without a sign of life after which a worker elsewhere counts as dead

    @property
    def directions(self) -> list[Direction]:
        """One per objective."""
        return [*self.direction] if isinstance(self.direction, list) else [self.direction]

    @property
    def metrics(self) -> list[str]:
        """The key in `result.json` of each objective."""
        return self.objectives or ["val/acc"]


def parse_settings(given: dict[str, Any]) -> SweepSettings:
    """Return `hydra.sweeper` as settings.

    Raises:
        UserError: every error in it.
    """
    try:
        settings = SweepSettings.model_validate(given)
    except ValidationError as error:
        raise ConfigError([f"hydra.sweeper.{text}" for text in schema_errors(error, SweepSettings, given)]) from None
    if len(settings.directions) != len(settings.metrics):
        raise UserError(
            f"hydra.sweeper: {len(settings.directions)} direction(s) for {len(settings.metrics)} objective(s) "
            f"({', '.join(settings.metrics)}); give one each, such as direction=[maximize,minimize]."
        )
    return settings
