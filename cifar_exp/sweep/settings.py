"""What `hydra.sweeper` may say, as a strict, closed type; its values and their defaults are in `conf/hydra/sweeper`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from cifar_exp.config.messages import listing, shown
from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.network.cost import COSTS
from cifar_exp.network.spec import Spec

Direction = Literal["maximize", "minimize"]
PositiveInt = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1, max_length=512)]

# What a trial may be judged by: keys of result.json. The test images are for the end, not for choosing.
OBJECTIVES = ("val/acc", *COSTS, "seconds_per_epoch")


def _known_objective(name: str) -> str:
    if name not in OBJECTIVES:
        raise ValueError(f"'{name}' is no objective.{did_you_mean(name, OBJECTIVES)} Known: {', '.join(OBJECTIVES)}")
    return name


class SweepSettings(Spec):
    """The settings of the `budgeted` sweeper."""

    n_trials: PositiveInt  # trials that shall have ended; a second call goes on up to that number
    n_jobs: PositiveInt = 1  # how many the launcher gets at once
    study_name: Text
    storage: Text | None = None  # None: study.db in the sweep's directory
    direction: Direction | Annotated[list[Direction], Field(min_length=1)] = "maximize"
    objectives: Annotated[list[Annotated[str, AfterValidator(_known_objective)]], Field(min_length=1)] | None = None
    params: dict[str, Any] | None = None  # Hydra's sweep syntax
    fill: Text | None = None  # a width that each candidate gets as large as fits
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    seed: Annotated[int, Field(ge=0)] | None = 0  # of the sampler; None: another one each time
    grace_period: PositiveInt = 60  # seconds without a sign of life after which a worker elsewhere counts as dead

    @property
    def directions(self) -> list[Direction]:
        """One a objective."""
        return [*self.direction] if isinstance(self.direction, list) else [self.direction]

    @property
    def metrics(self) -> list[str]:
        """The key in `result.json` of each objective."""
        return self.objectives or ["val/acc"]


def parse_settings(given: dict[str, Any]) -> SweepSettings:
    """`hydra.sweeper` as settings; raises UserError with every mistake in it."""
    from pydantic import ValidationError

    try:
        settings = SweepSettings.model_validate(given)
    except ValidationError as error:
        raise UserError(listing([_mistake(details, SweepSettings) for details in error.errors()])) from None
    if len(settings.directions) != len(settings.metrics):
        raise UserError(
            f"hydra.sweeper: {len(settings.directions)} direction(s) for {len(settings.metrics)} objective(s) "
            f"({', '.join(settings.metrics)}); give one each, such as direction=[maximize,minimize]."
        )
    return settings


def _mistake(details: Any, schema: type[BaseModel]) -> str:
    name = str(details["loc"][0])
    where = f"hydra.sweeper.{name}"
    if details["type"] == "extra_forbidden":
        return f"{where}: unknown key.{did_you_mean(name, schema.model_fields)}"
    if details["type"] == "value_error":
        return f"{where}: {details['ctx']['error']}."
    return f"{where}: {details['msg'][0].lower()}{details['msg'][1:]}, got {shown(details['input'])}."
