"""The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).

Rules: the code is canonical, so the lengths of its words say all: among words of one length, codes rise with the symbol.
Decoding goes byte by byte through an automaton whose steps are worked out when they are first needed: there are at most
as many as nodes of the tree times 256. Short strings repeat, and are remembered.
"""

from __future__ import annotations

import struct
from functools import lru_cache

SYMBOLS_OF_LENGTH: dict[int, bytes] = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: b"\\\xc3\xd0",
    20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5"
    b"\xe7\xef",
    24: b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: b"\xc7\xcf\xea\xeb",
    26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"
    b"\xdc\xf9",
    30: b"\n\r\x16",
}
"""Symbols by the bits of their code, in rising order (RFC 7541 appendix B)."""
END_OF_STRING = -1
"""The symbol of 30 one bits, which a string must not hold."""
LONGEST_PADDING = 7
"""Bits of padding, all ones, behind the last symbol."""
REMEMBERED_PAIRS = 1 << 16
"""Double steps that are remembered."""
CACHED_STRING_BYTES = 256
"""Longest encoded string whose decoded form is remembered."""


class HuffmanError(Exception):
    """Not a string in this code."""


def _tree() -> list[list[int]]:
    """Inner nodes of the code's tree: for each bit the next inner node, or a symbol as ``-2 - symbol``."""
    nodes = [[0, 0]]
    code = previous = 0
    words = [(length, symbol) for length, symbols in sorted(SYMBOLS_OF_LENGTH.items()) for symbol in symbols]
    for length, symbol in [*words, (30, END_OF_STRING)]:
        code <<= length - previous
        previous = length
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if not nodes[node][bit]:
                nodes[node][bit] = len(nodes)
                nodes.append([0, 0])
            node = nodes[node][bit]
        nodes[node][code & 1] = -2 - symbol
        code += 1
    return nodes


_NODES = _tree()
_PADDING = {0}
"""Inner nodes that are reached by at most seven one bits from the root: where a string may end."""
_node = 0
for _ in range(LONGEST_PADDING):
    _node = _NODES[_node][1]
    _PADDING.add(_node)
_STEPS: dict[int, tuple[int, bytes]] = {}
"""By node and byte, as ``node << 8 | byte``: the next node and the symbols on the way."""
_PAIRS: dict[int, tuple[int, bytes]] = {}
"""The same for two bytes at once, which is twice as fast; only so many are remembered."""


def _step(key: int) -> tuple[int, bytes]:
    """Work out one step of the automaton, and remember it."""
    node, byte = key >> 8, key & 0xFF
    symbols = bytearray()
    for shift in range(7, -1, -1):
        node = _NODES[node][byte >> shift & 1]
        if node < 0:
            symbol = -2 - node
            if symbol == END_OF_STRING:
                raise HuffmanError
            symbols.append(symbol)
            node = 0
    step = _STEPS[key] = (node, bytes(symbols))
    return step


def _pair(key: int) -> tuple[int, bytes]:
    """Two steps of the automaton as one, by ``node << 16 | two bytes``."""
    key_of_first = key >> 8
    node, before = _STEPS.get(key_of_first) or _step(key_of_first)
    key_of_second = node << 8 | (key & 0xFF)
    node, behind = _STEPS.get(key_of_second) or _step(key_of_second)
    steps = node, before + behind
    if len(_PAIRS) < REMEMBERED_PAIRS:
        _PAIRS[key] = steps
    return steps


def decode(encoded: bytes) -> bytes:
    """The string that `encoded` stands for. Raises HuffmanError where it is none."""
    return (known_string if len(encoded) <= CACHED_STRING_BYTES else known_string.__wrapped__)(encoded)


@lru_cache(maxsize=4096)
def known_string(encoded: bytes) -> bytes:
    """As `decode`, remembering the answer."""
    node, pairs = 0, len(encoded) >> 1
    known = _PAIRS.get
    pieces = []
    for pair in struct.unpack_from(f">{pairs}H", encoded):
        key = node << 16 | pair
        node, symbols = known(key) or _pair(key)
        pieces.append(symbols)
    if len(encoded) & 1:
        key = node << 8 | encoded[-1]
        node, symbols = _STEPS.get(key) or _step(key)
        pieces.append(symbols)
    if node not in _PADDING:
        raise HuffmanError
    return b"".join(pieces)
