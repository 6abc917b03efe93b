"""Context: what every page of the room is made with, handed in once by hmi.room."""

from dataclasses import dataclass

from config.plant import Plant
from hmi.i18n import Texts
from hmi.live import Hub
from hmi.lookup import Lookup
from hmi.passwords import PasswordHashes
from hmi.render import Renderer
from hmi.sessions import Sessions
from hmi.throttle import Throttle
from hmi.today import Today
from hmi.views import Views
from scada.clock import Clock
from scada.database import Database
from scada.link import CoreClient


@dataclass(frozen=True)
class Context:
    """The services of the room."""

    plant: Plant
    lookup: Lookup
    views: Views
    today: Today
    render: Renderer
    languages: dict[str, Texts]
    hub: Hub
    core: CoreClient
    own: Database  # app_user and app_session, the only tables this room writes
    reads: Database  # everything else, read only
    sessions: Sessions
    hashes: PasswordHashes
    throttle: Throttle  # of an address, and of a session's own password
    logins: Throttle  # of one login from all addresses together
    clock: Clock  # plant time
    people: Clock  # the machine's time: sessions, throttle
