"""The wheel: what it holds, and that it works away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cifar_exp import __version__
from cifar_exp.config.location import conf_dir

SMALL = ["data=synthetic", "data.train_size=200", "data.test_size=50", "trainer.max_epochs=1", "logger.mode=disabled"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a wheel built from this checkout."""
    pytest.importorskip("hatchling")
    from hatchling.builders.wheel import WheelBuilder

    directory = tmp_path_factory.mktemp("wheel")
    wheel = next(WheelBuilder(str(conf_dir().parent)).build(directory=str(directory), versions=["standard"]))
    zipfile.ZipFile(wheel).extractall(directory / "unpacked")
    return directory / "unpacked"


def test_the_plugin_lies_in_a_shared_namespace(unpacked: Path) -> None:
    """`hydra_plugins` must have no `__init__.py`: other plugins put their packages beside ours."""
    assert (unpacked / "hydra_plugins/cifar_exp_sweeper/budgeted.py").is_file()
    assert not (unpacked / "hydra_plugins/__init__.py").exists()


def test_the_wheel_has_type_information_and_the_version_of_the_package(unpacked: Path) -> None:
    assert (unpacked / "cifar_exp/py.typed").is_file()
    assert (unpacked / f"cifar_exp-{__version__}.dist-info").is_dir()


def test_an_unpacked_wheel_sweeps_and_reports(unpacked: Path, tmp_path: Path) -> None:
    """Configs, plugin, and the report's page come with it."""
    of_the_wheel = {**os.environ, "PYTHONPATH": str(unpacked)}

    sweep = ["train", "-m", "sweep=width50k", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=sweep", *SMALL]
    code = (
        "import hydra_plugins.cifar_exp_sweeper.budgeted as plugin\n"
        "from cifar_exp.cli import run\n"
        "from cifar_exp.config.location import conf_dir\n"
        f"assert str(conf_dir()).startswith({str(unpacked)!r}) and plugin.__file__.startswith({str(unpacked)!r})\n"
        f"assert run({sweep}) == 0\n"
        "assert run(['report', 'runs=sweep', 'output=page']) == 0"
    )
    subprocess.run([sys.executable, "-c", code], env=of_the_wheel, cwd=tmp_path, check=True, capture_output=True)
    assert "</html>" in next(tmp_path.glob("page*/*.html")).read_text(encoding="utf-8")
