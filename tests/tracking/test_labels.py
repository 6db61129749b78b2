"""Under which group and tags a run is found."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from cifar_exp.runs.saved import SavedHydra, saved_hydra
from cifar_exp.tracking.wandb_run import labels_of


def config(group: str | None = None, study: str | None = None) -> Any:
    return SimpleNamespace(
        tags=["mine", "model2"],
        model=SimpleNamespace(name="model2"),
        data=SimpleNamespace(name="cifar10"),
        logger=SimpleNamespace(group=group),
        trial=SimpleNamespace(study_name=study) if study else None,
    )


def hydra(tmp_path: Path, mode: str, experiment: str | None = None) -> SavedHydra:
    sweep = {"dir": "multirun/width50k"}
    settings = {"mode": mode, "sweep": sweep, "runtime": {"choices": {"experiment": experiment}}}
    OmegaConf.save(OmegaConf.create({"hydra": settings}), tmp_path / "hydra.yaml")
    return saved_hydra(tmp_path / "hydra.yaml")


@pytest.mark.parametrize(
    ("mode", "experiment", "given", "group"),
    [
        ("RUN", None, {}, None),
        ("RUN", "best50k", {}, "best50k"),
        ("MULTIRUN", None, {}, "width50k"),
        ("MULTIRUN", "best50k", {}, "width50k"),
        ("MULTIRUN", None, {"study": "shared"}, "shared"),
        ("MULTIRUN", "best50k", {"study": "shared", "group": "chosen"}, "chosen"),
    ],
)
def test_a_run_s_group(
    mode: str, experiment: str | None, given: dict[str, str], group: str | None, tmp_path: Path
) -> None:
    assert labels_of(config(**given), hydra(tmp_path, mode, experiment)).group == group


def test_tags_name_nothing_twice(tmp_path: Path) -> None:
    assert labels_of(config(), hydra(tmp_path, "RUN", "best50k")).tags == ("mine", "model2", "cifar10", "best50k")


def test_a_run_without_hydra_s_file_has_no_group(tmp_path: Path) -> None:
    assert labels_of(config(), saved_hydra(tmp_path / "none.yaml")).group is None
