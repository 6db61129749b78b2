import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from cifar_exp.config.location import conf_dir
from cifar_exp.data.settings import AugmentConfig, DataConfig

DATA_FILES = sorted((conf_dir() / "data").glob("*.yaml"))
AUGMENT_FILES = sorted((conf_dir() / "augment").glob("*.yaml"))


@pytest.mark.parametrize("file", DATA_FILES, ids=lambda file: file.stem)
def test_every_data_choice_is_valid_and_named_as_its_file(file: Path) -> None:
    assert DataConfig.model_validate(yaml.safe_load(file.read_text())).name == file.stem


@pytest.mark.parametrize("file", AUGMENT_FILES, ids=lambda file: file.stem)
def test_every_augmentation_is_valid_complete_and_named_as_its_file(file: Path) -> None:
    choice = yaml.safe_load(file.read_text())
    assert AugmentConfig.model_validate(choice).name == file.stem
    assert set(choice) == set(AugmentConfig.model_fields)


@pytest.mark.parametrize("file", DATA_FILES + AUGMENT_FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_choice_is_described_in_its_first_line(file: Path) -> None:
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"name": "cifar11"}, "name"),
        ({"name": "cifar10", "val_fraction": 0}, "val_fraction"),
        ({"name": "cifar10", "val_fraction": 1.0}, "val_fraction"),
        ({"name": "cifar10", "batch_size": 1}, "batch_size"),
        ({"name": "cifar10", "batch_size": "64"}, "batch_size"),
        ({"name": "cifar10", "typo": 1}, "typo"),
        ({"name": "cifar10", "image_size": 64}, "32 pixels"),
        ({"name": "folder", "train_size": 10}, "data=folder has no train_size"),
        ({"name": "synthetic", "root": "/x"}, "data=synthetic has no root"),
        ({"name": "synthetic", "train_size": 5}, "train_size=5 is fewer than num_classes=10"),
    ],
)
def test_a_wrong_value_is_refused_by_name(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        DataConfig.model_validate(given)


def test_synthetic_has_the_contracts_sizes_by_default() -> None:
    data = DataConfig(name="synthetic", test_size=7)
    assert (data.train_size, data.test_size, data.num_classes) == (5000, 7, 10)


def test_describing_and_checking_need_no_torch() -> None:
    code = "import sys, cifar_exp.data.describe, cifar_exp.data.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
