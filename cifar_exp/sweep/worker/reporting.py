"""What a running trial reports to its study: val/acc per epoch, and whether it is worth continuing."""

import logging
from typing import Any

import pytorch_lightning as pl

from cifar_exp.config.schema import TrialConfig
from cifar_exp.errors import TakenOverError
from cifar_exp.sweep.search.pruners import PRUNER, build_pruner
from cifar_exp.sweep.study.storage import open_storage, unmasked
from cifar_exp.sweep.study.study import worker_of

log = logging.getLogger(__name__)

METRIC = "val/acc"


class TrialReporter(pl.Callback):
    """Report each epoch's val/acc to the study, and end a trial that is poor or that another process has taken over.

    The one way to end early is an exception: `optuna.TrialPruned`, which `fit` records as status `pruned`, or
    `TakenOverError`, after which nothing is written. A storage that cannot be reached for a while stops no training.
    """

    def __init__(self, trial: TrialConfig) -> None:
        self._trial = trial
        self._storage: Any = None
        self._study: Any = None
        self._id = -1

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the trial in its study, in the storage that the worker has open."""
        import optuna

        storage = open_storage(unmasked(self._trial.storage))
        study = optuna.load_study(study_name=self._trial.study_name, storage=storage)
        study.pruner = build_pruner(study.user_attrs.get(PRUNER))
        self._study, self._storage = study, storage
        study_id = storage.get_study_id_from_name(self._trial.study_name)
        self._id = storage.get_trial_id_from_study_id_trial_number(study_id, self._trial.number)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise TakenOverError where the process was stopped for so long that another has taken its trial over.

        The files of an epoch are written after its validation.
        """
        try:
            trial = self._storage.get_trial(self._id)
        except Exception as error:  # whatever a database may raise
            log.warning("the study cannot be read: %s", str(error).splitlines()[0])
            return
        if worker_of(trial).get("attempt", self._trial.attempt) != self._trial.attempt or trial.state.is_finished():
            raise TakenOverError(f"trial {self._trial.number} was taken over by another process")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch, which has been validated; raises optuna.TrialPruned where the trial is poor."""
        import optuna

        value, epoch = float(trainer.callback_metrics[METRIC]), trainer.current_epoch + 1
        if self._is_poor(value, epoch) and epoch != trainer.max_epochs:  # after the last one nothing is saved
            raise optuna.TrialPruned(f"{METRIC} {value:.4f} after epoch {epoch}")

    def _is_poor(self, value: float, epoch: int) -> bool:
        """Report, and ask the study's pruner, which judges by val/acc: only where that is the one objective."""
        try:
            self._storage.set_trial_intermediate_value(self._id, epoch, value)
            if len(self._study.directions) > 1 or (self._study.metric_names or [METRIC]) != [METRIC]:
                return False
            return bool(self._study.pruner.prune(self._study, self._storage.get_trial(self._id)))
        except Exception as error:  # whatever a database may raise: the training is worth more than the report
            log.warning("epoch %d not reported to the study: %s", epoch, str(error).splitlines()[0])
            return False
