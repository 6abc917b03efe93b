"""The OPC UA server: its identity, its endpoints, its name spaces.

Rule: what an endpoint advertises is what it accepts: passwords on encrypted channels only, anonymous in a
demonstration only, the open endpoint for that demonstration only.
"""

import datetime
import socket
from pathlib import Path
from typing import Any, Final

from asyncua import Server, ua
from loguru import logger

from opcua_server import space
from opcua_server.certificate import load_or_make
from opcua_server.feed import Feed
from opcua_server.security import Gate
from opcua_server.sessions import Services
from opcua_server.transport import Listener, limits
from scada import __version__

PRODUCT_NAME: Final = "Wattkeeper"
PRODUCT_URI: Final = "urn:wattkeeper"
TYPES_URI: Final = "urn:wattkeeper:types"
PATH: Final = "wattkeeper"
ANY_ADDRESS: Final = ("0.0.0.0", "::", "")
SERVICE_LEVEL_GOOD: Final = 255  # OPC 10000-4 clause 6.6.2.4.2: healthy
SERVICE_LEVEL_NO_DATA: Final = 1  # the same table: no data

ENCRYPTED: Final = (
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
)


def application_uri(site_id: str) -> str:
    """Return the URI that names this server in certificates and in NamespaceArray[1]."""
    return f"urn:wattkeeper:{site_id}"


class PlantServer(Server):
    """The library's server with our services, sessions and transport."""

    def __init__(self, gate: Gate, host: str, port: int) -> None:
        self.services = Services()
        super().__init__(iserver=self.services)
        self._gate = gate
        self.limits = limits()
        self.socket_address = (host, port)
        shown = socket.gethostname() if host in ANY_ADDRESS else host
        self.set_endpoint(f"opc.tcp://{shown}:{port}/{PATH}")
        tokens: list[type] = [ua.UserNameIdentityToken]
        policies = list(ENCRYPTED)
        if gate.anonymous:
            tokens.append(ua.AnonymousIdentityToken)
            policies.append(ua.SecurityPolicyType.NoSecurity)
        self.set_identity_tokens(tokens)
        self.set_security_policy(policies)
        self.application_type = ua.ApplicationType.Server

    def _set_endpoints(self, policy: Any, mode: ua.MessageSecurityMode, level: int) -> None:
        super()._set_endpoints(policy, mode, level)
        if mode != ua.MessageSecurityMode.SignAndEncrypt:
            endpoint = self.services.endpoints[-1]
            endpoint.UserIdentityTokens = [
                token for token in endpoint.UserIdentityTokens if token.TokenType == ua.UserTokenType.Anonymous
            ]

    async def start(self) -> None:
        """Listen. OSError when the port is taken; nothing is left running then."""
        await self._setup_server_nodes()
        await self.services.start()
        assert self.socket_address is not None
        listener = Listener(self.services, *self.socket_address, self._gate)
        listener.set_policies(self._policies)
        try:
            await listener.start()
        except OSError:
            await self.services.stop()
            raise
        self.bserver = listener

    async def show_service_level(self, alive: bool) -> None:
        """Tell redundant clients whether this server has data."""
        level = SERVICE_LEVEL_GOOD if alive else SERVICE_LEVEL_NO_DATA
        node = self.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel))
        await node.write_value(ua.Variant(level, ua.VariantType.Byte))


async def make_server(plant: Any, feed: Feed, gate: Gate, pki: Path, host: str, port: int) -> PlantServer:
    """Return a server that is ready to start: certificate, identity, name spaces, every tag of the plant."""
    server = PlantServer(gate, host, port)
    uri = application_uri(plant.site.id)
    names = dict.fromkeys((socket.gethostname(), "localhost", "127.0.0.1", *(() if host in ANY_ADDRESS else (host,))))
    identity = load_or_make(pki, uri, list(names), datetime.datetime.now(datetime.UTC))
    server.services.certificate = identity.certificate
    server.services.private_key = identity.key
    await server.init()
    await _identify(server, plant, gate.anonymous)
    await server.set_application_uri(uri)
    types = await server.register_namespace(TYPES_URI)
    instances = await server.register_namespace(f"{uri}:instances")
    builder = space.Builder(server.services.aspace, space.Namespaces(types, instances, TYPES_URI), plant)
    feed.attributes = builder.build(feed.data_value)
    return server


async def _identify(server: PlantServer, plant: Any, anonymous: bool) -> None:
    name = f"{PRODUCT_NAME} {plant.site.name_en}"
    if anonymous:
        name += " (demonstration: anybody may read)"
        logger.warning("opcua: demonstration: anonymous sessions may read every value; nothing can be written")
    server.set_server_name(name)
    server.product_uri = PRODUCT_URI
    server.manufacturer_name = PRODUCT_NAME
    built = datetime.datetime.fromtimestamp(Path(__file__).stat().st_mtime, datetime.UTC)
    await server.set_build_info(PRODUCT_URI, PRODUCT_NAME, PRODUCT_NAME, __version__, __version__, built)
    locales = server.get_node(ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_LocaleIdArray))
    await locales.write_value(ua.Variant([space.ZH, space.EN], ua.VariantType.String))
