"""Help comes at once, and shows what there is to choose."""

import subprocess
import sys
from pathlib import Path

import pytest

from cifar_exp.cli.entry import COMMANDS
from tests.config.harness import CifarExp

RUN = "import sys; from cifar_exp.cli import run; status = run(sys.argv[1:]); "


def modules_imported_by(*arguments: str) -> set[str]:
    code = RUN + "print('\\n' + ' '.join(sys.modules)); sys.exit(status)"
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"]])
def test_the_list_of_commands_needs_neither_hydra_nor_torch(arguments: list[str]) -> None:
    assert modules_imported_by(*arguments).isdisjoint({"torch", "hydra", "pydantic", "numpy"})


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_needs_no_torch(command: str) -> None:
    imported = modules_imported_by(command, "--help")
    assert imported.isdisjoint({"torch", "pytorch_lightning", "wandb", "optuna", "matplotlib"})


def test_an_error_is_reported_without_torch() -> None:
    code = "import sys; from cifar_exp.cli import run; run(sys.argv[1:]); print('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code, "train", "budget.params=10"], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"


def test_the_commands_are_listed(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("--help")

    assert ended.status == 0
    for command, line in COMMANDS.items():
        assert f"  {command}" in ended.out
        assert line in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_examples_groups_and_keys(command: str, cifar_exp: CifarExp) -> None:
    ended = cifar_exp(command, "--help")

    assert ended.status == 0
    assert ended.out.startswith(f"cifar-exp {command}: ")
    assert ended.out.count(f"cifar-exp {command} ") >= 3
    assert "$" not in ended.out
    if command in ("train", "summary"):
        assert "[model3]" in ended.out


def test_help_marks_what_is_chosen_and_finds_the_user_s_own(cifar_exp: CifarExp, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("name: mine\nlayers: {a: {channels: 8}}\n")

    ended = cifar_exp("train", "--help", "--config-dir", str(tmp_path), "model=mine", "optimizer=sgd")

    assert "[mine]" in ended.out
    assert "[sgd]" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_cfg_job_shows_the_config(command: str, cifar_exp: CifarExp) -> None:
    ended = cifar_exp(command, "--cfg", "job")

    assert ended.status == 0
    assert "hydra" not in ended.out
    assert ended.out


def test_cfg_shows_rewritten_overrides_and_packages(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "model.layers.conv7.skip=conv6", "--cfg", "job", "--package", "model.layers.conv7")

    assert "skip: conv6" in ended.out


def test_info_shows_where_the_config_comes_from(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "--info", "defaults")

    assert ended.status == 0
    assert "model/model3" in ended.out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("cifar-exp tr", "train"), ("cifar-exp train model=", "model=model50k"), ("cifar-exp eval forma", "format=")],
)
def test_the_shell_completes(typed: str, offered: str, cifar_exp: CifarExp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", typed)

    ended = cifar_exp("-sc", "query=bash")

    assert ended.status == 0
    assert offered in ended.out.split()
