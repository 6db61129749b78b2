"""One run from start to end: data, network, training, test, and the files that remain."""

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import SIGTERMException

from cifar_exp.checks import Planned
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.module import CifarData
from cifar_exp.errors import RunFailedError, TakenOverError, UserError
from cifar_exp.inference.classifier import Classifier, description, load_trained
from cifar_exp.inference.evaluation import Evaluation, evaluate
from cifar_exp.network import build_network
from cifar_exp.network.cost import costs_of
from cifar_exp.plots.curves import plot_curves
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.provenance import provenance
from cifar_exp.runs.result import Result
from cifar_exp.runs.run import load_run
from cifar_exp.runs.saved import save_config, saved_hydra
from cifar_exp.tracking.tracker import Tracker
from cifar_exp.tracking.wandb_run import labels_of, start_tracker
from cifar_exp.training.callbacks.history import History
from cifar_exp.training.callbacks.progress import EpochProgress
from cifar_exp.training.checkpoints import RunState
from cifar_exp.training.distillation import Teacher
from cifar_exp.training.module import ImageClassifier, check_finite
from cifar_exp.training.trainer import build_trainer

log = logging.getLogger(__name__)


class Job:
    """One run and the parts that its phases share."""

    def __init__(self, checked: Planned[TrainConfig], run: RunDir, extra_callbacks: Sequence[Callback] = ()) -> None:
        """Prepare a run, which continues from the last checkpoint in its directory where there is one."""
        config = checked.config
        self.config, self.plan, self.run = config, checked.plan, run
        self.data_info, self.class_names = checked.data_info, checked.data_info.class_names
        self.saved = RunState.saved(run) if run.last.is_file() else None
        about = description(config.model.model_dump(), self.plan, self.class_names)
        self.state = RunState(about, config.model_dump(mode="json", exclude={"resume"}))
        self.progress = EpochProgress(config.trainer.enable_progress_bar)
        self.history = History(run, [self.progress.show])
        self.trainer = build_trainer(config, run, [self.history, self.state, self.progress, *extra_callbacks])
        trainer = config.trainer
        self.data = CifarData(config.data, config.augment, config.seed, trainer.max_epochs, trainer.limit_train_batches)
        self.teacher = self._loaded_teacher()
        self.tracker = Tracker()

    def train(self) -> Result:
        """Train, test, leave the files of contract section 6, and return the contents of `result.json`.

        Raises UserError for images that cannot be read, or are not those of the run to be continued, before anything
        is written. Any other error is raised after `result.json` and the wandb run contain it.
        """
        self._load_images()
        if self.trainer.is_global_zero:
            save_config(self.run, self.config)
        self._start_tracker()
        try:
            self._fit()
            if self.trainer.is_global_zero:
                result = self._finish()
            else:  # of a distributed run, whose first process alone tests and writes the result
                result = Result.model_construct(status="finished", val_acc=self.history.best["val/acc"])
        except BaseException as error:
            is_interrupted = _is_interruption(error)
            error = KeyboardInterrupt() if is_interrupted else _with_reason(error)
            self._fail(error)
            raise error from None if isinstance(error, KeyboardInterrupt | RunFailedError) else error.__cause__
        self.tracker.finish(exit_code=0)
        return result

    def _load_images(self) -> None:
        self.data.setup("fit")
        self._check_limit_val_batches()
        self.state.data_sha256 = self.data.fingerprint()
        before = (self.saved or {}).get("data_sha256")
        if before not in (None, self.state.data_sha256):
            raise UserError(
                f"{self.run.path}: the images are not those of the run, which cannot be continued on others "
                f"(data={self.config.data.name}, data.root={self.config.data.root})."
            )

    def _check_limit_val_batches(self) -> None:
        """Raise UserError for a fraction of the validation batches that is less than one of them."""
        limit, batches = self.config.trainer.limit_val_batches, len(self.data.val_dataloader())
        if isinstance(limit, float) and int(limit * batches) < 1:
            raise UserError(
                f"trainer.limit_val_batches={limit}: less than one of the {batches} batches of the validation; "
                f"expected a number of batches, or a fraction of at least {1 / batches:.3g}."
            )

    def _loaded_teacher(self) -> Teacher | None:
        """Return the teacher, if there is one. Raises UserError for one of other images or classes."""
        given = self.config.distill.teacher
        if given is None:
            return None
        try:
            trained = load_trained(load_run(given).checkpoint)
            trained.check_fits(self.config.data.name, self.data_info)
        except UserError as error:
            raise UserError(f"distill.teacher: {error}") from None
        return Teacher(self.config.distill, trained.classifier)

    def _start_tracker(self) -> None:
        if not self.trainer.is_global_zero:
            return
        run_id = self.saved["wandb_id"] if self.saved else None
        labels = labels_of(self.config, saved_hydra(self.run.hydra))
        tracker = start_tracker(self.config, self.plan, self.run.path, labels, run_id)
        self.tracker, self.state.wandb_id = tracker, tracker.id or run_id
        self.history.listeners.append(tracker.log_epoch)
        if tracker.starts_empty:
            self.history.replay_to.append(tracker.log_epoch)

    def _fit(self) -> None:
        torch.manual_seed(self.config.seed)
        classifier = Classifier(build_network(self.plan), self.data.mean, self.data.std)
        module = ImageClassifier(classifier, self.config, self.teacher)
        ckpt_path = str(self.run.last) if self.saved else None
        self.trainer.fit(module, datamodule=self.data, ckpt_path=ckpt_path, weights_only=True)

    def _finish(self) -> Result:
        """Test, then write the result, then draw: nothing that shows a run may cost it."""
        test = self._test()
        check_finite(test.loss, "test loss")
        best = self.history.best
        figures = {
            "epochs": len(self.history.rows),
            "train/acc": best["train/acc"],
            "val/acc": best["val/acc"],
            "test/acc": test.accuracy,
            "test/loss": test.loss,
            "seconds_per_epoch": self.history.seconds_per_epoch,
        }
        self.run.write_test(test.document())
        result = self._result("finished", {**figures, "checkpoint": str(self.run.best.absolute())})
        self.run.write_result(result)
        self._draw_curves(test.accuracy)
        self.tracker.log_test(test, self.data.test_dataloader().data.images)
        more = {"test/ece": test.calibration_error, "best/epoch": best["epoch"], "best/val/acc": best["val/acc"]}
        self.tracker.summarise({**figures, **more})
        return result

    def _draw_curves(self, test_accuracy: float) -> None:
        try:
            plot_curves(self.run.curves, self.history.rows, self.plan.name, test_accuracy)
        except Exception as error:  # of matplotlib's many: the run is worth more than its figure
            log.warning("%s was not drawn: %s", self.run.curves, f"{type(error).__name__}: {error}".splitlines()[0])

    def _test(self) -> Evaluation:
        trained = load_trained(self.run.best)
        classifier = trained.classifier.to(self.trainer.strategy.root_device)
        batches, limit = self.data.test_dataloader(), self.config.trainer.limit_test_batches
        count = max(1, int(limit * len(batches))) if isinstance(limit, float) else limit
        return evaluate(classifier, islice(batches, count), self.class_names)

    def _fail(self, error: BaseException) -> None:
        self.progress.close()
        if isinstance(error, TakenOverError):  # the directory is another process's
            self.tracker.finish(exit_code=1)
            return
        status = self._status_of(error)
        self._end_other_processes()
        if self.trainer.is_global_zero:
            reason = f"{type(error).__name__}: {error}".strip(": ")
            rows = self.history.rows
            reached = {"epochs": len(rows), **({"val/acc": self.history.best["val/acc"]} if rows else {})}
            try:
                self.run.write_result(self._result(status, {**reached, "reason": reason}))
            except OSError as failed:  # the disk may be why the run has not finished
                log.warning("%s was not written: %s", self.run.result, failed.strerror or failed)
            self.tracker.summarise({"status": status, "reason": reason})
        self.tracker.finish(exit_code=0 if status == "pruned" else 1)

    def _end_other_processes(self) -> None:
        """End those of a distributed run; Lightning would end this one too, a few seconds after it sees them ended."""
        processes = getattr(self.trainer.strategy.launcher, "procs", [])  # of the launcher that starts scripts
        for process in processes:
            process.kill()
        processes.clear()

    def _status_of(self, error: BaseException) -> str:
        if self.config.trial is not None:
            import optuna

            if isinstance(error, optuna.TrialPruned):
                return "pruned"
        return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"

    def _result(self, status: str, figures: Mapping[str, Any]) -> Result:
        """Return what is known of the run whichever way it ends, with the figures that it reached."""
        device = self.trainer.strategy.root_device
        plan, directory = self.plan, self.tracker.directory
        facts = {
            "model": plan.name,
            **costs_of(plan),
            "data": self.config.data.name,
            "seed": self.config.seed,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "precision": self.trainer.precision,
            "wandb_dir": str(directory) if directory else None,
            "total_seconds": self.state.seconds,
            "provenance": provenance(self.state.data_sha256 or ""),
        }
        return Result.model_validate({"status": status, **facts, **figures})


def _is_interruption(error: BaseException) -> bool:
    """Ctrl-C, of which Lightning makes an exit, or a scheduler's SIGTERM: somebody wants the machine back."""
    is_ctrl_c = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    return is_ctrl_c or isinstance(error, KeyboardInterrupt | SIGTERMException)


def _with_reason(error: BaseException) -> BaseException:
    """Return an error that is reported in one line where the system refuses to write a file; else the error itself."""
    if not isinstance(error, OSError):
        return error
    return RunFailedError(f"{error.filename or 'a file of the run'} cannot be written ({error.strerror or error})")
