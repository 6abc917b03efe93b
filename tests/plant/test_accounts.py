"""The life of a tenant over the command line of a running system: move-out, opening, money, restart, reconciliation."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hmi import users
from hmi.passwords import PasswordHashes
from scada import embedded_postgres
from scada.database import Database
from tests.plant.park import Park, wait_for

pytestmark = pytest.mark.plant
ROOM = "p-e-a101"  # the café's electricity, t-s01


def told(park: Park, *words: str, code: int = 0, text: str = "") -> Any:
    """Run a command line with --json; return the document it prints."""
    done = subprocess.run(park.command(*words, "--json"), capture_output=True, text=True, input=text, check=False)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


def second_person(park: Park) -> None:
    """Give bob of the finance office a password of his own."""

    async def enter() -> None:
        database = Database(embedded_postgres.dsn(park.data.sockets), "users")
        hashes = PasswordHashes()
        async with database.transaction() as cursor:
            await users.add(cursor, "bob", "", "finance")
            await users.set_password(cursor, "bob", hashes.hash_blocking("correct horse"), must_change=False)
        hashes.close()
        await database.close()

    asyncio.run(enter())


@pytest.mark.timeout(180)
def test_a_tenant_moves_out_and_another_moves_in(make_park: Callable[..., Park], tmp_path: Path) -> None:
    park = make_park(openings={"t-s01": "120"}).start(speed=60)
    wait_for(lambda: told(park, "account", "show", "t-s01")["balance_nano"] < 120 * 10**9, 30, "no consumption")
    shown = told(park, "tenant", "preview", "t-s01")
    leaving = ["tenant", "move-out", "t-s01", "--token", shown["token"], "--reason", "lease ended", "--key", "out"]
    done = told(park, *leaving, "--within", "5")
    assert [entry["breaker"] for entry in done["supply"]] == ["e-a101"]
    assert told(park, *leaving, "--within", "5")["repeated"]
    assert told(park, "account", "show", "t-s01")["balance_nano"] == 0
    assert "account.closed" in told(park, "account", "topup", "t-s01", "10", code=1)

    preset = tmp_path / "preset.toml"
    preset.write_text(
        'id = "noodles"\nname_zh = "面馆"\nname_en = "Noodle bar"\n[[account]]\nid = "noodles"\nroom = "a/1F/101"\n'
        'alarm1 = 50\nalarm2 = 20\nreconnect = 10\nclass = "business"\nopening = "100.50"\n',
        encoding="utf-8",
    )
    told(park, "tenant", "preset", str(preset))
    opened = told(park, "tenant", "open", "noodles", "--key", "in")
    assert ROOM in [entry["point"] for entry in opened["registers"]]
    assert opened["receipts"][0]["balance_nano"] == 100_500_000_000
    statement = tmp_path / "bank.csv"
    statement.write_bytes("商户订单号,金额,户号\nw-1,25.00,noodles\nw-2,30.00,noodles\n".encode("gb18030"))
    told(park, "account", "topup", "noodles", "25", "--channel", "wechat", "--key", "w-1")
    span = ["--channel", "wechat", "--from", "2020-01-01T00:00Z", "--to", "2090-01-01T00:00Z"]
    found = told(park, "account", "reconcile", str(statement), *span, code=1)
    assert [entry["kind"] for entry in found["findings"]] == ["matched", "missing-in-books"]
    found = told(park, "account", "reconcile", str(statement), *span, "--post-missing", "--reason", "lost notice")
    assert found["posted"][0]["order"] == "w-2"
    pending = told(park, "account", "refund", "noodles", "1.23", "--reason", "x", "--channel", "transfer")
    assert pending["entries"][0] == ["wallet:noodles", -1_230_000_000]
    second_person(park)
    waiting = told(
        park, "account", "correct", "noodles", "300", "--against", "writeoff", "--reason", "leak", "--key", "c", code=1
    )
    assert waiting["code"] == "approval.correction"
    assert [entry["key"] for entry in told(park, "account", "approvals")] == ["c"]
    assert "login.wrong" in told(park, "account", "approve", "c", "--as", "bob", code=1, text="wrong\n")
    agreed = told(park, "account", "approve", "c", "--as", "bob", text="correct horse\n")
    assert (agreed["approved_by"], agreed["entries"][0]) == ("bob", ["wallet:noodles", 300 * 10**9])

    park.stop()
    park.start(speed=60)
    wait_for(
        lambda: told(park, "account", "show", "noodles")["balance_nano"] < 454 * 10**9, 60, "the room does not pay"
    )
    assert told(park, "account", "topup", "noodles", "5", "--key", "after")["balance_nano"] < 460 * 10**9
    assert {row["account"]: row["state"] for row in told(park, "tenant", "list")}["noodles"] == "open"
    assert park.audit()[0] == 0, park.audit()[1]
    replay = subprocess.run(park.command("replay", "--all"), capture_output=True, text=True, check=False)
    assert replay.returncode == 0, replay.stdout + replay.stderr
