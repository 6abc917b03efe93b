"""Our DL/T 645 frames against those of the public `dlt645` package: each reads what the other makes."""

from dlt645.protocol.protocol import DLT645Protocol
from hypothesis import given
from hypothesis import strategies as st

from drivers import dlt645
from drivers.device import Secret
from drivers.dlt645_frame import CONTROLS, DATA_MAX, FrameScanner, encode_frame, open_frame

ADDRESSES = st.from_regex(r"\A[0-9]{12}\Z").filter(lambda text: text != "9" * 12)
DATA = st.binary(max_size=DATA_MAX)


@given(st.binary(min_size=6, max_size=6), st.sampled_from(sorted(CONTROLS)), DATA, st.integers(0, 4))
def test_both_make_the_same_frame(address: bytes, control: int, data: bytes, wake_bytes: int) -> None:
    theirs = bytes(DLT645Protocol.build_frame(address, control, data, wake_bytes))
    assert encode_frame(address, control, data, wake_bytes) == theirs
    (frame,) = FrameScanner().feed(theirs)
    assert isinstance(frame, bytes)
    assert open_frame(frame) == (address, control, data)


@given(ADDRESSES, st.integers(0, 0xFFFF_FFFF))
def test_it_reads_our_question(address: str, di: int) -> None:
    frame = DLT645Protocol.deserialize(dlt645.read(address, di).wire)
    assert frame is not None
    assert bytes(frame.addr)[::-1].hex() == address
    assert frame.ctrl_code == 0x11
    assert int.from_bytes(bytes(frame.data), "little") == di


@given(ADDRESSES, st.sampled_from(dlt645.CONTROLS))
def test_it_reads_our_command(address: str, n1: int) -> None:
    request = dlt645.control(address, n1, Secret("123456", "87654321"), bytes.fromhex("000012010130"), level=4)
    frame = DLT645Protocol.deserialize(request.wire)
    assert frame is not None
    assert bytes(frame.data).hex() == f"04563412214365 87{n1:02x}00000012010130".replace(" ", "")
