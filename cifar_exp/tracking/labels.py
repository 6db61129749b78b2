"""Under which group and tags a run is found among others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cifar_exp.config.schema import TrainConfig


@dataclass(frozen=True)
class Labels:
    """A wandb run's group, None for a run by itself, and its tags."""

    group: str | None
    tags: tuple[str, ...]


def labels_of(config: TrainConfig, hydra_file: Path) -> Labels:
    """The labels of a run whose Hydra settings are in `hydra_file`, which a resumed run has kept.

    The group is the user's `logger.group`, else the study, else the name of the `-m` directory, else the
    experiment. Tags are the user's, then model, data and experiment.
    """
    hydra = _read(hydra_file)
    experiment = hydra.get("runtime", {}).get("choices", {}).get("experiment")
    tags = [*config.tags, config.model.name, config.data.name, *([experiment] if experiment else [])]
    study = config.trial.study_name if config.trial else None
    group = config.logger.group or study or _multirun(hydra) or experiment
    return Labels(group, tuple(dict.fromkeys(tags)))


def _read(hydra_file: Path) -> Mapping[str, Any]:
    if not hydra_file.is_file():  # hydra.output_subdir=null
        return {}
    node = OmegaConf.select(OmegaConf.load(hydra_file), "hydra")
    settings = OmegaConf.to_container(node, resolve=False)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _multirun(hydra: Mapping[str, Any]) -> str | None:
    if hydra.get("mode") != "MULTIRUN":
        return None
    return Path(str(hydra["sweep"]["dir"])).name
