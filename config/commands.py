"""The commands of configuration: `check CONFIG_DIR`; `profile` and `import` have files of their own."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from config import import_commands, profile_commands
from config.plant import Plant, load
from scada.errors import ConfigurationError

EXIT_FAULTY: Final = 2


def add_commands(subparsers: Any) -> None:
    """Add the commands of this package to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="validate a configuration folder",
        description="Validate a configuration folder. Exit 0 when it is sound, 2 when it is not, with every fault on"
        " a line: file: place: what is wrong; allowed: what would be right.",
    )
    parser.add_argument("config_dir", metavar="CONFIG_DIR", type=Path, help="folder with plant.toml and its companions")
    parser.set_defaults(run=check)
    profile_commands.add_commands(subparsers)
    import_commands.add_commands(subparsers)


def check(arguments: argparse.Namespace) -> int:
    """Check the folder `arguments.config_dir`; return the exit code."""
    try:
        plant = load(arguments.config_dir)
    except ConfigurationError as error:
        for fault in error.faults:
            print(fault)
        print(f"{arguments.config_dir}: {len(error.faults)} faults", file=sys.stderr)
        return EXIT_FAULTY
    print(f"{arguments.config_dir}: {summary(plant)}")
    for line in periods(plant):
        print(line)
    return 0


def periods(plant: Plant) -> list[str]:
    """Return a table of the serial lines: questions a cycle, wished and shortest period, and whether it can be kept.

    A Modbus TCP gateway has no row: the serial side behind it, if there is one, is not ours to time.
    """
    from drivers.budget import budget_of

    rows = []
    for gateway in plant.gateways:
        behind = [device for device in plant.devices if device.gateway == gateway.id]
        if gateway.transport == "modbus-tcp" or not behind:
            continue
        budget = budget_of(gateway, behind)
        form = f"{gateway.line.baud} 8{gateway.line.parity}{gateway.line.stop_bits}"
        kept = "kept / 可保证" if budget.kept else "NOT KEPT / 无法保证"
        rows.append(f"{gateway.id:<16} {form:<10} {len(behind):>7} {budget.questions:>9}"
                    f" {budget.wished_s:>8.2f} {budget.shortest_s:>10.2f}  {kept}")  # fmt: skip
    head = f"{'gateway / 网关':<14} {'line':<10} {'devices':>7} {'questions':>9} {'wished s':>8} {'shortest s':>10}"
    return [head, *rows] if rows else []


def summary(plant: Plant) -> str:
    """Return what a plant consists of, in one line."""
    return (
        f"{plant.site.name_zh} / {plant.site.name_en}: {len(plant.gateways)} gateways, {len(plant.devices)} devices,"
        f" {len(plant.points)} supply points, {len(plant.accounts)} accounts, {len(plant.breakers)} switches,"
        f" {len(plant.tags)} tags, {len(plant.alarms)} alarms"
    )


def register_tags(arguments: argparse.Namespace) -> dict[str, str]:
    """Return meter -> id of the tag of its billing register, of every meter of `--config` that is read over a wire."""
    from config.tagging import tag_id

    plant = load(arguments.config)
    return {
        device.id: tag_id(plant.site.id, "M", device.id, device.profile.billing.measure)
        for device in plant.devices
        if device.profile.billing is not None
    }


def points_of_room(arguments: argparse.Namespace, room: str) -> list[str]:
    """Return the supply points of a room of the plant of `--config`. Refused "room.unknown", "room.ambiguous"."""
    from config.rooms import points_of_room

    return points_of_room(load(arguments.config), room)
