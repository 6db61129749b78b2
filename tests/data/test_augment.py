import numpy as np
import pytest
import torch
from torch import Tensor

from cifar_exp.data.augment import augment, crop, cutmix, cutout, flip, kept_area, mix_labels, mixup, rotate
from cifar_exp.data.draws import Draws, draw_epoch
from cifar_exp.data.settings import AugmentConfig

GREY = torch.full((3,), 128, dtype=torch.uint8)


def images(count: int = 8, side: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (count, side, side, 3), dtype=torch.uint8, generator=generator)


def draw(count: int = 20000, epoch: int = 0, mixing: bool = True, side: int = 32, **settings: object) -> Draws:
    return draw_epoch(AugmentConfig.model_validate(settings), count, side, seed=0, epoch=epoch, mixing=mixing)


def test_a_crop_in_the_middle_of_the_padding_is_the_image() -> None:
    assert torch.equal(crop(images(), torch.full((8, 2), 4), 4), images())


def test_a_crop_shows_the_shifted_image_and_black_around() -> None:
    shifted = crop(images(), torch.tensor([[0, 6]] * 8), 4)
    assert torch.equal(shifted[:, 4:, :-2], images()[:, :-4, 2:])
    assert (shifted[:, :4] == 0).all()
    assert (shifted[:, :, -2:] == 0).all()


def test_flip_mirrors_left_and_right_where_drawn() -> None:
    mirrored = torch.tensor([0, 1] * 4)
    result = flip(images(), mirrored)
    assert torch.equal(result[0::2], images()[0::2])
    assert torch.equal(result[1::2], images()[1::2].flip(2))


@pytest.mark.parametrize(("degrees", "turns"), [(0.0, 0), (90.0, 1), (180.0, 2), (-90.0, 3)])
def test_rotation_by_quarter_turns_moves_the_pixels(degrees: float, turns: int) -> None:
    expected = torch.rot90(images(), turns, dims=(1, 2))
    assert torch.equal(rotate(images(), torch.full((8,), degrees)), expected)


def test_a_small_rotation_keeps_the_centre_and_blackens_corners() -> None:
    white = torch.full((1, 33, 33, 3), 255, dtype=torch.uint8)
    turned = rotate(white, torch.tensor([20.0]))
    assert (turned[0, 10:23, 10:23] == 255).all()
    assert turned[0, 0, 0].max() == 0


def test_cutout_paints_its_box_and_nothing_else() -> None:
    result = cutout(images(), torch.tensor([[2, 5, 0, 4]] * 8), GREY)
    assert (result[:, 2:5, 0:4] == 128).all()
    untouched = torch.ones(12, 12, dtype=torch.bool)
    untouched[2:5, 0:4] = False
    assert torch.equal(result[:, untouched], images()[:, untouched])


def test_cutmix_takes_its_box_from_the_partner() -> None:
    partners = images().roll(1, 0)
    result = cutmix(images(), partners, torch.tensor([[1, 3, 2, 12]] * 8))
    assert torch.equal(result[:, 1:3, 2:12], partners[:, 1:3, 2:12])
    assert torch.equal(result[:, 3:], images()[:, 3:])


def test_mixup_is_the_weighted_mean() -> None:
    partners, fraction = images().roll(1, 0), torch.linspace(0, 1, 8)
    exact = images().double() * fraction.view(-1, 1, 1, 1) + partners.double() * (1 - fraction.view(-1, 1, 1, 1))
    result = mixup(images(), partners, fraction)
    assert result.dtype == torch.uint8
    assert (result.double() - exact).abs().max() <= 0.501
    assert torch.equal(result[-1], images()[-1])


def test_labels_are_mixed_as_the_images_are() -> None:
    targets = mix_labels(torch.tensor([0, 1, 1]), torch.tensor([0.75, 0.5, 0.25]), 3)
    assert torch.allclose(targets, torch.tensor([[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 1, 0]]))


def test_both_mixes_together_give_each_image_one_of_the_two_with_its_own_labels() -> None:
    """Images of one colour a class: the mean colour of the result is what the targets must say."""
    labels = torch.randint(2, (64,), generator=torch.Generator().manual_seed(0))
    flat = (labels * 200).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 32, 32, 3).contiguous()
    draws = draw(64, mixup=1.0, cutmix=1.0)
    mixed, targets = augment(flat, labels, draws, 2, GREY)
    assert targets.dtype == torch.float32
    assert torch.allclose(targets.sum(1), torch.ones(64))
    assert torch.allclose(mixed.float().mean((1, 2, 3)) / 200, targets[:, 1], atol=0.003)
    assert draws.fraction is not None
    assert draws.box is not None
    cut, blended = kept_area(draws.box, flat) < 1, draws.fraction < 1
    assert not (cut & blended).any()
    assert 16 < int(blended.sum()) < 48


def test_what_is_off_changes_nothing() -> None:
    labels = torch.arange(8)
    result, targets = augment(images(), labels, draw(8), 10, GREY)
    assert torch.equal(result, images())
    assert torch.equal(targets, labels)


def test_half_of_the_images_are_mirrored() -> None:
    mirrored = draw(flip=True).mirrored
    assert mirrored is not None
    assert abs(float(mirrored.float().mean()) - 0.5) < 0.02


def test_every_shift_is_equally_likely() -> None:
    shift = draw(crop_padding=2).shift
    assert shift is not None
    counts = torch.bincount(shift[:, 0] * 5 + shift[:, 1], minlength=25)
    assert len(counts) == 25
    assert (counts - 800).abs().max() < 150


def test_rotations_stay_within_the_asked_range_and_fill_it() -> None:
    degrees = draw(rotate=15.0).degrees
    assert degrees is not None
    assert 14.9 < float(degrees.max()) <= 15
    assert -15 <= float(degrees.min()) < -14.9


def test_cutouts_square_is_whole_in_the_middle_and_cut_at_the_edge() -> None:
    hole = draw(cutout=8).hole
    assert hole is not None
    height, width = hole[:, 1] - hole[:, 0], hole[:, 3] - hole[:, 2]
    assert (int(height.max()), int(width.max())) == (8, 8)
    assert (int(height.min()), int(width.min())) == (4, 4)
    assert int(hole.min()) == 0
    assert int(hole.max()) == 32


def test_mixups_fractions_have_the_moments_of_their_beta() -> None:
    fraction = draw(mixup=0.4).fraction
    assert fraction is not None
    assert abs(float(fraction.mean()) - 0.5) < 0.01
    assert abs(float(fraction.var()) - 1 / (4 * (2 * 0.4 + 1))) < 0.005


def test_switching_one_augmentation_on_leaves_the_others_and_the_order_as_they_were() -> None:
    alone = draw(crop_padding=4)
    together = draw(crop_padding=4, flip=True, rotate=5.0, cutout=4, mixup=1.0, cutmix=1.0)
    assert torch.equal(alone.order, together.order)
    assert alone.shift is not None
    assert together.shift is not None
    assert torch.equal(alone.shift, together.shift)


def test_an_epoch_is_drawn_alike_each_time_and_unlike_the_next() -> None:
    assert torch.equal(draw(flip=True, epoch=3).order, draw(flip=True, epoch=3).order)
    assert not torch.equal(draw(epoch=3).order, draw(epoch=4).order)


def test_drawing_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    draw(flip=True, mixup=1.0, cutmix=1.0, crop_padding=4, rotate=3.0, cutout=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
