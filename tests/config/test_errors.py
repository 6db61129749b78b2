"""An error by the user: exit status 2, at most 12 lines that name it, no traceback, no directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_exp.errors import UserError
from tests.config.harness import CifarExp, FakeTraining

SYNTHETIC = ("data=synthetic", "hydra.run.dir=run")
TRAIN_ERRORS = {
    "unknown key": (["trainer.max_epoch=3"], ["trainer.max_epoch: unknown key", "Did you mean 'trainer.max_epochs'"]),
    "key of a group without its group": (["max_epochs=3"], ["Did you mean 'trainer.max_epochs'"]),
    "learning rate without its group": (["lr=3"], ["Did you mean 'optimizer.lr'"]),
    "unknown group": (["modle=model3"], ["modle: unknown key", "Did you mean 'model'"]),
    "unknown key with +": (["+trainer.max_epoch=3"], ["trainer.max_epoch", "Did you mean 'trainer.max_epochs'"]),
    "unknown key with ++": (["++sead=3"], ["sead: unknown key", "Did you mean 'seed'"]),
    "unknown key with nothing near": (["+zzz=3"], ["zzz: unknown key", "Known: name, seed"]),
    "unknown key of hydra": (["hydra.run.dri=x"], ["Did you mean 'hydra.run.dir'"]),
    "removal of an unknown key": (["~seeed"], ["~seeed: nothing there", "Did you mean 'seed'"]),
    "+ for a key that is there": (["+seed=3"], ["+seed: has a value already"]),
    "unknown option": (["model=modle3"], ["model=modle3", "Did you mean 'model3'", "model1, model2"]),
    "unknown option of hydra": (["hydra/launcher=joblip"], ["hydra/launcher=joblip", "Options of hydra/launcher"]),
    "an option that is a number": (["model=3"], ["model=3: expected the name of an option"]),
    "a group chosen twice": (["+model=model2"], ["+model", "leave out the +"]),
    "no key": (["=3"], ["'=3': expected KEY=VALUE"]),
    "an option that is not there among others": (["experiment=[study,wdie]"], ["experiment=wdie", "mean 'wide'"]),
    "an unknown key of a mapping": (["budget={params:9,x:1}"], ["budget.x: unknown key. Known: params, macs"]),
    "a text of other letters": (["logger.project='a/b'"], ["logger.project: expected a text that matches ^[^/"]),
    "no value": (["seed"], ["'seed': expected KEY=VALUE"]),
    "unclosed bracket": (["tags=[a"], ["'tags=[a': not understood"]),
    "a function of the wrong arguments": (["-m", "seed=range(1,x)"], ["seed=range(1,x)", "argument stop"]),
    "several values without -m": (["seed=1,2"], ["seed=1,2", "-m"]),
    "a range without -m": (["seed=range(1,3)"], ["seed=range(1,3)", "-m"]),
    "an interval without a sweeper": (["-m", "optimizer.lr=interval(1e-3,1e-2)"], ["interval", "sweep=NAME"]),
    "unknown flag": (["--multirum"], ["--multirum", "Did you mean '--multirun'"]),
    "a config directory that is not there": (["--config-dir", "nowhere"], ["nowhere: no such directory"]),
    "a text for an integer": (["trainer.max_epochs=ten"], ["trainer.max_epochs: expected an integer ≥ 1, got \"ten\""]),
    "too small": (["trainer.max_epochs=0"], ["trainer.max_epochs: expected an integer ≥ 1, got 0"]),
    "a fraction for an integer": (["data.batch_size=1.5"], ["data.batch_size: expected an integer ≥ 2, got 1.5"]),
    "a number out of range": (["model.layer.dropout=1.5"], ["model.layer.dropout: expected a number ≥ 0 and < 1"]),
    "a text for a list": (["tags=foo"], ["tags: expected a list, each a text, got \"foo\""]),
    "an unknown choice": (["trainer.accelerator=gqu"], ["expected one of auto, cpu, gpu", "Did you mean 'gpu'"]),
    "an unknown optimizer": (["optimizer.name=adamx"], ["optimizer.name: expected one of adamw, adam, sgd, muon"]),
    "another optimizer's key": (["+optimizer.nesterov=true"], ["nesterov: unknown key. Another optimizer=… has"]),
    "nesterov without momentum": (["optimizer=sgd", "optimizer.momentum=0.0"], ["nesterov", "momentum above 0"]),
    "a reference to nothing": (["optimizer.lr=${foo}"], ["optimizer.lr", "'foo'"]),
    "unknown layer": (["model.layers.conv77.skip=conv1"], ["no layer 'conv77'", "Did you mean 'conv7'"]),
    "unknown field of a layer": (["model.layers.conv7.chanels=3"], ["Did you mean 'model.layers.conv7.channels'"]),
    "unknown field of all layers": (["model.layer.conv_tpye=standard"], ["Did you mean 'model.layer.conv_type'"]),
    "unknown conv type": (["model.layer.conv_type=seperable"], ["seperable", "Did you mean 'separable'"]),
    "unknown conv type with ++": (["++model.layers.conv1.conv_type=seperable"], ["Did you mean 'separable'"]),
    "skip to a later layer": (["model.layers.conv2.skip=conv4"], ["conv4", "conv2"]),
    "skip to an unknown layer": (["model.layers.conv4.skip=conv33"], ["conv33", "Did you mean 'conv3'"]),
    "shapes that do not fit": (["model.layers.conv2.projection=identity"], ["conv1", "conv2"]),
    "data that is not there": (["data=folder", "data.root=nowhere"], ["data.root", "nowhere"]),
    "no data": (["data=folder"], ["data.root"]),
    "over budget": (["budget.params=50000"], ["706,954", "50,000", "conv4"]),
    "run to resume that is not there": (["resume=nowhere"], ["nowhere: no such directory"]),
    "no validation": (["trainer.limit_val_batches=0"], ["trainer.limit_val_batches: expected", "got 0"]),
    "a processor with a number": (["trainer.accelerator=cpu", "trainer.devices=[0]"], ["processors have no numbers"]),
    "a device that needs a package": (["trainer.accelerator=tpu"], ["trainer.accelerator=tpu: PyTorch/XLA"]),
    "a key longer than a name may be": (["x" * 5000 + "=1"], ["unknown key"]),
    "a character that needs quotes": (["name=a\x01b"], ["a character that is special there", "Quote"]),
    "no device": (["trainer.devices=[]"], ["trainer.devices: expected"]),
    "jobs in one directory": (["-m", "seed=0,1", "hydra.sweep.subdir=x"], ["jobs 0 and 1 would share", "'x'"]),
    "a job in the directory of all": (["-m", "hydra.sweep.subdir=."], ["hydra.sweep.subdir=.: expected a directory"]),
    "an empty sweep": (["-m", "seed=range(5,1)"], ["seed=range(5,1): no value"]),
    "a pattern of nothing": (["-m", "model=glob(resnt*)"], ["model=glob(resnt*): no value"]),
    "no devices for jobs of -m": (["-m", "seed=0,1", "trainer.devices=null"], ["trainer.devices: expected"]),
    "jobs of -m without a trainer": (["-m", "seed=0,1", "~trainer"], ["trainer"]),
    "a directory named after nothing": (["hydra.run.dir=out/${modle.name}"], ["hydra.run.dir", "'modle"]),
    "jobs named after nothing": (["-m", "seed=0,1", "hydra.sweep.dir=out/${nope}"], ["hydra.sweep.dir", "'nope"]),
    "a name of nothing to show": (["--cfg", "job", "--resolve", "name=${modle.name}"], ["'modle"]),
    "several devices for a job of -m": (["-m", "seed=0,1", "trainer.devices=2"], ["trainer.devices=2", "one device"]),
    "a key of a search without one": (["-m", "hydra.sweeper.n_trials=3"], ["n_trials: unknown key", "sweep=NAME"]),
    "a variable that is not set": (["data.root=${oc.env:NO}"], ["data.root: Environment variable 'NO' not found"]),
    "a directory named after such": (["name=${oc.env:NO}"], ["name: Environment variable 'NO' not found"]),
    "several devices for one of them": (["-m", "trainer.devices=1,2"], ["Job 1 (trainer.devices=2)", "one device"]),
    "several devices for a trial": (["-m", "sweep=width50k", "trainer.devices=[0,1]"], ["trainer.devices=[0, 1]"]),
    "an unknown step": (
        ["model.layer.order=[conv,activaton,norm]"],
        ["model.layer.order: expected one of conv", 'got "activaton"', "Did you mean 'activation'"],
    ),
    "an infinite learning rate": (["optimizer.lr=inf"], ["optimizer.lr: expected a number > 0"]),
    "an infinite expansion": (["model.layer.expansion=inf"], ["model.layer.expansion: expected a number > 0"]),
    "a name that is too long": (["name=" + 200 * "x"], ["name: expected at most 128 characters, got 200"]),
    "a launcher that is not installed": (["hydra/launcher=ray"], ["pip install 'cifar-exp[ray]'"]),
    "a group of nothing": (["optimizer=null"], ["optimizer=null: expected the name of an option", "adamw"]),
    "a list for a mapping": (["model.layer=[]"], ["model.layer: expected a mapping of keys to values, got []"]),
    "a mapping for a list": (["tags={a:1}"], ["tags: expected a list"]),
    "a key below nothing": (["+hydra.sweeper.params.seed=3"], ["hydra.sweeper.params is null"]),
    "a mapping for nothing": (["hydra.sweeper.params={seed: 1}"], ["hydra.sweeper.params is null"]),
    "nothing for a key of hydra": (["hydra.run.dir=null"], ["hydra.run.dir=null", "not Optional"]),
    "no directory": (["hydra.run.dir="], ["hydra.run.dir: expected the name of a directory"]),
    "a directory that would be a reference": (["hydra.run.dir=\\${x}"], ["hydra.run.dir: expected", "/${x}'"]),
    "a text that would be a reference": (["tags=['\\${x}']", *SYNTHETIC], ["tags.0: expected a text without ${"]),
    "a log that cannot be written": (["hydra.job.name=a/b", *SYNTHETIC], ["hydra: Unable to configure handler"]),
    "a log that no job can write": (["-m", "seed=0,1", "hydra.job.name=a/b", "data=synthetic"], ["hydra: Unable to"]),
    "a launcher that is not there": (["-m", "hydra.launcher._target_=no.such", SYNTHETIC[0]], ["hydra:", "'no.such'"]),
    "a sweeper that is not there": (["-m", "hydra.sweeper._target_=no.such"], ["hydra:", "'no.such'"]),
    "a callback that is not there": (["+hydra.callbacks.x._target_=a.B", *SYNTHETIC], ["hydra: Error locating", "a.B"]),
    "a group without a default": (["sweeps=width50k"], ["sweeps: unknown key"]),
    "unknown sweep": (["-m", "sweep=nothing"], ["sweep=nothing: no such sweep"]),
}  # fmt: skip


def assert_is_a_message(err: str, expected: list[str]) -> None:
    assert "Traceback" not in err
    assert 1 <= len(err.splitlines()) <= 12
    for part in expected:
        assert part in err


@pytest.mark.parametrize("error", TRAIN_ERRORS)
def test_an_error_is_one_message_and_leaves_nothing(error: str, cifar_exp: CifarExp, training: FakeTraining) -> None:
    arguments, expected = TRAIN_ERRORS[error]

    ended = cifar_exp("train", *arguments)

    assert ended.status == 2
    assert_is_a_message(ended.err, expected)
    assert ended.out == ""
    assert not training.configs
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["summry"], ["'summry': no such command", "Did you mean 'summary'"]),
        (["eval"], ["run=… is missing"]),
        (["eval", "run=0"], ["0: no such directory"]),
        (["eval", "run=nowhere"], ["nowhere: no such directory"]),
        (["predict", "run=."], ["image=… is missing"]),
        (["eval", "run=."], [".hydra/config.yaml"]),
        (["report"], ["runs=… is missing"]),
        (["report", "runs=[]"], ["runs: is empty; expected a list, each a text"]),
        (["export", "run=x", "prefix=1x"], ["prefix: expected a text that matches ^[a-z]", 'got "1x"']),
        (["report", "runs=[a,b]"], ["runs: a: no such directory", "runs: b: no such directory"]),
        (["export", "run=x", "format=tflite"], ["format: expected one of onnx, torch"]),
        (["summary", "trainer.max_epochs=3"], ["trainer.max_epochs: unknown key"]),
        (["summary", "budget.macs=1000"], ["12,166,400"]),
        (["summary", "format=jason"], ["expected one of table, json", "Did you mean 'json'"]),
    ],
)
def test_errors_of_other_commands(arguments: list[str], expected: list[str], cifar_exp: CifarExp) -> None:
    ended = cifar_exp(*arguments)

    assert ended.status == 2
    assert_is_a_message(ended.err, expected)
    assert ended.out == ""
    assert not list(Path.cwd().iterdir())


def test_several_errors_are_reported_at_once(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "lr=3", "trainer.max_epochs=ten", "+foo=1", "modle=model3", "data.batch_size=0")

    assert ended.err.splitlines()[0] == "5 errors:"
    assert_is_a_message(ended.err, ["lr:", "trainer.max_epochs:", "foo:", "modle:", "data.batch_size:"])


def test_one_error_does_not_hide_another(cifar_exp: CifarExp) -> None:
    ended = cifar_exp(
        "train", "optimizer.lr=-1", "model.layers.conv7.skip=conv66", "model.layers.conv2.conv_type=seperable",
        "model=model3", "trainer.max_epoch=3", "scheduler=onecycel",
    )  # fmt: skip

    assert ended.err.splitlines()[0] == "5 errors:"
    assert_is_a_message(ended.err, ["optimizer.lr", "'conv66'", "'seperable'", "max_epoch:", "scheduler=onecycel"])


@pytest.mark.parametrize("override", ["model.layer.order=[conv,activaton,norm]", "model.layer.conv_type=seperable"])
def test_an_error_that_every_layer_inherits_is_reported_once(override: str, cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", override)

    assert ended.err.startswith(override.split("=")[0])
    assert ended.err.count("Did you mean") == 1


def test_a_yml_file_is_named(cifar_exp: CifarExp, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yml").write_text("name: mine\nlayers: {a: {channels: 8}}\n")

    ended = cifar_exp("summary", "--config-dir", str(tmp_path), "model=mine")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["model=mine: no such option", "rename", "mine.yml"])


def test_a_misspelled_key_is_not_missing_too(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "+model.layers.conv8.chanels=16", "data=synthetic")

    assert ended.err == (
        "model.layers.conv8.chanels: unknown key. Did you mean 'model.layers.conv8.channels'?\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("seed: 7\n", ["experiment: ", "# @package _global_"]),
        ("# @package _global_\nmodel: model2\n", ["model: model2: a file chooses", "- override /model: model2"]),
    ],
)
def test_an_experiment_that_misses_hydra_s_form_is_explained(
    content: str, expected: list[str], cifar_exp: CifarExp, tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(content)

    ended = cifar_exp("train", "--config-dir", str(tmp_path), "experiment=mine", "data=synthetic")

    assert ended.status == 2
    assert_is_a_message(ended.err, expected)
    assert len(ended.err.splitlines()) == 1


def test_even_fifty_errors_fit_in_twelve_lines(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", *(f"+wrong{number}=1" for number in range(50)))

    assert ended.status == 2
    assert_is_a_message(ended.err, ["50 errors", "more"])


def test_an_error_in_all_layers_is_reported_once(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "model.layer.dropout=2")

    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name: a\nlayers: {a: [\n", ["model/mine.yaml, line 3: not valid YAML"]),
        ("name: a\nname: b\n", ["model/mine.yaml, line 2: not valid YAML"]),
        ("- a\n", ["model: expected a mapping"]),
        ("name: a\nlayers: 3\n", ["model.layers: expected a mapping"]),
        ("name: a\nlayers: {a: {channels: 3, chanel: 4}}\n", ["Did you mean 'model.layers.a.channels'"]),
        ("name: a\nlayers: {a: {}}\n", ["model.layers.a.channels: missing"]),
        ("name: a\nlayers: {a: {channels: 3}}\nheda: {}\n", ["model.heda: unknown key", "Did you mean 'model.head'"]),
        ("", ["model.name: missing", "model.layers: missing"]),
        ("name: a\nlayers: {1: {channels: 3}}\n", ["model.layers: 1: a name is a text"]),
    ],
)
def test_errors_in_a_user_s_own_file_are_reported(
    content: str, expected: list[str], cifar_exp: CifarExp, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(content)

    ended = cifar_exp("summary", "--config-dir", str(tmp_path), "model=mine")

    assert ended.status == 2
    assert_is_a_message(ended.err, expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\x01", ["mine.yaml: not a text file"]),
        ("name: größe".encode("latin-1"), ["mine.yaml: not UTF-8 text"]),
        (b"name: &x [*x]", ["a value within itself"]),
        (b"defaults: [mine, _self_]", ["contains itself in its defaults"]),
        (b"name:\n\tx", ["mine.yaml, line 2: not valid YAML"]),
    ],
)
def test_a_users_file_that_is_no_yaml_is_named(
    content: bytes, expected: list[str], cifar_exp: CifarExp, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_bytes(content)

    ended = cifar_exp("summary", "--config-dir", str(tmp_path), "model=mine")

    assert ended.status == 2
    assert_is_a_message(ended.err, expected)


def test_every_job_of_a_multirun_is_checked_before_the_first_starts(
    cifar_exp: CifarExp, training: FakeTraining
) -> None:
    ended = cifar_exp("train", "-m", "data=synthetic", "model=model2,model1", "budget.params=200000")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["Job 1 (model=model1)", "704,842"])
    assert not training.configs
    assert not list(Path.cwd().iterdir())


def test_the_errors_of_all_jobs_are_reported_each_once(cifar_exp: CifarExp, training: FakeTraining) -> None:
    swept = ("model=model2,model3", "optimizer.lr=1,-1,-2", "data.batch_size=1")

    ended = cifar_exp("train", "-m", "data=synthetic", *swept)

    assert ended.status == 2
    assert_is_a_message(
        ended.err,
        ["3 errors:", "\n- data.batch_size: expected", "lr=-1) and 1 more: optimizer.lr: expected", "got -2"],
    )
    assert ended.err.count("data.batch_size") == ended.err.count("got -1") == ended.err.count("got -2") == 1


def test_a_layer_that_only_one_of_the_models_has_is_reported(cifar_exp: CifarExp, training: FakeTraining) -> None:
    ended = cifar_exp("train", "-m", "data=synthetic", "model=model1,resnet8", "model.layers.conv5.channels=64")

    assert ended.status == 2
    assert_is_a_message(ended.err, ["Job 1 (model=resnet8)", "no layer 'conv5'"])


def test_an_exception_of_ours_is_not_taken_for_an_error(cifar_exp: CifarExp, training: FakeTraining) -> None:
    training.error = ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        cifar_exp("train", "data=synthetic")


def test_an_error_in_the_installed_command_ends_with_status_2(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", "from cifar_exp.cli import main; main()", "train", "modle=model3"],
        cwd=tmp_path / "work",
        env=environment,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    assert_is_a_message(ended.stderr, ["Did you mean 'model'"])
    assert not list((tmp_path / "work").iterdir())


def test_user_error_is_the_whole_message(cifar_exp: CifarExp, training: FakeTraining) -> None:
    training.error = UserError("\n".join(f"line {number}" for number in range(30)))

    ended = cifar_exp("train", "data=synthetic")

    assert_is_a_message(ended.err, ["line 0", "more"])


def test_missing_data_does_not_hide_an_unknown_skip(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "data=folder", "data.root=nowhere", "model.layers.conv7.skip=conv66")

    assert_is_a_message(ended.err, ["2 errors:", "data.root", "'conv66'"])


def test_a_missing_run_and_a_missing_image_are_reported_together(cifar_exp: CifarExp) -> None:
    ended = cifar_exp("predict", "run=nowhere", "image=cat.jpg")

    assert_is_a_message(ended.err, ["nowhere: no such directory", "image=cat.jpg: no such file"])


@pytest.mark.parametrize("given", ["output/model2/first", "outputs/modle2/first", "outputs/model2/frist"])
def test_a_run_has_a_near_one_wherever_the_typing_error_is(given: str, cifar_exp: CifarExp) -> None:
    Path("outputs/model2/first").mkdir(parents=True)

    ended = cifar_exp("eval", f"run={given}")

    assert ended.err == f"{given}: no such directory. Did you mean 'outputs/model2/first'?\n"


def test_a_directory_of_runs_is_no_run(cifar_exp: CifarExp) -> None:
    for name in ("one", "two"):
        Path(f"outputs/{name}/.hydra").mkdir(parents=True)
        Path(f"outputs/{name}/.hydra/config.yaml").write_text("")

    ended = cifar_exp("eval", "run=outputs")

    assert "Did you mean 'outputs/two'?" in ended.err


def test_a_job_that_fails_is_one_message(cifar_exp: CifarExp, training: FakeTraining, broken_image: Exception) -> None:
    training.error = broken_image

    ended = cifar_exp("train", "-m", "data=synthetic", "seed=0,1", "hydra/hydra_logging=disabled")

    assert (ended.status, ended.err) == (2, "broken.png: not an image.\n")
