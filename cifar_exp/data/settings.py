"""The settings of `data=` and `augment=`; torch is not imported here."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SYNTHETIC_DEFAULTS = {"train_size": 5000, "test_size": 1000, "num_classes": 10}
# Keys that a source would ignore are errors there, so that no override is lost silently
FOREIGN_KEYS: dict[str, tuple[str, ...]] = {
    "cifar10": tuple(SYNTHETIC_DEFAULTS),
    "cifar100": tuple(SYNTHETIC_DEFAULTS),
    "folder": tuple(SYNTHETIC_DEFAULTS),
    "synthetic": ("root", "cache_dir"),
}


class _Settings(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Settings):
    """Where the images come from, how they are split, and how many make a batch."""

    name: Literal["cifar10", "cifar100", "folder", "synthetic"]
    # folder: contains train/<class>/* and test/<class>/*; cifar10, cifar100: where the download goes
    # (null: the user's cache directory)
    root: str | None = None
    # side in pixels; the images of a folder are resized to it, those of CIFAR have 32
    image_size: int = Field(32, ge=8, le=512)
    # fraction of the training images that is held out for validation, stratified by class
    val_fraction: float = Field(0.1, gt=0.0, lt=1.0)
    # fixes the hold-out, the limited parts and the synthetic images, whatever the run's own seed is
    split_seed: int = Field(0, ge=0)
    # a stratified part of so many training images, taken before validation is held out (null: all)
    train_limit: int | None = Field(None, ge=1)
    # a stratified part of so many test images (null: all)
    test_limit: int | None = Field(None, ge=1)
    # images per step of the optimizer, over all devices
    batch_size: int = Field(128, ge=2)
    # images at once in validation and test, on each device
    eval_batch_size: int = Field(500, ge=1)
    # where decoded folders are kept (null: $XDG_CACHE_HOME/cifar-exp or ~/.cache/cifar-exp)
    cache_dir: str | None = None
    # synthetic only: how many images and classes are made
    train_size: int | None = Field(None, ge=2)
    test_size: int | None = Field(None, ge=1)
    num_classes: int | None = Field(None, ge=2, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _fill_synthetic(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("name") != "synthetic":
            return given
        missing = {key: size for key, size in SYNTHETIC_DEFAULTS.items() if given.get(key) is None}
        return {**given, **missing}

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        foreign = [key for key in FOREIGN_KEYS[self.name] if getattr(self, key) is not None]
        if foreign:
            raise ValueError(f"data={self.name} has no {', '.join(foreign)}")
        if self.name.startswith("cifar") and self.image_size != 32:
            raise ValueError(
                f"data={self.name} has images of 32 pixels, image_size={self.image_size} cannot be had; "
                "data=folder resizes"
            )
        if self.name == "synthetic" and (self.train_size or 0) < (self.num_classes or 0):
            raise ValueError(f"train_size={self.train_size} is fewer than num_classes={self.num_classes}")
        return self


class AugmentConfig(_Settings):
    """How training images are varied; everything off is the image itself."""

    name: str = "none"
    # random crop out of the image with so many black pixels added on each side (0: off)
    crop_padding: int = Field(0, ge=0, le=64)
    # mirror left and right with probability 1/2
    flip: bool = False
    # rotate by up to so many degrees either way (0: off)
    rotate: float = Field(0.0, ge=0.0, le=180.0)
    # side, in pixels, of a square that is painted over at a random place (0: off)
    cutout: int = Field(0, ge=0, le=512)
    # alpha of mixup's Beta(alpha, alpha) (0: off)
    mixup: float = Field(0.0, ge=0.0, le=100.0)
    # alpha of cutmix's Beta(alpha, alpha) (0: off); with mixup too, each image gets one of the two
    cutmix: float = Field(0.0, ge=0.0, le=100.0)
    # fraction of the epochs, from the first on, in which mixup and cutmix are used
    mix_until: float = Field(1.0, ge=0.0, le=1.0)

    @property
    def mixes(self) -> bool:
        """Whether mixup or cutmix is asked for at all."""
        return self.mixup > 0 or self.cutmix > 0
