"""Wattkeeper's command line and composition root: the one place that constructs rooms and wires them together.

    python run.py                       everything, on the demonstration park, with an embedded data base
    python run.py core|opcua|hmi|field  one room alone
    python run.py check|audit|inject|user|migrate ...

Rule: every room is imported only when it runs, so that each process carries its own libraries and no other's.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scada.errors import ConfigurationError, WattkeeperError
from scada.paths import DataDirectory
from scada.terminal import end_quietly, show_what_it_has

if TYPE_CHECKING:
    from billing_core.credit import CreditControl
    from config.plant import Plant
    from scada.core import Core
    from scada.operations import Operation
    from scada.room import Room

HERE: Final = Path(__file__).resolve().parent
DEMO: Final = HERE / "config" / "demo"
DATABASE_START_S: Final = 30.0  # recovery after a crash is bounded by checkpoint_timeout; the first start takes 1 s
START_S: Final = 90.0
EXIT_CONFIGURATION: Final = 2
EXIT_INTERRUPTED: Final = 130  # as shells say: ended by SIGINT
ROOMS: Final = ("field", "core", "opcua", "hmi")
SIMULATED_PORTS: Final = ("modbus-tcp", "tcp")  # gateways that the simulated field listens for


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command understands; what is not given keeps the value of DEFAULTS."""
    group = parser.add_argument_group("options of every command", argument_default=argparse.SUPPRESS)
    group.add_argument("--config", type=Path, metavar="DIR", help="configuration folder (default: config/demo)")
    group.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: ./data)")
    group.add_argument("--http-port", type=int, metavar="PORT", help="port of the HMI (default: 8080)")
    group.add_argument("--opcua-port", type=int, metavar="PORT", help="port of the OPC UA server (default: 4840)")
    group.add_argument(
        "--database-url", metavar="URL", help="PostgreSQL or TimescaleDB of the site (default: embedded in --data)"
    )
    group.add_argument(
        "--demo-speed", type=int, metavar="N", help="let the plant clock of field and core run N times faster"
    )
    group.add_argument("--supervised", type=int, metavar="PID", help=argparse.SUPPRESS)  # by this supervisor


DEFAULTS: Final[dict[str, Any]] = {
    "config": DEMO,
    "data": Path("data"),
    "http_port": 8080,
    "opcua_port": 4840,
    "database_url": os.environ.get("WATTKEEPER_DATABASE_URL", ""),
    "demo_speed": 1,
    "supervised": 0,
}


def parser() -> argparse.ArgumentParser:
    """Return the whole command line; each package brings its own commands."""
    import billing_core.account_commands
    import billing_core.commands
    import billing_core.credit_commands
    import billing_core.replay_commands
    import billing_core.settle_commands
    import billing_core.shadow_commands
    import billing_core.tenant_commands
    import config.commands
    import config.field_ports
    import config.tariff_commands
    import drivers.commands
    import drivers.tools.commands
    import hmi.commands

    top = argparse.ArgumentParser(
        prog="run.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Wattkeeper: real-time supervision and prepaid billing of a park's utilities.\n\n"
        "Without a command it starts every room on the demonstration park: simulated field, core,\n"
        "OPC UA server and HMI, with an embedded PostgreSQL. Ctrl-C ends all of it.",
    )
    top.set_defaults(run=supervise)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for name, main, text in (
        ("core", core_room, "run the core alone: drivers, scan, billing, alarms, commands, records"),
        ("opcua", opcua_room, "run the OPC UA server alone"),
        ("hmi", hmi_room, "run the web HMI alone"),
        ("field", field_room, "run the simulated field alone"),
    ):
        room = commands.add_parser(name, help=text, description=text)
        room.set_defaults(run=lambda args, name=name, main=main: one_room(args, name, main))
    for name, command, text in (
        ("database", database_room, "run the embedded PostgreSQL alone"),
        ("migrate", migrate_database, "bring the data base's schema up to date"),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(run=command)
    config.commands.add_commands(commands)
    tariff = config.tariff_commands.add_commands(commands)
    billing_core.shadow_commands.add_shadow(tariff, database_url, config.tariff_commands.plans_of_file)
    drivers.commands.add_commands(commands)
    meter = billing_core.commands.add_commands(commands, database_url)
    drivers.tools.commands.add_commands(meter, commands, config.field_ports.ports())
    ports = billing_core.account_commands.Ports(database_url, hmi.commands.prover(database_url))
    billing_core.account_commands.add_commands(commands, ports)
    billing_core.tenant_commands.add_commands(commands, ports, config.commands.points_of_room)
    billing_core.credit_commands.add_commands(commands, lambda args: DataDirectory(args.data).core_socket, database_url)
    billing_core.replay_commands.add_commands(commands, database_url, config.commands.register_tags)
    billing_core.settle_commands.add_commands(commands, lambda args: DataDirectory(args.data).core_socket, database_url)
    hmi.commands.add_commands(commands, database_url)
    for parser in _with_subparsers(top):
        add_options(parser)
    return top


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line. Words of a command may stand among its options, which argparse alone does not allow."""
    top = parser()
    args, left = top.parse_known_args(arguments, argparse.Namespace(**DEFAULTS))
    if left and (any(word.startswith("-") for word in left) or not getattr(args, "many_words", False)):
        top.error(f"unrecognized arguments: {' '.join(left)}")
    if left:
        args.words += left
    return args


def _with_subparsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for choice in action.choices.values():
            yield from _with_subparsers(choice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    show_what_it_has()
    try:
        code = _main(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is understood
        return code
    except BrokenPipeError as broken:
        return end_quietly(broken)
    except KeyboardInterrupt:  # before there is an event loop that takes Ctrl-C
        return EXIT_INTERRUPTED


def _main(arguments: Sequence[str] | None) -> int:
    args = parsed(arguments)
    if not 1 <= args.demo_speed <= 86_400:
        print("--demo-speed: 1 to 86400 (a day in a second)", file=sys.stderr)
        return EXIT_CONFIGURATION
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        with contextlib.ExitStack() as stack:
            args.stack = stack
            return run(args)
    except ConfigurationError as refused:
        print(refused, file=sys.stderr)
        print(f"{args.config}: {len(refused.faults)} faults; nothing was started", file=sys.stderr)
        return EXIT_CONFIGURATION
    except WattkeeperError as failure:
        print(f"wattkeeper: {failure}", file=sys.stderr)
        return 1


# --- the data base ---------------------------------------------------------------------------------------------------


def database_url(args: argparse.Namespace) -> str:
    """Return the connection string; for a short command, start the embedded server when it is not running."""
    from scada import embedded_postgres

    if args.database_url:
        return str(args.database_url)
    data = DataDirectory(args.data)
    server_dsn = embedded_postgres.dsn(data.sockets, "postgres")
    if not (data.pg / "PG_VERSION").exists():
        raise WattkeeperError(f"{data.pg} holds no data base yet; start Wattkeeper once, or name --data")
    if not embedded_postgres.servers_on(data.pg) and data.try_hold():  # held: whoever holds it is starting the server
        args.stack.callback(data.release)
        words = [sys.executable, __file__, "database", "--data", str(data.root), "--supervised", str(os.getpid())]
        args.stack.callback(_end_server, subprocess.Popen(words))
    embedded_postgres.wait_ready(server_dsn, DATABASE_START_S)
    return embedded_postgres.dsn(data.sockets)


def _end_server(server: "subprocess.Popen[bytes]") -> None:
    import signal

    server.send_signal(signal.SIGINT)
    server.wait()


def database_room(args: argparse.Namespace) -> int:
    """Become the embedded PostgreSQL server."""
    from scada import embedded_postgres, room

    data = DataDirectory(args.data)
    if args.supervised:
        room.leave_terminal(args.supervised)
    embedded_postgres.initialise(data.pg)
    embedded_postgres.exec_server(data.pg, data.sockets, args.supervised)
    return 1  # exec does not return


def migrate_database(args: argparse.Namespace) -> int:
    """Bring the schema up to date; print the version it has now."""
    from scada import database, embedded_postgres, room

    if args.supervised:
        room.leave_terminal(args.supervised)
    dsn = database_url(args)
    if not args.database_url:
        embedded_postgres.create_database(DataDirectory(args.data).sockets)
    database.migrate(dsn)
    print(f"schema {database.schema_version(dsn)}")
    return 0


# --- everything together ---------------------------------------------------------------------------------------------


def supervise(args: argparse.Namespace) -> int:
    """Start every room, restart what dies, end all of it on SIGINT or SIGTERM."""
    import signal

    from twisted.internet import reactor
    from twisted.internet.defer import ensureDeferred

    from billing_core.reader import check_past
    from scada import embedded_postgres
    from scada.room import configure_log
    from scada.supervision import Supervisor, taken

    plant = _plant(args)
    data = DataDirectory(args.data)
    data.hold()
    configure_log("run", data)
    occupied = taken(_endpoints(plant, args))
    if occupied:
        raise WattkeeperError("; ".join(occupied))
    args.stack.callback(lambda: data.clock.unlink(missing_ok=True))
    embedded = not args.database_url
    dsn = args.database_url or embedded_postgres.dsn(data.sockets)

    def ready() -> None:
        if embedded:
            maintenance = embedded_postgres.dsn(data.sockets, embedded_postgres.MAINTENANCE_DATABASE)
            embedded_postgres.wait_ready(maintenance, DATABASE_START_S, supervisor.ending)
        supervisor.attend(_command(args, "migrate"), "the data base's schema could not be brought up to date")
        check_past(dsn, plant.plans)  # no waiting: when the server is gone by now, everything ends
        _start_clock(args, data, dsn)

    supervisor = Supervisor(
        reactor,
        _command(args, "database") if embedded else (),
        ready,
        {name: _command(args, name) for name in ROOMS if name != "field" or plant.field.loads},
        lambda: _announce(reactor, args, time.monotonic()),
    )

    def end(*_: object) -> None:
        reactor.callFromThread(supervisor.stop)

    reactor.callWhenRunning(lambda: [signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)])
    reactor.callWhenRunning(lambda: ensureDeferred(supervisor.run()))
    reactor.run()
    return supervisor.exit_code


def _command(args: argparse.Namespace, room: str) -> list[str]:
    command = [sys.executable, str(HERE / "run.py"), room, "--supervised", str(os.getpid())]
    command += ["--config", str(args.config), "--data", str(args.data)]
    command += ["--http-port", str(args.http_port), "--opcua-port", str(args.opcua_port)]
    if args.database_url:
        command += ["--database-url", args.database_url]
    return command


def _endpoints(plant: "Plant", args: argparse.Namespace) -> list[Any]:
    from scada.supervision import Endpoint

    ports = [
        Endpoint(plant.hmi.host, args.http_port, "HMI"),
        Endpoint(plant.opcua.host, args.opcua_port, "OPC UA server"),
    ]
    if plant.field.loads:
        ports.append(Endpoint("127.0.0.1", plant.field.control_port, "control port of the simulated field"))
        ports += [Endpoint(g.host, g.port, f"gateway {g.id}") for g in plant.gateways if g.transport in SIMULATED_PORTS]
    doors = {(g.host, g.port) for g in plant.gateways if g.transport == "dial-in"}
    return ports + [Endpoint(host, port, "meters that dial in") for host, port in sorted(doors)]


def _start_clock(args: argparse.Namespace, data: DataDirectory, dsn: str) -> None:
    """Write the plant clock: never behind the last scan, nor behind the books, which bill no earlier reading."""
    from loguru import logger

    from billing_core.reader import plant_time_ns
    from scada.clock import NS_PER_S, write_clock
    from scada.image import last_scan_utc_ns

    last_ns = max(last_scan_utc_ns(data.image), plant_time_ns(dsn))
    write_clock(data.clock, args.demo_speed, last_ns)
    ahead_s = (last_ns - time.time_ns()) // NS_PER_S
    if ahead_s > 0:
        logger.warning("plant time goes on {} s ahead of the clock, where an earlier, faster start left it", ahead_s)


def _announce(reactor: Any, args: argparse.Namespace, begun: float) -> None:
    """Print where to go as soon as the HMI listens, and the core, whose very first start takes longer."""
    from scada.supervision import answer

    if not answer(args.http_port, DataDirectory(args.data).core_socket):
        if time.monotonic() - begun < START_S:
            reactor.callLater(0.1, _announce, reactor, args, begun)
        return
    print(
        f"\nWattkeeper is running.  HMI http://127.0.0.1:{args.http_port}   "
        f"OPC UA opc.tcp://127.0.0.1:{args.opcua_port}/wattkeeper   (Ctrl-C ends it)\n",
        flush=True,
    )


# --- the rooms -------------------------------------------------------------------------------------------------------


def _plant(args: argparse.Namespace) -> "Plant":
    from config.plant import load

    return load(args.config)


def one_room(args: argparse.Namespace, name: str, room_main: Callable[["Room", argparse.Namespace], Any]) -> int:
    """Run one room in this process."""
    from scada import embedded_postgres
    from scada.clock import read_clock
    from scada.room import run_room

    data = DataDirectory(args.data)
    dsn = args.database_url or embedded_postgres.dsn(data.sockets)
    return run_room(name, data, read_clock(data.clock), dsn, lambda room: room_main(room, args), args.supervised)


async def opcua_room(room: "Room", args: argparse.Namespace) -> None:
    from opcua_server.room import run_opcua

    plant = _plant(args)
    await run_opcua(room, plant, args.opcua_port, plant.opcua.host)


async def hmi_room(room: "Room", args: argparse.Namespace) -> None:
    from hmi.room import run_hmi

    plant = _plant(args)
    await run_hmi(room, plant, args.http_port, plant.hmi.host)


async def field_room(room: "Room", args: argparse.Namespace) -> None:
    from config.simulation import simulated_meters
    from drivers.field.room import run_field

    plant = _plant(args)
    meters = simulated_meters(plant)
    await run_field(room, plant.gateways, meters, plant.field.control_port, plant.site.timezone)


async def core_room(room: "Room", args: argparse.Namespace) -> None:
    from billing_core.expiry import expire_subsidies
    from drivers import clock_sync, field_operations
    from scada import link
    from scada.operations import OperationDesk
    from scada.requests import Requests

    plant = _plant(args)
    core, operations = build_core(room, plant)
    field = (core.ports.field, plant.gateways, plant.devices, room.clock)
    of_field = field_operations.operations(*field, room.data.run)
    of_field += clock_sync.operations(*field, plant.site.timezone, room.data.root / "clock-sync.jsonl")
    desk = OperationDesk([*operations, *of_field])
    core.also.append(lambda: expire_subsidies(desk.perform, lambda: core.books_open))
    requests = Requests(core, room.clock, desk)
    listening = link.serve(room.reactor, room.data.core_socket, requests.handlers())
    try:
        await core.run()
    finally:
        await link.stop_serving(listening)


def build_core(room: "Room", plant: "Plant") -> "tuple[Core, list[Operation]]":
    """Wire the core: who fills which port, which rows carry what it computes, and what it can be asked for."""
    import alarms.store
    from alarms.engine import AlarmEngine
    from billing_core.credit_operations import CreditActs
    from billing_core.credit_stops import known_stops
    from billing_core.credit_store import CreditStore
    from config import computed, counter, monthend
    from drivers.bus import FieldBus
    from scada import control_store
    from scada.clock import NS_PER_S
    from scada.control import ControlDesk
    from scada.core import Core, Ports
    from scada.database import Database
    from scada.historian import Historian
    from scada.image import Columns, ImageWriter
    from scada.journal import Journal
    from scada.stage import Stage

    clock, data = room.clock, room.data
    work = Columns.private(plant.layout)
    image = ImageWriter(data.image, plant.layout, clock.speed)
    stage = Stage(plant.layout, plant.tags.mask("field"), plant.scan_period_s, clock.speed)
    journal = Journal(data.spool / "journal")
    history = Database(room.database_url, "history")
    field = FieldBus(room.reactor, clock, plant.gateways, plant.devices, stage, run=data.run, zone=plant.site.timezone)
    billing = counter.engine(plant)
    residents = counter.residents(plant)
    books = counter.ledger_store(plant, Database(room.database_url, "ledger"), data.root, clock, residents)
    alarm_engine = AlarmEngine(plant.alarms, journal)
    desk = ControlDesk(plant.breakers, work, clock, journal, field.actuate, newest=stage.newest)
    credit = _credit_control(plant, clock.speed)
    credit_store = CreditStore(books.database)
    counter.follow(residents, credit, clock)

    async def drain() -> None:
        await journal.drain(history, {"alarm": alarms.store.sink, "command": control_store.sink})

    async def open_books() -> None:
        await counter.open_billing(plant, billing, books, residents)
        await drain()
        async with history.transaction() as cursor:
            alarm_engine.restore(await alarms.store.load(cursor))
            known = await control_store.load(cursor)
        desk.restore(known.open, known.commanded, known.settled)
        carried = residents.account_of_breaker()
        stops = known_stops(await books.open_stops(), await books.ended_stops(), known.last, carried)
        now_s = clock.utc_ns() // NS_PER_S
        credit.restore(stops, now_s, await credit_store.load(now_s))

    async def keep_stops() -> None:
        records = credit.records()
        if records:
            await books.record_stops(records)
            credit.recorded(len(records))
        await credit_store.keep(credit, lambda: clock.utc_ns() // NS_PER_S)

    ports = Ports(
        field, billing, books, alarm_engine, credit,
        Historian(
            plant.tags, plant.layout, data.spool / "history", plant.history.heartbeat_s, plant.history.retention_days
        ),
        desk, history, open_books, keep_stops, drain,
    )  # fmt: skip
    accounts = [account.id for account in plant.accounts]
    derived = computed.derived_tags(plant, work)
    core = Core(room, ports, work, stage, derived, image, accounts, plant.scan_period_s, plant.checkpoint_s)
    acts = CreditActs(credit, credit_store, work, clock, plant.site.timezone)
    month_end = monthend.month_end(plant, room.database_url, core, billing, books, residents.rows, clock)
    asked = counter.operations(plant, clock, billing, books, residents, core.change, core.quietly, desk, month_end)
    return core, [*asked, *acts.operations(), *monthend.operations(plant, month_end)]


def _credit_control(plant: "Plant", speed: int) -> "CreditControl":
    """Return credit control over the configured accounts, with room for those that are opened later."""
    from billing_core.credit import CreditControl
    from config.computed import load_kw_of

    rows = plant.layout.counts["accounts"]
    return CreditControl(
        plant.accounts, plant.points, plant.breakers, plant.credit, plant.site.timezone, load_kw_of(plant), speed, rows
    )


if __name__ == "__main__":
    sys.exit(main())
