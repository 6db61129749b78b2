"""The paths in a config, made independent of the directory and the home that a process happens to have."""

from pathlib import Path

from cifar_exp.config.schema import TrainConfig
from cifar_exp.files import expanded


def with_absolute_paths(config: TrainConfig, base: Path | None = None) -> TrainConfig:
    """Return `config` with absolute paths of its images, caches and teacher.

    Args:
        config: a config as the user wrote it; `~` is the user's home.
        base: what relative paths start from; None: the working directory.
    """
    base = base or Path.cwd()

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(base / expanded(path))

    data = {"root": absolute(config.data.root), "cache_dir": absolute(config.data.cache_dir)}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={key: path for key, path in data.items() if path is not None}),
            "distill": config.distill.model_copy(update={"teacher": absolute(config.distill.teacher)}),
        }
    )
