"""A student learns from a trained network's answers."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cifar_exp.config.schema import DistillConfig
from cifar_exp.inference.classifier import load_trained
from cifar_exp.training.distillation import Teacher, distillation_loss
from tests.conftest import Run
from tests.training.test_resume import train_with_copy
from tests.training.tiny import LEARNING, TINY, figures, metrics, result


def test_the_loss_is_the_divergence_from_the_teacher_s_soft_targets() -> None:
    logits, teacher = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    p, q = F.softmax(teacher / 3, dim=1), F.softmax(logits / 3, dim=1)
    expected = 9 * (p * (p / q).log()).sum(dim=1).mean()
    assert distillation_loss(logits, teacher, 3.0).item() == pytest.approx(expected.item(), rel=1e-5)
    assert distillation_loss(teacher, teacher, 3.0).item() == pytest.approx(0.0, abs=1e-6)


def test_at_a_high_temperature_it_matches_logits() -> None:
    """Hinton et al. 2015, equation 4: the gradient is (z − v) / K for logits z and v of zero mean."""
    z, v = (x - x.mean(dim=1, keepdim=True) for x in torch.randn(2, 5, 4))
    z.requires_grad_()
    distillation_loss(z, v, 1000.0).backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad * 5, (z.detach() - v) / 4, rtol=0.02, atol=2e-3)


def test_a_teacher_predicts_as_it_does_at_test_and_never_changes(trained_run: Path) -> None:
    trained = load_trained(trained_run / "checkpoints" / "best.ckpt")
    before = {key: value.clone() for key, value in trained.classifier.state_dict().items()}
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    expected = trained.classifier(pixels)
    teacher = Teacher(DistillConfig(weight=0.25, temperature=1.0), trained.classifier.train())
    logits = torch.randn(8, 4, requires_grad=True)
    loss = F.cross_entropy(logits, torch.zeros(8, dtype=torch.int64))
    blended = teacher.blend(loss, logits, pixels)
    torch.testing.assert_close(blended, 0.75 * loss + 0.25 * distillation_loss(logits, expected, 1.0))
    blended.backward()
    assert logits.grad is not None
    assert all(parameter.grad is None for parameter in trained.classifier.parameters())
    assert all(torch.equal(value, before[key]) for key, value in trained.classifier.state_dict().items())


def test_a_student_learns_without_a_label(learned_run: Path, cifar_exp: Run, tmp_path: Path) -> None:
    student = tmp_path / "student"
    alone = (f"distill.teacher={learned_run}", "distill.weight=1.0", "loss.label_smoothing=0.99", "seed=1")
    assert cifar_exp("train", *LEARNING, *alone, f"hydra.run.dir={student}") == 0
    assert result(student)["test/acc"] > 0.6
    assert float(metrics(student)[-1]["train/loss"]) < float(metrics(student)[0]["train/loss"]) / 2


def test_weights_alone_can_be_a_teacher_and_a_student_keeps_its_own_alone(
    trained_run: Path, cifar_exp: Run, tmp_path: Path
) -> None:
    options = (*TINY, "trainer.max_epochs=1", "trainer.precision=bf16-mixed", "callbacks.ema.decay=0.9")
    weights = f"distill.teacher={trained_run / 'checkpoints' / 'best.ckpt'}"
    assert cifar_exp("train", *options, weights, f"hydra.run.dir={tmp_path / 'taught'}") == 0
    assert cifar_exp("train", *options, f"hydra.run.dir={tmp_path / 'alone'}") == 0
    taught, alone = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("taught", "alone")
    )
    assert taught.keys() == alone.keys()
    assert not all(torch.equal(taught[key], alone[key]) for key in alone)


def test_a_killed_student_ends_as_if_it_had_not_been(trained_run: Path, cifar_exp: Run, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = (f"distill.teacher={trained_run}", "augment.mixup=0.2", "model.layer.dropout=0.2", "trainer.max_epochs=2")
    train_with_copy(cifar_exp, whole, killed, *options, epochs=1)
    assert cifar_exp("train", f"resume={killed}") == 0
    assert figures(killed) == figures(whole)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("distill.teacher=nowhere",), "nowhere: no such directory."),
        (("distill.teacher=garbage.ckpt",), "garbage.ckpt: not a readable checkpoint."),
        (("distill.teacher={run}", "data.num_classes=3"), "3 classes"),
        (("distill.teacher={run}", "distill.temperature=0"), "distill.temperature"),
        (("distill.teacher={run}", "distill.weight=2"), "distill.weight"),
    ],
)
def test_a_teacher_of_other_images_or_classes_is_an_error(
    overrides: tuple[str, ...],
    expected: str,
    trained_run: Path,
    cifar_exp: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("garbage.ckpt").write_text("no checkpoint")
    given = [override.format(run=trained_run) for override in overrides]
    assert cifar_exp("train", *TINY, *given, f"hydra.run.dir={tmp_path / 'run'}") == 2
    said = capsys.readouterr().err
    assert said.count("distill.") == 1
    assert expected in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()
