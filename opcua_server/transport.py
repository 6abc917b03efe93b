"""Connections of clients: the library's own, with the password checked off the loop and hostile bytes cut short.

    Listener -> Protocol (one per connection) -> Processor (services) -> sessions.ReadOnlySession

Rule: whatever a client sends ends at most its own connection.
"""

import asyncio
import struct
from typing import Any, Final

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary, uatcp_to_binary
from loguru import logger

from opcua_server.security import GRANTED, Gate
from opcua_server.sessions import Services

CHUNK_BYTES_MAX: Final = 65_535
CHUNKS_MAX: Final = 64
MESSAGE_BYTES_MAX: Final = CHUNKS_MAX * CHUNK_BYTES_MAX  # 4 MB; a write or a browse of thousands of nodes is far below
UNPARSED_BYTES_MAX: Final = 2 * CHUNK_BYTES_MAX  # an honest client never leaves more than one unfinished chunk

RSA_1_5: Final = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"  # refused: a padding oracle

ACTIVATE: Final = ua.NodeId(ua.ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary)


def limits() -> TransportLimits:
    """Return what this server accepts and sends."""
    return TransportLimits(
        max_recv_buffer=CHUNK_BYTES_MAX,
        max_send_buffer=CHUNK_BYTES_MAX,
        max_chunk_count=CHUNKS_MAX,
        max_message_size=MESSAGE_BYTES_MAX,
    )


class Processor(UaProcessor):
    """Answers the requests of one connection."""

    def __init__(self, services: Services, transport: Any, bounds: TransportLimits, gate: Gate) -> None:
        super().__init__(services, transport, bounds)
        self._gate = gate

    async def _process_message(self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        if typeid == ACTIVATE:
            params = struct_from_binary(ua.ActivateSessionParameters, body.copy())
            GRANTED.set(await self._admit(params.UserIdentityToken, requesthdr.AuthenticationToken))
        return await super()._process_message(typeid, requesthdr, seqhdr, body)

    async def _admit(self, token: Any, authentication_token: ua.NodeId) -> User | None:
        """Return whom the gate lets in; the session refuses None.

        Raises ServiceError for a password that is not even looked at: off an open channel, badly encrypted, orphaned.
        """
        if not isinstance(token, ua.UserNameIdentityToken):
            return self._gate.admit_anonymous()
        session = self.session or self.iserver.lookup_external_session(authentication_token)
        if session is None:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if self._connection.security_policy.Mode != ua.MessageSecurityMode.SignAndEncrypt:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        if token.EncryptionAlgorithm == RSA_1_5:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        try:
            login, password = self.iserver.decrypt_user_token(session, token)
        except (ValueError, IndexError, TypeError, struct.error):
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid) from None
        address = self.name[0] if self.name else ""
        return await self._gate.admit(address, login or "", password or "")


class Protocol(OPCUAProtocol):
    """One connection."""

    def __init__(self, gate: Gate, **options: Any) -> None:
        super().__init__(**options)
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = Processor(self.iserver, self.transport, self.limits, self._gate)
            self.processor.set_policies(self.policies)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if len(self._buffer) > UNPARSED_BYTES_MAX:
            self._refuse(ua.StatusCodes.BadTcpMessageTooLarge)

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        try:
            return bool(await super()._process_one_msg(header, buf))
        except Exception as error:  # noqa: BLE001 - a decoder fed with hostile bytes raises anything; this client goes
            logger.debug("opcua: {} sent what cannot be processed: {!r}", self.peer_name, error)
            self._refuse(ua.StatusCodes.BadSecurityChecksFailed)
            return False

    def _refuse(self, code: int) -> None:
        if self.transport is not None and not self.transport.is_closing():
            message = ua.ErrorMessage(ua.StatusCode(code), "")
            self.transport.write(uatcp_to_binary(ua.MessageType.Error, message))
            self.transport.close()


class Listener(BinaryServer):
    """The listening socket."""

    def __init__(self, services: Services, host: str, port: int, gate: Gate) -> None:
        super().__init__(services, host, port, limits())
        self._gate = gate

    def _make_protocol(self) -> OPCUAProtocol:
        return Protocol(
            self._gate,
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )
