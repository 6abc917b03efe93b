"""Compares the readings that charges stand on with the registers that the historian recorded on its own.

Registers are recorded whenever they move (deadband 0), so each reading must lie on the recorded curve: between the last
value at its second's begin and the last one at its end. Readings given by a person are nobody's recording; where the
history was dropped, or has not come that far, nothing can be said and nothing is.
Rule: reads only; one meter after the other, so memory is bounded by the readings of one meter that differ.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from billing_core.columns import KIND_METERED, METHOD_PERSON

SPAN: Final = """
    SELECT tag_id, (SELECT min(time) FROM history WHERE tag_id = t.tag_id),
           (SELECT max(time) FROM history WHERE tag_id = t.tag_id)
    FROM tag t WHERE id = %(tag)s
"""
# A register below the recorded one can only be a rollover, which shows as a fall of the recorded curve.
OFF_CURVE: Final = """
    SELECT c.seq, c.line, c.raw_to, extract(epoch FROM c.time_to)::bigint, low.value, high.value
    FROM charge c,
         LATERAL (SELECT value FROM history WHERE tag_id = %(tag)s AND time <= c.time_to
                  ORDER BY time DESC LIMIT 1) low,
         LATERAL (SELECT value FROM history WHERE tag_id = %(tag)s AND time < c.time_to + interval '1 second'
                  ORDER BY time DESC LIMIT 1) high
    WHERE c.terms = %(terms)s AND c.kind = %(kind)s AND c.method <> %(person)s
      AND c.time_to > %(first)s AND c.time_to <= %(last)s
      AND NOT CASE WHEN low.value <= high.value
          THEN c.raw_to BETWEEN round(low.value * %(per_unit)s) AND round(high.value * %(per_unit)s)
          ELSE c.raw_to >= round(low.value * %(per_unit)s) OR c.raw_to <= round(high.value * %(per_unit)s) END
    ORDER BY c.seq, c.line
"""
COUNTED: Final = """
    SELECT count(*) FROM charge WHERE terms = %(terms)s AND kind = %(kind)s AND method <> %(person)s
      AND time_to > %(first)s AND time_to <= %(last)s
"""


class OffCurve(NamedTuple):
    """A reading that the historian did not see."""

    charge: str
    point: str
    text: str

    def __str__(self) -> str:
        return f"charge {self.charge}, point {self.point}: {self.text}"


class Curves:
    """Holds charges against recorded registers; counts what it could compare."""

    def __init__(self, connection: Any, tags: Mapping[str, str]) -> None:
        """tags: meter -> id of the tag whose history holds its register, in the priced unit."""
        self._connection = connection
        self._tags = tags
        self.compared = 0

    def off(self, supplies: Mapping[int, Any], account: str | None = None) -> Iterator[OffCurve]:
        """Yield the readings that lie off their curve. account: a ledger account, None for all."""
        for number, supply in supplies.items():
            if supply.meter in self._tags and account in (None, supply.account):
                yield from self._of_terms(number, supply)

    def _of_terms(self, number: int, supply: Any) -> Iterator[OffCurve]:
        span = self._connection.execute(SPAN, {"tag": self._tags[supply.meter]}).fetchone()
        if span is None or span[1] is None:
            return
        given = {
            "tag": span[0], "first": span[1], "last": span[2], "terms": number, "kind": KIND_METERED,
            "person": METHOD_PERSON, "per_unit": 1000 / supply.milli_per_count,
        }  # fmt: skip
        self.compared += self._connection.execute(COUNTED, given).fetchone()[0]
        for seq, line, raw, at_s, low, high in self._connection.execute(OFF_CURVE, given):
            seen = f"{round(low * given['per_unit'])} to {round(high * given['per_unit'])}"
            text = f"billed up to register {raw} at second {at_s}; the historian recorded {seen} then"
            yield OffCurve(f"{seq}:{line}", supply.point, text)
