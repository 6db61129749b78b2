"""`cifar-exp export format=c`: the network as C, what it needs and how accurate it is."""

from pathlib import Path

from cifar_exp.cli.tables import figures_table, note, show
from cifar_exp.config.command_schema import ExportConfig
from cifar_exp.data.settings import DataConfig
from cifar_exp.data.sources import load_test, load_train_val
from cifar_exp.errors import UserError
from cifar_exp.export.c.exporter import Exported, export_firmware
from cifar_exp.export.c.toolchain import find_toolchain, install_note
from cifar_exp.files import users_choice
from cifar_exp.inference.classifier import TrainedNetwork
from cifar_exp.network import Plan
from cifar_exp.network.firmware import unsupported_feature


def export_c(config: ExportConfig, path: Path, trained: TrainedNetwork, data: DataConfig | None) -> None:
    """Write the directory `path`, calibrated and checked on `data`, and show the result."""
    if feature := unsupported_feature(trained.plan):
        raise UserError(f"{trained.plan.name}: {feature}")
    if data is None:
        raise UserError("format=c needs training images to calibrate with: choose data=… too.")
    toolchain = None if config.emulate is False else find_toolchain(config.cpu)
    if config.emulate is not False and toolchain is None:
        if config.emulate is True:
            raise UserError(f"emulate=true: {install_note()}")
        note(install_note())
    train, _ = load_train_val(data)
    test = load_test(data)
    with users_choice(path):
        exported = export_firmware(path, trained, train.images, test, config.cpu, config.prefix, toolchain)
    show_exported(exported, trained.plan, path)


def show_exported(exported: Exported, plan: Plan, path: Path) -> None:
    """Print one table: accuracy of both networks, memory planned and measured, instructions."""
    about, measured = exported.about, exported.emulated_images
    rows = [
        ["test accuracy, float32", f"{about.accuracy_float:.2%}", ""],
        ["test accuracy, int8", f"{about.accuracy_int8:.2%}", ""],
        ["same predictions as float32", f"{about.same_answers:.2%}", ""],
        ["flash, bytes", f"{about.flash_bytes:,}" if measured else "–", f"{plan.flash_bytes:,}"],
        ["SRAM, bytes", f"{about.sram_bytes:,}" if measured else "–", f"{plan.sram_bytes:,}"],
        ["of which arena", f"{about.arena_bytes:,}", ""],
    ]
    if about.instructions is not None:
        rows += [
            ["instructions per image", f"{about.instructions:,.0f}", ""],
            ["instructions per MAC", f"{about.instructions / about.macs:.2f}", ""],
        ]
    table = figures_table(f"Export, {exported.test_images:,} test images", ["", "measured", "planned"], rows)
    checked = f"simulation = host C on {exported.simulated_images:,} images"
    if measured:
        checked += f" = {about.cpu} in QEMU on {measured:,}"
    table.caption = f"{checked}, bit for bit\n{path}"
    show(table)
