"""`cifar-exp predict`: any image, in the way that training saw its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_exp.data.decode import decode_image
from cifar_exp.inference.classifier import load_trained
from tests.conftest import Run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A colour photograph of 80 × 60 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(path)
    return path


def predicted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed to stdout, which must be one JSON document and nothing else."""
    document: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return document


def test_json_names_the_most_probable_of_all_classes(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cifar_exp("predict", f"run={trained_run}", f"image={photo}", "format=json") == 0
    (answer,) = predicted(capsys)
    assert set(answer) == {"image", "class", "probabilities"}
    assert answer["image"] == str(photo)
    assert list(answer["probabilities"]) == ["class0", "class1", "class2", "class3"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["class"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_the_network_sees_an_image_as_training_does(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = load_trained(trained_run / "checkpoints" / "best.ckpt")
    with torch.inference_mode():
        expected = trained.classifier(decode_image(photo, 32)[None]).softmax(dim=1)[0]
    cifar_exp("predict", f"run={trained_run}", f"image={photo}", "format=json")
    assert list(predicted(capsys)[0]["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["alpha.png", "grey.png", "cmyk.jpg", "rotated.jpg", "palette.gif", "deep.png"])
def test_every_kind_of_image_is_answered_and_drawn(
    kind: str, cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, path = Image.open(photo).convert("RGB"), photo.with_name(kind)
    if kind == "deep.png":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)
    elif kind == "rotated.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    else:
        modes = {"alpha.png": "RGBA", "grey.png": "L", "cmyk.jpg": "CMYK", "palette.gif": "P"}
        image.convert(modes[kind]).save(path)
    assert cifar_exp("predict", f"run={trained_run}", f"image={path}", "format=json") == 0
    assert len(predicted(capsys)) == 1
    assert Path("predictions.png").is_file()


def test_a_directory_is_every_image_in_and_below_it(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = photo.parent / "images"
    for name in ("b.png", "a.PNG", "more/c.png", ".hidden/d.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(photo.read_bytes())
    (images / "notes.txt").write_text("no image")
    assert cifar_exp("predict", f"run={trained_run}", f"image={images}", "format=json") == 0
    names = [str(Path(answer["image"]).relative_to(images)) for answer in predicted(capsys)]
    assert names == ["a.PNG", "b.png", "more/c.png"]


def test_a_broken_image_is_named(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = photo.parent / "images"
    images.mkdir()
    (images / "good.png").write_bytes(photo.read_bytes())
    (images / "torn.png").write_bytes(photo.read_bytes()[:200])
    assert cifar_exp("predict", f"run={trained_run}", f"image={images}", "format=json") == 2
    printed = capsys.readouterr()
    assert "torn.png" in printed.err
    assert printed.out == ""
    assert not Path("predictions.png").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("image=empty", "no image in this directory"),
        ("image=nowhere", "no such file"),
        ("picture=answer.xyz", ".png"),
        ("output=/proc/nothing/answer.json", "cannot be written"),
        ("budget.params=10", "exceeds budget.params"),
    ],
)
def test_errors_are_reported(
    override: str, said: str, cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    arguments = {"run": str(trained_run), "image": str(photo)} | dict([override.split("=", 1)])
    assert cifar_exp("predict", *(f"{key}={value}" for key, value in arguments.items())) == 2
    assert said in capsys.readouterr().err


def test_no_image_is_replaced(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = photo.read_bytes()
    for key in ("picture", "output"):
        assert cifar_exp("predict", f"run={trained_run}", f"image={photo.parent}", f"{key}={photo}") == 2
        assert f"{photo} is one of the images" in capsys.readouterr().err
    default = Path("predictions.png")
    default.write_bytes(before)
    assert cifar_exp("predict", f"run={trained_run}", f"image={default}") == 0
    assert "no picture: predictions.png is one of the images" in capsys.readouterr().err
    assert photo.read_bytes() == default.read_bytes() == before


def test_a_weights_file_predicts_like_its_run(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = photo.with_name("shipped.ckpt")
    weights.write_bytes((trained_run / "checkpoints" / "best.ckpt").read_bytes())
    answers = []
    for run in (trained_run, weights):
        assert cifar_exp("predict", f"run={run}", f"image={photo}", "format=json", "picture=null") == 0
        answers.append(predicted(capsys))
    assert answers[0] == answers[1]
    assert cifar_exp("predict", f"run={weights}", f"image={photo}", "budget.params=10") == 2


def test_the_terminal_shows_bars_and_the_picture_goes_where_the_user_wants_it(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ("picture=seen/answer.png", "output=answer.json")
    assert cifar_exp("predict", f"run={trained_run}", f"image={photo}", *overrides) == 0
    printed = capsys.readouterr()
    assert "█" in printed.out
    assert all(f"class{number}" in printed.out for number in range(4))
    assert "seen/answer.png" in printed.err
    assert json.loads(Path("answer.json").read_text())[0]["image"] == str(photo)
    with Image.open("seen/answer.png") as picture:
        assert picture.width > 1000
    assert not Path("predictions.png").exists()


def test_names_with_brackets_are_printed_as_they_are(
    cifar_exp: Run, trained_run: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = photo.rename(photo.with_name("[bold]cat[1].png"))
    assert cifar_exp("predict", f"run={trained_run}", f"image='{odd}'", "picture=null") == 0
    assert "[bold]cat[1].png" in capsys.readouterr().out
