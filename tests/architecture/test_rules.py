"""Rules of the house that a parser can check: layers, deaf handlers, floats near money, size of files and functions."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("scada", "drivers", "billing_core", "alarms", "config", "opcua_server", "hmi")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
MONEY_FILES = ("money.py", "kernel.py", "reference.py", "ledger.py", "engine.py", "registers.py")


def sources() -> Iterator[tuple[str, ast.Module, str]]:
    for path in [ROOT / "run.py", *(file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))]:
        text = path.read_text(encoding="utf-8")
        yield str(path.relative_to(ROOT)), ast.parse(text), text


def test_imports_keep_to_the_layers() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_handler_is_deaf() -> None:
    """A handler that catches everything must do something with it."""
    deaf = [
        f"{name}:{node.lineno}"
        for name, tree, _ in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
    ]
    assert deaf == []


def test_every_modbus_write_passes_the_guard() -> None:
    """Only the guard makes writes: a counter that is written is erased."""
    makers = {"write_request", "read_write_request"}
    found = [
        f"{name}:{node.lineno}"
        for name, tree, _ in sources()
        if name not in ("drivers/modbus.py", "drivers/write_guard.py")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in makers)
        or (isinstance(node, ast.Attribute) and node.attr in makers)
        or (isinstance(node, ast.alias) and node.name in makers)
    ]
    assert found == []


def test_no_float_comes_near_money() -> None:
    """The files that compute money hold no float literal and no true division."""
    found = []
    for name, tree, _ in sources():
        if not name.startswith("billing_core/") or Path(name).name not in MONEY_FILES:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                found.append(f"{name}:{node.lineno} {node.value}")
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                found.append(f"{name}:{node.lineno} true division")
    assert found == []


@pytest.mark.parametrize("kind", ["file", "function"])
def test_rooms_stay_small(kind: str) -> None:
    large = []
    for name, tree, text in sources():
        if kind == "file" and text.count("\n") > FILE_LINES_MAX:
            large.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(tree):
            if kind == "function" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno
                if length > FUNCTION_LINES_MAX:
                    large.append(f"{name}:{node.lineno} {node.name}: {length} lines")
    assert large == []
