"""The plugin as Hydra sees it: found, light, and well-behaved by Hydra's own suites for plugin authors."""

import subprocess
import sys

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils.launcher_common_tests import (
    IntegrationTestSuite,
    LauncherTestSuite,
)
from hydra.version import VersionBase
from packaging.version import Version

from cifar_exp.config.location import conf_dir

GRID = [
    "hydra/sweeper=budgeted",
    "hydra/sweeper/sampler=grid",
    f"hydra.searchpath=[file://{conf_dir()}]",
]
ANEW = "hydra.sweeper.study_name=${now:%H%M%S%f}"  # one of the tests sweeps twice in one directory


@pytest.fixture(autouse=True)
def _hydra_as_a_plain_application_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra's suites speak of its oldest version base; `cifar-exp`, run in this process before, has set its own."""
    monkeypatch.setattr(VersionBase.instance(), "version_base", Version("1.1"))


def test_hydra_finds_the_sweeper() -> None:
    assert "BudgetedSweeper" in [found.__name__ for found in Plugins.instance().discover(Sweeper)]


def test_looking_for_plugins_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; from hydra.plugins.sweeper import Sweeper\n"
        "assert 'BudgetedSweeper' in [found.__name__ for found in Plugins.instance().discover(Sweeper)]\n"
        "assert not {'optuna', 'torch', 'sqlalchemy', 'pydantic', 'rich'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("launcher_name", ["basic"])
@pytest.mark.parametrize("overrides", [[*GRID, "hydra.sweeper.n_jobs=8"]])
class TestLaunching(LauncherTestSuite):
    """Hydra's suite for what runs jobs, with our sweeper in charge."""


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", *GRID, ANEW])])
class TestIntegration(IntegrationTestSuite):
    """Hydra's suite of applications of their own, without their names, which no sweeper has a part in."""

    test_custom_task_name = None
