"""What the commissioning tools of the drivers may ask about a configuration.

Rule: nothing is read before a command asks.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from drivers.profile import Profile
from drivers.tools.spoken import Ports, Site
from scada.errors import ConfigurationError
from scada.paths import DataDirectory


def ports() -> Ports:
    """Return the ports."""
    return Ports(_site, lambda args: profiles(args.config), lambda args: DataDirectory(args.data).core_socket)


def _site(args: argparse.Namespace) -> Site:
    from config.plant import load

    plant = load(args.config)
    names = {device.id: plant.names[device.id] for device in plant.devices}
    run = DataDirectory(args.data).run  # from where the path of a serial port counts
    gateways = [replace(one, path=str(run / one.path)) if one.path else one for one in plant.gateways]
    return Site(gateways, plant.devices, {key: (name.zh, name.en) for key, name in names.items()})


def profiles(folder: Path) -> Mapping[str, Profile]:
    """Return the profiles of a site, or those that come with Wattkeeper, whatever else its folder holds.

    Raises ConfigurationError with the faults of profiles that cannot be read.
    """
    from config import profiling
    from config.loader import read_sources

    sources = read_sources(folder)
    faults = [fault for fault in sources.faults if fault.file.startswith("profiles/")]
    if faults:
        raise ConfigurationError(faults)
    return profiling.profiles(sources)
