from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.ismrmrd_header import read_header

XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>Doe^Jane</patientName></subjectInformation>
<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor>
<relativeReceiverNoiseBandwidth>0.79</relativeReceiverNoiseBandwidth>
</acquisitionSystemInformation>
<encoding><encodedSpace><matrixSize><x>512</x><y>320</y><z>1</z></matrixSize>
<fieldOfView_mm><x>600</x><y>300</y><z>6</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>256</x><y>256</y><z>1</z></matrixSize>
<fieldOfView_mm><x>300</x><y>300</y><z>6</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>299</maximum>
<center>150</center></kspace_encoding_step_1></encodingLimits>
<trajectory>Cartesian</trajectory><parallelImaging><accelerationFactor>
<kspace_encoding_step_1>2</kspace_encoding_step_1><kspace_encoding_step_2>1</kspace_encoding_step_2>
</accelerationFactor><calibrationMode>embedded</calibrationMode></parallelImaging></encoding>
</ismrmrdHeader>"""


def test_what_a_reconstruction_needs_and_no_name() -> None:
    header = read_header(XML.encode())
    assert header is not None
    (encoding,) = header.encodings
    assert (header.siemens, header.noise_bandwidth) == (True, 0.79)
    assert encoding.matrix == (512, 320, 1)
    assert encoding.voxel == (600 / 512, 300 / 320, 6)
    assert encoding.centre == (150, None)
    assert encoding.padding == (10, 310)
    assert encoding.acceleration == (2, 1)
    assert (encoding.trajectory, encoding.calibration) == ("cartesian", "embedded")
    assert "Jane" not in repr(header)


@pytest.mark.parametrize("value", ["", "many", "-5", "nan", "inf", "1e999"])
def test_numbers_that_are_none_are_not_stated(value: str) -> None:
    header = read_header(XML.replace("<x>512</x>", f"<x>{value}</x>").encode())
    assert header is not None
    assert math.isnan(header.encodings[0].matrix[0])


def test_entities_and_endless_texts_are_not_parsed() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]>' + XML.split("?>")[1]
    assert read_header(bomb.encode()) is None
    assert read_header((XML + " " * (1 << 20)).encode()) is None


@given(st.binary(max_size=60), st.integers(0, len(XML)))
def test_damaged_texts_never_raise(noise: bytes, place: int) -> None:
    raw = XML.encode()
    read_header(noise)
    read_header(raw[:place])
    read_header(raw[:place] + noise + raw[place:])
