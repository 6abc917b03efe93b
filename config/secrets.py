"""Checks of secrets.toml: whom its words are for, and who may read the file.

Rule: nothing of what stands in it is ever printed; a fault names the place.
"""

import stat
from collections.abc import Iterator
from typing import Final

from config.loader import SECRETS, Sources, listed, nearest
from scada.errors import Fault

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
HOLDERS: Final = (("meter_secret", "meter"), ("profile_secret", "profile"))
SWITCHING: Final = "dlt645-2007"  # the only protocol whose commands carry a password


def secret_faults(sources: Sources) -> Iterator[Fault]:
    """Yield what is wrong with secrets.toml."""
    yield from _readable(sources)
    profiles, meters = sources.by_id("profile"), sources.by_id("meter")
    for kind, target in HOLDERS:
        if target in sources.unread:
            continue
        known = sources.ids.get(target, set())
        for placed in sources.many(kind):
            name = placed.item.id
            if name not in known:
                yield placed.fault("id", f"unknown {target} '{name}'{nearest(name, known)}", listed(known))
                continue
            profile = profiles.get(meters[name].profile if target == "meter" and name in meters else name)
            if profile is not None and profile.protocol != SWITCHING:
                wrong = f"protocol {profile.protocol} has no passwords"
                yield placed.fault("id", wrong, f"meters and profiles of {SWITCHING}")


def _readable(sources: Sources) -> Iterator[Fault]:
    """Passwords that trip breakers are for the owner of the file alone, but those of a simulated field."""
    path = sources.folder / SECRETS
    table = sources.one("secrets")
    if not path.is_file() or table is None:
        return
    if table.public and not sources.many("load"):
        wrong = "true, and this plant is not simulated"
        yield Fault(SECRETS, "secrets.public", wrong, "false, and a file that only its owner can read (chmod 600)")
    mode = stat.S_IMODE(path.stat().st_mode)
    if not table.public and mode & OTHERS:
        yield Fault(SECRETS, "file", f"mode {mode:03o} lets others read it", f"chmod 600 {SECRETS}")
