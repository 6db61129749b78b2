"""The files of a run, by name (contract section 6)."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_exp.errors import UserError
from cifar_exp.files import write_json, write_text


@dataclass(frozen=True)
class RunDir:
    """A run's directory."""

    path: Path

    @property
    def config(self) -> Path:
        """The composed config, as Hydra wrote it."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def hydra(self) -> Path:
        """How Hydra was called: the chosen options of each group, the sweep's directory."""
        return self.path / ".hydra" / "hydra.yaml"

    @property
    def result(self) -> Path:
        """How the run ended, in figures."""
        return self.path / "result.json"

    @property
    def test(self) -> Path:
        """What the test found, by class: what `eval format=json` prints."""
        return self.path / "test.json"

    @property
    def metrics(self) -> Path:
        """A row an epoch."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """Accuracy and loss over the epochs."""
        return self.path / "curves.png"

    @property
    def checkpoints(self) -> Path:
        """Where `best.ckpt` and `last.ckpt` are."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The weights of the epoch with the best validation accuracy."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """Everything that going on after the last epoch needs."""
        return self.checkpoints / "last.ckpt"

    @property
    def finished(self) -> bool:
        """Whether `result.json` says so."""
        return self.result.is_file() and self.read_result().get("status") == "finished"

    def read_result(self) -> dict[str, Any]:
        """`result.json`. Raises UserError where there is none."""
        try:
            result: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.path}: no result.json here, so no finished run.") from None
        return result

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Replaces `result.json`."""
        write_json(self.result, dict(result))

    def write_test(self, document: Mapping[str, Any]) -> None:
        """Replaces `test.json`."""
        write_json(self.test, dict(document))

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces `metrics.csv` by `rows`, which have the same keys."""
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_text(self.metrics, text.getvalue())
