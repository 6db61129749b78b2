"""A run in Weights & Biases: config, cost, figures of each epoch, the test and the outcome.

wandb is used directly: Lightning's logger leaves runs open between the jobs of one process, and its `offline`
sets the mode of the whole process.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.inference.evaluation import Evaluation
from cifar_exp.network import Plan
from cifar_exp.network.cost import costs_of
from cifar_exp.network.table import COLUMNS, size_text
from cifar_exp.runs.saved import SavedHydra
from cifar_exp.tracking.tracker import BestEffort, Tracker, first_line

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

BEST = "best/val/acc"
STAGING, CACHE = "WANDB_DATA_DIR", "WANDB_CACHE_DIR"  # wandb's own variables
TIMEOUTS = {"init_timeout": 30, "finish_timeout": 300}  # seconds: for the server's reply, for uploads at the end
TAG_LENGTH = 64  # wandb's limit
CLASSES_SHOWN = 50  # more make a confusion matrix that nobody can read


@dataclass(frozen=True)
class Labels:
    """A wandb run's group, None for a run by itself, and its tags."""

    group: str | None
    tags: tuple[str, ...]
    is_one_of_many: bool = False  # a job of `-m`, or a trial of a sweep


def labels_of(config: TrainConfig, hydra: SavedHydra) -> Labels:
    """Return the labels of a run with these settings of Hydra, which a resumed run has kept.

    The group is the user's `logger.group`, else the study, else the name of the `-m` directory, else the
    experiment. Tags are the user's, then model, data and experiment.
    """
    experiment = hydra.choices.get("experiment")
    own = [config.model.name, config.data.name, *([experiment] if experiment else [])]
    tags = [*config.tags, *(name[:TAG_LENGTH] for name in own)]
    study = config.trial.study_name if config.trial else None
    multirun = Path(hydra.sweep_dir).name if hydra.mode == "MULTIRUN" else None
    return Labels(
        group=config.logger.group or study or multirun or experiment,
        tags=tuple(dict.fromkeys(tags)),
        is_one_of_many=study is not None or multirun is not None,
    )


def start_tracker(
    config: TrainConfig, plan: Plan, directory: Path, labels: Labels, run_id: str | None = None
) -> Tracker:
    """Return the tracker that `config.logger` selects; a run is trained without one where it cannot be started.

    Args:
        config: the run's config.
        plan: the run's network.
        directory: the run's directory; the tracker's files go into it.
        labels: the run's group and tags.
        run_id: the id of an interrupted run that is continued.

    Raises:
        UserError: `logger.mode=online` without a key to the account, or a setting that wandb rejects.
    """
    if config.logger.mode == "disabled":
        return Tracker()
    try:
        return BestEffort(WandbRun(config, plan, directory, labels, run_id))
    except UserError:
        raise
    except Exception as error:  # wandb fails in many ways: network, disk, its own process
        log.warning("the run is not tracked: %s", first_line(error))
        return Tracker()


class WandbRun(Tracker):
    """One wandb run, in the run's own directory."""

    def __init__(
        self, config: TrainConfig, plan: Plan, directory: Path, labels: Labels, run_id: str | None = None
    ) -> None:
        """Start the run, or continue the one with `run_id`; see `start_tracker`."""
        import wandb

        logger = config.logger
        if run_id is None and labels.is_one_of_many:
            run_id = secrets.token_hex(4)  # else WANDB_RUN_ID would give all of them one id
        self._wandb = wandb
        self._environment = ExitStack()
        self._environment.enter_context(_own_places(directory / "wandb"))
        try:
            self._run = self._open(
                "online" if logger.mode == "online" else "offline",
                entity=logger.entity,
                project=logger.project,
                group=labels.group,
                name=config.name,
                tags=list(labels.tags),
                config=config.model_dump(exclude_unset=True),
                dir=str(directory),
                id=run_id,
                reinit="create_new",
                settings=_settings(),
            )
        except BaseException:
            self._environment.close()
            raise
        self.id, self.directory = self._run.id, Path(self._run.dir).parent
        self.starts_empty = bool(self._run.offline)  # it cannot know what an earlier process has logged
        self._run.define_metric("epoch")
        for metric in ("train/*", "val/*", BEST, "lr", "seconds", "images_per_second"):
            self._run.define_metric(metric, step_metric="epoch")
        self._best = float(self._run.summary.get(BEST, 0.0)) if run_id and not self.starts_empty else 0.0
        self._log_plan(plan)

    def _open(self, mode: Literal["online", "offline"], **arguments: Any) -> "wandb.Run":
        """Start the run; where the server cannot be reached, offline, from where `wandb sync` uploads it."""
        try:
            return self._wandb.init(mode=mode, resume="allow" if mode == "online" else None, **arguments)
        except (self._wandb.errors.UsageError, self._wandb.errors.AuthenticationError) as error:
            hint = " logger.mode=offline needs no account." if mode == "online" else ""
            raise UserError(f"logger.mode={mode}: {first_line(error).rstrip('.')}.{hint}") from None
        except Exception as error:
            if mode != "online":
                raise
            log.warning(
                "wandb's server cannot be reached (%s): the run is kept offline; `wandb sync` uploads it.",
                first_line(error),
            )
            return self._open("offline", **arguments)

    def _log_plan(self, plan: Plan) -> None:
        rows: list[Iterable[Any]] = [[*row[:-1], size_text(row.output_shape)] for row in plan.rows]
        table = self._wandb.Table(list(COLUMNS), data=rows)
        self._run.summary["layers"] = table  # logged, its size would be drawn as a curve
        self.summarise(costs_of(plan))

    def log_epoch(self, row: Mapping[str, float]) -> None:
        """Log one epoch's figures, and the best accuracy so far as a number of its own: a column of the runs table.

        (`define_metric(summary="max")` would make val/acc itself a nested value.)
        """
        self._best = max(self._best, row["val/acc"])
        self._run.log({**row, BEST: self._best})

    def log_test(self, test: Evaluation, images: Tensor) -> None:
        """Log per-class accuracy, the confusion matrix and the most confidently wrong images."""
        from cifar_exp.plots.predictions import mosaic_of_errors

        plot, names = self._wandb.plot, list(test.class_names)
        classes = self._wandb.Table(["class", "accuracy"], data=[list(item) for item in test.class_accuracy.items()])
        media = {"test/class_acc": plot.bar(classes, "class", "accuracy", title="Per-class test accuracy")}
        if len(names) <= CLASSES_SHOWN:
            predicted = test.logits.argmax(dim=1).tolist()
            media["test/confusion"] = plot.confusion_matrix(
                y_true=test.labels.tolist(), preds=predicted, class_names=names, title="Test: predicted by true class"
            )
        mosaic = mosaic_of_errors(test, images)
        if mosaic is not None:
            media["test/most_wrong"] = self._wandb.Image(mosaic, caption="true class → confident wrong prediction")
        self._run.log(media)

    def summarise(self, figures: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(figures))

    def finish(self, exit_code: int) -> None:
        with self._environment:
            self._run.finish(exit_code=exit_code)


def _settings() -> "wandb.Settings":
    """Return wandb's settings: quiet, and with timeouts where the environment has none (WANDB_INIT_TIMEOUT, …)."""
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    for name, seconds in TIMEOUTS.items():
        if f"WANDB_{name.upper()}" not in os.environ:
            setattr(settings, name, seconds)
    return settings


@contextmanager
def _own_places(directory: Path) -> Iterator[None]:
    """Have wandb keep what it stages for an upload in `directory`, and its cache where the user's is not writable.

    What the user's environment names stays.
    """
    from wandb.env import get_cache_dir

    places = {STAGING: directory / "staging"}
    if not _is_writable(get_cache_dir()):
        places[CACHE] = directory / "cache"
    chosen = {name: str(place) for name, place in places.items() if name not in os.environ}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            os.environ.pop(name, None)


def _is_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)
