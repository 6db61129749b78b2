"""A run that has not finished can be looked at; its status is reported, and stdout has the result alone."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import Run

COMMANDS = {
    "eval": ("format=json", "data.test_limit=20"),
    "predict": ("format=json", "image=image.png", "picture=null"),
    "export": ("budget.params=1",),  # its check takes seconds
}


@pytest.mark.parametrize(
    ("command", "status"),
    [*((name, "interrupted") for name in COMMANDS), *(("predict", one) for one in ("finished", "failed", "running"))],
)
def test_the_status_of_a_run_is_reported(
    command: str, status: str, trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    shutil.copytree(trained_run, tmp_path / "run")
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    (tmp_path / "run" / "result.json").unlink()
    if status in ("finished", "failed"):
        kept = json.loads((trained_run / "result.json").read_text())
        (tmp_path / "run" / "result.json").write_text(json.dumps({**kept, "status": status}))
    with FileLock("run/.hydra/run.lock") if status == "running" else nullcontext():
        assert cifar_exp(command, "run=run", *COMMANDS[command]) == (2 if command == "export" else 0)

    printed = capsys.readouterr()
    note = f"run: not finished ({status}); these are its best weights so far.\n"
    assert (note in printed.err) == (status != "finished")
    if command != "export":
        json.loads(printed.out)
