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
    return 0


def summary(plant: Plant) -> str:
    """Return what a plant consists of, in one line."""
    return (
        f"{plant.site.name_zh} / {plant.site.name_en}: {len(plant.gateways)} gateways, {len(plant.devices)} devices,"
        f" {len(plant.points)} supply points, {len(plant.accounts)} accounts, {len(plant.breakers)} switches,"
        f" {len(plant.tags)} tags, {len(plant.alarms)} alarms"
    )


def points_of_room(arguments: argparse.Namespace, room: str) -> list[str]:
    """Return the supply points of a room of the plant of `--config`. Refused "room.unknown", "room.ambiguous"."""
    from config.rooms import points_of_room

    return points_of_room(load(arguments.config), room)
