"""Check digits that `python-stdnum` does not know. Pure; each takes the compact form (no separators)."""

from __future__ import annotations

from collections.abc import Iterable

_TAIWAN = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
"""The letters of counties in the order of their numbers, from 10 on."""


def _weighted(digits: Iterable[int], weights: Iterable[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=True))


def sg_nric(code: str) -> bool:
    """Singapore: weights 2 7 6 5 4 3 2, 4 more for series T and G, 3 more for M; the remainder by 11 names a letter."""
    total = _weighted(map(int, code[1:8]), (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(code[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "KLJNPQRTUWX"}[
        code[0]
    ]
    return code[8] == letters[total % 11 if code[0] != "M" else 10 - total % 11]


def tw_identity(code: str) -> bool:
    """Taiwan: the letter's number as two digits, weights 1 9 8 … 1, and the last digit makes the sum end in 0. A letter
    in second place (residents since 1980) counts as the last digit of its number."""
    county = 10 + _TAIWAN.index(code[0])
    second = int(code[1]) if code[1].isdigit() else (10 + _TAIWAN.index(code[1])) % 10
    digits = (*divmod(county, 10), second, *map(int, code[2:]))
    return _weighted(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)) % 10 == 0


def hk_identity(code: str) -> bool:
    """Hong Kong, `A123456(3)`: letters count from 10, a missing first one as 36; weights 9 … 1, modulo 11."""
    number, check = code.rstrip(")").split("(")
    values = [36] * (8 - len(number)) + [int(character, 36) for character in number]
    return (_weighted(values, range(9, 1, -1)) + int(check, 16)) % 11 == 0
