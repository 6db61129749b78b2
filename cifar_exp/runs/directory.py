"""The files of a run, by name (contract section 6)."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cifar_exp.errors import UserError
from cifar_exp.files import write_json, write_text
from cifar_exp.runs.result import ClassFigures, Result

Document = TypeVar("Document", bound=BaseModel)
Row = dict[str, float]  # one epoch, by the columns of metrics.csv
CURVES = ("epoch", "train/loss", "train/acc", "val/loss", "val/acc")  # the columns that every run's metrics.csv has


class RunDir:
    """A run's directory, and the paths of the files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / ".hydra" / "config.yaml"  # the run's config, resolved
        self.hydra = path / ".hydra" / "hydra.yaml"  # the chosen options of each group, the sweep's directory
        self.overrides = path / ".hydra" / "overrides.yaml"  # of the command line
        self.log = path / "train.log"  # of the command line
        self.multirun = path / "multirun.yaml"  # the config of the runs in the directory, where it is of several
        self.lock = path / ".hydra" / "run.lock"  # locked while a process trains here
        self.result = path / "result.json"  # the outcome of the run, in figures
        self.test = path / "test.json"  # the test by class: what `eval format=json` prints
        self.metrics = path / "metrics.csv"  # one row per epoch
        self.curves = path / "curves.png"  # accuracy and loss over the epochs
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"  # the weights of the epoch with the best validation accuracy
        self.last = self.checkpoints / "last.ckpt"  # everything that continuing after the last epoch needs

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
        if not self.result.exists():
            raise UserError(f"{self.path}: no {self.result.name} here, so no finished run.")
        return _read(self.result, Result)

    def write_result(self, result: Result) -> None:
        """Replace `result.json`."""
        write_json(self.result, result.document())

    def read_test(self) -> ClassFigures | None:
        """Return the contents of `test.json`, None where there is none. Raises UserError where it is damaged."""
        return _read(self.test, ClassFigures) if self.test.exists() else None

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


def _read(file: Path, kind: type[Document]) -> Document:
    try:
        return kind.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: damaged ({reason(error)}).") from None


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
