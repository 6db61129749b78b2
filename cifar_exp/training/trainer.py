"""Lightning's Trainer, as the config wants it."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.profilers import PassThroughProfiler

from cifar_exp.config.devices import trains_alone
from cifar_exp.config.schema import CallbacksConfig, TrainConfig
from cifar_exp.inference.classifier import chosen_device
from cifar_exp.runs.directory import RunDir
from cifar_exp.training.callbacks.averaging import MovingAverage
from cifar_exp.training.checkpoints import PlainCheckpointIO, checkpoints

OUR_OWN = {"enable_progress_bar", "profiler", "limit_train_batches", "gradient_clip_val", "gradient_clip_algorithm"}


def build_trainer(config: TrainConfig, run: RunDir, callbacks: Sequence[Callback]) -> pl.Trainer:
    """Return a Trainer without logger and per-step bookkeeping, which keeps the best and the last checkpoint."""
    quieten_libraries()
    return pl.Trainer(
        **trainer_arguments(config),
        profiler=config.trainer.profiler or Unprofiled(),
        logger=False,
        callbacks=[*callbacks, *configured_callbacks(config.callbacks), *checkpoints(run)],
        plugins=plugins(config),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        default_root_dir=run.path,
    )


def plugins(config: TrainConfig) -> list[Any]:
    """Return the Trainer's plugins.

    One device needs no cluster: the variables of a Slurm job, whose tasks may be as many independent runs, would make
    Lightning wait for others. With several devices, Lightning would save a checkpoint of its own from the middle of an
    epoch when the job's time is up, and prefer it to `last.ckpt`.
    """
    if trains_alone(config.trainer):
        return [PlainCheckpointIO(), LightningEnvironment()]
    return [PlainCheckpointIO(), *([SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [])]


def trainer_arguments(config: TrainConfig) -> dict[str, Any]:
    """Return what Lightning's Trainer receives of the user's `trainer`; our module and data do the rest."""
    given = config.trainer.model_dump(exclude=OUR_OWN)
    if given["precision"] == "auto":
        given["precision"] = fastest_precision(config.trainer.accelerator)
    return given


def fastest_precision(accelerator: str) -> str:
    """`bf16-mixed` on a device with instructions for bfloat16 (of processors: AVX-512 BF16, AMX), else `32-true`."""
    kind = "tpu" if accelerator == "tpu" else chosen_device(accelerator).type
    if kind == "cuda":
        is_faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities() if kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
        is_faster = known.get("avx512_bf16", False) or known.get("amx_bf16", False)
    return "bf16-mixed" if is_faster else "32-true"


def configured_callbacks(config: CallbacksConfig) -> list[Callback]:
    """Return the callbacks that the config asks for."""
    callbacks: list[Callback] = []
    if config.ema.decay is not None:
        callbacks.append(MovingAverage(config.ema.decay))
    patience, min_delta = config.early_stopping.patience, config.early_stopping.min_delta
    if patience is not None:
        callbacks.append(ResumableEarlyStopping("val/loss", patience=patience, min_delta=min_delta))
    return callbacks


class ResumableEarlyStopping(EarlyStopping):
    """Lightning's, which also remembers in a resumed run that it had stopped."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where the run had been stopped."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Unprofiled(PassThroughProfiler):
    """Lightning opens a profiler's context around each of some 60 calls a step; this one costs nothing."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Do nothing."""
        return self._nothing


def quieten_libraries() -> None:
    """Turn off what they report of themselves: hardware lists, hints on DataLoader workers, a compiler without CUDA."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # where its table is asked for
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*", category=UserWarning)
    warnings.filterwarnings("ignore", message=r".*(does not have many workers|isinstance\(treespec).*")
