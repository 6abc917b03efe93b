"""Sessions: the library's own, read-only, bound to their owner, limited in number.

What asyncua 2.1 does and this file does not: number authentication tokens (a guess takes over a session), let one
session touch the subscriptions of another, keep sessions that were created and never activated, register foreign
servers without asking.
Rule: nothing in this server can be written or called; every such request is answered here, before the library.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession, SessionState

from opcua_server.security import GrantedUserManager
from opcua_server.subscriptions import (
    KEEP_ALIVE_COUNT_MAX,
    LIFETIME_COUNT_MAX,
    QUEUE_MAX,
    SUBSCRIPTIONS_MAX,
    UNACKNOWLEDGED_MAX,
    BoundedSubscriptions,
)

SESSIONS_MAX: Final = 60  # security profile; one BMS holds one or two
PENDING_MAX: Final = 60  # created and not yet activated
PENDING_S: Final = 5.0  # a client activates at once; longer is a parked connection
CONNECTIONS_MAX: Final = SESSIONS_MAX + PENDING_MAX
SESSION_TIMEOUT_MS_MAX: Final = 600_000.0
TOKEN_BYTES: Final = 32
NOBODY: Final = User(role=UserRole.Anonymous)  # a session before its activation


class ReadOnlySession(InternalSession):
    """A client's session: it browses, reads and subscribes."""

    subscription_service: BoundedSubscriptions

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.created_mono_s = time.monotonic()
        self.iserver.unregister_external_session(self)
        self.auth_token = ua.NodeId(secrets.token_bytes(TOKEN_BYTES), 0, ua.NodeIdType.ByteString)
        self.iserver.register_external_session(self)

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Activate as the user the gate granted. Raises ServiceError with the refusal."""
        if self.state == SessionState.Created and self.iserver.active_sessions() >= SESSIONS_MAX:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        return super().activate_session(params, peer_certificate)

    async def close_session(self, delete_subs: bool = True) -> None:
        """Close, always with the subscriptions: nobody could take them over afterwards."""
        await super().close_session(True)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Refuse: an unknown node or attribute as such, everything else as not writable."""
        return [self._refuse_write(item) for item in params.NodesToWrite]

    def _refuse_write(self, item: ua.WriteValue) -> ua.StatusCode:
        node = self.aspace.get(item.NodeId)
        if node is None:
            return ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)
        if item.AttributeId not in node.attributes:
            return ua.StatusCode(ua.StatusCodes.BadAttributeIdInvalid)
        return ua.StatusCode(ua.StatusCodes.BadNotWritable)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Refuse: there are no methods."""
        return [ua.CallMethodResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadNotExecutable)) for _ in params]

    async def history_update(self, params: ua.HistoryUpdateParameters) -> list[ua.HistoryUpdateResult]:
        raise ServiceError(ua.StatusCodes.BadHistoryOperationUnsupported)

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        self.subscription_service.require_owned(params.SubscriptionId, self.session_id)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        self.subscription_service.require_owned(params.SubscriptionId, self.session_id)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        self.subscription_service.require_owned(params.SubscriptionId, self.session_id)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        self.subscription_service.require_owned(params.SubscriptionId, self.session_id)
        return await super().set_monitoring_mode(params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        self.subscription_service.require_owned(params.SubscriptionId, self.session_id)
        return super().modify_subscription(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        self.subscription_service.require_owned(params.SubscriptionId, self.session_id)
        return super().republish(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        for subscription_id in params.SubscriptionIds:
            self.subscription_service.require_owned(subscription_id, self.session_id)
        return await super().set_publishing_mode(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        known = self.subscription_service.owned
        own = [number if known(number, self.session_id) else 0 for number in ids]  # 0 is no subscription's id
        return await super().delete_subscriptions(own)

    async def transfer_subscriptions(
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> list[ua.TransferResult]:
        """Refuse: the new owner could not be told from a stranger. Clients then subscribe anew."""
        refused = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return [ua.TransferResult(StatusCode=refused) for _ in params.SubscriptionIds]

    def publish(self, acks: Any = None) -> tuple[int, list[ua.StatusCode]]:
        known = self.subscription_service.owned
        for ack in acks or []:
            if not known(ack.SubscriptionId, self.session_id):
                ack.SubscriptionId = 0
        return super().publish(acks)


class Services(InternalServer):
    """The library's services with our sessions, subscriptions and limits."""

    def __init__(self) -> None:
        super().__init__(user_manager=GrantedUserManager())
        self.subscription_service = BoundedSubscriptions(self.aspace, self)
        self.isession.subscription_service = self.subscription_service
        self.allow_remote_admin = False
        self.max_session_timeout_ms = SESSION_TIMEOUT_MS_MAX
        self.max_connections = CONNECTIONS_MAX
        self.max_pending_activation_seconds = PENDING_S
        self.max_subscriptions = SUBSCRIPTIONS_MAX
        self.max_unacked_messages_per_subscription = UNACKNOWLEDGED_MAX
        self.max_monitored_item_queue_size = QUEUE_MAX
        self.max_lifetime_count = LIFETIME_COUNT_MAX
        self.max_keep_alive_count = KEEP_ALIVE_COUNT_MAX

    @property
    def clients(self) -> list[ReadOnlySession]:
        """Every session of a client, activated or not."""
        return list(self._external_sessions.values())

    def active_sessions(self) -> int:
        """Count activated sessions."""
        return sum(session.is_activated() for session in self.clients)

    def create_session(
        self,
        name: str,
        user: User = NOBODY,
        external: bool = False,
    ) -> InternalSession:
        """Return a new session; ServiceError BadTooManySessions when too many wait for their activation."""
        self._forget_parked()
        if len(self.clients) - self.active_sessions() >= PENDING_MAX:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        return ReadOnlySession(self, self.aspace, self.subscription_service, name, user=user, external=external)

    def _forget_parked(self) -> None:
        oldest = time.monotonic() - PENDING_S
        for session in self.clients:
            if not session.is_activated() and session.created_mono_s < oldest:
                session.state = SessionState.Closed
                self.unregister_external_session(session)

    def register_server(self, server: Any, conf: Any = None) -> None:
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)  # this is no discovery server

    async def stop(self) -> None:
        for session in self.clients:
            await session.close_session(True)
        await super().stop()
