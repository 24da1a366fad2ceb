"""Checksums, receipts, halos, addresses: the small parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, OptionError
from rimaging.mosaic import store
from rimaging.mosaic.cluster import check_address, remote_cluster
from rimaging.mosaic.fits_sums import encoded, folded, word_sum
from rimaging.mosaic.generated import box_blur
from rimaging.mosaic.halo import measured_halo, parse_halo
from rimaging.mosaic.receipts import Receipt, append, checksum, read_receipts, receipt_of
from rimaging.mosaic.seams import corners, seam_error
from rimaging.mosaic.task import Task, imported, pack, planes_of, unpack
from rimaging.mosaic.tiles import Grid


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=40))
def test_sums_are_those_of_astropy_in_any_order(words: list[bytes]) -> None:
    from astropy.io import fits

    hdu = fits.PrimaryHDU()
    data = np.frombuffer(b"".join(words), np.uint8)
    total = folded(word_sum(data.tobytes()))
    assert total == int(hdu._compute_checksum(data))
    assert encoded(total) == hdu._char_encode(~np.uint32(total))
    assert folded(sum(word_sum(word) for word in reversed(words))) == total


@given(st.sampled_from(["<f4", ">f8", "<i2"]), st.integers(0, 30))
def test_arrays_travel_bit_for_bit(dtype: str, size: int) -> None:
    array = np.random.default_rng(size).normal(size=(2, size)).astype(dtype)
    found = unpack(pack(array))
    assert np.array_equal(found, array) and found.dtype.isnative and found.shape == array.shape


def test_receipts_outlive_a_torn_line(tmp_path: Path) -> None:
    values = np.array([[[1.0, np.nan, -3.0]]], np.float32)
    plane = receipt_of(values, 99)
    assert (plane.low, plane.high, plane.missing, plane.stored) == (-3.0, 1.0, 1, 99)
    for index in range(3):
        append(tmp_path, Receipt(index, {"image": plane}, (0.1, 0.2, 0.3), "here"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-30])
    append(tmp_path, Receipt(5, {"image": plane}, (0.1, 0.2, 0.3), "here"))
    append(tmp_path, Receipt(7, {"image": plane}, (0.1, 0.2, 0.3), "here"), "another run")
    done, torn = read_receipts(tmp_path)
    assert set(done) == {0, 1, 5, 7} and torn == 1
    assert set(read_receipts(tmp_path, "another run")[0]) == {7}
    assert done[5].planes["image"].crc == checksum(values)


def test_a_halo_grows_until_it_does() -> None:
    halo, error = measured_halo(lambda h: 10.0 ** (-h / 16), 16, 400)
    assert halo % 8 == 0 and error <= 1e-3 and 10.0 ** (-(halo / 1.6) / 16) > 1e-3
    assert measured_halo(lambda h: 1.0, 16, 60) == (64, 1.0)
    assert parse_halo("auto") is None and parse_halo("exact") == -1 and parse_halo("13") == 16
    for text in ("wide", "-3"):
        with pytest.raises(OptionError, match="auto, exact"):
            parse_halo(text)


def test_a_seam_is_measured_where_it_is() -> None:
    image = np.random.default_rng(0).normal(size=(1, 200, 200)).astype(np.float32)
    grid = Grid((1, 200, 200), (1, 48, 48), 8)
    process = box_blur({"radius": 10})

    def error(halo: int) -> float:
        places = corners(grid, 4)
        return seam_error(
            process, lambda unit: image[unit.block], grid.shape, places, (halo, 40), lambda _: 1.0
        )

    assert error(8) > 1e-2 and error(16) < 1e-6


@pytest.mark.parametrize("address", ["tcp://8.8.8.8:8786", "8.8.8.8:8786", "ws://1.1.1.1:80"])
def test_a_public_scheduler_without_tls_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="public address without TLS"):
        check_address(address)
    check_address(address, insecure=True)


@pytest.mark.parametrize("address", ["tls://8.8.8.8:8786", "tcp://127.0.0.1:1", "tcp://10.0.0.7:1"])
def test_a_private_or_encrypted_one_is_not(address: str) -> None:
    check_address(address)


def test_tls_without_certificates_is_told_so() -> None:
    with (
        pytest.raises(OptionError, match="state its certificates"),
        remote_cluster("tls://127.0.0.1:1"),
    ):
        pass


def test_tasks_are_named_and_keep_their_promises() -> None:
    unit = Grid((1, 20, 20), (1, 8, 8), 8)[4]
    block = np.zeros(unit.block_shape, np.float64)
    planes = planes_of(block, unit, ("image",))
    assert planes["image"].shape == (1, 8, 8) and planes["image"].dtype == np.float32
    with pytest.raises(DataError, match="expected"):
        planes_of({"other": block}, unit, ("image",))
    with pytest.raises(DataError, match="shape"):
        planes_of(block[:, 1:], unit, ("image",))
    with pytest.raises(OptionError, match="cannot be imported"):
        Task("rimaging.nowhere:function").build()
    assert imported("rimaging.mosaic.generated:box_blur") is box_blur


@pytest.mark.parametrize("sizes", [range(1, 1200), range(4096, 4200)])
def test_chunks_fill_a_shard_and_are_never_tiny(sizes: range) -> None:
    for size in sizes:
        chunk = store._chunk(size)
        assert size % chunk == 0 and chunk >= min(size, store.LEAST_CHUNK)
        assert chunk <= store.LARGEST_CHUNK or not any(
            size % n == 0 for n in range(store.LEAST_CHUNK, store.LARGEST_CHUNK + 1)
        )
