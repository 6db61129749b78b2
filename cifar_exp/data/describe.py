"""What a network must know of its data: no image is read, and torch is not imported."""

from dataclasses import dataclass

from cifar_exp.data import names
from cifar_exp.data.folder import find_class_names, find_root
from cifar_exp.data.settings import DataConfig


@dataclass(frozen=True)
class DataInfo:
    """The shape of one image (channels, height, width) and the names of the classes, in label order."""

    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)


def describe(data: DataConfig) -> DataInfo:
    """The image shape and classes of a data source.

    Raises:
        UserError: a folder that is missing, lacks a split, has a class in one split only or a class
            without images.
    """
    return DataInfo((3, data.image_size, data.image_size), class_names(data))


def class_names(data: DataConfig) -> tuple[str, ...]:
    """The names of the classes, in label order; raises as `describe`."""
    if data.name == "cifar10":
        return names.CIFAR10
    if data.name == "cifar100":
        return names.CIFAR100
    if data.name == "folder":
        return find_class_names(find_root(data.root))
    return tuple(f"class{number}" for number in range(data.num_classes or 0))
