"""Opaque ids: fixed-width hexadecimal tokens that say nothing about what they name. For `data/world/` only."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)]).view(np.uint16)  # two characters per byte


def tokens(prefix: str, bits: NDArray[np.uint64], digits: int) -> pa.StringArray:
    """`prefix` and the lowest `digits` (even) hexadecimal digits of each number, as one Arrow string column."""
    rows, start = len(bits), len(prefix)
    width = start + digits
    text = np.empty((rows, width), np.uint8)
    text[:, :start] = np.frombuffer(prefix.encode(), np.uint8)
    octets = bits.astype("<u8").view(np.uint8).reshape(rows, 8)[:, : digits // 2]
    text[:, start:] = _HEX[octets].view(np.uint8).reshape(rows, digits)
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    return pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text)).cast(pa.string())


def shuffled(count: int) -> NDArray[np.uint64]:
    """`count` distinct 32-bit numbers in no visible order: the finaliser of MurmurHash3 is a bijection."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(0x9E3779B9)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (x ^ (x >> np.uint32(16))).astype(np.uint64)
