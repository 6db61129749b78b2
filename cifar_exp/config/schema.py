"""The root config of `cifar-exp train` and its groups as strict, closed types.

The values and their defaults are in `conf/`, where a user looks for them; here is what each may be.
`model` is `cifar_exp.network.spec`, `data` and `augment` are `cifar_exp.data.settings`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cifar_exp.data.settings import AugmentConfig, DataConfig
from cifar_exp.network.cost import Budget
from cifar_exp.network.spec import ModelSpec, Name, Spec

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[list[Decay], Field(min_length=2, max_length=2)]  # of the running mean and square
Numbers = Annotated[list[NonNegativeInt], Field(min_length=1)]  # of devices
Batches = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0.0, le=1.0)] | None


class LossConfig(Spec):
    """Cross entropy."""

    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # fraction of the target spread over all classes


class DistillConfig(Spec):
    """Knowledge distillation (Hinton et al. 2015)."""

    teacher: Name | None = None  # a run's directory or a weights file; None: learn from the labels alone
    weight: Fraction = 0.9  # fraction of the loss that the soft targets have; the labels have the rest
    temperature: PositiveFloat = 4.0  # both networks' logits are divided by it


class AdamWConfig(Spec):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"]
    lr: PositiveFloat  # the schedule's peak
    weight_decay: NonNegativeFloat = 0.0  # of weights; not of biases and norms
    betas: Betas = Field([0.9, 0.999])
    eps: PositiveFloat = 1e-8  # added to the denominator


class AdamConfig(Spec):
    """Adam (Kingma & Ba 2015); its weight decay is an L2 term of the gradient."""

    name: Literal["adam"]
    lr: PositiveFloat  # the schedule's peak
    weight_decay: NonNegativeFloat = 0.0  # L2 term
    betas: Betas = Field([0.9, 0.999])
    eps: PositiveFloat = 1e-8  # added to the denominator


class SGDConfig(Spec):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    lr: PositiveFloat  # the schedule's peak
    weight_decay: NonNegativeFloat = 0.0  # L2 term
    momentum: Decay = 0.9
    nesterov: bool = True  # look ahead along the momentum; needs momentum > 0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=true needs a momentum above 0")
        return self


class MuonConfig(Spec):
    """Muon (Jordan et al. 2024) for dense and full convolution weights, flattened to matrices; AdamW for the rest."""

    name: Literal["muon"]
    lr: PositiveFloat  # of the matrices, the schedule's peak
    weight_decay: NonNegativeFloat = 0.0  # of the matrices, decoupled
    momentum: Decay = 0.95
    nesterov: bool = True  # look ahead along the momentum
    ns_steps: PositiveInt = 5  # Newton-Schulz iterations that orthogonalise an update
    adamw_lr: PositiveFloat = 3e-3  # of all the rest; follows the same schedule
    adamw_weight_decay: NonNegativeFloat = 0.0
    adamw_betas: Betas = Field([0.9, 0.95])


OptimizerConfig = Annotated[AdamWConfig | AdamConfig | SGDConfig | MuonConfig, Field(discriminator="name")]


class OneCycleConfig(Spec):
    """Up to the peak and down again, a step at a time (Smith & Topin 2019)."""

    name: Literal["onecycle"]
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25  # fraction of the steps on the way up
    div_factor: Annotated[float, Field(ge=1.0)] = 25.0  # the first learning rate is lr / div_factor
    final_div_factor: Annotated[float, Field(ge=1.0)] = 1e4  # the last one is the first / final_div_factor


class CosineConfig(Spec):
    """A linear warm-up, then half a cosine (Loshchilov & Hutter 2017)."""

    name: Literal["cosine"]
    warmup_epochs: NonNegativeFloat = 1.0  # may be a fraction of an epoch
    min_lr_ratio: Fraction = 0.0  # the last learning rate / lr


class ConstantConfig(Spec):
    """The same learning rate throughout, after a linear warm-up."""

    name: Literal["constant"]
    warmup_epochs: NonNegativeFloat = 0.0  # may be a fraction of an epoch


SchedulerConfig = Annotated[OneCycleConfig | CosineConfig | ConstantConfig, Field(discriminator="name")]

Precision = Literal[
    "auto", "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "bf16", "64", 32, 16, 64
]  # auto is ours: what trains faster here

Strategy = Literal["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"]


class TrainerConfig(Spec):
    """Lightning's `Trainer` arguments, with Lightning's names and meanings."""

    max_epochs: PositiveInt
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: Literal["auto", -1] | PositiveInt | Numbers = "auto"  # how many, or which
    precision: Precision = "32-true"
    strategy: Strategy = "auto"  # `ddp` for several devices
    num_nodes: PositiveInt = 1
    gradient_clip_val: NonNegativeFloat | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    deterministic: bool | Literal["warn"] | None = None
    limit_train_batches: Batches = None  # an integer: batches; a float: fraction of the epoch
    limit_val_batches: Batches = None
    limit_test_batches: Batches = None
    enable_progress_bar: bool = True
    detect_anomaly: bool = False  # find the operation that made a NaN; slow
    profiler: Literal["simple", "advanced"] | None = None


class EMAConfig(Spec):
    """An exponential moving average of the weights, which is what is validated, tested and kept."""

    decay: Decay | None = None  # per step; None: no average


class EarlyStoppingConfig(Spec):
    """Ends a run whose val/loss no longer falls."""

    patience: PositiveInt | None = None  # epochs without a fall; None: never stop early
    min_delta: NonNegativeFloat = 0.0  # what counts as a fall


class CallbacksConfig(Spec):
    """What may happen beside the training."""

    ema: EMAConfig = EMAConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()


class LoggerConfig(Spec):
    """Where the wandb run goes."""

    mode: Literal["offline", "online", "disabled"] = "offline"  # wandb's; online alone needs an account
    project: Annotated[Name, Field(min_length=1, max_length=128, pattern=r"^[^/\\#?%:]+$")] = "cifar-exp"
    entity: str | None = None  # user or team; None: the account's own
    group: Annotated[Name, Field(min_length=1, max_length=128)] | None = None  # None: the jobs of one `-m` are a group


class TrialConfig(Spec):
    """Which trial of which study this run is; set by the sweeper."""

    storage: str  # Optuna storage URL
    study_name: str
    number: NonNegativeInt
    attempt: NonNegativeInt = 0  # how often it had been started before this job was launched


class TrainConfig(Spec):
    """The root config of `cifar-exp train` (`conf/train.yaml`)."""

    name: Annotated[Name, Field(min_length=1, max_length=128)]  # of the run: in its directory and in wandb
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # initial weights, order and augmentation of the images
    tags: list[Annotated[Name, Field(min_length=1, max_length=64)]] = Field([])  # of the wandb run
    resume: Name | None = None  # directory of a run to continue; auto: what the run's directory contains
    budget: Budget = Budget()
    compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None  # torch.compile's mode; None: not
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    model: ModelSpec
    data: DataConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    trainer: TrainerConfig
    callbacks: CallbacksConfig = CallbacksConfig()
    logger: LoggerConfig = LoggerConfig()
    trial: TrialConfig | None = None
