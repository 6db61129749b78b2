"""The group and the tags under which a run is found among others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cifar_exp.config.schema import TrainConfig

TAG_LENGTH = 64  # wandb's limit


@dataclass(frozen=True)
class Labels:
    """A wandb run's group, None for a run by itself, and its tags."""

    group: str | None
    tags: tuple[str, ...]
    is_one_of_many: bool = False  # a job of `-m`, or a trial of a sweep


def labels_of(config: TrainConfig, hydra_file: Path) -> Labels:
    """Return the labels of a run whose Hydra settings are in `hydra_file`, which a resumed run has kept.

    The group is the user's `logger.group`, else the study, else the name of the `-m` directory, else the
    experiment. Tags are the user's, then model, data and experiment.
    """
    hydra = _read(hydra_file)
    experiment = hydra.get("runtime", {}).get("choices", {}).get("experiment")
    own = [config.model.name, config.data.name, *([experiment] if experiment else [])]
    tags = [*config.tags, *(name[:TAG_LENGTH] for name in own)]
    study = config.trial.study_name if config.trial else None
    multirun = _multirun(hydra)
    return Labels(
        group=config.logger.group or study or multirun or experiment,
        tags=tuple(dict.fromkeys(tags)),
        is_one_of_many=study is not None or multirun is not None,
    )


def _read(hydra_file: Path) -> Mapping[str, Any]:
    if not hydra_file.is_file():  # a run that Python started
        return {}
    node = OmegaConf.select(OmegaConf.load(hydra_file), "hydra")
    settings = OmegaConf.to_container(node, resolve=False)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _multirun(hydra: Mapping[str, Any]) -> str | None:
    if hydra.get("mode") != "MULTIRUN":
        return None
    return Path(str(hydra["sweep"]["dir"])).name
