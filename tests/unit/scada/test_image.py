"""The process image: whole scans, one writer, and a reader that notices when nobody writes."""

import itertools
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from scada.errors import WattkeeperError
from scada.image import (
    ALIGNMENT,
    HEARTBEAT_LIMIT_NS,
    SECTIONS,
    Columns,
    ImageGone,
    ImageReader,
    ImageWriter,
    Layout,
    last_scan_utc_ns,
)
from scada.quality import BAD_WAITING_FOR_INITIAL_DATA

LAYOUT = Layout({"tags": 301, "points": 7, "accounts": 5, "alarms": 11}, bytes(range(32)))


def test_columns_are_aligned_and_disjoint() -> None:
    place, size = LAYOUT.offsets()
    spans = sorted(
        (at, at + np.dtype(SECTIONS[section][column]).itemsize * LAYOUT.counts[section])
        for (section, column), at in place.items()
    )
    assert all(at % ALIGNMENT == 0 for at, _ in spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert spans[-1][1] <= size


def test_a_snapshot_is_what_was_published(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path / "image", LAYOUT, speed=60)
    work = Columns.private(LAYOUT)
    assert (work.tags.quality == BAD_WAITING_FOR_INITIAL_DATA).all()
    work.tags.value[300] = 2.5
    work.accounts.balance_nano[4] = -(2**62)
    writer.publish(work, 7, 1234, time.monotonic_ns())
    work.tags.value[300] = 9.0  # the next scan, not yet published

    snapshot = ImageReader(tmp_path / "image", LAYOUT).snapshot()

    assert (snapshot.scan, snapshot.scan_utc_ns, snapshot.speed) == (7, 1234, 60)
    assert snapshot.columns.tags.value[300] == 2.5
    assert snapshot.columns.accounts.balance_nano[4] == -(2**62)
    assert last_scan_utc_ns(tmp_path / "image") == 1234
    writer.close()


def test_no_image_another_layout_and_a_dead_writer_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with pytest.raises(ImageGone, match="no image"):
        ImageReader(path, LAYOUT).snapshot()
    assert last_scan_utc_ns(path) == 0
    writer = ImageWriter(path, LAYOUT)
    writer.publish(Columns.private(LAYOUT), 1, 1, time.monotonic_ns() - HEARTBEAT_LIMIT_NS - 1)
    with pytest.raises(ImageGone, match="heartbeat"):
        ImageReader(path, LAYOUT).snapshot()
    with pytest.raises(ImageGone, match="another configuration"):
        ImageReader(path, Layout(LAYOUT.counts, b"\xff" * 32)).snapshot()
    writer.close()


def test_a_second_writer_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    first = ImageWriter(tmp_path / "image", LAYOUT)
    with pytest.raises(WattkeeperError, match="another core"):
        ImageWriter(tmp_path / "image", LAYOUT)
    first.close()
    ImageWriter(tmp_path / "image", LAYOUT).close()


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """A hole in the file would be found by the first publication, as SIGBUS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(WattkeeperError, match="no room"):
            ImageWriter(tmp_path / "image", LAYOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    writer = ImageWriter(tmp_path / "image", LAYOUT)
    assert (tmp_path / "image").stat().st_blocks * 512 >= LAYOUT.offsets()[1]
    writer.close()


def test_a_reader_finds_the_image_of_a_restarted_core(tmp_path: Path) -> None:
    path = tmp_path / "image"
    reader = ImageReader(path, LAYOUT)
    for scan in (1, 2):
        writer = ImageWriter(path, LAYOUT)
        writer.publish(Columns.private(LAYOUT), scan, scan, time.monotonic_ns())
        assert reader.snapshot().scan == scan
        writer.close()


def _write_for_ever(path: Path) -> None:
    """Publish scans in which every tag has one and the same value, as fast as possible."""
    writer = ImageWriter(path, LAYOUT)
    work = Columns.private(LAYOUT)
    scan = 0
    while os.getppid() > 1:
        scan += 1
        work.tags.value[:] = scan
        work.alarms.value[:] = scan
        writer.publish(work, scan, scan, time.monotonic_ns())


def test_no_snapshot_is_torn_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    process = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(path,))
    process.start()
    try:
        reader = ImageReader(path, LAYOUT)
        seen = set()
        deadline = time.monotonic() + 30
        while len(seen) < 200 and time.monotonic() < deadline:
            try:
                snapshot = reader.snapshot()
            except ImageGone:  # not started yet
                time.sleep(0.01)
                continue
            values = {*snapshot.columns.tags.value.tolist(), *snapshot.columns.alarms.value.tolist(), snapshot.scan}
            assert len(values) == 1
            seen.add(snapshot.scan)
        assert len(seen) == 200
    finally:
        process.kill()
        process.join()
        process.close()


def test_a_writer_killed_inside_a_publication_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "image"
    writer = ImageWriter(path, LAYOUT)
    writer.publish(Columns.private(LAYOUT), 1, 1, time.monotonic_ns())
    writer._header["sequence"] += 1  # what SIGKILL between the two increments leaves behind
    with pytest.raises(ImageGone, match="middle of a publication"):
        ImageReader(path, LAYOUT).snapshot()
    writer.close()
