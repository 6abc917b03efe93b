"""Subscriptions: the library's own, with the parts replaced that lose notifications or have no bound.

What asyncua 2.1 does and this file does not: compare a deadband with the last *sample* (slow drift is never reported),
lose the notification of a bad status that meets a deadband, accept a percent deadband and ignore it, search all items
to delete one, grant any queue size and any publishing interval.
Rule: a change is judged against the value *last reported* to that client.  Source: OPC 10000-4 clauses 5.13 and 7.22.
"""

import math
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemData, MonitoredItemService
from asyncua.server.subscription_service import SubscriptionService
from asyncua.ua.uaprotocol_auto import DataChangeFilter, EventFilter  # what is decoded; ua.* are subclasses of them

SUBSCRIPTIONS_MAX: Final = 300  # targets of the security profile: 60 sessions with five subscriptions each
ITEMS_MAX: Final = 100_000  # of all subscriptions together
QUEUE_MAX: Final = 100  # values kept for one item; at one scan a second that is longer than a sane publishing interval
UNACKNOWLEDGED_MAX: Final = 50  # messages kept for a client that never acknowledges
LIFETIME_COUNT_MAX: Final = 3_000
KEEP_ALIVE_COUNT_MAX: Final = 1_000
PUBLISHING_MS_MIN: Final = 100.0  # the feed looks at the image ten times a second
PUBLISHING_MS_MAX: Final = 600_000.0

STATUS_VALUE: Final = (ua.DataChangeTrigger.StatusValue, ua.DataChangeTrigger.StatusValueTimestamp)
NUMBERS: Final = (ua.VariantType.Double, ua.VariantType.Int64, ua.VariantType.Int32)


def changed(last: ua.DataValue | None, value: ua.DataValue, wish: ua.DataChangeFilter | None) -> bool:
    """Tell whether a value must be reported to a client that was told `last` and has the filter `wish`."""
    if last is None or last.StatusCode != value.StatusCode:
        return True
    trigger = ua.DataChangeTrigger.StatusValue if wish is None else wish.Trigger
    if trigger == ua.DataChangeTrigger.StatusValueTimestamp and last.SourceTimestamp != value.SourceTimestamp:
        return True
    if trigger not in STATUS_VALUE or last.Value == value.Value:
        return False
    return wish is None or _beyond_deadband(last, value, wish)


def _beyond_deadband(last: ua.DataValue, value: ua.DataValue, wish: ua.DataChangeFilter) -> bool:
    if wish.DeadbandType != ua.DeadbandType.Absolute:
        return True
    before, now = (None if data.Value is None else data.Value.Value for data in (last, value))
    if before is None or now is None:
        return True  # a status came with it or went; never lost to a deadband
    return not abs(now - before) <= wish.DeadbandValue  # written so that NaN passes


class ItemService(MonitoredItemService):
    """The monitored items of one subscription."""

    def __init__(self, subscription: InternalSubscription, aspace: Any, service: "BoundedSubscriptions") -> None:
        super().__init__(subscription, aspace)
        self._service = service

    async def _create_data_change_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        wish = _filter(params.RequestedParameters)
        params.RequestedParameters.Filter = wish
        fault = self._fault(params.ItemToMonitor, wish)
        if self._service.items >= ITEMS_MAX:
            fault = ua.StatusCodes.BadTooManyMonitoredItems
        if fault:
            return ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(fault))
        return await super()._create_data_change_monitored_item(params)

    def _create_events_monitored_item(self, params: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
        if not isinstance(params.RequestedParameters.Filter, EventFilter):
            return ua.MonitoredItemCreateResult(
                StatusCode=ua.StatusCode(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
            )
        if self._service.items >= ITEMS_MAX:
            return ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems))
        return super()._create_events_monitored_item(params)

    def _fault(self, item: ua.ReadValueId, wish: Any) -> int:
        """Return the status code that refuses a data filter, 0 when it is accepted."""
        if wish is None:
            return 0
        if not isinstance(wish, DataChangeFilter) or wish.DeadbandType == ua.DeadbandType.Percent:
            return ua.StatusCodes.BadMonitoredItemFilterUnsupported  # percent needs an EURange; tags have none
        if wish.DeadbandType == ua.DeadbandType.None_:
            return 0
        if wish.DeadbandType != ua.DeadbandType.Absolute or not 0 <= wish.DeadbandValue < math.inf:
            return ua.StatusCodes.BadDeadbandFilterInvalid
        return 0 if self._is_number(item) else ua.StatusCodes.BadFilterNotAllowed

    def _is_number(self, item: ua.ReadValueId) -> bool:
        if item.AttributeId != ua.AttributeIds.Value:
            return False
        data_type = self.aspace.read_attribute_value(item.NodeId, ua.AttributeIds.DataType)
        return data_type.Value is not None and data_type.Value.Value in {ua.NodeId(kind.value) for kind in NUMBERS}

    def _commit_monitored_item(self, result: ua.MonitoredItemCreateResult, mdata: MonitoredItemData) -> None:
        super()._commit_monitored_item(result, mdata)
        if result.StatusCode.is_good():
            self._service.items += 1
            self._service.stamped += _wants_timestamps(mdata.filter)

    def _modify_monitored_item(self, params: ua.MonitoredItemModifyRequest) -> ua.MonitoredItemModifyResult:
        item = self._monitored_items.get(params.MonitoredItemId)
        if item is None:
            return ua.MonitoredItemModifyResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadMonitoredItemIdInvalid))
        wish = _filter(params.RequestedParameters)
        fault = 0 if item.where_clause_evaluator else self._fault(item.read_value_id, wish)
        if fault:
            return ua.MonitoredItemModifyResult(StatusCode=ua.StatusCode(fault))
        if wish is not None:
            self._service.stamped += _wants_timestamps(wish) - _wants_timestamps(item.filter)
            item.filter = wish
        item.client_handle = params.RequestedParameters.ClientHandle
        item.queue_size = self._revise_queue_size(params.RequestedParameters.QueueSize)
        return ua.MonitoredItemModifyResult(
            RevisedSamplingInterval=self.isub.data.RevisedPublishingInterval, RevisedQueueSize=item.queue_size
        )

    def _revise_queue_size(self, requested: int) -> int:
        return max(1, min(int(requested), QUEUE_MAX))

    def _delete_monitored_items(self, mid: int) -> ua.StatusCode:
        item = self._monitored_items.pop(mid, None)
        if item is None:
            return ua.StatusCode(ua.StatusCodes.BadMonitoredItemIdInvalid)
        self._service.items -= 1
        self._service.stamped -= _wants_timestamps(item.filter)
        if item.callback_handle is not None:
            self.aspace.delete_datachange_callback(item.callback_handle)
            self._monitored_datachange.pop(item.callback_handle, None)
        else:
            listeners = self._monitored_events.get(item.read_value_id.NodeId, [])
            listeners.remove(mid)
            if not listeners:
                self._monitored_events.pop(item.read_value_id.NodeId, None)
        return ua.StatusCode()

    def delete_all_monitored_items(self) -> None:
        self.delete_monitored_items(list(self._monitored_items))

    async def datachange_callback(self, handle: int, value: ua.DataValue, error: ua.StatusCode | None = None) -> None:
        mid = self._monitored_datachange.get(handle)
        item = None if mid is None else self._monitored_items.get(mid)
        if item is None or item.mode == ua.MonitoringMode.Disabled:
            return
        if not changed(item.mvalue.current_dvalue, value, item.filter):
            return
        item.mvalue.current_dvalue = value
        notification = ua.MonitoredItemNotification(ClientHandle=item.client_handle, Value=value)
        await self.isub.enqueue_datachange_event(mid, notification, item.queue_size)


def _filter(parameters: ua.MonitoringParameters) -> Any:
    """Return the filter of a request; None when it has none, which the wire writes as an empty ExtensionObject."""
    wish = parameters.Filter
    return None if isinstance(wish, ua.ExtensionObject) and wish.TypeId.is_null() else wish


def _wants_timestamps(wish: Any) -> bool:
    return isinstance(wish, DataChangeFilter) and wish.Trigger == ua.DataChangeTrigger.StatusValueTimestamp


class BoundedSubscriptions(SubscriptionService):
    """Every subscription of the server. `items` and `stamped` count monitored items, and those that follow time."""

    def __init__(self, aspace: Any, iserver: Any) -> None:
        super().__init__(aspace, iserver)
        self.items = 0
        self.stamped = 0

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Any,
        session_id: ua.NodeId,
        request_callback: Any = None,
    ) -> ua.CreateSubscriptionResult:
        wished = params.RequestedPublishingInterval
        params.RequestedPublishingInterval = (
            min(max(wished, PUBLISHING_MS_MIN), PUBLISHING_MS_MAX) if math.isfinite(wished) else PUBLISHING_MS_MAX
        )
        result = await super().create_subscription(params, callback, session_id, request_callback)
        subscription = self.subscriptions[result.SubscriptionId]
        subscription.monitored_item_srv = ItemService(subscription, self.aspace, self)
        return result

    def owned(self, subscription_id: int, session_id: ua.NodeId) -> bool:
        """Tell whether a subscription belongs to a session. Ids are small numbers that anybody can guess."""
        subscription = self.subscriptions.get(subscription_id)
        return subscription is not None and subscription.session_id == session_id

    def require_owned(self, subscription_id: int, session_id: ua.NodeId) -> None:
        """Raise BadSubscriptionIdInvalid unless the subscription belongs to the session."""
        if not self.owned(subscription_id, session_id):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
