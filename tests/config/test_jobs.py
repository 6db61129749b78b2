"""The config of a job is the one that Hydra composes."""

from collections.abc import Iterator

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cifar_exp.config.compose import hydra_session
from cifar_exp.config.jobs import JobLoader

FIXED = ("data=synthetic", "model=model50k", "hydra.sweep.dir=there", "hydra.sweep.subdir=w${hydra.job.num}")


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with hydra_session("train"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def base(loader: ConfigLoader) -> DictConfig:
    given = [*FIXED, "hydra/sweeper=budgeted", "hydra.mode=MULTIRUN"]
    return loader.load_configuration("train", given, RunMode.MULTIRUN)


def plain(cfg: DictConfig) -> object:
    return OmegaConf.to_container(cfg, resolve=False, enum_to_str=True)


@pytest.mark.parametrize(
    "trials",
    [
        (("++model.layers.conv1.channels=8", "seed=3"), ("++model.layers.conv1.channels=40", "seed=4")),
        (("model.head.hidden=[8,9]", "optimizer.lr=0.1"), ("model.head.hidden=[]", "optimizer.lr=${seed}")),
        (("optimizer=sgd", "optimizer.lr=0.1"), ("optimizer=adam", "optimizer.lr=0.1")),
        (("++model.layers.conv2.skip=null",), ("++model.layers.conv2.skip=conv1",)),
        (("++model.layers.conv1={channels:8,bias:true}",), ("++model.layers.conv1={channels:9}",)),
        (("+model.layers.new.channels=8",), ("+model.layers.new.channels=9",)),
        (("~model.layers.conv7", "name=a"), ("~model.layers.conv7", "name='b=c, d'")),
        (("hydra.sweep.subdir=a", "trial={number:1,storage:s,study_name:t}"), ("hydra.sweep.subdir=b", "trial=null")),
    ],
)
def test_a_copy_with_other_values_is_what_hydra_composes(
    loader: ConfigLoader, base: DictConfig, trials: tuple[tuple[str, ...], ...]
) -> None:
    jobs = JobLoader(loader)
    for trial in (*trials, trials[0]):
        overrides = [*FIXED[:2], *trial]
        assert plain(jobs.load_sweep_config(base, overrides)) == plain(loader.load_sweep_config(base, overrides))
