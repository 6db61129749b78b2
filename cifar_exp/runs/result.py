"""How a run ended: the contents of `result.json`, typed."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)


class Provenance(_Document):
    """The software and the images that a result comes from."""

    cifar_exp: str
    torch: str
    lightning: str
    python: str
    git_commit: str | None = None  # of the clone; ends in "-dirty" where files differ; None outside a clone
    data_sha256: str  # of the decoded pixels and labels of training and test
    command: str


class ClassFigures(_Document):
    """The test by class: what `test.json` and `eval format=json` contain besides the accuracy and the loss."""

    class_acc: dict[str, float]  # fraction of correct predictions
    confusion: list[list[int]]  # images by true class (rows) and predicted class (columns)

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        if {len(self.confusion), *map(len, self.confusion)} != {len(self.class_acc)}:
            raise ValueError(f"confusion is no matrix of {len(self.class_acc)} classes")
        return self


FIGURES_OF_FINISHED = ("model", "params", "val_acc", "test_acc")


class Result(_Document):
    """The outcome of a run; a "/" in a key of `result.json` is a "_" here.

    Accuracies are fractions. A figure that the run did not reach is None.
    """

    status: str  # finished | failed | interrupted | pruned
    reason: str | None = None  # why the run did not finish
    model: str | None = None
    params: int | None = None
    trainable_params: int | None = None
    macs: int | None = None
    peak_activation_bytes: int | None = None
    data: str | None = None
    seed: int | None = None
    epochs: int | None = None
    train_acc: float | None = Field(None, alias="train/acc")
    val_acc: float | None = Field(None, alias="val/acc")
    test_acc: float | None = Field(None, alias="test/acc")
    test_loss: float | None = Field(None, alias="test/loss")
    seconds_per_epoch: float | None = None  # the median over the epochs after the first
    total_seconds: float | None = None
    device: str | None = None
    precision: str | None = None
    wandb_dir: str | None = None
    checkpoint: str | None = None
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _has_figures(self) -> Self:
        missing = [name for name in FIGURES_OF_FINISHED if self.is_finished and getattr(self, name) is None]
        if missing:
            raise ValueError(f"a finished run without {missing[0]}")
        return self

    @property
    def is_finished(self) -> bool:
        """Whether the run trained to its end and was tested."""
        return self.status == "finished"

    def document(self) -> dict[str, Any]:
        """Return the contents of `result.json`: the keys that were given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
