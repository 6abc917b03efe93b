"""The whole life of a tenant from the command line, on a running park; at the end audit and replay find nothing.

Opened in a freed room, topped up twice with one key, priced anew in the middle of the month, given another meter,
corrected, restated by a late reading, settled and moved out.
"""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scada.position import OPEN
from tests.plant.park import ROOT, Park, wait_for

SPEED = 600  # ten minutes a second
ROOM, POWER, WATER, BREAKER = "b/3F/301", "p-e-b301", "p-w-b301", "e-b301"
CLOSING = ("--within", "400", "--accept-stale")  # minutes of plant time pass while a command starts
BEFORE, TENANT = "t-r01", "t-life"
NEXT_PRICES = """
[[tariff.version]]

[[tariff.version]]
from = "{at}"
part = [
    {{ id = "energy", name_zh = "电度电价", name_en = "Energy", price = {{ peak = 0.7583, valley = 0.4583 }} }},
    {{ id = "step", name_zh = "阶梯加价", name_en = "Tier surcharge", price = [0, 0.05, 0.30] }},
]

"""
FOLLOWING = '[[tariff]]\nid = "e-residential-care"'

pytestmark = [pytest.mark.plant]


class Counter:
    """A clerk with nothing but the command line."""

    def __init__(self, park: Park) -> None:
        self.park = park

    def run(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            self.park.command(*words), capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
        )
        return done.returncode, done.stdout or done.stderr

    def ask(self, *words: str) -> dict[str, Any]:
        """Run a command that must succeed; return its JSON document."""
        code, printed = self.run(*words, "--json")
        assert code == 0, (words, printed)
        answer: dict[str, Any] = json.loads(printed)
        return answer

    def plant_time(self) -> datetime:
        return datetime.fromtimestamp(
            float(self.park.sql("SELECT extract(epoch FROM plant_time) FROM book")[0][0]), UTC
        )

    def register(self, point: str) -> int:
        return int(self.park.sql("SELECT last_raw FROM point_state WHERE point = %s", point)[0][0])

    def charged(self, point: str) -> int:
        account = f"wallet:{TENANT}"
        rows = "SELECT count(*) FROM charge JOIN terms t ON t.id = terms WHERE t.point = %s AND t.account = %s"
        return int(self.park.sql(rows, point, account)[0][0])


def publish_dearer(clerk: Counter) -> None:
    """Write a version into tariffs.toml that begins in three hours of plant time, and put it in force."""
    at = clerk.plant_time().astimezone(ZoneInfo("Asia/Shanghai")) + timedelta(hours=3)
    file = clerk.park.config / "tariffs.toml"
    text = file.read_text(encoding="utf-8")
    assert text.count(FOLLOWING) == 1
    versions = NEXT_PRICES.format(at=at.strftime("%Y-%m-%d %H:%M"))
    file.write_text(text.replace(FOLLOWING, versions + FOLLOWING), encoding="utf-8")
    assert clerk.ask("tariff", "publish", "e-residential", "--reason", "new season")["published"]


def swap_meter(clerk: Counter) -> None:
    """Open the supply, so that the register stands; swap; close it again. The field goes on from the same register."""
    park = clerk.park
    command = park.switch(BREAKER, "open")
    wait_for(lambda: park.command_state(command) == "verified", 40, "the supply to be open")
    wait_for(lambda: park.tag("M", BREAKER, "Position") == (OPEN, 0), 10, "the position")
    still = _still(clerk)
    shown = f"{still // 100}.{still % 100:02}"
    words = ("--old-final", shown, "--new-first", shown, "--gap-estimate", "0.5", "--serial", "N-1", "--reason", "worn")
    clerk.ask("meter", "swap", POWER, *words)
    command = park.switch(BREAKER, "closed")
    wait_for(lambda: park.command_state(command) == "verified", 40, "the supply to be back")


def _still(clerk: Counter) -> int:
    """Return the register of the supply point once it has stood for two checkpoints."""
    seen = [clerk.register(POWER)]

    def stands() -> bool:
        seen.append(clerk.register(POWER))
        return len(seen) > 60 and len(set(seen[-50:])) == 1

    wait_for(stands, 30, "the register to stand")
    return seen[-1]


def restate_water(clerk: Counter) -> None:
    """Give a reading that came late: of what an interval used, one count was used in its first half."""
    found = """
        SELECT raw_from, time_from + (time_to - time_from) / 2 FROM charge JOIN terms t ON t.id = terms
        WHERE t.point = %s AND t.account = %s AND raw_to - raw_from > 1 AND time_to - time_from > interval '20 seconds'
        ORDER BY seq LIMIT 1
    """
    rows = wait_for(lambda: clerk.park.sql(found, WATER, f"wallet:{TENANT}"), 40, "water to be used")
    raw, time = rows[0][0] + 1, rows[0][1]
    register = f"{raw // 1000}.{raw % 1000:03}"
    clerk.ask(
        "meter",
        "late",
        WATER,
        "--at",
        time.replace(microsecond=0).isoformat(),
        "--register",
        register,
        "--reason",
        "photo",
    )


@pytest.mark.timeout(300)
def test_the_whole_life_of_a_tenant(make_park) -> None:
    clerk = Counter(make_park().start(speed=SPEED))
    wait_for(lambda: clerk.park.sql("SELECT 1 FROM charge LIMIT 1"), 30, "the first charges")
    token = clerk.ask("tenant", "preview", BEFORE)["token"]
    clerk.ask("tenant", "move-out", BEFORE, "--token", token, *CLOSING, "--reason", "end of lease")

    person = ("--name-zh", "新租户", "--name-en", "Life", "--household", "5", "--room", ROOM, "--class", "resident")
    clerk.ask(
        "tenant",
        "open",
        "--id",
        TENANT,
        *person,
        "--accept-stale",
        "--opening",
        "50",
        "--alarm1",
        "20",
        "--alarm2",
        "10",
    )
    clerk.ask("account", "topup", TENANT, "100.00", "--key", "pay-1")
    assert clerk.ask("account", "topup", TENANT, "100.00", "--key", "pay-1")["repeated"]
    command = clerk.park.switch(BREAKER, "closed")
    wait_for(lambda: clerk.park.command_state(command) in ("verified", "failed"), 40, "the supply to be there")
    wait_for(lambda: clerk.charged(POWER), 30, "electricity to be charged")

    publish_dearer(clerk)
    swap_meter(clerk)
    clerk.ask("account", "correct", TENANT, "-1.25", "--against", "revenue:electricity", "--reason", "forgotten lamp")
    restate_water(clerk)
    prices = "SELECT 1 FROM charge JOIN terms t ON t.id = terms WHERE t.point = %s AND price_micro IN (758300, 458300)"
    wait_for(lambda: clerk.park.sql(prices, POWER), 90, "electricity at a new price")

    token = clerk.ask("tenant", "preview", TENANT)["token"]
    clerk.ask("tenant", "move-out", TENANT, "--token", token, *CLOSING, "--reason", "moves away")
    balance = clerk.park.sql("SELECT nano FROM balance WHERE account = %s", f"wallet:{TENANT}")
    assert balance == [(0,)]

    assert_proved(clerk)


def assert_proved(clerk: Counter) -> None:
    """Neither audit nor replay finds a difference, and every reading lies on its recorded register."""
    code, printed = clerk.run("audit")
    assert code == 0, printed[-3000:]
    answer = clerk.ask("replay", "--all", "--registers")
    assert answer["differences"] == 0
    assert answer["charges"] > 100
    assert answer["readings_compared"] > 100
    life = clerk.ask("replay", "--account", TENANT, "--lang", "en")
    assert life["differences"] == 0
    kinds = {line["charge"]["kind"] for line in life["lines"] if "charge" in line}
    assert kinds == {0, 2, 3, 4}, "metered, taken back, charged again, estimated"
    period = ("--from", "2026-01-01", "--to", "2036-01-01", "--file", str(clerk.park.config / "tariffs.toml"))
    shadow = clerk.ask("tariff", "shadow", "e-residential", *period)
    assert len(shadow["tenants"]) > 10
    assert shadow["total"]["old"] == shadow["total"]["new"] != "0.000000000"  # the same plan costs the same
    code, printed = clerk.run("replay", "--account", TENANT, "--lang", "zh")
    assert code == 0
    assert "居民公寓阶梯电价" in printed
