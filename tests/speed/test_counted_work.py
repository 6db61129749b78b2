"""What a training step may ask for: no wait for the device, few operators, no work for single images."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader

from cifar_exp.data.images import ImageSet
from cifar_exp.data.loader import EvalLoader, TrainLoader
from cifar_exp.data.settings import AugmentConfig
from cifar_exp.inference.classifier import Classifier
from cifar_exp.network import ModelSpec, build_network, plan_network
from cifar_exp.network.dropout import ByteDropout
from tests.speed.counting import Calls, Operators, count

MORE_THAN_BARE = 22  # operators a step beyond forward, backward and optimizer: figures, and its share of the loader's
CROP_FLIP = AugmentConfig(crop_padding=4, flip=True)
STRONG = AugmentConfig(crop_padding=4, flip=True, cutout=8, mixup=0.2, cutmix=1.0)
MODEL = {
    "name": "small",
    "layer": {"conv_type": "standard", "order": ["conv", "activation", "norm"], "activation": "relu", "norm": "batch"},
    "layers": {"a": {"channels": 8, "stride": 2}, "b": {"channels": 8, "stride": 2}},
    "head": {"pool": "max", "hidden": []},
}


def images(count: int, size: int = 32) -> ImageSet:
    pixels = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8)
    return ImageSet.from_pixels(pixels, torch.arange(count) % 4, ("a", "b", "c", "d"))


def steps(number: int, batch_size: int = 20) -> list[str]:
    """The overrides of a training of so many steps of whole batches."""
    return [f"data.batch_size={batch_size}", f"data.train_size={number * batch_size * 2}", "data.val_fraction=0.5"]


@pytest.mark.parametrize(
    "choice",
    [
        (),
        ("augment=strong",),
        ("augment.mixup=0.2", "augment.cutmix=1.0"),
        ("callbacks.ema.decay=0.9",),
        ("loss.label_smoothing=0.1", "trainer.gradient_clip_val=1.0"),
        ("optimizer=sgd", "scheduler=cosine"),
        ("optimizer=muon",),
        ("trainer.precision=bf16-mixed",),
        ("callbacks=early_stopping", "callbacks.early_stopping.patience=3"),
    ],
    ids=" ".join,
)
def test_no_step_waits_for_the_device(choice: tuple[str, ...], tmp_path: Path) -> None:
    counts = count(tmp_path, ["model=model2", *steps(3), *choice])
    assert counts.steps == 3
    assert counts.reads == []
    assert counts.operators.waits == 0


def test_a_teacher_makes_no_step_wait_for_the_device(trained_run: Path, tmp_path: Path) -> None:
    taught = (f"distill.teacher={trained_run}", "data.num_classes=4", "augment.mixup=0.2")
    counts = count(tmp_path, ["model=model2", *steps(3), *taught])
    assert counts.reads == []
    assert counts.operators.waits == 0


def test_dropout_reads_only_a_number_that_the_host_itself_has_drawn(tmp_path: Path) -> None:
    counts = count(tmp_path, ["model=model3", *steps(3)])
    layers_with_dropout = 8
    assert counts.operators.waits <= 3 * layers_with_dropout


def test_a_step_adds_few_operators_to_forward_backward_and_optimizer(tmp_path: Path) -> None:
    ours = [count(tmp_path / str(number), ["model=model2", *steps(number)]).operators.total for number in (4, 12)]
    assert (ours[1] - ours[0]) / 8 <= bare_operators() + MORE_THAN_BARE


def bare_operators() -> int:
    """Of one step of model2."""
    import yaml

    from cifar_exp.config.location import conf_dir

    spec = ModelSpec.model_validate(yaml.safe_load((conf_dir() / "model" / "model2.yaml").read_text()))
    network = build_network(plan_network(spec, (3, 32, 32), 4)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    pixels = torch.randn(20, 3, 32, 32).to(memory_format=torch.channels_last)
    with Operators() as operators:
        F.cross_entropy(network(pixels), torch.zeros(20, dtype=torch.int64)).backward()
        optimizer.step()
    return operators.total


def test_a_step_of_more_images_makes_no_more_calls(tmp_path: Path) -> None:
    few, many = (count(tmp_path / str(batch), ["model=model2", *steps(4, batch)], Calls()) for batch in (16, 64))
    assert many.own_calls == few.own_calls
    assert abs(many.calls - few.calls) <= 40  # garbage collection and the like


def test_lightning_and_our_hooks_make_few_calls_a_step(tmp_path: Path) -> None:
    few, many = (count(tmp_path / str(number), ["model=model2", *steps(number)], Calls()) for number in (8, 24))
    assert (few.steps, many.steps) == (8, 24)
    assert (many.own_calls - few.own_calls) / 16 <= 62
    assert (many.calls - few.calls) / 16 <= 1000


def test_an_epoch_opens_no_image_and_no_dataloader(tmp_path: Path) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a training must not do this")

    with patch.object(DataLoader, "__init__", forbidden), patch.object(Image, "fromarray", forbidden):
        count(tmp_path, ["model=model2", *steps(2)])


@pytest.mark.parametrize(("augment", "most"), [(CROP_FLIP, 24), (STRONG, 110)], ids=["crop_flip", "strong"])
def test_the_loader_needs_a_few_operators_a_batch_however_large(augment: AugmentConfig, most: int) -> None:
    totals = []
    for batch_size in (340, 680):  # both too large for several at once
        loader = TrainLoader(images(4 * batch_size), batch_size, augment, seed=0, max_epochs=2)
        with Operators() as operators:
            assert sum(1 for _ in loader) == 4
        assert operators.waits == 0
        totals.append(operators.total / 4)
    assert totals[0] == totals[1] <= most


@pytest.mark.parametrize("augment", [CROP_FLIP, STRONG], ids=["crop_flip", "strong"])
def test_several_small_batches_are_augmented_at_once(augment: AugmentConfig) -> None:
    totals = []
    for batch_size in (20, 340):
        loader = TrainLoader(images(40 * batch_size), batch_size, augment, seed=0, max_epochs=2)
        with Operators() as operators:
            assert sum(1 for _ in loader) == 40
        totals.append(operators.total)
    assert totals[0] <= totals[1] / 5


def test_evaluation_only_slices() -> None:
    data = images(100)
    with Operators() as operators:
        assert len(list(EvalLoader(data, 10))) == 10
    assert set(operators.counts) <= {"aten::slice", "aten::detach"}
    assert operators.total <= 22


def test_dropout_draws_a_byte_an_element() -> None:
    x = torch.ones(128, 64, 8, 8)
    with Operators() as operators:
        ByteDropout(0.2).train()(x)
    assert operators.drawn <= x.numel() / 8 + 1
    assert operators.total <= 12


def test_training_keeps_channels_last_throughout() -> None:
    network = build_network(plan_network(ModelSpec.model_validate(MODEL), (3, 32, 32), 4))
    classifier = Classifier(network, torch.zeros(3), torch.ones(3)).to(memory_format=torch.channels_last)
    layouts = list(outputs_of(classifier, next(iter(TrainLoader(images(40), 20, CROP_FLIP, seed=0)))[0]))
    assert len(layouts) > 4
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in layouts)


def outputs_of(classifier: Classifier, pixels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Every map that the layers make of the images."""
    maps: list[torch.Tensor] = []
    for module in classifier.modules():
        module.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    classifier(pixels)
    return (output for output in maps if output.dim() == 4 and output.shape[-1] > 1)
