"""One charge in words: from which registers, at which rate, tier and price it became this much money.

    derive(...) -> Derivation        figures, for machines and for the words
    words(derivation, "zh"|"en")     the lines a person reads

Rule: pure, and nothing here decides a price. What is shown is what the replay computed; the words only name it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from billing_core.columns import KIND_ESTIMATE, KIND_UPLIFT
from billing_core.plan import HOLIDAY, MAKE_UP, RATES, WEEKEND, WORKING, Plan, Version
from billing_core.schedule import WEEKDAYS, kinds_of, tables_at

LANGUAGES: Final = ("zh", "en")

Both = Mapping[str, str]  # language -> word

RATE_WORDS: Final[tuple[Both, ...]] = (
    {"zh": "尖", "en": "sharp"},
    {"zh": "峰", "en": "peak"},
    {"zh": "平", "en": "flat"},
    {"zh": "谷", "en": "valley"},
    {"zh": "深谷", "en": "deep valley"},
)
KIND_WORDS: Final[tuple[Both, ...]] = (
    {"zh": "抄表", "en": "metered"},
    {"zh": "跨档补差", "en": "uplift of earlier units to the tier reached"},
    {"zh": "冲正", "en": "reversal"},
    {"zh": "重算", "en": "charged again"},
    {"zh": "估算", "en": "estimate of a gap"},
)
METHOD_WORDS: Final[tuple[Both, ...]] = (
    {"zh": "一个时段内", "en": "within one rate period"},
    {"zh": "按时间分摊（估算）", "en": "split by time (estimated)"},
    {"zh": "按表计费率寄存器分摊", "en": "split by the meter's rate registers"},
    {"zh": "人工给定", "en": "given by a person"},
)
ESTIMATED_METHODS: Final = frozenset({1})
DAY_WORDS: Final[Mapping[str, Both]] = {
    WORKING: {"zh": "工作日", "en": "working day"},
    WEEKEND: {"zh": "周末", "en": "weekend"},
    HOLIDAY: {"zh": "节假日", "en": "holiday"},
    MAKE_UP: {"zh": "调休工作日", "en": "make-up working day"},
}
LABELS: Final[Mapping[str, Both]] = {
    "charge": {"zh": "计费行", "en": "charge"},
    "point": {"zh": "计量点", "en": "supply point"},
    "meter": {"zh": "表计", "en": "meter"},
    "account": {"zh": "账户", "en": "account"},
    "registers": {"zh": "示数", "en": "registers"},
    "counts": {"zh": "字", "en": "counts"},
    "rollover": {"zh": "（翻转）", "en": " (rolled over)"},
    "share": {"zh": "时段", "en": "part"},
    "of": {"zh": "秒，共", "en": "s of"},
    "rate": {"zh": "费率", "en": "rate"},
    "tier": {"zh": "阶梯", "en": "tier"},
    "tier_of": {"zh": "档，共", "en": "of"},
    "price": {"zh": "单价", "en": "price"},
    "money": {"zh": "金额", "en": "money"},
    "plan": {"zh": "电价方案", "en": "plan"},
    "version": {"zh": "版本始于", "en": "version from"},
    "hash": {"zh": "指纹", "en": "hash"},
    "reverses": {"zh": "冲正行", "en": "reverses"},
    "up_to": {"zh": "，本档上限", "en": ", up to"},
}


class PartPrice(NamedTuple):
    """One part of the unit price, as the plan names it."""

    id: str
    name_zh: str
    name_en: str
    price_micro: int


class Facts(NamedTuple):
    """A charge row and the terms it names: what a derivation is made of. Times UTC seconds."""

    charge: str  # "transfer:line"
    point: str
    meter: str
    account: str
    raw_from: int
    from_s: int
    raw_to: int
    to_s: int
    segment_from_s: int
    segment_to_s: int
    rate: int
    tier: int
    position_milli: int  # tier position before
    price_micro: int
    milli: int
    nano: int
    kind: int
    method: int
    reverses: str  # "transfer:line" or ""
    milli_per_count: int
    modulus_counts: int
    plan_hash: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """Everything that made one charge. Times UTC seconds; `slot` is [start, end) in minutes of the local day."""

    facts: Facts
    unit: str
    currency: str
    timezone: str
    counts: int
    rolled_over: bool
    interval_milli: int
    estimated: bool
    day_kind: str
    slot: tuple[int, int]
    tier_count: int
    tier_upto_milli: int | None
    parts: tuple[PartPrice, ...]
    plan: str
    plan_name_zh: str
    plan_name_en: str
    version_from_s: int

    def as_json(self) -> dict[str, Any]:
        """Return plain data for --json: the facts first, then what explains them."""
        explained = asdict(self)
        facts = explained.pop("facts")
        parts = [part._asdict() for part in self.parts]
        return {**self.facts._asdict(), **explained, "parts": parts} if facts else {}


def derive(facts: Facts, plan: Plan, bounds_milli: tuple[int, ...] = ()) -> Derivation:
    """Return the derivation of a charge under its plan.

    bounds_milli  upper bounds of the tiers as they apply to this supply point then, () when the plan's own do
    ValueError when the plan has no version for the charge's time: such a charge could never have been made.
    """
    version = plan.version_at(facts.segment_from_s)
    if version is None:
        raise ValueError(f"charge {facts.charge}: plan {plan.id} has no version at {facts.segment_from_s}")
    local = datetime.fromtimestamp(facts.segment_from_s, ZoneInfo(plan.timezone))
    counts = facts.raw_to - facts.raw_from
    rolled_over = counts < 0
    counts += facts.modulus_counts if rolled_over else 0
    bounds = bounds_milli or (version.tiers.bounds_milli if version.tiers else ())
    return Derivation(
        facts=facts,
        unit=plan.unit,
        currency=plan.currency,
        timezone=plan.timezone,
        counts=counts,
        rolled_over=rolled_over,
        interval_milli=counts * facts.milli_per_count,
        estimated=facts.method in ESTIMATED_METHODS or facts.kind == KIND_ESTIMATE,
        day_kind=day_word(version, local.toordinal()),
        slot=slot_at(version, local),
        tier_count=version.tier_count,
        tier_upto_milli=bounds[facts.tier] if facts.tier < len(bounds) else None,
        parts=_parts(version, facts),
        plan=plan.id,
        plan_name_zh=plan.name_zh,
        plan_name_en=plan.name_en,
        version_from_s=version.from_s,
    )


def _parts(version: Version, facts: Facts) -> tuple[PartPrice, ...]:
    """Return the price parts of a row; of an uplift, what each part rises by from the tier below."""
    tier = min(facts.tier, version.tier_count - 1)
    below = tier - 1 if facts.kind == KIND_UPLIFT and tier else None
    return tuple(
        PartPrice(
            part.id,
            part.name_zh,
            part.name_en,
            part.price_micro[facts.rate][tier] - (0 if below is None else part.price_micro[facts.rate][below]),
        )
        for part in version.parts
    )


# --- days and slots ---------------------------------------------------------------------------------------------------


def day_word(version: Version, day: int) -> str:
    """Return the kind of a local day (an ordinal) as one word: a special day's name, MAKE_UP, HOLIDAY, ..."""
    kinds = kinds_of(version.days, day)
    return MAKE_UP if MAKE_UP in kinds else next(kind for kind in kinds if kind not in WEEKDAYS)


def slot_at(version: Version, local: datetime) -> tuple[int, int]:
    """Return [start, end) in minutes of the slot in force at a local time, (0, 0) where the tables leave a hole."""
    minute = local.hour * 60 + local.minute
    slots = (slot for index in tables_at(version, local.toordinal()) for slot in version.tables[index].slots)
    return next(((s.start_minute, s.end_minute) for s in slots if s.start_minute <= minute < s.end_minute), (0, 0))


# --- words ------------------------------------------------------------------------------------------------------------


def words(derivation: Derivation, language: str) -> list[str]:
    """Return the lines that explain a charge to a person. language: one of LANGUAGES."""
    label = {name: both[language] for name, both in LABELS.items()}
    facts = derivation.facts
    head = (
        f"{label['charge']} {facts.charge}  {KIND_WORDS[facts.kind][language]}  "
        f"{label['point']} {facts.point}, {label['meter']} {facts.meter}, {label['account']} {facts.account}"
    )
    lines = [
        (label["registers"], _registers(derivation, label)),
        (label["share"], _share(derivation, label, language)),
        (label["rate"], _rate(derivation, language)),
        (label["tier"], _tier(derivation, label)),
        (label["price"], _price(derivation, language)),
        (label["money"], _money(derivation)),
        (label["plan"], _plan(derivation, label, language)),
    ]
    if facts.reverses:
        lines.insert(0, (label["reverses"], facts.reverses))
    return [head, *(f"    {name}{' ' * max(1, 12 - _width(name))}{text}" for name, text in lines if text)]


def _registers(derivation: Derivation, label: Mapping[str, str]) -> str:
    facts = derivation.facts
    rolled = label["rollover"] if derivation.rolled_over else ""
    return (
        f"{facts.raw_from} ({_time(derivation, facts.from_s)}) -> {facts.raw_to} ({_time(derivation, facts.to_s)}): "
        f"{derivation.counts} {label['counts']}{rolled} x {milli(facts.milli_per_count)} {derivation.unit} = "
        f"{milli(derivation.interval_milli)} {derivation.unit}"
    )


def _share(derivation: Derivation, label: Mapping[str, str], language: str) -> str:
    facts = derivation.facts
    span = f"{_time(derivation, facts.segment_from_s)} -> {_time(derivation, facts.segment_to_s)}"
    elapsed_s, total_s = facts.segment_to_s - facts.segment_from_s, facts.to_s - facts.from_s
    method = METHOD_WORDS[facts.method][language]
    return f"{span}, {elapsed_s} {label['of']} {total_s} s: {milli(facts.milli)} {derivation.unit}, {method}"


def _rate(derivation: Derivation, language: str) -> str:
    start, end = derivation.slot
    day = DAY_WORDS.get(derivation.day_kind, {}).get(language, derivation.day_kind)
    slot = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    return f"{RATE_WORDS[derivation.facts.rate][language]} ({slot}, {day})"


def _tier(derivation: Derivation, label: Mapping[str, str]) -> str:
    """Return the step through the tiers, nothing for a plan without any."""
    if derivation.tier_count == 1:
        return ""
    facts = derivation.facts
    moved = 0 if facts.kind == KIND_UPLIFT else facts.milli
    upto = derivation.tier_upto_milli
    end = "" if upto is None else f"{label['up_to']} {milli(upto)} {derivation.unit}"
    step = f"{milli(facts.position_milli)} -> {milli(facts.position_milli + moved)} {derivation.unit}"
    return f"{facts.tier + 1} {label['tier_of']} {derivation.tier_count}: {step}{end}"


def _price(derivation: Derivation, language: str) -> str:
    facts = derivation.facts
    names = [(part.name_zh if language == "zh" else part.name_en) or part.id for part in derivation.parts]
    parts = " + ".join(f"{name} {micro(part.price_micro)}" for name, part in zip(names, derivation.parts, strict=True))
    total = f"{micro(facts.price_micro)} {derivation.currency}/{derivation.unit}"
    return f"{total} = {parts}" if parts else total


def _money(derivation: Derivation) -> str:
    facts = derivation.facts
    product = f"{milli(facts.milli)} {derivation.unit} x {micro(facts.price_micro)}"
    return f"{product} = {nano(facts.nano)} {derivation.currency}"


def _plan(derivation: Derivation, label: Mapping[str, str], language: str) -> str:
    name = derivation.plan_name_zh if language == "zh" else derivation.plan_name_en
    since = f", {label['version']} {_time(derivation, derivation.version_from_s)}" if derivation.version_from_s else ""
    named = f"{derivation.plan} {name}".strip()
    return f"{named}{since}, {label['hash']} {derivation.facts.plan_hash[:12]}"


def _time(derivation: Derivation, at_s: int) -> str:
    return local_time(at_s, derivation.timezone)


def local_time(at_s: int, timezone: str) -> str:
    """Return a UTC second as local wall time with its offset, so that a repeated hour is not ambiguous."""
    return datetime.fromtimestamp(at_s, ZoneInfo(timezone)).strftime("%Y-%m-%d %H:%M:%S%z")


def _width(text: str) -> int:
    """Return the columns a word takes on a terminal; Chinese characters take two."""
    return sum(2 if ord(letter) > 0x2E80 else 1 for letter in text)


def milli(quantity: int) -> str:
    """Return thousandths as exact decimal text."""
    return _decimal(quantity, 3)


def micro(price: int) -> str:
    """Return millionths as exact decimal text."""
    return _decimal(price, 6)


def nano(money: int) -> str:
    """Return billionths as exact decimal text."""
    return _decimal(money, 9)


def _decimal(value: int, places: int) -> str:
    whole, rest = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{places}}"


assert len(RATE_WORDS) == len(RATES)
