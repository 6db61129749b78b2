"""What a config asks for and this machine lacks: GPUs, a compiler, a teacher."""

from pathlib import Path

import pytest

import cifar_exp as ce
from cifar_exp.errors import UserError
from tests.config.harness import CifarExp, FakeTraining
from tests.config.test_errors import assert_is_a_message


def test_a_gpu_is_asked_for_where_there_is_none(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    ended = cifar_exp("train", "trainer.accelerator=gpu", "data=synthetic")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["trainer.accelerator=gpu", "there is no GPU"])
    assert not list(Path.cwd().iterdir())


def test_compiling_without_a_compiler_is_reported_before_the_training(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")

    ended = cifar_exp("train", "compile=default", "data=synthetic")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["compile=default", "no-such-compiler"])
    assert not list(Path.cwd().iterdir())


def test_compiling_without_python_s_headers_is_reported_before_the_training(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / name))
    monkeypatch.setenv("CXX", "sh")  # any program

    ended = cifar_exp("train", "compile=default", "data=synthetic")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["compile=default", "Python.h", "python3-dev"])
    assert not list(Path.cwd().iterdir())


def test_a_processor_has_no_number_where_there_is_no_gpu(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for device in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(device, "is_available", lambda: False)

    ended = cifar_exp("train", "data=synthetic", "trainer.devices=[0]")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["trainer.devices=[0]: processors have no numbers"])


def test_what_this_machine_lacks_is_reported_with_the_rest(
    cifar_exp: CifarExp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-compiler")

    ended = cifar_exp(
        "train", "data=synthetic", "trainer.accelerator=mps", "compile=default", "distill.teacher=nowhere",
        "budget.params=10",
    )  # fmt: skip

    assert ended.status == 2
    assert_is_a_message(ended.err, ["4 errors:", "accelerator=mps", "compile=default", "nowhere", "budget.params"])


WRONG_FOR_THE_MACHINE = ("trainer.devices=4096", "optimizer.lr=-1", "distill.teacher=nowhere")


@pytest.mark.parametrize(
    ("more", "devices"),
    [
        ((), "4096: each is a process here"),
        (("-m", "seed=0,1"), "4096: a job of -m trains on one device"),
        (("trainer.max_epoch=3",), "4096: each is a process here"),
    ],
    ids=["one", "jobs", "override"],
)
def test_what_this_machine_lacks_is_reported_with_wrong_values(
    more: tuple[str, ...], devices: str, cifar_exp: CifarExp
) -> None:
    ended = cifar_exp("train", "data=synthetic", *WRONG_FOR_THE_MACHINE, *more)

    assert ended.status == 2
    expected = ["optimizer.lr: expected", devices, "teacher: nowhere: no such"]
    assert_is_a_message(ended.err, expected)
    assert ended.err.count("optimizer.lr") == ended.err.count(devices) == ended.err.count("nowhere:") == 1


def test_the_api_reports_all_errors_at_once() -> None:
    with pytest.raises(UserError) as caught:
        ce.compose(["data=folder", "data.root=nowhere", "model.layers.conv7.skip=conv66", *WRONG_FOR_THE_MACHINE])

    assert str(caught.value).startswith("5 errors:")
