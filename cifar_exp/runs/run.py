"""A run that has trained, as `eval`, `predict`, `export`, `report` and notebooks use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_exp.config.devices import check_accelerator
from cifar_exp.config.parse import parse
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.settings import DataConfig
from cifar_exp.errors import UserError
from cifar_exp.files import expanded
from cifar_exp.network.spec import Spec
from cifar_exp.runs.directory import Row, RunDir
from cifar_exp.runs.result import Result
from cifar_exp.runs.saved import load_config

if TYPE_CHECKING:
    from cifar_exp.inference.classifier import TrainedNetwork


@dataclass(frozen=True)
class Run:
    """A run that has trained, or weights alone.

    Attributes:
        directory: the run's directory, or the one that contains the weights file.
        config: the config of the run, as it was; None for a weights file.
        checkpoint: the best weights. They describe their network completely.
    """

    directory: Path
    config: TrainConfig | None
    checkpoint: Path

    @property
    def files(self) -> RunDir:
        """The files in the run's directory. Raises UserError for a weights file."""
        if self.config is None:
            raise UserError(f"{self.checkpoint}: weights alone; expected a run's directory.")
        return RunDir(self.directory)

    @property
    def result(self) -> Result:
        """The contents of `result.json` as attributes: `result.test_acc`. Raises UserError where there is none."""
        return self.files.read_result()

    @property
    def history(self) -> list[Row]:
        """One dictionary per epoch, with the columns of `metrics.csv`."""
        return self.files.read_metrics()

    def model(self, accelerator: str = "cpu") -> "TrainedNetwork":
        """Return the network with the best weights, ready for inference.

        Args:
            accelerator: where it computes: cpu, gpu, mps, or auto for the best there is.

        Raises:
            UserError: this machine has no such accelerator, or the file with the weights is damaged.
        """
        from cifar_exp.inference.classifier import chosen_device, load_trained

        check_accelerator(accelerator, "accelerator")
        return load_trained(self.checkpoint).to(chosen_device(accelerator))


def load_run(path: str | Path) -> Run:
    """Return the run in a directory, or the weights in a file.

    A run that is under way or has failed is one too, with its best weights so far; `eval`, `predict` and `export`
    report its status on stderr.

    Raises:
        UserError: there is no such file or directory, or the directory contains no config or no best weights.
    """
    path = expanded(path)
    if path.is_file():
        return Run(path.parent, None, path)
    files = RunDir(path)
    config = load_config(files)
    if not files.best.is_file():
        where = files.best.relative_to(path)
        raise UserError(f"{path}: no {where}; has the run finished its first epoch?")
    return Run(path, config, files.best)


class _ChosenData(Spec):
    """The `data` of `eval` and `export`."""

    data: DataConfig


def chosen_data(run: Run, given: Mapping[str, Any] | None) -> DataConfig:
    """Return `given` where it has a `name` (a chosen group), else the run's data with the keys of `given` replaced."""
    data = dict(given or {})
    if "name" not in data:
        if run.config is None:
            raise UserError(f"run={run.checkpoint}: weights alone have no data to test on; choose data=… too.")
        data = {**run.config.data.model_dump(), **data}
    return parse(_ChosenData, {"data": data}).data
