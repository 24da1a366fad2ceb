"""The traps of FITS that other tools fell into; each test names the thread that told of it."""

from __future__ import annotations

import bz2
import gzip
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.wcs import WCS

from rimaging.datasets import fits as reader
from rimaging.datasets import guard
from rimaging.datasets.fits import read_fits
from rimaging.datasets.fits_open import SMALL
from rimaging.datasets.fits_writer import fits_hdus
from rimaging.datasets.guard import expanded
from rimaging.datasets.save import save
from rimaging.errors import FormatError
from rimaging.mosaic.sources import describe, open_source

MIB = 1 << 20


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)


def write(path: Path, *hdus: fits.ImageHDU, primary: fits.Header | None = None) -> Path:
    fits.HDUList([fits.PrimaryHDU(header=primary), *hdus]).writeto(path)
    return path


@contextmanager
def cheap(mib: float, seconds: float = 1.0) -> Iterator[None]:
    """At most so much memory and time of this process."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        spent, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mib * MIB
    assert spent < seconds


def test_big_endian_arrays_that_torch_rejects(tmp_path: Path) -> None:  # cosipy#636
    values = noise(8, 8)
    path = write(tmp_path / "f.fits", fits.ImageHDU(values))
    with pytest.raises((TypeError, ValueError)):
        torch.from_numpy(fits.getdata(path))
    assert np.array_equal(read_fits(path).data.numpy(), values)


def scaled(path: Path, side: int) -> np.ndarray:
    """An int16 file with BSCALE, BZERO and BLANK, and the values that it means."""
    stored = np.arange(side * side, dtype=np.int16).reshape(side, side)
    stored[side // 2, side // 2 + 1] = -32768
    header = fits.PrimaryHDU(stored).header
    header["BSCALE"], header["BZERO"], header["BLANK"] = 0.5, 1000.0, -32768
    padding = bytes(-stored.nbytes % 2880)
    path.write_bytes(header.tostring().encode() + stored.astype(">i2").tobytes() + padding)
    return np.where(stored == -32768, np.nan, 1000 + 0.5 * stored)


def test_scaled_integers_are_read_in_sections(tmp_path: Path) -> None:
    # astropy#7717, Aegean#122, xradio#440: memmap refuses BSCALE, BZERO and BLANK
    path = tmp_path / "f.fits"
    expected = scaled(path, 2048)
    with pytest.raises(ValueError, match="memory-mapped"), fits.open(path, memmap=True) as hdus:
        _ = hdus[0].data
    with cheap(mib=6):  # the file has 8, as float32 16
        m = read_fits(path, region="1000:1100,1000:1050")
    part = expected[1000:1050, 1000:1100]
    assert m.mask is not None
    good = np.isfinite(part)
    assert np.array_equal(m.mask.numpy() > 0, good)
    assert int(good.sum()) == good.size - 1
    assert np.array_equal(m.data.numpy()[good], part[good])


def test_a_blank_of_zero_is_a_blank(tmp_path: Path) -> None:
    stored = np.arange(-30, 34, dtype=np.int16).reshape(8, 8)
    header = fits.PrimaryHDU(stored).header
    header["BSCALE"], header["BZERO"], header["BLANK"] = 2.0, 5.0, 0
    path = tmp_path / "f.fits"
    path.write_bytes(header.tostring().encode() + stored.astype(">i2").tobytes() + bytes(2752))
    m = read_fits(path)
    assert m.mask is not None
    assert np.array_equal(m.mask.numpy() == 0, stored == 0)


def test_compressed_files_are_expanded_tile_by_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # astropy#9221, PR#14353: .section is there, .data would expand everything
    values = (np.arange(512 * 512) % 1000).astype(np.int16).reshape(512, 512)
    path = tmp_path / "f.fits.fz"
    tiles = fits.CompImageHDU(values, name="SCI", tile_shape=(64, 64))
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    from astropy.io.fits.hdu.compressed import _tiled_compression as room

    one, seen = room._decompress_tile, []
    monkeypatch.setattr(room, "_decompress_tile", lambda *a, **k: (seen.append(1), one(*a, **k))[1])
    m = read_fits(path, region="70:120,200:250")
    assert len(seen) == 1  # of 64: x is in 64:128 and y in 192:256
    assert np.array_equal(m.data.numpy(), values[200:250, 70:120])


def test_lossy_compression_of_floats_is_said_and_never_done(tmp_path: Path) -> None:
    values = noise(128, 128)  # RICE of float32 loses 1.8 % of sigma
    path = tmp_path / "f.fits.fz"
    tiles = fits.CompImageHDU(values, name="SCI", compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    m = read_fits(path)
    lost = float((m.data - torch.from_numpy(values)).std()) / 5
    assert 0 < lost < 0.05
    assert any("RICE_1" in note for note in m.provenance["assumed"])
    out = save(tmp_path / "out.fits", m.data, m)
    with fits.open(out) as hdus:
        assert isinstance(hdus["SCI"], fits.ImageHDU)
        assert np.array_equal(hdus["SCI"].data, m.data.numpy())
        assert not any(card.startswith("Z") for card in hdus["SCI"].header)


def test_a_large_file_is_not_read_for_a_small_region(tmp_path: Path) -> None:
    # jdaviz#3795: a 3.4 GB cube that peaked at 15.2 GB
    side = 32768
    header = fits.PrimaryHDU(np.zeros((1, 1), np.float32)).header
    header["NAXIS1"], header["NAXIS2"], header["DATASUM"] = side, side, "1"
    path = tmp_path / "large.fits"
    with path.open("wb") as file:  # sparse: 4 GiB declared, none on the disk
        file.write(header.tostring().encode())
        file.truncate(2880 * -(-(2880 + 4 * side**2) // 2880))
        file.seek(2880 + 4 * (20001 * side + 30002))
        file.write(np.array([7.0], ">f4").tobytes())
    assert path.stat().st_size > SMALL
    with cheap(mib=24):
        m = read_fits(path, region="30000:30100,20000:20050")
    assert tuple(m.data.shape) == (50, 100)
    assert torch.nonzero(m.data).tolist() == [[1, 2]]
    assert "only a section" in m.provenance["sha256"]


def test_one_nan_would_spoil_every_pixel(tmp_path: Path) -> None:
    # scikit-image#2551, #4378
    values = noise(32, 32)
    values[3, 4] = np.nan
    assert bool(torch.fft.fft2(torch.from_numpy(values)).isnan().all())
    path = write(
        tmp_path / "f.fits",
        fits.ImageHDU(values, name="SCI"),
        fits.ImageHDU(np.ones((3, 3), np.float32), name="PSF"),
    )
    score = read_fits(path).likelihood().score(torch.zeros(32, 32))
    assert bool(score.isfinite().all())


def test_to_header_would_drop_what_we_keep(tmp_path: Path) -> None:
    # spectral-cube#902, ccdproc#648, GraXpert#85: BUNIT or WCS dropped
    cards = fits.Header(
        [
            ("CTYPE1", "RA---TAN-SIP"),
            ("CTYPE2", "DEC--TAN-SIP"),
            ("CRPIX1", 10.0),
            ("CRPIX2", 12.0),
            ("CRVAL1", 30.0),
            ("CRVAL2", -5.0),
            ("CD1_1", -1e-4),
            ("CD2_2", 1e-4),
            ("A_ORDER", 2),
            ("A_2_0", 1e-4),
            ("B_ORDER", 2),
            ("B_1_1", 1e-4),
            ("BUNIT", "MJy/sr"),
            ("FILTER", "F200W"),
        ]
    )
    path = write(tmp_path / "f.fits", fits.ImageHDU(noise(24, 20), cards, name="SCI"))
    short = WCS(cards).to_header()
    assert "A_2_0" not in short
    assert "BUNIT" not in short
    m = read_fits(path)
    header = fits.getheader(save(tmp_path / "out.fits", m.data, m), "SCI")
    for card in cards.cards:
        assert header[card.keyword] == card.value


def bomb(cards: dict[str, int], data: int = 2880) -> bytes:
    header = fits.PrimaryHDU(np.zeros((4, 4), np.float32)).header
    header.update(cards)
    return header.tostring().encode() + bytes(data)


@pytest.mark.parametrize(
    "cards",
    [
        {"NAXIS1": 10**6, "NAXIS2": 10**6},
        {"NAXIS1": 2**62, "NAXIS2": 2**62},
        {"NAXIS1": -5},
        {"NAXIS": 10**6},
        {"BITPIX": 33},
        {"NAXIS1": 30000, "NAXIS2": 30000},
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_lies_costs_nothing(
    tmp_path: Path, cards: dict[str, int], packed: bool
) -> None:
    path = tmp_path / "lie.fits"
    path.write_bytes(gzip.compress(bomb(cards)) if packed else bomb(cards))
    with cheap(mib=4), pytest.raises(FormatError, match=r"'lie[.]fits'\[0\]"):
        read_fits(path)


def test_compressed_bombs_cost_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "FREE", 4 * MIB)
    path = tmp_path / "bomb.fits.gz"
    # as gzip declares it: 3 GiB in its last four bytes
    path.write_bytes(gzip.compress(bomb({}))[:-4] + (3 << 30).to_bytes(4, "little"))
    with cheap(mib=4), pytest.raises(FormatError, match="expands"):
        read_fits(path)
    # and as it does not: a second member, of which the trailer says nothing
    zeros = zlib.compressobj(1, zlib.DEFLATED, 31)
    many = zeros.compress(bytes(16 * MIB)) + zeros.flush()
    path.write_bytes(gzip.compress(bomb({})) + many + gzip.compress(b"end"))
    with cheap(mib=48), pytest.raises(FormatError, match="expands"):
        expanded(path)
    path = tmp_path / "bomb.fits.bz2"
    path.write_bytes(bz2.compress(bomb({}, 16 * MIB), 9))
    with cheap(mib=48), pytest.raises(FormatError, match="expands"):
        expanded(path)


def test_tiles_that_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lie.fits"
    tiles = fits.CompImageHDU(np.zeros((64, 64), np.int16), name="SCI", tile_shape=(16, 16))
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    whole = path.read_bytes()
    at = whole.index(b"ZNAXIS1 =")
    path.write_bytes(whole[: at + 10] + b"%20d" % 10**5 + whole[at + 30 :])
    with cheap(mib=4), pytest.raises(FormatError, match="compressed tiles"):
        read_fits(path)


@pytest.mark.parametrize("region", [None, "2:9,3:8"])
@pytest.mark.parametrize("where", ["header", "data"])
def test_a_changed_byte_stops_the_reading(tmp_path: Path, region: str | None, where: str) -> None:
    path = tmp_path / "f.fits"
    science = fits.ImageHDU(noise(40, 50), fits.Header([("FILTER", "F200W")]), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), science]).writeto(path, checksum=True)
    read_fits(path, region=region)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"F200W") + 1 if where == "header" else 2 * 2880 + 100
    whole[at] ^= 1
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="checksum"):
        read_fits(path, region=region)


def test_compressed_tiles_have_checksums_too(tmp_path: Path) -> None:
    path = tmp_path / "f.fits.fz"
    counts = np.random.default_rng(0).integers(0, 999, (64, 64), dtype=np.int16)
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(counts, name="SCI")]
    fits.HDUList(hdus).writeto(path, checksum=True)
    assert np.array_equal(read_fits(path).data.numpy(), counts)
    whole = bytearray(path.read_bytes())
    whole[-3000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="checksum"):
        read_fits(path)


def test_a_whole_image_takes_its_own_memory_and_little_more(tmp_path: Path) -> None:
    path = write(tmp_path / "f.fits", fits.ImageHDU(np.ones((2048, 1024), np.float32)))
    monitored = 8  # MiB of the image; what looks for NaN takes a few more
    with cheap(mib=3.5 * monitored):
        read_fits(path)


def test_tens_of_thousands_of_history_lines_stay_in_one_place(tmp_path: Path) -> None:
    # carta-backend#1063: 43,949 HISTORY lines hung a viewer
    header = fits.Header([("BUNIT", "adu")])
    for number in range(500):
        header.add_history(f"step {number}")
    path = write(tmp_path / "f.fits", fits.ImageHDU(noise(12, 10), header, name="SCI"))
    m = read_fits(path)
    mask = torch.ones(12, 10)
    mask[0, 0] = 0
    m = type(m)(kind="sky", data=m.data, noise=1.0, mask=mask, header=m.header)
    hdus, _ = fits_hdus(m.data.numpy(), m, uncertainty=np.ones((12, 10)), residual=noise(12, 10))
    assert len(hdus["SCI"].header["HISTORY"]) == 501
    for name in ("ERR", "DQ", "RES"):
        assert "HISTORY" not in hdus[name].header


def test_flags_and_variances_of_jwst(tmp_path: Path) -> None:
    # jwst#9028, #9341: wrong variances
    flags = np.zeros((12, 10), np.uint32)
    flags[1, 1], flags[2, 2], flags[3, 3] = 1, 1 << 31, 1 << 20
    parts = [
        fits.ImageHDU(np.full((12, 10), v, np.float32), name=n)
        for n, v in (("VAR_POISSON", 9.0), ("VAR_RNOISE", 4.0), ("VAR_FLAT", 3.0))
    ]
    hdus = [fits.ImageHDU(noise(12, 10), name="SCI"), fits.ImageHDU(flags, name="DQ"), *parts]
    primary = fits.Header([("TELESCOP", "JWST")])
    m = read_fits(write(tmp_path / "f.fits", *hdus, primary=primary))
    assert m.mask is not None
    assert torch.nonzero(m.mask == 0).tolist() == [[1, 1]]
    assert bool((torch.as_tensor(m.noise) == 4).all())
    assert m.quality is not None
    assert np.array_equal(m.quality, flags.astype(np.int64))
    out, _ = fits_hdus(m.data.numpy(), m)
    kept = out["DQ"].data
    assert np.array_equal(kept & 0xFFFFFFFF, flags)
    assert kept[1, 1] >> out["DQ"].header["RIMFILL"] & 1
    # ERR is the sum already, and counts alone
    error = fits.ImageHDU(np.full((12, 10), 5, np.float32), name="ERR")
    m = read_fits(write(tmp_path / "g.fits", *hdus, error, primary=primary))
    assert bool((torch.as_tensor(m.noise) == 5).all())


def test_saturated_cores_are_flagged_and_weigh_nothing(tmp_path: Path) -> None:
    # scarlet#214, jwst#7563
    values = noise(16, 16)
    values[5:7, 5:8] = 60000
    header = fits.Header([("SATURATE", 50000.0)])
    m = read_fits(write(tmp_path / "f.fits", fits.ImageHDU(values, header, name="SCI")))
    assert m.mask is not None
    assert np.array_equal(m.mask.numpy() == 0, values >= 50000)
    hdus, _ = fits_hdus(m.data.numpy(), m)
    full = hdus["DQ"].data >> hdus["DQ"].header["RIMSAT"] & 1
    assert np.array_equal(full > 0, values >= 50000)


def test_distortion_tables_that_stay_behind_do_not_break_the_file(tmp_path: Path) -> None:
    header = fits.Header(
        [("CTYPE1", "RA---TAN-SIP"), ("CTYPE2", "DEC--TAN-SIP"), ("CRVAL1", 5.0), ("CRVAL2", 5.0)]
    )
    header.update({"CRPIX1": 5.0, "CRPIX2": 5.0, "CD1_1": -1e-5, "CD2_2": 1e-5, "A_ORDER": 2})
    header.update({"A_2_0": 1e-6, "B_ORDER": 2, "B_2_0": 1e-6, "CPDIS1": "LOOKUP", "D2IMDIS1": "X"})
    header.append(("DP1", "EXTVER: 1"))
    header.append(("DP1", "NAXES: 2"))
    m = read_fits(write(tmp_path / "f.fits", fits.ImageHDU(noise(12, 10), header, name="SCI")))
    out = save(tmp_path / "out.fits", m.data, m)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(fits.getheader(out, "SCI"))
    assert wcs.sip is not None
    assert any("distortion tables" in note for note in m.provenance["assumed"])


def test_a_cube_with_the_spectrum_first_is_refused(tmp_path: Path) -> None:
    header = fits.Header([("CTYPE1", "FREQ"), ("CTYPE2", "RA---SIN"), ("CTYPE3", "DEC--SIN")])
    path = write(tmp_path / "f.fits", fits.ImageHDU(noise(4, 5, 6), header))
    with pytest.raises(FormatError, match="axis 3"):
        read_fits(path)


def test_the_reader_never_asks_astropy_for_a_whole_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "f.fits", fits.ImageHDU(noise(64, 64), name="SCI"))

    def forbidden(self: object) -> None:
        raise AssertionError("the whole image was read")

    monkeypatch.setattr(fits.ImageHDU, "data", property(forbidden))
    assert tuple(reader.read_fits(path, region="3:9,5:8").data.shape) == (3, 6)


SCALES = [
    (32768, 1.0, -32768, "int16"),  # unsigned, of which astropy forgets the blank
    (32768, 1.0, -7, "int16"),
    (2147483648, 1.0, 12, "int32"),
    (-5.0, 0.25, 3, "int16"),
    (5.0, 2.0, 0, "int16"),
    (0, 1.0, 9, "int16"),
    (0, 1.0, None, "int16"),
]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("zero", "scale", "blank", "kind"), SCALES)
def test_integers_are_the_same_whole_and_tile_by_tile(
    zero: float, scale: float, blank: int | None, kind: str, compressed: bool, tmp_path: Path
) -> None:
    stored = np.random.default_rng(0).integers(-3000, 3000, (40, 48)).astype(kind)
    if blank is not None:
        stored[stored == blank] += 1
        stored[5:8, 3:9] = blank
    expected = (stored * scale + zero).astype(np.float32)
    if blank is not None:
        expected[5:8, 3:9] = np.nan
    hdu = (fits.CompImageHDU if compressed else fits.ImageHDU)(stored, name="SCI")
    path = tmp_path / "f.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    cards = {"BSCALE": scale, "BZERO": zero, **({} if blank is None else {"BLANK": blank})}
    text = "".join(fits.Card(*card).image for card in cards.items()) + "END".ljust(80)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"END" + b" " * 77, 0, len(content))
    content[end : end + len(text)] = text.encode()  # into the blanks after a header's last card
    path.write_bytes(bytes(content))
    m = read_fits(path)
    good = np.isfinite(expected)
    assert np.array_equal(m.data.numpy()[good], expected[good])
    assert (m.mask is None) == bool(good.all())
    assert m.mask is None or np.array_equal(m.mask.numpy() > 0, good)
    block = (slice(0, 1), slice(4, 31), slice(2, 48))
    assert np.array_equal(open_source(describe(path)).read(block)[0], expected[block[1:]], True)
