"""CHECKSUM and DATASUM of FITS: sums of big-endian words, in any order, so of any piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Characters that an encoded sum must not have: punctuation between digits and letters.
EXCLUDED = frozenset(b":;<=>?@[\\]^_`")


def word_sum(data: bytes | memoryview | NDArray[np.uint8]) -> int:
    """The plain sum of the big-endian 32-bit words of ``data``, whose length is a multiple of 4."""
    return int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))


def folded(total: int) -> int:
    """A sum of words in ones' complement: what overflows 32 bits is added again."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encoded(total: int) -> str:
    """The complement of a sum as the sixteen characters of CHECKSUM.

    Source: FITS Standard 4.0, appendix J.
    """
    value = ~folded(total) & 0xFFFFFFFF
    letters = bytearray(16)
    for place, byte in enumerate(value.to_bytes(4, "big")):
        four = [byte // 4 + ord("0")] * 4
        four[0] += byte % 4
        while EXCLUDED & set(four):
            for left in (0, 2):
                if EXCLUDED & set(four[left : left + 2]):
                    four[left] += 1
                    four[left + 1] -= 1
        for row in range(4):
            letters[4 * row + place] = four[row]
    return bytes(letters[-1:] + letters[:-1]).decode()
