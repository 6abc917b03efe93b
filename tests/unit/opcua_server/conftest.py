"""Keys that are slow to make, made once."""

import datetime
from pathlib import Path

import pytest

from opcua_server import certificate


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small server key made once, as a first start would have kept it."""
    folder = tmp_path_factory.mktemp("pki")
    now = datetime.datetime.now(datetime.UTC)
    certificate.load_or_make(folder, "urn:wattkeeper:park", ["localhost", "127.0.0.1"], now, key_bits=2048)
    return folder


@pytest.fixture(scope="session")
def client_identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key files of a client."""
    folder = tmp_path_factory.mktemp("client")
    now = datetime.datetime.now(datetime.UTC)
    certificate.load_or_make(folder, "urn:example:client", ["localhost"], now, key_bits=2048)
    return folder / certificate.CERTIFICATE_FILE, folder / certificate.KEY_FILE
