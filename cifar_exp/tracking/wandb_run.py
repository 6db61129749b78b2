"""A run as wandb shows it: config, cost, an epoch's figures, and how it ended.

wandb is used directly: Lightning's logger leaves runs open between the jobs of one process, and its `offline`
sets the mode of the whole process.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.network import Plan
from cifar_exp.network.cost import costs_of
from cifar_exp.network.table import COLUMNS, size_text
from cifar_exp.tracking.labels import Labels

BEST = "best/val/acc"
CLASSES_SHOWN = 50  # more make a confusion matrix that nobody can read


class Tracker(Protocol):
    """Who is told of a run."""

    directory: Path | None  # where its files are

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """One epoch's figures, `epoch` among them."""

    def log_test(self, test: Evaluation, images: Tensor) -> None:
        """What the test found on its images, uint8 (N, C, H, W)."""

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Figures of the whole run."""

    def finish(self, exit_code: int) -> None:
        """Closes the run: 0 for success."""


class NoTracker:
    """Tells nobody (`logger.mode=disabled`)."""

    directory: Path | None = None

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """Nothing."""

    def log_test(self, test: Evaluation, images: Tensor) -> None:
        """Nothing."""

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Nothing."""

    def finish(self, exit_code: int) -> None:
        """Nothing."""


class WandbRun:
    """One wandb run, in the run's own directory."""

    def __init__(
        self,
        config: TrainConfig,
        plan: Plan,
        directory: Path,
        run_id: str | None = None,
        labels: Labels | None = None,
    ) -> None:
        """Starts the run in `directory`; `run_id` is that of an interrupted run which goes on.

        Raises UserError where wandb wants an account and has no key to it.
        """
        import wandb

        logger = config.logger
        labels = labels or Labels(logger.group, tuple(config.tags))
        self._wandb = wandb
        try:
            self._run = wandb.init(
                entity=logger.entity,
                project=logger.project,
                group=labels.group,
                name=config.name,
                tags=list(labels.tags),
                config=config.model_dump(exclude_unset=True),
                dir=str(directory),
                mode=logger.mode,
                id=run_id,
                resume="allow" if logger.mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(f"logger.mode={logger.mode}: {reason}. logger.mode=offline needs no account.") from None
        self.id: str = self._run.id
        self.directory: Path | None = Path(self._run.dir).parent
        self.starts_empty = logger.mode == "offline"  # it cannot know what an earlier process has logged
        self._run.define_metric("epoch")
        for metric in ("train/*", "val/*", BEST, "lr", "seconds", "images_per_second"):
            self._run.define_metric(metric, step_metric="epoch")
        self._best = float(self._run.summary.get(BEST, 0.0)) if run_id and not self.starts_empty else 0.0
        self._log_plan(plan)

    def _log_plan(self, plan: Plan) -> None:
        rows: list[Iterable[Any]] = [
            [row.name, row.type, row.params, row.macs, size_text(row.output_shape)] for row in plan.rows
        ]
        table = self._wandb.Table(list(COLUMNS), data=rows)
        self._run.summary["layers"] = table  # logged, its size would be drawn as a curve
        self.summarise(costs_of(plan))

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """One epoch's figures, and the best accuracy so far as a number of its own: a column of the runs table.

        (`define_metric(summary="max")` would make val/acc itself a nested value.)
        """
        self._best = max(self._best, row["val/acc"])
        self._run.log({**row, BEST: self._best})

    def log_test(self, test: Evaluation, images: Tensor) -> None:
        """Accuracy a class, who was taken for whom, and the most confidently wrong images."""
        from cifar_exp.plots.tracking_pictures import mosaic_of_mistakes

        plot, names = self._wandb.plot, list(test.class_names)
        classes = self._wandb.Table(["class", "accuracy"], data=[list(item) for item in test.class_accuracy.items()])
        media = {"test/class_acc": plot.bar(classes, "class", "accuracy", title="Test accuracy a class")}
        if len(names) <= CLASSES_SHOWN:
            answers = test.logits.argmax(dim=1).tolist()
            media["test/confusion"] = plot.confusion_matrix(
                y_true=test.labels.tolist(), preds=answers, class_names=names, title="Test: answered for true class"
            )
        mosaic = mosaic_of_mistakes(test, images)
        if mosaic is not None:
            media["test/most_wrong"] = self._wandb.Image(mosaic, caption="true class → confident wrong answer")
        self._run.log(media)

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Figures of the whole run, in its summary."""
        self._run.summary.update(dict(figures))

    def finish(self, exit_code: int) -> None:
        """Closes the run with its exit code."""
        self._run.finish(exit_code=exit_code)
