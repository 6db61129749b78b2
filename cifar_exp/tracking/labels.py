"""The group and the tags under which a run is found among others."""

from dataclasses import dataclass
from pathlib import Path

from cifar_exp.config.schema import TrainConfig
from cifar_exp.runs.saved import SavedHydra

TAG_LENGTH = 64  # wandb's limit


@dataclass(frozen=True)
class Labels:
    """A wandb run's group, None for a run by itself, and its tags."""

    group: str | None
    tags: tuple[str, ...]
    is_one_of_many: bool = False  # a job of `-m`, or a trial of a sweep


def labels_of(config: TrainConfig, hydra: SavedHydra) -> Labels:
    """Return the labels of a run with these settings of Hydra, which a resumed run has kept.

    The group is the user's `logger.group`, else the study, else the name of the `-m` directory, else the
    experiment. Tags are the user's, then model, data and experiment.
    """
    experiment = hydra.choices.get("experiment")
    own = [config.model.name, config.data.name, *([experiment] if experiment else [])]
    tags = [*config.tags, *(name[:TAG_LENGTH] for name in own)]
    study = config.trial.study_name if config.trial else None
    multirun = Path(hydra.sweep_dir).name if hydra.mode == "MULTIRUN" else None
    return Labels(
        group=config.logger.group or study or multirun or experiment,
        tags=tuple(dict.fromkeys(tags)),
        is_one_of_many=study is not None or multirun is not None,
    )
