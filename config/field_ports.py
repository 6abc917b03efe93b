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
    return Ports(_site, _profiles, lambda args: DataDirectory(args.data).core_socket)


def _site(args: argparse.Namespace) -> Site:
    from config.plant import load

    plant = load(args.config)
    names = {device.id: plant.names[device.id] for device in plant.devices}
    run = DataDirectory(args.data).run  # from where the path of a serial port counts
    gateways = [replace(one, path=str(run / one.path)) if one.path else one for one in plant.gateways]
    protected = frozenset(breaker.id for breaker in plant.breakers if breaker.protected)
    return Site(gateways, plant.devices, {key: (name.zh, name.en) for key, name in names.items()}, protected)


def _profiles(args: argparse.Namespace) -> Mapping[str, Profile]:
    """Return the profiles of a site, and the one that --profile names as a file, under the name it was given."""
    known = profiles(args.config)
    name = getattr(args, "profile", "")
    return {**known, name: profile_in(Path(name))} if name.endswith(".toml") else known


def profile_in(path: Path) -> Profile:
    """Return the profile in a file. ConfigurationError with everything that `profile test` would say of it."""
    from config import profiling
    from config.profile_commands import faults_of, read

    sources = read([path])
    if faults := faults_of(sources):
        raise ConfigurationError(faults)
    return next(iter(profiling.profiles(sources).values()))


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
