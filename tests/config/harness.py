"""What the tests of this folder run: the command in this process, with a stand-in for the training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_exp.checks import Planned
from cifar_exp.config.schema import TrainConfig
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


CifarExp = Callable[..., Ended]


FIGURES = {"train/acc": 0.5, "val/acc": 0.5, "test/acc": 0.5, "test/loss": 1.0, "seconds_per_epoch": 1.0}
RESULT = Result.model_validate({"status": "finished", "model": "fake", "params": 1, "macs": 1, "epochs": 1, **FIGURES})


class FakeTraining:
    """Stands in for the training: records the configs it is given and does what the test asks."""

    def __init__(self) -> None:
        self.configs: list[TrainConfig] = []
        self.directories: list[Path] = []
        self.error: Exception | None = None
        self.fails_at = 0

    def train_in(self, run: RunDir, checked: Planned[TrainConfig], callbacks: Any) -> Result:
        self.main(checked)
        return RESULT

    def main(self, checked: Planned[TrainConfig]) -> None:
        from hydra.core.hydra_config import HydraConfig

        self.configs.append(checked.config)
        self.directories.append(Path(HydraConfig.get().runtime.output_dir))
        if self.error is not None and len(self.configs) > self.fails_at:
            raise self.error
