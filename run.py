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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scada.errors import ConfigurationError, WattkeeperError
from scada.paths import DataDirectory

if TYPE_CHECKING:
    from config.plant import Plant
    from scada.room import Room

HERE: Final = Path(__file__).resolve().parent
DEMO: Final = HERE / "config" / "demo"
DATABASE_START_S: Final = (
    30.0  # recovery after a crash is bounded by checkpoint_timeout; the first start takes about 1 s
)
HMI_START_S: Final = 30.0
EXIT_CONFIGURATION: Final = 2
ROOMS: Final = ("field", "core", "opcua", "hmi")


def options() -> argparse.ArgumentParser:
    """Return the options that every room understands."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("options of every room")
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
    group.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    return parser


DEFAULTS: Final[dict[str, Any]] = {
    "config": DEMO,
    "data": Path("data"),
    "http_port": 8080,
    "opcua_port": 4840,
    "database_url": os.environ.get("WATTKEEPER_DATABASE_URL", ""),
    "demo_speed": 1,
    "supervised": False,
}


def parser() -> argparse.ArgumentParser:
    """Return the whole command line; each package brings its own commands."""
    import billing_core.commands
    import config.commands
    import drivers.commands
    import hmi.commands

    common = options()
    top = argparse.ArgumentParser(
        prog="run.py",
        parents=[common],
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
        room = commands.add_parser(name, parents=[common], help=text, description=text)
        room.set_defaults(run=lambda args, name=name, main=main: one_room(args, name, main))
    database = commands.add_parser("database", parents=[common], help="run the embedded PostgreSQL alone")
    database.set_defaults(run=database_room)
    migrate = commands.add_parser("migrate", parents=[common], help="bring the data base's schema up to date")
    migrate.set_defaults(run=migrate_database)
    for package in (config, billing_core, drivers, hmi):
        package.commands.add_commands(commands, common, database_url)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    args = parser().parse_args(arguments, argparse.Namespace(**DEFAULTS))
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
    dsn = embedded_postgres.dsn(data.sockets)
    if not embedded_postgres.is_ready(dsn):
        if not (data.pg / "PG_VERSION").exists():
            raise WattkeeperError(f"{data.pg} holds no data base yet; start Wattkeeper once, or name --data")
        server = subprocess.Popen([sys.executable, __file__, "database", "--data", str(data.root), "--supervised"])
        args.stack.callback(_end_server, server)
        embedded_postgres.wait_ready(dsn, DATABASE_START_S)
    return dsn


def _end_server(server: "subprocess.Popen[bytes]") -> None:
    import signal

    server.send_signal(signal.SIGINT)
    server.wait()


def database_room(args: argparse.Namespace) -> int:
    """Become the embedded PostgreSQL server."""
    from scada import embedded_postgres

    data = DataDirectory(args.data)
    embedded_postgres.initialise(data.pg, data.sockets)
    embedded_postgres.exec_server(data.pg, data.sockets)
    return 1  # exec does not return


def migrate_database(args: argparse.Namespace) -> int:
    """Bring the schema up to date; print the version it has now."""
    from scada import database, embedded_postgres

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

    from scada import embedded_postgres
    from scada.clock import write_clock
    from scada.room import configure_log
    from scada.supervision import Supervisor, taken

    plant = _plant(args)
    data = DataDirectory(args.data)
    data.hold()
    configure_log("run", data)
    occupied = taken(_endpoints(plant, args))
    if occupied:
        raise WattkeeperError("; ".join(occupied))
    write_clock(data.clock, args.demo_speed, _last_plant_time(data))
    args.stack.callback(lambda: data.clock.unlink(missing_ok=True))
    embedded = not args.database_url
    dsn = embedded_postgres.dsn(data.sockets) if embedded else str(args.database_url)

    def ready() -> None:
        if embedded:
            embedded_postgres.wait_ready(dsn, DATABASE_START_S)
        migrated = subprocess.run(_command(args, "migrate"), check=False, capture_output=True, text=True)
        if migrated.returncode:
            raise WattkeeperError(f"the data base's schema could not be brought up to date: {migrated.stderr.strip()}")

    supervisor = Supervisor(
        reactor,
        _command(args, "database") if embedded else (),
        ready,
        {name: _command(args, name) for name in ROOMS if name != "field" or plant.field is not None},
        lambda: _announce(reactor, args, time.monotonic()),
    )

    def end(*_: object) -> None:
        reactor.callFromThread(lambda: ensureDeferred(supervisor.end()))

    reactor.callWhenRunning(lambda: [signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)])
    reactor.callWhenRunning(lambda: ensureDeferred(supervisor.run()))
    reactor.run()
    return supervisor.exit_code


def _command(args: argparse.Namespace, room: str) -> list[str]:
    command = [sys.executable, str(HERE / "run.py"), room, "--supervised"]
    command += ["--config", str(args.config), "--data", str(args.data)]
    command += ["--http-port", str(args.http_port), "--opcua-port", str(args.opcua_port)]
    if args.database_url:
        command += ["--database-url", args.database_url]
    return command


def _endpoints(plant: "Plant", args: argparse.Namespace) -> list[Any]:
    from scada.supervision import Endpoint

    ports = [
        Endpoint("127.0.0.1", args.http_port, "HMI"),
        Endpoint("127.0.0.1", args.opcua_port, "OPC UA server"),
    ]
    if plant.field is not None:
        ports.append(Endpoint("127.0.0.1", plant.field.control_port, "control port of the simulated field"))
        ports += [Endpoint(gateway.host, gateway.port, f"gateway {gateway.id}") for gateway in plant.gateways]
    return ports


def _last_plant_time(data: DataDirectory) -> int:
    """Return the plant time of the last scan of an earlier start, so that time never runs backwards."""
    from scada.image import last_scan_utc_ns

    return last_scan_utc_ns(data.image)


def _announce(reactor: Any, args: argparse.Namespace, begun: float) -> None:
    """Print where to go as soon as the HMI listens."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", args.http_port), timeout=0.2):
            pass
    except OSError:
        if time.monotonic() - begun < HMI_START_S:
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


async def core_room(room: "Room", args: argparse.Namespace) -> None:
    from scada_core import run_core

    await run_core(room, _plant(args))


async def opcua_room(room: "Room", args: argparse.Namespace) -> None:
    from opcua_server.room import run_opcua

    await run_opcua(room, _plant(args), args.opcua_port)


async def hmi_room(room: "Room", args: argparse.Namespace) -> None:
    from hmi.room import run_hmi

    await run_hmi(room, _plant(args), args.http_port)


async def field_room(room: "Room", args: argparse.Namespace) -> None:
    from drivers.field.room import run_field

    plant = _plant(args)
    await run_field(room, plant.gateways, plant.sim_meters(), plant.field.control_port)


if __name__ == "__main__":
    sys.exit(main())
