"""A run as wandb shows it: config, cost, an epoch's figures, and how it ended.

wandb is used directly: Lightning's logger leaves runs open between the jobs of one process, and its `offline`
sets the mode of the whole process.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from cifar_exp.config.schema import TrainConfig
from cifar_exp.network import Plan

COSTS = ("params", "trainable_params", "macs", "peak_activation_bytes")


class Tracker(Protocol):
    """Who is told of a run."""

    directory: Path | None  # where its files are

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """One epoch's figures, `epoch` among them."""

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Figures of the whole run."""

    def finish(self, exit_code: int) -> None:
        """Closes the run: 0 for success."""


class NoTracker:
    """Tells nobody (`logger.mode=disabled`)."""

    directory: Path | None = None

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """Nothing."""

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Nothing."""

    def finish(self, exit_code: int) -> None:
        """Nothing."""


class WandbRun:
    """One wandb run, in the run's own directory."""

    def __init__(self, config: TrainConfig, plan: Plan, directory: Path, run_id: str | None = None) -> None:
        """Starts the run in `directory`; `run_id` is that of an interrupted run which goes on."""
        import wandb

        logger = config.logger
        self._wandb = wandb
        self._run = wandb.init(
            entity=logger.entity,
            project=logger.project,
            group=logger.group,
            name=config.name,
            tags=list(dict.fromkeys([*config.tags, config.model.name, config.data.name])),
            config=config.model_dump(exclude_unset=True),
            dir=str(directory),
            mode=logger.mode,
            id=run_id,
            resume="allow" if logger.mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.id: str = self._run.id
        self.directory: Path | None = Path(self._run.dir).parent
        self.starts_empty = logger.mode == "offline"  # it cannot know what an earlier process has logged
        self._run.define_metric("epoch")
        for metric in ("train/*", "val/*", "lr", "seconds", "images_per_second"):
            self._run.define_metric(metric, step_metric="epoch")
        self._log_plan(plan)

    def _log_plan(self, plan: Plan) -> None:
        rows: list[Iterable[Any]] = [
            [row.name, row.type, row.params, row.macs, "×".join(map(str, row.output_shape))] for row in plan.rows
        ]
        self._run.log({"layers": self._wandb.Table(["layer", "type", "params", "MACs", "output"], data=rows)})
        self.summarise({name: getattr(plan, name) for name in COSTS})

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """One epoch's figures."""
        self._run.log(dict(row))

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Figures of the whole run, in its summary."""
        self._run.summary.update(dict(figures))

    def finish(self, exit_code: int) -> None:
        """Closes the run with its exit code."""
        self._run.finish(exit_code=exit_code)
