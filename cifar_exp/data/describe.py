"""What a network must know of its data: no image is read, and torch is not imported."""

from dataclasses import dataclass

from cifar_exp.data.folder import find_class_names, find_root
from cifar_exp.data.settings import DataConfig

# The classes in the order of their labels (Krizhevsky, 2009)
CIFAR10 = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())  # noqa: SIM905

CIFAR100 = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
    can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
    dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
    pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
    seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
    tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
    worm
    """.split()  # noqa: SIM905
)


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
    """Return the image shape and the classes of a data source.

    Raises:
        UserError: a folder that is missing, lacks a split, has a class in one split only or a class without images.
    """
    if data.name == "folder":
        names = find_class_names(find_root(data.root))
    elif data.name == "synthetic":
        names = tuple(f"class{number}" for number in range(data.num_classes or 0))
    else:
        names = CIFAR10 if data.name == "cifar10" else CIFAR100
    return DataInfo((3, data.image_size, data.image_size), names)
