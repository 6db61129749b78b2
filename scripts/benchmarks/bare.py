"""A bare PyTorch loop: no framework, images in the device's memory, batched augmentation, metrics read once per epoch.

Network, dropout, augmentation, optimizer and schedule are ours; everything around them is this file.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F

from benchmarks.gate import Gate, Setting
from benchmarks.ours import ENDLESS, checked
from cifar_exp.data.augment import crop, flip
from cifar_exp.inference.classifier import Classifier
from cifar_exp.network import build_network
from cifar_exp.training.optim.optimizers import build_optimizer

PADDING = 4


def train(setting: Setting, gate: Gate) -> None:
    """Train one epoch whenever the gate opens."""
    run, device = checked(setting), torch.device(setting.device)
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (setting.images, 32, 32, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, run.plan.num_classes, (setting.images,), device=device)
    grey = torch.full((3,), 127.5)
    network = Classifier(build_network(run.plan), grey, grey / 2).to(device).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(run.config.optimizer, network)
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=ENDLESS * setting.steps)
    halved = setting.precision == "bf16-mixed"

    for _ in range(ENDLESS):
        gate.begin()
        loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
        for index in torch.randperm(setting.images, device=device).split(setting.batch_size):
            count = len(index)
            shift = torch.randint(0, 2 * PADDING + 1, (count, 2), device=device)
            mirrored = torch.randint(0, 2, (count,), device=device)
            images = flip(crop(pixels.index_select(0, index), shift, PADDING), mirrored).permute(0, 3, 1, 2)
            targets = labels.index_select(0, index)
            with torch.autocast(device.type, torch.bfloat16) if halved else nullcontext():
                logits = network(images)
                loss = F.cross_entropy(logits, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            loss_sum += loss.detach() * count
            correct += (logits.detach().argmax(dim=1) == targets).sum()
        loss_sum.item(), correct.item()
        gate.trained(setting.images)
