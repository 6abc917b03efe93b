"""The address space: Objects / <site> / folders of each tag's path / one read-only variable per tag.

Node ids are strings made of configuration ids and stable for life: a tag's id for its variable, "<site>:<path>" for a
folder. Rule: values are not here; every variable asks the feed.  Source: OPC 10000-3, -5, and -8 for units.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeManagementService

from opcua_server.feed import VARIANT_TYPE
from scada.tags import Tag
from scada.units import UNECE_CODE, UNECE_NAMESPACE, unece_id

CHILDREN_MAX: Final = 500  # flat drivers of building management systems choke on more, and the library is quadratic
GROUP_SIZE: Final = 200  # a folder with more children is cut into groups of this many
READ_ONLY: Final = 1  # AccessLevel CurrentRead
CURRENCY_NUMBERS: Final = {
    "CNY": 156,
    "EUR": 978,
    "HKD": 344,
    "MOP": 446,
    "SGD": 702,
    "TWD": 901,
    "USD": 840,
}  # ISO 4217
OWN_OF_PROPERTY: Final = frozenset({ua.AttributeIds.NodeId})  # what is not the same for all of one sort
OWN_OF_TAG: Final = OWN_OF_PROPERTY | {ua.AttributeIds.Value}
UNIT_ID_NONE: Final = -1  # OPC 10000-8: the unit has no number in its namespace

ZH: Final = "zh-CN"
EN: Final = "en"
# Words of the tree itself, which are no configuration ids.
FOLDER_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "Stations": ("变电站", "Substations"),
    "Areas": ("区域", "Areas"),
    "Tenants": ("租户", "Tenants"),
    "Accounts": ("账户", "Accounts"),
    "Points": ("计量点", "Supply points"),
    "Meters": ("表计", "Meters"),
    "Network": ("网络", "Network"),
    "Gateways": ("网关", "Gateways"),
    "Diagrams": ("单线图", "Diagrams"),
    "Diagram": ("单线图", "Diagram"),
    "System": ("系统", "System"),
}


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Namespace indexes of this server, and the URI behind the types."""

    types: int
    instances: int
    types_uri: str


@dataclass(slots=True)
class Folder:
    """One folder of the tree before it becomes nodes."""

    path: tuple[str, ...]
    folders: dict[str, "Folder"] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    group: str = ""  # "1-200" when this is a group of `path`

    @property
    def children(self) -> int:
        return len(self.folders) + len(self.rows)


def plan(tags: tuple[Tag, ...], children_max: int = CHILDREN_MAX, group_size: int = GROUP_SIZE) -> Folder:
    """Return the tree of folders for tags; no folder has more than `children_max` children."""
    root = Folder(())
    for row, tag in enumerate(tags):
        place = root
        for depth, part in enumerate(tag.path, 1):
            place = place.folders.setdefault(part, Folder(tag.path[:depth]))
        place.rows.append(row)
    _split(root, children_max, group_size)
    return root


def _split(folder: Folder, children_max: int, group_size: int) -> None:
    for child in folder.folders.values():
        _split(child, children_max, group_size)
    while folder.children > children_max:
        entries: list[str | int] = [*folder.folders, *folder.rows]
        before, folder.folders, folder.rows = folder.folders, {}, []
        for start in range(0, len(entries), group_size):
            part = entries[start : start + group_size]
            label = f"{start + 1}-{start + len(part)}"
            group = Folder(folder.path, group="/".join(filter(None, (folder.group, label))))
            group.folders = {name: before[name] for name in part if isinstance(name, str)}
            group.rows = [row for row in part if isinstance(row, int)]
            folder.folders[label] = group


class Builder:
    """Adds nodes to the library's address space."""

    def __init__(self, space: AddressSpace, spaces: Namespaces, plant: Any) -> None:
        self._nodes = NodeManagementService(space)
        self._space = space
        self._spaces = spaces
        self._plant = plant
        self._common: dict[Hashable, dict[Any, AttributeValue]] = {}

    def build(self, value_of: Callable[[int], ua.DataValue]) -> list[AttributeValue]:
        """Add every folder and tag; return the Value attribute of each tag in image order.

        value_of  answers a read of one image row
        """
        tags = self._plant.tags.tags
        tree = plan(tags)
        site = self._add_folder(ua.NodeId(ua.ObjectIds.ObjectsFolder), tree)
        attributes: list[AttributeValue | None] = [None] * len(tags)
        for parent, row in self._walk(site, tree):
            attribute = self._add_variable(parent, tags[row])
            attribute.value = None
            attribute.value_callback = lambda _node, _attribute, row=row: value_of(row)
            attributes[row] = attribute
        return [attribute for attribute in attributes if attribute is not None]

    def _walk(self, node: ua.NodeId, folder: Folder) -> Iterator[tuple[ua.NodeId, int]]:
        for child in folder.folders.values():
            yield from self._walk(self._add_folder(node, child), child)
        for row in folder.rows:
            yield node, row

    def _add_folder(self, parent: ua.NodeId, folder: Folder) -> ua.NodeId:
        site = self._plant.site
        zh, en = self._folder_names(folder)
        identifier = ":".join(filter(None, (site.id, "/".join(folder.path), folder.group)))
        attributes = ua.ObjectAttributes(
            DisplayName=ua.LocalizedText(zh, ZH), Description=_both(zh, en), EventNotifier=ua.Byte(0)
        )
        browse = folder.group.rpartition("/")[2] or (folder.path[-1] if folder.path else site.id)
        return self._add(
            parent, identifier, browse, ua.ObjectIds.Organizes, ua.ObjectIds.FolderType, ua.NodeClass.Object, attributes
        )

    def _folder_names(self, folder: Folder) -> tuple[str, str]:
        if folder.group:
            label = folder.group.rpartition("/")[2]
            return label, label
        if not folder.path:
            return self._plant.site.name_zh, self._plant.site.name_en
        last = folder.path[-1]
        name = self._plant.names.get(last)
        return (name.zh, name.en) if name is not None else FOLDER_NAMES.get(last, (last, last))

    def _add_variable(self, parent: ua.NodeId, tag: Tag) -> AttributeValue:
        unit = self._engineering_units(tag)
        kind = VARIANT_TYPE[tag.kind]
        attributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText(tag.description_zh, ZH),
            Description=_both(tag.description_zh, tag.description_en),
            DataType=ua.NodeId(kind.value),
            ValueRank=ua.ValueRank.Scalar,
            ArrayDimensions=[],
            Value=ua.Variant(None, ua.VariantType.Null),
            AccessLevel=ua.Byte(READ_ONLY),
            UserAccessLevel=ua.Byte(READ_ONLY),
            MinimumSamplingInterval=self._plant.scan_period_s * 1000.0,
            Historizing=False,
        )
        type_id = ua.ObjectIds.DataItemType if unit is None else ua.ObjectIds.AnalogUnitType
        node = self._add(
            parent, tag.id, tag.name, ua.ObjectIds.HasComponent, type_id, ua.NodeClass.Variable, attributes
        )
        self._share(node, tag.sort, OWN_OF_TAG)
        if unit is not None:
            self._add_property(node, tag, "EngineeringUnits", ua.ObjectIds.EUInformation, ua.Variant(unit))
        if tag.currency:
            self._add_property(
                node, tag, "CurrencyUnit", ua.ObjectIds.CurrencyUnitType, ua.Variant(self._currency(tag.currency))
            )
        if tag.states:
            texts = ua.Variant([ua.LocalizedText(text, EN) for text in tag.states], ua.VariantType.LocalizedText)
            self._add_property(node, tag, "EnumStrings", ua.ObjectIds.LocalizedText, texts, ua.ValueRank.OneDimension)
        return self._space[node].attributes[ua.AttributeIds.Value]

    def _share(self, node: ua.NodeId, kind: Hashable, own: frozenset[ua.AttributeIds]) -> None:
        """Let a node have its attributes, but for `own`, in common with the first of its kind.

        The library makes five objects for each of a dozen attributes. Nobody can write one (sessions.ReadOnlySession).
        """
        attributes = self._space[node].attributes
        attributes |= {
            name: attribute for name, attribute in self._common.setdefault(kind, attributes).items() if name not in own
        }

    def _engineering_units(self, tag: Tag) -> ua.EUInformation | None:
        """Return the unit of a quantity; None for states, counts and money."""
        if tag.kind not in ("double", "int64") or (not tag.unit and (tag.currency or tag.kind == "int64")):
            return None
        known = tag.unit in UNECE_CODE
        return ua.EUInformation(
            NamespaceUri=UNECE_NAMESPACE if known else self._spaces.types_uri,
            UnitId=unece_id(tag.unit) if known else UNIT_ID_NONE,
            DisplayName=ua.LocalizedText(tag.unit or "1", EN),
            Description=ua.LocalizedText(tag.unit or "ratio", EN),
        )

    def _currency(self, code: str) -> ua.CurrencyUnitType:
        return ua.CurrencyUnitType(
            NumericCode=CURRENCY_NUMBERS.get(code, 0),
            Exponent=self._plant.site.currency_exponent,
            AlphabeticCode=code,
            Currency=ua.LocalizedText(code, EN),
        )

    def _add_property(
        self,
        owner: ua.NodeId,
        tag: Tag,
        name: str,
        data_type: int,
        value: ua.Variant,
        rank: int = ua.ValueRank.Scalar,
    ) -> None:
        attributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText(name, EN),
            DataType=ua.NodeId(data_type),
            ValueRank=rank,
            ArrayDimensions=[] if rank == ua.ValueRank.Scalar else [0],
            Value=value,
            AccessLevel=ua.Byte(READ_ONLY),
            UserAccessLevel=ua.Byte(READ_ONLY),
            Historizing=False,
        )
        kind = ua.NodeClass.Variable
        node = self._add(
            owner, f"{tag.id}/{name}", name, ua.ObjectIds.HasProperty, ua.ObjectIds.PropertyType, kind, attributes, 0
        )
        self._share(node, (tag.sort, name), OWN_OF_PROPERTY)

    def _add(
        self,
        parent: ua.NodeId,
        identifier: str,
        browse_name: str,
        reference: int,
        type_id: int,
        node_class: ua.NodeClass,
        attributes: Any,
        name_space: int | None = None,
    ) -> ua.NodeId:
        item = ua.AddNodesItem(
            ParentNodeId=parent,
            ReferenceTypeId=ua.NodeId(reference),
            RequestedNewNodeId=ua.NodeId(identifier, self._spaces.instances),
            BrowseName=ua.QualifiedName(browse_name, self._spaces.instances if name_space is None else name_space),
            NodeClass=node_class,
            NodeAttributes=attributes,
            TypeDefinition=ua.NodeId(type_id),
        )
        result = self._nodes.add_nodes([item])[0]
        result.StatusCode.check()
        return result.AddedNodeId


def _both(zh: str, en: str) -> ua.LocalizedText:
    """Return one text in both languages: a LocalizedText holds one, and the library does not serve by locale."""
    return ua.LocalizedText(f"{en} / {zh}", EN)
