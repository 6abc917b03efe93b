"""What a person does on a running park, in the system's Chromium, and what the image and the books say afterwards."""

import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from alarms.lifecycle import STATES as ALARM_STATES
from hmi import queries
from scada import embedded_postgres, quality
from scada.position import CLOSED, OPEN
from tests.browser.pages import STALE_MS, Hmi, browser
from tests.plant.amp_client import AmpError
from tests.plant.park import WHO, Park, wait_for
from tests.transactions import in_transaction

pytestmark = [pytest.mark.plant, pytest.mark.browser, pytest.mark.timeout(240)]

PASSWORD = re.compile(r"password / \S+\s+(\S+)")
NEW_PASSWORD = "seven green turbines"
SPEED = 60
TENANT, METER = "t-s02", "e-a102"
PAYER = "t-s03"
FEEDER = "q-f13"  # public lighting
VALVE, GAS = "w-b501", "g-bw104"
NEVER_OPENED = "燃气不得远程开阀:须由人员到现场查漏后就地打开。"
OF_A_BREAKER = re.compile("断路器|分闸|合闸|送电|停电|为分")
WARNED = "t-s01"  # nearly without credit from the beginning
COMMENT = "已电话通知租户"
BROKE = ("t-s05", "t-o02", "t-o05", "t-o06", "t-o08", "t-o09")  # more than a tenth of all tenants, at once
HOLLOW, FILLED = "rgb(255, 255, 255)", "rgb(48, 48, 48)"
NANO_PER_MINOR = 10_000_000
MARKS = "(items) => items.map((item) => getComputedStyle(item, '::before').content)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Park]:
    """One park for the file: its tests ask for different tenants and leave breakers as they found them."""
    made = Park(tmp_path_factory.mktemp("browser"), openings=dict.fromkeys(BROKE, "0"))
    try:
        yield made.start(speed=SPEED)
        made.stop()
        assert not made.pids(), "processes left behind"
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def one_time(park: Park, chromium: Browser) -> str:
    """The printed password, after the first login has replaced it by NEW_PASSWORD."""
    found = wait_for(lambda: PASSWORD.search(park.log.read_text(encoding="utf-8")), 30, "the one-time password")
    tab = Hmi(chromium, address(park))
    tab.log_in("admin", found[1])
    expect(tab.page).to_have_url(re.compile("/password$"))
    tab.choose_password(NEW_PASSWORD)
    expect(tab.page.locator("h1")).to_have_text("总览")
    tab.close()
    return found[1]


@pytest.fixture
def hmi(park: Park, chromium: Browser, one_time: str) -> Iterator[Hmi]:
    """A tab with the administrator logged in."""
    tab = Hmi(chromium, address(park))
    tab.log_in("admin", NEW_PASSWORD)
    expect(tab.page.locator("h1")).to_have_text("总览")
    yield tab
    tab.close()
    assert not tab.errors


def address(park: Park) -> str:
    return f"http://127.0.0.1:{park.http_port}"


def position(park: Park, breaker: str) -> float:
    found = park.tag("M", breaker, "Position")
    return found[0] if found and quality.is_good(found[1]) else -1.0


def purse_nano(park: Park, account: str) -> int:
    """Return what an account has and what it was charged, from one snapshot: only payments change the sum."""
    snapshot = park.snapshot()
    assert snapshot is not None
    row = [each.id for each in park.plant.accounts].index(account)
    points = [k for k, point in enumerate(park.plant.points) if point.account == row]
    charged = int(snapshot.columns.points.charged_nano[points].sum())
    return int(snapshot.columns.accounts.balance_nano[row]) + charged


def ask(park: Park, question: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run one of the pages' queries; in a thread, because Playwright's loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_transaction, embedded_postgres.dsn(park.data.sockets), "read", question).result()


def test_the_printed_password_works_once(hmi: Hmi, one_time: str) -> None:
    hmi.log_out()
    hmi.log_in("admin", one_time)
    assert hmi.refusal() == "用户名或密码错误。"


def test_the_diagram_shows_the_image(hmi: Hmi, park: Park) -> None:
    hmi.open("/diagram")
    hmi.wait_live()
    network = park.plant.networks[0]
    breakers = [edge.device for edge in network.edges if edge.device]
    rows = {
        str(park.plant.row("M", device, measure)): decimals
        for device in breakers
        for measure, decimals in (("ActivePowerTotal", 1), ("CurrentL1", 1))
        if device != "q-tie"  # the coupler shows its position only
    }

    def equal() -> bool:
        before, shown, after = park.snapshot(), hmi.shown(), park.snapshot()
        assert before is not None
        assert after is not None
        expected = {row: f"{before.columns.tags.value[int(row)]:,.{digits}f}" for row, digits in rows.items()}
        return before.scan == after.scan and {row: shown[row].replace("-0.0", "0.0") for row in rows} == expected

    wait_for(equal, 30, "a scan on the screen")
    for device in breakers:
        fill = HOLLOW if position(park, device) == OPEN else FILLED
        expect(hmi.symbol(device)).to_have_css("fill", fill)
    words = {hmi.shown()[str(park.plant.row("M", device, "Position"))] for device in breakers}
    assert words == {"合", "分"}
    assert hmi.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_an_alarm_is_acknowledged_with_a_comment(hmi: Hmi, park: Park) -> None:
    alarm = next(each.id for each in park.plant.alarms if each.source == WARNED and each.priority == 4)
    wait_for(lambda: ALARM_STATES[park.alarm_state(alarm)] == "unacknowledged", 30, "the low balance")
    hmi.acknowledge(alarm, COMMENT)
    assert ALARM_STATES[park.alarm_state(alarm)] == "acknowledged"
    line = "SELECT user_name, comment FROM alarm_journal WHERE alarm = %s AND event = 'acknowledged'"
    assert wait_for(lambda: park.sql(line, alarm), 15, "the journal's row") == [("admin", COMMENT)]
    expect(hmi.journal()).to_contain_text(COMMENT, timeout=15_000)


def test_a_tenant_is_switched_off_and_on(hmi: Hmi, park: Park) -> None:
    hmi.select(METER, "open")
    expect(hmi.conditions("open").first).to_have_text("设备通信正常")
    assert all("✓" in text for text in hmi.conditions("open").evaluate_all(MARKS))
    hmi.operate("", "")
    expect(hmi.page.locator(".wk-dialog .wk-error")).to_have_text("请填写原因。")
    hmi.operate("欠费停电", "zzzz")
    expect(hmi.page.locator(".wk-dialog .wk-error")).to_have_text("输入的字符与表计不符。")
    assert position(park, METER) == CLOSED  # a dialog moves nothing
    hmi.operate("欠费停电", METER[-4:])
    assert hmi.command_end() == "verified"
    expect(hmi.page.locator(".wk-progress")).to_have_text("已回读核实")
    wait_for(lambda: position(park, METER) == OPEN, 3, "the scan that shows it")
    assert park.tag("M", METER, "CurrentL1") == (0.0, 0)
    line = "SELECT state, reason, user_name FROM command_journal WHERE breaker = %s ORDER BY sequence"
    wait_for(lambda: ("verified", "欠费停电", "admin") in park.sql(line, METER), 15, "the journal's row")
    expect(hmi.conditions("open").filter(has_text="尚未处于目标位置")).to_have_class("wk-no", timeout=10_000)
    assert hmi.switch(METER, "closed", "已缴费") == "verified"
    wait_for(lambda: position(park, METER) == CLOSED, 3, "the scan that shows it")


def test_a_valve_is_opened_and_shut_not_switched(hmi: Hmi, park: Park) -> None:
    hmi.open(f"/meter/{VALVE}")
    hmi.wait_live()
    expect(hmi.conditions("open").filter(has_text="阀门为开或关")).to_have_class("wk-ok", timeout=20_000)
    assert wait_for(lambda: position(park, VALVE) == CLOSED, 30, "the valve's position")
    assert hmi.shown()[str(park.plant.row("M", VALVE, "Position"))] == "已开"
    said = hmi.switch_panel().inner_text()
    assert "关阀…" in said
    assert "开阀…" in said
    assert not OF_A_BREAKER.search(said), said


def test_gas_is_shut_from_here_and_never_opened(hmi: Hmi, park: Park) -> None:
    assert hmi.switch(GAS, "open", "泄漏报警") == "verified"
    wait_for(lambda: position(park, GAS) == OPEN, 3, "the scan that shows it")
    expect(hmi.page.locator(".wk-on-the-spot")).to_have_text(NEVER_OPENED)
    assert hmi.offered() == ["open"]
    with pytest.raises(AmpError, match=r"interlock\.gas"):  # and whoever asks past the page is refused
        park.ask("SelectBreaker", breaker=GAS, position="closed", **WHO)
    assert position(park, GAS) == OPEN  # it stays shut: nobody opens it from here


@pytest.mark.parametrize("width", [1024, 1440, 1920])
def test_pages_fit_the_window(hmi: Hmi, width: int) -> None:
    hmi.page.set_viewport_size({"width": width, "height": 900})
    for _ in range(2):  # in both languages
        for path in ("/", "/diagram", "/meters", "/lines", "/line/gw-a1", "/line/gw-b5", f"/meter/{VALVE}"):
            hmi.open(path)
            hmi.wait_live()
            assert hmi.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
            assert hmi.log_out_right() <= width, path
        hmi.switch_language()


def test_an_open_feeder_is_hollow_on_the_diagram(hmi: Hmi, park: Park) -> None:
    assert hmi.switch(FEEDER, "open", "检修") == "verified"
    wait_for(lambda: position(park, FEEDER) == OPEN, 3, "the scan that shows it")
    hmi.open("/diagram")
    expect(hmi.symbol(FEEDER)).to_have_css("fill", HOLLOW)
    assert hmi.switch(FEEDER, "closed", "检修完毕") == "verified"
    hmi.open("/diagram")
    expect(hmi.symbol(FEEDER)).to_have_css("fill", FILLED)


def test_a_payment_is_booked_once_and_has_a_receipt(hmi: Hmi, park: Park) -> None:
    purse = purse_nano(park, PAYER)
    receipt = hmi.top_up(PAYER, "88.80")
    assert "88.80 CNY" in receipt
    assert "悦读书屋" in receipt
    number = re.search(r"收据号\s+(\S+)", receipt)
    assert number is not None
    paid = 8_880 * NANO_PER_MINOR
    wait_for(lambda: purse_nano(park, PAYER) == purse + paid, 10, "the balance to rise by the payment")
    entries = "SELECT nano, who FROM entry JOIN transfer USING (seq) WHERE account = %s AND kind = 'topup'"
    assert park.sql(entries, f"wallet:{PAYER}") == [(paid, "admin")]
    assert park.sql("SELECT amount_nano, channel FROM receipt WHERE number = %s", number[1]) == [(paid, "cash")]
    hmi.open(f"/account/{PAYER}")
    expect(hmi.page.locator("tr", has_text="充值").first).to_contain_text("88.80")
    expect(hmi.page.locator("tr", has_text="kWh").nth(1)).to_be_visible(timeout=20_000)  # what was charged, by the hour
    assert purse_nano(park, PAYER) == purse + paid


def test_charges_of_the_day_grow_on_the_overview(hmi: Hmi, park: Park) -> None:
    hmi.open("/")
    hmi.wait_live()

    def money() -> float:
        text = hmi.shown()["money/electricity"].replace(",", "")
        return 0.0 if text == "----" else float(text)

    first = wait_for(money, 30, "charges of today")
    wait_for(lambda: money() > first, 30, "charges to grow")
    booked = park.sql("SELECT sum(nano) FROM charge JOIN terms ON terms.id = terms WHERE medium = 'electricity'")[0][0]
    snapshot = park.snapshot()
    assert snapshot is not None
    rows = [row for row, point in enumerate(park.plant.points) if point.medium == "electricity"]
    live = int(snapshot.columns.points.charged_nano[rows].sum())
    assert booked <= live
    assert money() <= live / 1e9 + 0.01


def test_what_pages_read_of_the_books_is_what_the_books_say(park: Park) -> None:
    transfers = "SELECT plant_time FROM transfer WHERE kind = 'charge' ORDER BY seq DESC LIMIT 4"
    (*_, [instant]) = wait_for(lambda: len(found := park.sql(transfers)) == 4 and found, 30, "four checkpoints")
    booked = """
        SELECT t.point, sum(c.milli)::bigint, sum(c.nano)::bigint FROM charge c JOIN terms t ON t.id = c.terms
        JOIN transfer USING (seq) WHERE plant_time {} %s GROUP BY 1
    """
    before = ask(park, lambda cursor: queries.charged_before(cursor, instant))
    assert {point: pair for point, pair in before.items() if any(pair)} == {
        point: (milli, nano) for point, milli, nano in park.sql(booked.format("<"), instant)
    }
    assert park.sql(booked.format(">="), instant)  # there was something to leave out

    hours = ask(park, lambda cursor: queries.charges(cursor, TENANT, "Asia/Shanghai"))
    first = hours[-1].at  # what was charged from the oldest hour of the page on
    total = "SELECT sum(nano) FROM charge JOIN terms t ON t.id = terms WHERE account = %s AND segment_from >= %s"
    assert sum(line.nano for line in hours) <= park.sql(total, f"wallet:{TENANT}", first)[0][0]
    assert {line.meter for line in hours} <= {p.meter for p in park.plant.points}
    assert all(line.milli > 0 and line.at.minute == 0 for line in hours)
    entries = ask(park, lambda cursor: queries.entries(cursor, TENANT))
    assert [(line.kind, line.nano) for line in entries] == [("opening", 1_200 * 10**9)]


def test_held_stops_wait_for_a_person(hmi: Hmi, park: Park) -> None:
    breakers = [breaker for each in park.plant.accounts if each.id in BROKE for breaker in each.breakers]
    wait_for(lambda: (park.tag("X", "core", "CreditHeld") or (0, 0))[0] >= len(BROKE), 60, "the mass-trip guard")
    assert all(position(park, breaker) == CLOSED for breaker in breakers)
    hmi.open("/accounts")
    hmi.release_held_stops()
    wait_for(lambda: any(position(park, breaker) == OPEN for breaker in breakers), 60, "a switch-off")


def test_every_page_in_english_has_english_only(hmi: Hmi) -> None:
    hmi.switch_language()
    expect(hmi.page.locator("h1")).to_have_text("Overview")
    for path in (
        "/", "/diagram", "/meters", f"/meter/{METER}", "/meter/e-b501", f"/meter/{VALVE}", f"/meter/{GAS}",
        "/accounts", f"/account/{TENANT}", "/alarms",
        "/lines", "/line/gw-b5", "/line/gw-dtu", "/users",
    ):  # fmt: skip
        hmi.open(path)
        hmi.wait_live()
        text = hmi.page.inner_text("body").replace("中文", "").replace(COMMENT, "")  # what people wrote stays as it is
        assert not re.findall(r"[^\n]*[\u4e00-\u9fff][^\n]*", text)
        assert not re.findall(r"\b(?:NaN|None|undefined|null)\b", text)
    hmi.switch_language()
    expect(hmi.page.locator("h1")).to_have_text("用户")


def test_a_core_that_hangs_is_obvious_and_a_new_one_takes_over(hmi: Hmi, park: Park) -> None:
    hmi.open("/diagram")
    hmi.wait_live()
    hung = park.kill("core", signal.SIGSTOP)  # a killed one is back before any value is old enough to be marked
    expect(hmi.page.locator(".wk-stale-note")).to_be_visible(timeout=STALE_MS)
    assert hmi.is_stale()
    expect(hmi.page.locator(".wk-number").first).to_have_css("text-decoration-line", "line-through")
    park.kill("core")
    hmi.wait_live()
    assert not hmi.is_stale()
    assert park.pids()["core"] != hung
    wait_for(park.is_whole, 30, "the whole image")
    wait_for(lambda: park.tag("X", "core", "DatabaseConnected") == (1.0, 0), 30, "the books")


def test_the_logs_have_no_traceback(park: Park, hmi: Hmi) -> None:
    hmi.open("/")
    assert "Traceback" not in Path(park.log).read_text(encoding="utf-8")
