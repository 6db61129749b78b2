"""`cifar_exp.train` and `cifar_exp.load_run`: the same runs as the command line's, from a script or a notebook."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cifar_exp as ce
from tests.conftest import Run as Command
from tests.training.tiny import tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ce.Run:
    directory = tmp_path_factory.mktemp("python") / "first"
    return ce.train(tiny_config("trainer.max_epochs=2", "logger.mode=offline", "seed=7"), directory)


def test_importing_the_package_imports_neither_torch_nor_hydra() -> None:
    code = "import sys, cifar_exp; assert not {'torch', 'hydra', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_started_from_python_leaves_the_files_of_the_contract(run: ce.Run) -> None:
    names = (".hydra/config.yaml", "result.json", "metrics.csv", "curves.png", "checkpoints/best.ckpt", "wandb")
    for name in (*names, "checkpoints/last.ckpt", "test.json"):
        assert (run.directory / name).exists(), name
    assert list(run.directory.glob("wandb/offline-run-*/run-*.wandb"))


def test_result_is_result_json_as_attributes(run: ce.Run) -> None:
    document = json.loads((run.directory / "result.json").read_text())
    for key in ("status", "test/acc", "val/acc", "train/acc", "test/loss", "macs", "seconds_per_epoch", "wandb_dir"):
        assert getattr(run.result, key.replace("/", "_")) == document[key]
    assert document["status"] == "finished"


def test_provenance_names_software_commit_images_and_command(run: ce.Run) -> None:
    provenance = json.loads((run.directory / "result.json").read_text())["provenance"]
    assert set(provenance) == {"cifar_exp", "torch", "lightning", "python", "git_commit", "data_sha256", "command"}
    assert provenance["cifar_exp"] == ce.__version__
    assert len(provenance["data_sha256"]) == 64
    assert provenance["python"] == sys.version.split()[0]


def test_history_has_one_dictionary_per_epoch(run: ce.Run) -> None:
    assert [row["epoch"] for row in run.history] == [0, 1]
    assert max(row["val/acc"] for row in run.history) == run.result.val_acc


def test_load_run_returns_what_train_returned(run: ce.Run) -> None:
    loaded = ce.load_run(str(run.directory))
    assert loaded.config == run.config
    assert loaded.config is not None
    assert loaded.config.seed == 7
    assert loaded.result == run.result
    assert loaded.history == run.history


def test_the_model_maps_raw_pixels_to_logits(run: ce.Run) -> None:
    model = run.model()
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    logits = model(pixels)
    assert logits.shape == (5, 4)
    assert torch.allclose(model(pixels.float()), logits)
    assert torch.allclose(model(pixels.numpy()), logits)
    with pytest.raises(ce.UserError, match=r"expected pixels of shape \(N, 3, 32, 32\), got \(5, 32, 32, 3\)"):
        model(pixels.permute(0, 2, 3, 1))


def test_a_mirrored_view_of_pixels_is_mirrored(run: ce.Run) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    assert torch.equal(run.model()(pixels[..., ::-1]), run.model()(pixels[..., ::-1].copy()))


def test_paths_images_and_arrays_of_one_picture_are_predicted_alike(run: ce.Run, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "cat.png")
    first, *others = run.model().predict([tmp_path / "cat.png", str(tmp_path / "cat.png"), image, pixels])
    assert others == [first] * 3
    assert first.label == max(first.probabilities, key=lambda name: first.probabilities[name])
    assert list(first.probabilities) == ["class0", "class1", "class2", "class3"]
    assert sum(first.probabilities.values()) == pytest.approx(1)
    with pytest.raises(ce.UserError, match="expected an image as uint8"):
        run.model().predict([pixels.astype(np.float32)])


def test_a_weights_file_is_a_model_without_a_config(run: ce.Run) -> None:
    weights = ce.load_run(run.checkpoint)
    assert weights.config is None
    pixels = torch.zeros(1, 3, 32, 32)
    assert torch.equal(weights.model()(pixels), run.model()(pixels))
    with pytest.raises(ce.UserError, match="weights alone"):
        _ = weights.result


@pytest.mark.parametrize("command", ["eval", "report", "export format=torch", "predict"])
def test_the_commands_accept_a_run_started_from_python(command: str, run: ce.Run, cifar_exp: Command) -> None:
    Image.new("RGB", (32, 32)).save("photo.png")
    name, *more = command.split()
    key = "runs" if name == "report" else "run"
    image = ["image=photo.png"] if name == "predict" else []
    output = ["output=out"] if name in ("report", "export") else []
    assert cifar_exp(name, f"{key}={run.directory}", *more, *image, *output) == 0


def test_a_directory_that_contains_a_run_is_an_error_without_resume(run: ce.Run) -> None:
    with pytest.raises(ce.UserError, match="already contains a run"):
        ce.train(tiny_config(), run.directory)


def test_resume_returns_a_finished_run_and_rejects_another_config(run: ce.Run) -> None:
    before = run.result
    assert run.config is not None
    assert ce.train(run.config, run.directory, resume=True).result == before
    on_one = run.config.model_copy(update={"trainer": run.config.trainer.model_copy(update={"devices": 1})})
    assert ce.train(on_one, run.directory, resume=True).result == before
    other = run.config.model_copy(update={"seed": 8})
    with pytest.raises(ce.UserError, match="seed: the run has 7, given is 8"):
        ce.train(other, run.directory, resume=True)


def test_a_config_that_cannot_be_trained_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ce.UserError, match="nowhere: no such directory"):
        ce.train(tiny_config("distill.teacher=nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
