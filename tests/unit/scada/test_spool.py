"""The spool: whole batches or none, oldest first, within its bound, damage set aside."""

import resource
import signal
from pathlib import Path

import pytest

from scada.spool import HEAD, Spool


def bodies(spool: Spool) -> list[bytes]:
    return [body for _, body in spool.oldest(1000)]


def test_order_survives_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for n in range(5):
        spool.put(b"%d" % n, 1)
    (number, _), *_ = spool.oldest(1)
    spool.remove(number)
    again = Spool(tmp_path)
    again.put(b"5", 1)
    assert bodies(again) == [b"1", b"2", b"3", b"4", b"5"]
    assert again.size_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.batch"))


def test_numbers_do_not_start_again_below_what_is_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(b"a", 1)
    spool.put(b"b", 1)
    spool.remove(1)
    again = Spool(tmp_path)
    again.put(b"c", 1)
    assert bodies(again) == [b"b", b"c"]


def test_bound_gives_up_the_oldest_and_counts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=3 * (HEAD.size + 10))
    for n in range(5):
        spool.put(b"%010d" % n, 1)
    assert bodies(spool) == [b"%010d" % n for n in (2, 3, 4)]
    assert spool.given_up == 2
    assert (len(spool), spool.rows) == (3, 3)


def test_a_torn_write_aside_is_removed(tmp_path: Path) -> None:
    (tmp_path / "000000000000007.new").write_bytes(b"half")
    spool = Spool(tmp_path)
    assert len(spool) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["cut", "grow", "zero", "empty", "missing"])
def test_a_damaged_batch_is_set_aside_and_the_rest_goes_on(tmp_path: Path, change: str) -> None:
    spool = Spool(tmp_path)
    for n in range(3):
        spool.put(b"batch %d" % n, 1)
    path = tmp_path / "000000000000002-1.batch"
    data = path.read_bytes()
    changed = {"cut": data[:-1], "grow": data + b"x", "zero": b"\0" * len(data), "empty": b""}
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[change])
    assert bodies(spool) == [b"batch 0", b"batch 2"]
    assert spool.damaged == 1
    assert len(spool) == 2


def test_every_single_bit_is_guarded(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(b"money is not in here", 1)
    path = tmp_path / "000000000000001-1.batch"
    good = path.read_bytes()
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        assert bodies(Spool(tmp_path)) == []


def test_a_full_disk_raises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(b"first", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError):
            spool.put(b"x" * 5000, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000000001-1.batch"]
    spool.put(b"second", 1)
    assert bodies(spool) == [b"first", b"second"]


def test_oldest_takes_what_fits_and_at_least_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for rows in (50, 60, 5):
        spool.put(b"%d" % rows, rows)
    assert [body for _, body in Spool(tmp_path).oldest(10)] == [b"50"]
    assert [body for _, body in spool.oldest(110)] == [b"50", b"60"]
    assert Spool(tmp_path).rows == 115
