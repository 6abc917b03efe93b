"""Operations: what people ask the core to change by name, with typed arguments, a permission and an answer.

    command line, HMI --link.Perform(name, JSON)--> OperationDesk --> handler of a trade, in the core

Each trade brings a table of `Operation`; run.py joins them. Arguments are a frozen dataclass that pydantic fills: an
unknown key, a missing one or a wrong type is refused with its name, before anything is touched.
Rule: nothing here knows what an operation does.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from scada.errors import Refused
from scada.roles import Permission, require

NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it
STRICT: Final = ConfigDict(extra="forbid", str_strip_whitespace=True, allow_inf_nan=False, str_max_length=2000)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and where they sit. The room that let them in checked the role; the core checks it again."""

    user: str
    role: str
    station: str


Handler = Callable[[Who, Any], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for."""

    name: str  # "account.refund": the trade's noun, then the verb
    permission: Permission
    arguments: type  # frozen dataclass; its docstring is the help text
    handler: Handler  # answers plain JSON data


class OperationDesk:
    """Finds the operation, checks role and arguments, lets the trade carry it out."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations: dict[str, Operation] = {}
        for operation in operations:
            assert operation.name not in self._operations, operation.name
            self._operations[operation.name] = operation

    async def perform(self, name: str, arguments: str, who: Who) -> str:
        """Carry out an operation; arguments and answer are JSON objects.

        Refused: "operation.unknown", "role", "operation.arguments", or the trade's own code. DatabaseAway as it comes.
        """
        operation = self._operations.get(name)
        if operation is None:
            raise Refused("operation.unknown", f"there is no operation {name!r}")
        require(who.role, operation.permission)
        return json.dumps(await operation.handler(who, parse(operation.arguments, arguments)), ensure_ascii=False)


def parse(arguments: type, text: str) -> Any:
    """Return the arguments that a JSON object describes; Refused "operation.arguments" names every fault."""
    if NUL.search(text):
        raise Refused("operation.arguments", "a text with a NUL character, which no data base holds")
    try:
        return TypeAdapter(with_config(STRICT)(arguments)).validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors()
        )
        raise Refused("operation.arguments", faults) from error
