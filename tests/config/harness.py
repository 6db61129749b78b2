"""What the tests of this folder run: the command in this process, with a stand-in for the training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cifar_exp.checks import Planned
from cifar_exp.config.schema import TrainConfig


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


CifarExp = Callable[..., Ended]


class FakeTraining(ModuleType):
    """Stands in for `commands.train`: records the configs it is given and does what the test asks."""

    def __init__(self) -> None:
        super().__init__("cifar_exp.cli.commands.train")
        self.configs: list[TrainConfig] = []
        self.directories: list[Path] = []
        self.error: Exception | None = None
        self.fails_at = 0

    def main(self, checked: Planned[TrainConfig]) -> float:
        from hydra.core.hydra_config import HydraConfig

        self.configs.append(checked.config)
        self.directories.append(Path(HydraConfig.get().runtime.output_dir))
        if self.error is not None and len(self.configs) > self.fails_at:
            raise self.error
        return 0.5
