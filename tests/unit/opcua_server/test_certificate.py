"""The certificate is made once, kept, and made anew only when it no longer serves."""

import datetime
import stat
from pathlib import Path

from cryptography import x509

from opcua_server.certificate import CERTIFICATE_FILE, KEY_FILE, VALID_DAYS, load_or_make

URI = "urn:wattkeeper:park"
NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
BITS = 2048


def test_a_certificate_is_kept_over_restarts_and_its_key_is_private(tmp_path: Path) -> None:
    first = load_or_make(tmp_path, URI, ["plant.example", "192.0.2.1"], NOW, BITS)
    again = load_or_make(tmp_path, URI, ["plant.example"], NOW + datetime.timedelta(days=VALID_DAYS - 1), BITS)
    assert again.certificate == first.certificate
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    names = first.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [URI]
    assert names.get_values_for_type(x509.DNSName) == ["plant.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]


def test_a_certificate_that_no_longer_serves_is_replaced(tmp_path: Path) -> None:
    first = load_or_make(tmp_path, URI, [], NOW, BITS)
    later = NOW + datetime.timedelta(days=VALID_DAYS + 1)
    second = load_or_make(tmp_path, URI, [], later, BITS)
    assert second.certificate != first.certificate
    third = load_or_make(tmp_path, "urn:wattkeeper:other", [], later, BITS)
    assert third.certificate != second.certificate
    (tmp_path / CERTIFICATE_FILE).write_bytes(b"torn")
    assert load_or_make(tmp_path, "urn:wattkeeper:other", [], later, BITS).certificate != third.certificate


def test_a_key_that_does_not_match_is_not_used(tmp_path: Path) -> None:
    load_or_make(tmp_path / ".", URI, [], NOW, BITS)
    other = tmp_path / "other"
    other.mkdir()
    load_or_make(other, URI, [], NOW, BITS)
    (other / KEY_FILE).replace(tmp_path / KEY_FILE)
    made = load_or_make(tmp_path, URI, [], NOW, BITS)
    assert made.certificate.public_key() == made.key.public_key()
