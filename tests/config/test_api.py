"""The Python API: configs and plans without the command line."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cifar_exp as ce


def test_importing_the_package_loads_neither_torch_nor_hydra() -> None:
    code = "import sys, cifar_exp; print(dir(cifar_exp)); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    names, modules = ended.stdout.splitlines()
    assert {"torch", "hydra", "omegaconf", "pydantic"}.isdisjoint(modules.split())
    assert {"compose", "plan", "TrainConfig", "ModelSpec", "UserError"} <= set(eval(names))


def test_compose_is_what_the_command_line_trains() -> None:
    config = ce.compose(["model=model2", "data=synthetic", "trainer.max_epochs=3", "model.layers.conv7.skip=conv6"])

    assert isinstance(config, ce.TrainConfig)
    assert (config.model.name, config.data.name, config.trainer.max_epochs) == ("model2", "synthetic", 3)
    assert config.model.layers["conv7"].skip == "conv6"


def test_compose_raises_what_the_command_line_prints() -> None:
    with pytest.raises(ce.UserError, match=r"Did you mean 'trainer.max_epochs'"):
        ce.compose(["trainer.max_epoch=3"])


def test_compose_takes_the_user_s_groups(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("name: mine\nlayers: {first: {channels: 8}}\n")

    assert ce.compose(["model=mine", "data=synthetic"], config_dir=tmp_path).model.name == "mine"


def test_compose_takes_one_override() -> None:
    assert ce.compose("data=synthetic").data.name == "synthetic"


def test_threads_compose_their_own_configs() -> None:
    with ThreadPoolExecutor(4) as threads:
        configs = list(threads.map(lambda seed: ce.compose(["data=synthetic", f"seed={seed}"]), range(8)))
    assert [config.seed for config in configs] == [*range(8)]


def test_a_copy_with_other_values_is_checked(tmp_path: Path) -> None:
    config = ce.compose(["data=synthetic"])

    with pytest.raises(ce.UserError, match="seed: expected an integer"):
        ce.train(config.model_copy(update={"seed": "x"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    layers = {"first": {"channels": 8}}
    assert ce.plan(config.model.model_copy(update={"layers": layers})).layers[0].name == "first"
    with pytest.raises(ce.UserError, match=r"model\.layers: expected a mapping"):
        ce.plan(config.model_copy(update={"model": {"name": "mine", "layers": 3}}))


@pytest.mark.parametrize(("shape", "classes"), [((32, 32), 10), ((3, 0, 32), 10), ((3, 32, 32), 0)])
def test_a_plan_needs_a_shape_and_classes(shape: tuple[int, int, int], classes: int) -> None:
    with pytest.raises(ce.UserError, match=r"expected .channels, height, width. ≥ 1 and classes ≥ 1"):
        ce.plan(ce.ModelSpec(name="mine", layers={"first": {"channels": 8}}), shape, classes)


def test_compose_leaves_an_outer_hydra_application_as_it_was() -> None:
    from hydra import __version__, compose, initialize_config_dir

    base = "1.2" if __version__ < "1.4" else "1.3"  # Hydra 1.4 accepts nothing older
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base=base):
        assert ce.compose(["data=synthetic"]).model.name == "model3"
        assert compose("summary").format == "table"


@pytest.mark.parametrize("source", ["config", "model", "file"])
def test_a_plan_comes_from_a_config_a_model_or_a_file(source: str) -> None:
    config = ce.compose(["model=resnet8", "data=synthetic"])
    file = Path(__file__).parents[2] / "conf" / "model" / "resnet8.yaml"

    plan = ce.plan({"config": config, "model": config.model, "file": file}[source])

    assert (plan.params, plan.trainable_params, plan.macs) == (78_666, 78_186, 12_501_632)
    assert [layer.name for layer in plan.layers][:2] == ["stem", "block1a"]


def test_a_printed_plan_is_the_layer_table() -> None:
    table = str(ce.plan(ce.compose(["model=model2", "data=synthetic"])))

    assert table.splitlines()[0] == "model2"
    assert "layer" in table.splitlines()[2]
    assert "104,106" in table.splitlines()[-4]
    assert "11,264 peak activation bytes" in table.splitlines()[-2]
    assert "bytes of flash" in table.splitlines()[-1]


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: a\nlayers: {a: {channels: 3, chanel: 4}}\n")

    with pytest.raises(ce.UserError, match=r"mine.yaml: layers.a.chanel: unknown key"):
        ce.plan(file)
    with pytest.raises(ce.UserError, match=r"mien.yaml: no such file. Did you mean '.*mine.yaml'"):
        ce.plan(tmp_path / "mien.yaml")
    file.write_text("name: ${nope}\nlayers: {a: {channels: 3}}\n")
    with pytest.raises(ce.UserError, match=r"mine.yaml: name: Interpolation key 'nope' not found"):
        ce.plan(file)
