"""The files of a run, by name (contract section 6)."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cifar_exp.errors import UserError
from cifar_exp.files import write_json, write_text
from cifar_exp.runs.result import ClassFigures, Result

Row = dict[str, float]  # one epoch, by the columns of metrics.csv
CURVES = ("epoch", "train/loss", "train/acc", "val/loss", "val/acc")  # the columns that every run's metrics.csv has


@dataclass(frozen=True)
class RunDir:
    """A run's directory."""

    path: Path

    @property
    def config(self) -> Path:
        """The run's config, resolved."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def hydra(self) -> Path:
        """Hydra's own settings: the chosen options of each group, the sweep's directory."""
        return self.path / ".hydra" / "hydra.yaml"

    @property
    def overrides(self) -> Path:
        """The overrides of the command line."""
        return self.path / ".hydra" / "overrides.yaml"

    @property
    def log(self) -> Path:
        """What the command line has logged."""
        return self.path / "train.log"

    @property
    def lock(self) -> Path:
        """A file that is locked while a process trains here."""
        return self.path / ".hydra" / "run.lock"

    @property
    def result(self) -> Path:
        """The outcome of the run, in figures."""
        return self.path / "result.json"

    @property
    def test(self) -> Path:
        """The test by class: what `eval format=json` prints."""
        return self.path / "test.json"

    @property
    def metrics(self) -> Path:
        """One row per epoch."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """Accuracy and loss over the epochs."""
        return self.path / "curves.png"

    @property
    def checkpoints(self) -> Path:
        """The directory of `best.ckpt` and `last.ckpt`."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The weights of the epoch with the best validation accuracy."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """Everything that continuing after the last epoch needs."""
        return self.checkpoints / "last.ckpt"

    @property
    def finished(self) -> bool:
        """Whether `result.json` exists and its status is "finished"."""
        return self.result.is_file() and self.read_result().is_finished

    @property
    def trace(self) -> Path | None:
        """A file or directory that only a run leaves here; None where this directory contains no run."""
        return next((path for path in (self.result, self.checkpoints) if path.exists()), None)

    def read_result(self) -> Result:
        """Return the contents of `result.json`. Raises UserError where it is missing or damaged."""
        try:
            return Result.model_validate(json.loads(self.result.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(f"{self.path}: no {self.result.name} here, so no finished run.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{self.result}: damaged ({reason(error)}).") from None

    def write_result(self, result: Result) -> None:
        """Replace `result.json`."""
        write_json(self.result, result.document())

    def read_test(self) -> dict[str, Any] | None:
        """Return the contents of `test.json`, None where there is none. Raises UserError where it is damaged."""
        try:
            document: dict[str, Any] = json.loads(self.test.read_text(encoding="utf-8"))
            ClassFigures.model_validate(document)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{self.test}: damaged ({reason(error)}).") from None
        return document

    def write_test(self, document: Mapping[str, Any]) -> None:
        """Replace `test.json`."""
        write_json(self.test, dict(document))

    def read_metrics(self) -> list[Row]:
        """Return the rows of `metrics.csv`, none where there is no such file. Raises UserError where it is damaged."""
        try:
            with self.metrics.open(encoding="utf-8", newline="") as lines:
                table = csv.DictReader(lines)
                missing = [name for name in CURVES if name not in (table.fieldnames or ())]
                if missing:
                    raise ValueError(f"no column {missing[0]}")
                return [_numbers(row) for row in table]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{self.metrics}: damaged ({reason(error)}).") from None

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace `metrics.csv` by `rows`, which have the same keys."""
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_text(self.metrics, text.getvalue())


def _numbers(row: Mapping[str, str]) -> Row:
    return {key: int(value) if key == "epoch" else float(value) for key, value in row.items()}


def reason(error: Exception) -> str:
    """Return, in one line, what is wrong with a file that an error was raised for."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    if isinstance(error, OSError):
        return str(error.strerror or error)
    return " ".join(str(error).split()) or type(error).__name__
