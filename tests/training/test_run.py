"""`cifar-exp train` end to end: what a run leaves, what its configs change, and how it fails."""

import json
import shutil
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from PIL import Image

from cifar_exp import compose, plan
from cifar_exp.config.devices import missing_to_compile
from cifar_exp.config.location import conf_dir
from cifar_exp.network import build_network
from cifar_exp.training.trainer import trainer_arguments
from tests.conftest import Run
from tests.training.tiny import TINY, figures, metrics, result, tiny_config


def group(name: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / name).glob("*.yaml"))


def test_a_finished_run_leaves_every_file_of_the_contract(trained_run: Path) -> None:
    run = trained_run
    found = result(run)
    assert {key: found[key] for key in ("status", "model", "data", "seed", "epochs", "device", "precision")} == {
        "status": "finished",
        "model": "model2",
        "data": "synthetic",
        "seed": 5,
        "epochs": 2,
        "device": "cpu",
        "precision": "32-true",
    }
    for key in ("train/acc", "val/acc", "test/acc"):
        assert 0 <= found[key] <= 1
    for key in ("params", "trainable_params", "macs", "peak_activation_bytes", "seconds_per_epoch", "total_seconds"):
        assert found[key] > 0
    assert found["test/loss"] > 0
    assert Path(found["checkpoint"]) == run / "checkpoints" / "best.ckpt"
    assert [row["epoch"] for row in metrics(run)] == ["0", "1"]
    for name in (".hydra/config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (run / name).is_file()
    with Image.open(run / "curves.png") as picture:
        assert picture.width > 1000


def test_the_result_s_validation_accuracy_is_the_best_epoch_s(trained_run: Path) -> None:
    accuracies = [float(row["val/acc"]) for row in metrics(trained_run)]
    assert result(trained_run)["val/acc"] == max(accuracies)


def test_checkpoints_load_as_tensors_and_plain_data(cifar_exp: Run, tmp_path: Path) -> None:
    cifar_exp("train", *TINY, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}", "callbacks.ema.decay=0.9")
    for name in ("best", "last"):
        checkpoint = torch.load(tmp_path / "run" / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert checkpoint["cifar_exp"]["class_names"] == ["class0", "class1", "class2", "class3"]


def test_a_checkpoint_that_holds_code_is_refused(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    torch.save({"cifar_exp": Path("x"), "evil": subprocess.Popen}, run / "checkpoints" / "best.ckpt")
    capsys.readouterr()
    assert cifar_exp("eval", f"run={run}") == 2
    assert "best.ckpt: refused" in capsys.readouterr().err


def test_learning_happens(learned_run: Path) -> None:
    assert result(learned_run)["test/acc"] > 0.6


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    trained_run: Path, cifar_exp: Run, tmp_path: Path
) -> None:
    for seed in (5, 6):
        cifar_exp("train", *TINY, "trainer.max_epochs=2", f"seed={seed}", f"hydra.run.dir={tmp_path / str(seed)}")
    assert figures(tmp_path / "5") == figures(trained_run)
    assert figures(tmp_path / "6") != figures(trained_run)


@pytest.mark.skipif(missing_to_compile() is not None, reason=f"torch.compile needs {missing_to_compile()}")
def test_a_compiled_training_learns_the_same(cifar_exp: Run, tmp_path: Path) -> None:
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    removed = [f"model.layers.conv{index}" for index in range(3, 8)]  # a small network is compiled sooner
    network = [key for key in TINY if not key.startswith(tuple(removed))] + [f"~{layer}" for layer in removed]
    options = ("model.layer.dropout=0.2", "data.val_fraction=0.5", "callbacks.ema.decay=0.5")
    for run, mode in ((plain, "null"), (compiled, "default")):
        overrides = (f"compile={mode}", "trainer.max_epochs=2", *options)
        with patch.object(torch, "compile", wraps=torch.compile) as compiler:
            assert cifar_exp("train", *network, *overrides, f"hydra.run.dir={run}") == 0
        assert compiler.call_count == (mode != "null")
    for figure in ("train/loss", "val/loss"):
        theirs = [float(row[figure]) for row in metrics(plain)]
        assert [float(row[figure]) for row in metrics(compiled)] == pytest.approx(theirs, rel=1e-3)
    keys = [list(torch.load(run / "checkpoints" / "best.ckpt")["state_dict"]) for run in (plain, compiled)]
    assert keys[0] == keys[1]


GROUPS = ("optimizer", "scheduler", "augment", "callbacks")


@pytest.mark.parametrize(
    "choices",
    [
        *zip_longest(*([f"{name}={option}" for option in group(name)] for name in GROUPS), fillvalue="seed=1"),
        ("loss.label_smoothing=0.1", "augment.mixup=0.4", "augment.cutmix=1.0", "trainer.gradient_clip_val=0.5"),
        ("trainer.precision=bf16-mixed",),
        *((f"trainer.precision={precision}", "callbacks=ema") for precision in ("bf16-true", "64-true")),
    ],
    ids=" ".join,
)
def test_every_choice_trains(choices: tuple[str, ...], cifar_exp: Run, tmp_path: Path) -> None:
    assert cifar_exp("train", *TINY, "trainer.max_epochs=1", *choices, f"hydra.run.dir={tmp_path / 'run'}") == 0
    assert result(tmp_path / "run")["status"] == "finished"


@pytest.mark.parametrize(
    ("instructions", "precision"),
    [("avx512_bf16", "bf16-mixed"), ("amx_bf16", "bf16-mixed"), ("avx512_f", "32-true")],
)
def test_precision_auto_is_bfloat16_where_the_processor_has_instructions_for_it(
    instructions: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True, "avx2": True})
    config = tiny_config("trainer.precision=auto", "trainer.accelerator=cpu")
    assert trainer_arguments(config)["precision"] == precision


@pytest.mark.parametrize("model", group("model"))
def test_every_parameter_of_every_shipped_model_is_trained(model: str) -> None:
    network = build_network(plan(compose([f"model={model}", "data=synthetic"]))).train()
    F.cross_entropy(network(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert gradients
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []


def test_a_limit_of_test_batches_is_kept(cifar_exp: Run, tmp_path: Path) -> None:
    limits = ("data.eval_batch_size=20", "trainer.limit_test_batches=0.7", "trainer.max_epochs=1")
    cifar_exp("train", *TINY, *limits, f"hydra.run.dir={tmp_path / 'run'}")
    document = json.loads((tmp_path / "run" / "test.json").read_text())
    assert sum(map(sum, document["confusion"])) == 2 * 20


def test_a_profiler_s_table_is_shown(cifar_exp: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cifar_exp("train", *TINY, "trainer.profiler=simple", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert "run_training_batch" in (tmp_path / "run" / "train.log").read_text()


def test_a_loss_that_is_not_finite_ends_the_run_with_its_reason(
    cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = ("optimizer=sgd", "optimizer.lr=1e30", "scheduler=constant", "model.layer.norm=null")
    assert cifar_exp("train", *TINY, *diverging, "trainer.max_epochs=2", f"hydra.run.dir={tmp_path / 'run'}") == 1
    message = capsys.readouterr().err
    assert "the training loss of epoch 1 is not finite; try a lower optimizer.lr" in message
    assert "Traceback" not in message
    found = result(tmp_path / "run")
    assert found["status"] == "failed"
    assert "not finite" in found["reason"]


def test_a_budget_binds_a_finished_run_wherever_its_images_were(
    trained_run: Path, cifar_exp: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    config = run / ".hydra" / "config.yaml"
    saved = OmegaConf.load(config)
    saved.data = {"name": "folder", "root": "/gone"}
    OmegaConf.save(saved, config)
    on_other_images = ["eval", "data=synthetic", "data.num_classes=4"]
    for command in (on_other_images, ["predict", f"image={run}/curves.png"], ["export", "format=torch"]):
        capsys.readouterr()
        assert cifar_exp(*command, f"run={run}", "budget.params=1000") == 2
        assert "exceeds budget.params" in capsys.readouterr().err


def test_eval_refuses_data_of_other_classes(
    trained_run: Path, cifar_exp: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp("eval", f"run={trained_run}", "data.num_classes=5") == 2
    assert "5 classes" in capsys.readouterr().err


def test_summary_prints_one_json_document(cifar_exp: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cifar_exp("summary", "model=model50k", "format=json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["params"], document["macs"], document["peak_activation_bytes"]) == (49_803, 795_392, 24_576)
    assert document["input_shape"] == [3, 32, 32]
    by_name = {layer["name"]: layer for layer in document["layers"]}
    assert (by_name["conv1"]["params"], by_name["conv7"]["params"]) == (283, 7_726)
    assert sum(layer["params"] for layer in document["layers"]) == document["params"]


def test_summary_needs_no_torch() -> None:
    code = (
        "import sys; from cifar_exp.cli import run; "
        "assert run(['summary', 'model=model3']) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_real_images_are_learned(cifar_exp: Run, tmp_path: Path, real_images: Path) -> None:
    training = ("data.batch_size=50", "trainer.max_epochs=4", "trainer.accelerator=cpu", "logger.mode=disabled")
    images = ("data=folder", f"data.root={real_images}")
    cifar_exp("train", "model=model2", *images, *training, f"hydra.run.dir={tmp_path / 'run'}")
    assert result(tmp_path / "run")["test/acc"] > 0.2  # a tenth by chance
