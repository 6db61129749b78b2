"""One way from an override to the plan: composed once, validated once, planned once."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

import cifar_exp.cli.app  # noqa: F401 - before its functions are counted
from cifar_exp import checks
from cifar_exp.config.compose import hydra_session
from cifar_exp.config.schema import TrainConfig
from tests.config.harness import CifarExp, FakeTraining


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a command composes with Hydra, validates a config, plans a network, and parses an override."""
    counts: Counter[str] = Counter()
    within: list[str] = []  # one call may make another of the same kind

    def counted(owner: Any, name: str, as_what: str, of: Callable[..., int] = lambda *_, **__: 1) -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            if as_what in within:
                return original(*args, **kwargs)
            counts[as_what] += of(*args, **kwargs)
            within.append(as_what)
            try:
                return original(*args, **kwargs)
            finally:
                within.remove(as_what)

        monkeypatch.setattr(owner, name, counting)

    with hydra_session("train"):
        loader = type(GlobalHydra.instance().config_loader())
    counted(loader, "load_configuration", "composed")
    counted(loader, "load_sweep_config", "composed")
    counted(TrainConfig, "model_validate", "validated")
    counted(checks, "plan_network", "planned")
    counted(OverridesParser, "parse_overrides", "parsed", lambda _, overrides: len(overrides))
    return counts


GIVEN = ("data=synthetic", "optimizer.lr=3e-3", "model.layers.conv7.skip=conv6", "hydra.run.dir=run")


def test_a_run_is_composed_validated_and_planned_once(
    cifar_exp: CifarExp, training: FakeTraining, calls: Counter[str]
) -> None:
    assert cifar_exp("train", *GIVEN).status == 0
    assert (calls["composed"], calls["validated"], calls["planned"]) == (1, 1, 1)


def test_a_value_is_parsed_once(cifar_exp: CifarExp, training: FakeTraining, calls: Counter[str]) -> None:
    assert cifar_exp("train", *GIVEN).status == 0
    before = calls["parsed"]
    assert cifar_exp("train", *GIVEN[:3], "hydra.run.dir=run2", "seed=3", "trainer.max_epochs=2").status == 0
    assert calls["parsed"] - before == before + 2


def test_each_job_of_a_multirun_is_validated_and_planned_once_and_all_are_composed_as_one(
    cifar_exp: CifarExp, training: FakeTraining, calls: Counter[str]
) -> None:
    swept = ("model.layers.conv7.channels=96,128", "seed=0,1")

    assert cifar_exp("train", "-m", *GIVEN[:3], *swept, "hydra.sweep.dir=sweep").status == 0

    assert len(training.configs) == 4
    assert [(cfg.seed, cfg.model.layers["conv7"].channels) for cfg in training.configs][1:3] == [(1, 96), (0, 128)]
    assert (calls["composed"], calls["validated"], calls["planned"]) == (1 + 1, 4, 4)


def test_fields_of_layers_name_a_directory_as_they_were_given(cifar_exp: CifarExp, training: FakeTraining) -> None:
    swept = ("model.layers.conv7.channels=96,128", "hydra.sweep.subdir=${hydra.job.override_dirname}")

    assert cifar_exp("train", "-m", "data=synthetic", "trainer.devices=1", *swept, "hydra.sweep.dir=sweep").status == 0

    expected = [f"data=synthetic,model.layers.conv7.channels={width},trainer.devices=1" for width in (96, 128)]
    assert [path.name for path in training.directories] == expected


def test_a_layer_that_one_of_two_models_lacks_is_an_error_of_its_job(
    cifar_exp: CifarExp, training: FakeTraining
) -> None:
    ended = cifar_exp("train", "-m", "data=synthetic", "model=model2,resnet8", "model.layers.conv7.channels=64")

    assert ended.status == 2
    assert "Job 1 (model=resnet8): model.layers.conv7.channels: no layer 'conv7'" in ended.err
    assert not training.configs
