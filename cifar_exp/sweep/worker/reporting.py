"""What a running trial tells its study: val/acc an epoch, and whether it is worth going on."""

import logging
import math
from typing import Any

import pytorch_lightning as pl

from cifar_exp.config.schema import TrialConfig
from cifar_exp.sweep.search.pruners import PRUNER, build_pruner
from cifar_exp.sweep.study.storage import open_storage, unmasked

log = logging.getLogger(__name__)

METRIC, LOSS = "val/acc", "val/loss"


class TrialReporter(pl.Callback):
    """Reports each epoch's val/acc to the study, and ends a trial that is poor or whose loss is not finite.

    The one way to end early is an exception: `optuna.TrialPruned`, which `fit` records as status `pruned`, or
    `FloatingPointError`, recorded as `failed`. A storage that cannot be reached for a while stops no training.
    """

    def __init__(self, trial: TrialConfig) -> None:
        self._trial = trial
        self._study: Any = None
        self._id = -1

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Finds the trial in its study."""
        import optuna

        if not trainer.is_global_zero:
            return
        storage = open_storage(unmasked(self._trial.storage))
        study = optuna.load_study(study_name=self._trial.study_name, storage=storage)
        study.pruner = build_pruner(study.user_attrs.get(PRUNER))
        self._study = study
        self._id = storage.get_trial_id_from_study_id_trial_number(study._study_id, self._trial.number)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports the epoch, which has been validated.

        Raises FloatingPointError for a loss that is not finite, optuna.TrialPruned for a poor trial.
        """
        import optuna

        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(metrics.get(LOSS, 0.0)):
            raise FloatingPointError(f"{LOSS} is {metrics[LOSS]} after epoch {trainer.current_epoch + 1}")
        epoch = trainer.current_epoch + 1
        poor = METRIC in metrics and trainer.is_global_zero and self._is_poor(metrics[METRIC], epoch)
        if trainer.strategy.broadcast(poor) and epoch != trainer.max_epochs:  # after the last one nothing is saved
            raise optuna.TrialPruned(f"{METRIC} {metrics[METRIC]:.4f} after epoch {epoch}")

    def _is_poor(self, value: float, epoch: int) -> bool:
        """Reports, and asks the study's pruner; Optuna prunes for one objective only."""
        if len(self._study.directions) > 1:
            return False
        try:
            storage = self._study._storage
            storage.set_trial_intermediate_value(self._id, epoch, value)
            return bool(self._study.pruner.prune(self._study, storage.get_trial(self._id)))
        except Exception as error:  # whatever a database may raise: the training is worth more than the report
            log.warning("epoch %d not reported to the study: %s", epoch, str(error).splitlines()[0])
            return False
