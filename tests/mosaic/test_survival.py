"""What may happen to a long run, really done to a short one.

After each, the result is bit for bit that of an undisturbed run, and no unit was begun again that a
receipt covered.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rimaging.errors import DataError, FormatError, OptionError
from rimaging.mosaic.cluster import local_cluster
from rimaging.mosaic.fits_layout import describe_fits
from rimaging.mosaic.folder import Recipe, RunFolder
from rimaging.mosaic.receipts import read_receipts
from rimaging.mosaic.run import Workers, run
from rimaging.mosaic.verify import verify
from rimaging.mosaic.work import work

HERE = Path(__file__).parent
Make = Callable[..., Recipe]


@pytest.fixture
def undisturbed(recipe: Make, tmp_path: Path) -> bytes:
    """The values of a run to which nothing happened."""
    run(recipe(log=str(tmp_path / "other")), tmp_path / "undisturbed.zarr")
    return values(tmp_path / "undisturbed.zarr")


def values(output: Path) -> bytes:
    if output.suffix == ".fits":
        from astropy.io import fits

        return np.asarray(fits.getdata(output, "SCI")).tobytes()
    import zarr

    return np.asarray(zarr.open_array(output / "image", mode="r")[:]).tobytes()


def begun(tmp_path: Path) -> Counter[int]:
    log = tmp_path / "log"
    return Counter(map(int, log.read_text().split())) if log.exists() else Counter()


def receipts(output: Path) -> set[int]:
    return set(read_receipts(RunFolder.beside(output).receipts)[0])


def start(image: Path, output: Path, settings: object, how: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "survive.py"), str(image), str(output)]
    return subprocess.Popen(
        [*command, json.dumps(settings), *([how] if how else [])],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parents[1]}", "OMP_NUM_THREADS": "1"},
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def worker_processes() -> list[int]:
    """The processes that `local_cluster` has started, from the system: workers may not answer."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == os.getpid() and b"spawn_main" in command:
            found.append(int(path.name))
    return sorted(found)


def settings_of(tmp_path: Path, **more: object) -> dict[str, object]:
    return {"radius": 3, "log": str(tmp_path / "log"), **more}


def test_the_client_is_killed_and_the_run_resumed(
    image: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    settings = settings_of(tmp_path, seconds=0.1)
    process = start(image, output, settings)
    wait_for(lambda: len(begun(tmp_path)) >= 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    covered, before = receipts(output), begun(tmp_path)
    assert covered and len(covered) < 12 and not output.exists()
    again = start(image, output, settings)
    assert again.communicate()[1] == "" and again.returncode == 0
    after = begun(tmp_path)
    assert all(after[index] == before[index] for index in covered)
    assert set(after) == set(range(12)) and sum(after.values()) <= 13
    assert values(output) == undisturbed and not verify(output).problems


def test_workers_are_killed_again_and_again(
    recipe: Make, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    over = threading.Event()
    killed: list[int] = []

    with local_cluster(2, 2) as client:

        def kill() -> None:
            while not over.wait(0.7) and len(killed) < 4:
                workers = worker_processes()
                if workers and begun(tmp_path):
                    victim = workers[len(killed) % len(workers)]
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

        killer = threading.Thread(target=kill)
        killer.start()
        # and three units take their worker with them the first time
        outcome = run(recipe(seconds=0.3, kills=[2, 5, 7]), output, Workers(client=client))
        over.set()
        killer.join()
    assert killed and outcome.done == 12 and not outcome.quarantined
    assert values(output) == undisturbed and not verify(output).problems


def test_a_script_without_a_guard_is_told_so(image: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from rimaging.mosaic.cluster import local_cluster\n"
        "from rimaging.mosaic.run import Workers\n"
        "workers = Workers(count=1)\n"
        "with local_cluster(workers.count, 1):\n    print('started')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    found = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert found.returncode != 0 and "started" not in found.stdout
    told = found.stderr.splitlines()
    assert told[-1].startswith("rimaging.errors.OptionError: no worker process can be started")
    assert "if __name__ == '__main__'" in told[-1]


def test_the_scheduler_is_restarted(image: Path, tmp_path: Path, undisturbed: bytes) -> None:
    output, port = tmp_path / "out.zarr", "28991"
    address = f"tcp://127.0.0.1:{port}"
    quiet = ["--no-dashboard"]
    module = [sys.executable, "-m"]
    env = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    processes: list[subprocess.Popen[bytes]] = []

    def begin(*command: str) -> None:
        full = [*module, *command, *quiet]
        processes.append(subprocess.Popen(full, env=env, stderr=subprocess.DEVNULL))

    def cluster() -> None:
        begin("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port)
        begin("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny")

    try:
        cluster()
        client = start(image, output, settings_of(tmp_path, seconds=0.3), address)
        wait_for(lambda: len(begun(tmp_path)) >= 4)
        for process in processes:
            process.kill()
            process.wait()
        covered, before = receipts(output), begun(tmp_path)
        cluster()
        assert client.wait(timeout=90) == 0, client.stderr and client.stderr.read()
    finally:
        for process in processes:
            process.kill()
    after = begun(tmp_path)
    assert all(after[index] == before[index] for index in covered)
    assert values(output) == undisturbed and not verify(output).problems


def test_a_full_disk_stops_the_run_with_a_clear_word(
    image: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    output, settings = tmp_path / "out.zarr", settings_of(tmp_path)
    full = start(image, output, settings, "limit")
    told = full.communicate()[1]
    assert full.returncode != 0 and "cannot be written" in told and "--resume" in told
    assert not output.exists()
    again = start(image, output, settings)
    assert again.communicate()[1] == "" and values(output) == undisturbed


def test_an_output_for_which_there_is_no_room_leaves_nothing_behind(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.fits"

    def full(file: int, offset: int, size: int) -> None:
        os.truncate(file, size // 2)  # as far as there was room
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as little:
        little.setattr(os, "posix_fallocate", full)
        with pytest.raises(FormatError, match="make room, then --resume"):
            run(recipe(), output)
    assert not list(tmp_path.glob(".out.fits*"))
    run(recipe(), output, resume=True)
    assert max(begun(tmp_path).values()) == 1 and not verify(output).problems


def test_a_read_only_output_stops_the_run(image: Path, tmp_path: Path, undisturbed: bytes) -> None:
    output, settings = tmp_path / "out.zarr", settings_of(tmp_path, seconds=0.1)
    first = start(image, output, settings)
    wait_for(
        lambda: len(receipts(output)) >= 2 if RunFolder.beside(output).plan.exists() else False
    )
    first.kill()
    first.communicate()
    covered, before = receipts(output), begun(tmp_path)
    folder = RunFolder.beside(output)
    guarded = [folder.store, *(path for path in folder.store.rglob("*") if path.is_dir())]
    for path in guarded:
        path.chmod(0o555)
    weak = start(image, output, settings, "weak")
    told = weak.communicate()[1]
    for path in guarded:
        path.chmod(0o755)
    assert weak.returncode != 0 and "Permission denied" in told and "--resume" in told
    assert start(image, output, settings).wait() == 0
    assert all(begun(tmp_path)[index] == before[index] for index in covered)
    assert values(output) == undisturbed


@contextmanager
def half_done(recipe: Make, output: Path) -> Iterator[RunFolder]:
    """A run stopped after some units, to be spoilt and then resumed."""

    class Stop(Exception):
        pass

    def stop(progress: object, _: str) -> None:
        if getattr(progress, "done", 0) >= 6:
            raise Stop

    with pytest.raises(Stop):
        run(recipe(), output, report=stop)
    yield RunFolder.beside(output)
    run(recipe(), output, resume=True)


def test_a_torn_shard_is_done_again(recipe: Make, tmp_path: Path, undisturbed: bytes) -> None:
    output = tmp_path / "out.zarr"
    with half_done(recipe, output) as folder:
        torn = sorted(path for path in (folder.store / "image" / "c").rglob("*") if path.is_file())[
            2
        ]
        os.truncate(torn, torn.stat().st_size // 2)
        # and one that was never told of, as a killed writer leaves it
        stray = torn.parent.parent.parent / "1" / "1" / "1"
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"torn")
    assert sorted(begun(tmp_path).values()) == [1] * 11 + [2]
    assert values(output) == undisturbed and not verify(output).problems


def spoil(folder: RunFolder) -> None:
    """Flip a bit of one shard that has a receipt."""
    flip(next(path for path in (folder.store / "image" / "c").rglob("*") if path.is_file()), 1000)


def test_a_shard_that_changed_after_its_receipt_is_done_again(
    recipe: Make, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    with half_done(recipe, output) as folder:
        spoil(folder)
    assert sorted(begun(tmp_path).values()) == [1] * 11 + [2]
    assert values(output) == undisturbed and not verify(output).problems


def test_no_clock_decides_whether_a_damaged_shard_is_done_again(
    recipe: Make, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    with half_done(recipe, output) as folder:
        spoil(folder)
        (file,) = folder.receipts.glob("*.jsonl")
        elsewhere = file.with_name(file.name.replace(".jsonl", "-elsewhere.jsonl"))
        file.rename(elsewhere)  # of a machine whose clock is a day ahead
        day = time.time() + 86400
        os.utime(elsewhere, (day, day))
    assert values(output) == undisturbed and not verify(output).problems


def test_a_worker_that_outlived_its_run_adds_nothing_to_the_next(
    recipe: Make, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    late: list[tuple[str, str, str]] = []

    class Stop(Exception):
        pass

    def stop(progress: object, _: str) -> None:
        folder = RunFolder.beside(output)
        late.append((str(folder.path), folder.name, folder.fingerprint))
        raise Stop

    with pytest.raises(Stop):
        run(recipe(radius=5), output, report=stop)

    def answer_late(progress: object, _: str) -> None:
        if getattr(progress, "done", 0) == 6:  # one that the next run has done, one that it has not
            assert [work(late[0], index)["unit"] for index in (1, 9)] == [1, 9]

    run(recipe(), output, overwrite=True, report=answer_late)
    assert values(output) == undisturbed and not verify(output).problems
    # and what is left where the store was, once the run is over, takes the place of no output
    assert work(late[0], 4)["verdict"] != "done"
    (RunFolder.beside(output).store / "image" / "c").mkdir(parents=True)
    run(recipe(), output, resume=True)
    assert values(output) == undisturbed


def test_a_torn_receipt_is_passed_over(recipe: Make, tmp_path: Path, undisturbed: bytes) -> None:
    output = tmp_path / "out.zarr"
    with half_done(recipe, output) as folder:
        (file,) = folder.receipts.glob("*.jsonl")
        os.truncate(file, file.stat().st_size - 40)
    assert sorted(begun(tmp_path).values()) == [1] * 11 + [2]
    assert values(output) == undisturbed and not verify(output).problems


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << position % 8]))


@pytest.mark.parametrize("suffix", [".fits", ".zarr"])
def test_a_flipped_bit_anywhere_is_found(suffix: str, recipe: Make, tmp_path: Path) -> None:
    output = tmp_path / f"out{suffix}"
    run(recipe(), output)
    files = [output] if output.is_file() else [p for p in output.rglob("*") if p.is_file()]
    random = np.random.default_rng(1)
    for path in files:
        for position in random.integers(0, path.stat().st_size, 12 if len(files) == 1 else 1):
            flip(path, int(position))
            problems = verify(output).problems
            assert problems, f"{path.name} at {position}"
            if "c" in path.parts[len(output.parts) :]:
                assert any("unit" in problem and "x " in problem for problem in problems)
            flip(path, int(position))
    assert not verify(output).problems


def test_a_changed_pixel_is_named_by_its_unit(recipe: Make, tmp_path: Path) -> None:
    output = tmp_path / "out.fits"
    run(recipe(), output)
    start = describe_fits(output, "SCI")["offset"]
    flip(output, start + 4 * (60 * 136 + 80))
    problems = verify(output).problems
    assert any("CHECKSUM" in problem for problem in problems)
    assert any("unit 3 (channels 0:1, y 48:96, x 72:136)" in problem for problem in problems)


def test_another_input_or_option_is_refused_by_name(
    recipe: Make, image: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    with half_done(recipe, output):
        original, times = image.read_bytes(), image.stat()
        flip(image, 5000)
        with pytest.raises(OptionError, match="input modified"):
            run(recipe(), output, resume=True)
        image.write_bytes(original)
        os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(OptionError, match="option radius was 3, is 4"):
            run(recipe(radius=4), output, resume=True)
    assert values(output) == undisturbed


def test_an_input_that_changes_while_it_is_read_gives_no_output(
    recipe: Make, image: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.fits"

    def change(progress: object, _: str) -> None:
        if getattr(progress, "done", 0) == 6:
            flip(image, 5000)

    with pytest.raises(DataError, match="changed while it was read"):
        run(recipe(), output, report=change)
    assert not output.exists()
    run(recipe(), output, overwrite=True)
    assert not verify(output).problems


def test_a_corrupt_input_tile_is_put_aside_and_the_rest_done(recipe: Make, tmp_path: Path) -> None:
    import zarr
    from zarr.codecs import Crc32cCodec

    from rimaging.mosaic.sources import describe

    data = np.random.default_rng(2).normal(size=(2, 100, 136)).astype(np.float32)
    array = zarr.create_array(
        tmp_path / "in.zarr", data=data, chunks=(1, 20, 20), compressors=(Crc32cCodec(),)
    )
    assert array.shape == (2, 100, 136)
    flip(tmp_path / "in.zarr" / "c" / "1" / "0" / "0", 100)
    spoilt = recipe()
    spoilt = Recipe(describe(tmp_path / "in.zarr"), spoilt.grid, spoilt.task)
    output = tmp_path / "out.fits"
    outcome = run(spoilt, output)
    assert outcome.done == 11 and list(outcome.quarantined) == [6] and not output.exists()
    assert "in.zarr" in outcome.quarantined[6] and "cannot be read" in outcome.quarantined[6]
    listed = json.loads(RunFolder.beside(output).quarantine.read_text())
    assert list(listed) == ["6"]


def test_two_runs_into_one_output_refuse_each_other(
    image: Path, recipe: Make, tmp_path: Path, undisturbed: bytes
) -> None:
    output = tmp_path / "out.zarr"
    first = start(image, output, settings_of(tmp_path, seconds=0.3))
    wait_for(lambda: len(begun(tmp_path)) >= 1)
    with pytest.raises(OptionError, match=f"worked on by process {first.pid}"):
        run(recipe(), output, resume=True)
    first.kill()
    first.communicate()
    # what a dead process leaves behind locks nothing
    run(recipe(seconds=0.3), output, resume=True)
    assert values(output) == undisturbed


def gone(output: Path) -> None:
    shutil.rmtree(output) if output.is_dir() else output.unlink()


def a_byte(output: Path) -> None:
    if output.is_file():
        flip(output, describe_fits(output, "SCI")["offset"] + 4 * (60 * 136 + 80))
    else:
        flip(next(p for p in (output / "image" / "c").rglob("*") if p.is_file()), 1000)


def a_shard(output: Path) -> None:
    next(p for p in (output / "image" / "c").rglob("*") if p.is_file()).unlink()


def metadata(output: Path) -> None:
    flip(output / "image" / "zarr.json", 40)


@pytest.mark.parametrize(
    ("suffix", "harm", "again"),
    [
        (".fits", gone, 12),
        (".fits", a_byte, 12),
        (".zarr", gone, 12),
        (".zarr", a_byte, 1),
        (".zarr", a_shard, 1),
        (".zarr", metadata, 0),
    ],
)
def test_a_completed_output_that_is_gone_or_damaged_is_done_again(
    suffix: str, harm: Callable[[Path], None], again: int, recipe: Make, tmp_path: Path
) -> None:
    output = tmp_path / f"out{suffix}"
    run(recipe(), output)
    expected = values(output)
    harm(output)
    run(recipe(), output, resume=True)
    assert sum(begun(tmp_path).values()) == 12 + again
    assert values(output) == expected and not verify(output).problems
    # and what is intact costs no unit
    before = output.stat().st_mtime_ns
    run(recipe(), output, resume=True)
    assert sum(begun(tmp_path).values()) == 12 + again and output.stat().st_mtime_ns == before


@pytest.mark.parametrize("suffix", [".fits", ".zarr"])
def test_what_a_run_did_not_write_is_not_its_to_replace(
    suffix: str, recipe: Make, tmp_path: Path
) -> None:
    output = tmp_path / f"out{suffix}"
    run(recipe(), output)
    gone(output)
    if suffix == ".fits":
        output.write_bytes(b"of somebody else")
        kept = output
    else:
        output.mkdir()
        kept = output / "notes.txt"
        kept.write_text("of somebody else")
    before = kept.read_bytes()
    with pytest.raises(FormatError, match="did not write"):
        run(recipe(), output, resume=True)
    assert kept.read_bytes() == before
    gone(output)  # moved away, the run goes on
    run(recipe(), output, resume=True)
    assert not verify(output).problems


@pytest.mark.parametrize("suffix", [".fits", ".zarr"])
@pytest.mark.parametrize("begun_before", [True, False])
def test_going_on_replaces_nothing_of_somebody_else(
    begun_before: bool, suffix: str, recipe: Make, tmp_path: Path
) -> None:
    output = tmp_path / f"out{suffix}"
    kept = output if suffix == ".fits" else output / "notes.txt"

    def put() -> None:
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(b"of somebody else")

    if begun_before:
        with (
            pytest.raises((OptionError, FormatError), match="did not write"),
            half_done(recipe, output),
        ):
            put()
    else:
        put()
        with pytest.raises(OptionError, match="exists"):
            run(recipe(), output, resume=True)
    assert kept.read_bytes() == b"of somebody else"
    run(recipe(), output, resume=True, overwrite=True)  # unless it is said
    assert not verify(output).problems


def test_units_that_were_given_up_are_no_damage(recipe: Make, tmp_path: Path) -> None:
    output = tmp_path / "out.zarr"
    run(recipe(fails=[4]), output, allow_missing=True)
    before = sum(begun(tmp_path).values())
    run(recipe(fails=[4]), output, resume=True)
    assert (
        sum(begun(tmp_path).values()) == before
        and np.isnan(np.frombuffer(values(output), "f4")).any()
    )
