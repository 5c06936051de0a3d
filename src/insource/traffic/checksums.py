"""Check digits of numbers that identify people and accounts. Pure; each takes the compact form (no separators).

A checksum is what makes a bare run of digits worth reporting: Luhn lets one random number in ten through, mod-97 one in
a hundred.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

_IBAN_TABLE = (
    # ISO 13616 registry, release 99: country and characters in all.
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 "
    "EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 "
    "KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 "
    "PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 "
    "UA29 VA22 VG24 XK20 YE30 "
)
_IBAN_LENGTHS: Mapping[str, int] = {entry[:2]: int(entry[2:]) for entry in _IBAN_TABLE.split()}
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_CODICE_ODD: Mapping[str, int] = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# The dihedral group D5 and its permutation (Verhoeff 1969), for Aadhaar.
_VERHOEFF_D = (
    *((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6)),
    *((3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1)),
    *((6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4)),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_VERHOEFF_P = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=False))


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = sum(map(int, digits[-1::-2])) + sum(_LUHN_DOUBLED[int(d)] for d in digits[-2::-2])
    return total % 10 == 0 and any(d != "0" for d in digits)


def iban(code: str) -> bool:
    """ISO 7064 mod 97-10 over the rearranged code, and the country's length. Upper case."""
    if _IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def iban_length(country: str) -> int | None:
    return _IBAN_LENGTHS.get(country)


def us_ssn(digits: str) -> bool:
    """Areas 000 and 666 were never issued; 9xx are taxpayer numbers (ITIN), whose group is 50 to 99."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or group == "00" or serial == "0000":
        return False
    return area[0] != "9" or int(group) >= 50


def de_tax_id(digits: str) -> bool:
    """ISO 7064 mod 11,10; among the first ten digits exactly one occurs two or three times."""
    if digits[0] == "0" or sorted(digits[:10].count(d) for d in set(digits[:10]))[-2:] not in ([1, 2], [1, 3]):
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def fr_nir(code: str) -> bool:
    """97 - (first 13 modulo 97); Corsica's 2A and 2B count as 19 and 18."""
    number = code[:13].upper().replace("2A", "19").replace("2B", "18")
    return number.isdigit() and code[13:].isdigit() and 97 - int(number) % 97 == int(code[13:])


def es_dni(code: str) -> bool:
    """DNI (8 digits) or NIE (X, Y, Z and 7 digits) with its letter: the number modulo 23."""
    number = code[:-1].upper().translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == code[-1].upper()


def it_codice_fiscale(code: str) -> bool:
    code = code.upper()
    even = sum(int(c) if c.isdigit() else ord(c) - 65 for c in code[1:15:2])
    return chr((even + sum(_CODICE_ODD[c] for c in code[0:15:2])) % 26 + 65) == code[15]


def nl_bsn(digits: str) -> bool:
    return _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and digits.strip("0") != ""


def uk_nhs(digits: str) -> bool:
    return (11 - _weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 11 == int(digits[9])


def pl_pesel(digits: str) -> bool:
    """The month carries the century: +80 is 1800, +0 is 1900, +20 is 2000."""
    month = int(digits[2:4])
    year = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20] + int(digits[:2])
    check = -_weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    return _is_date(year, month % 20, int(digits[4:6])) and check == int(digits[10])


def be_national(digits: str) -> bool:
    """97 - (first nine modulo 97), with a 2 before them for births from 2000 on."""
    if not 0 <= int(digits[2:4]) % 20 <= 12:
        return False
    return int(digits[9:]) in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97)


def br_cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    first = _weighted(digits, tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = _weighted(digits, tuple(range(11, 1, -1))) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def no_birth_number(digits: str) -> bool:
    first = -_weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -_weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return digits[9:] == f"{first}{second}" and 1 <= int(digits[:2]) % 40 <= 31


def ch_ahv(digits: str) -> bool:
    """EAN-13 with the country prefix 756."""
    return -_weighted(digits, (1, 3) * 6) % 10 == int(digits[12])


def se_personal(digits: str) -> bool:
    """Ten digits: yymmdd and four more, Luhn; coordination numbers add 60 to the day."""
    return 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) % 60 <= 31 and luhn(digits)


def fi_hetu(code: str) -> bool:
    number = code[:6] + code[7:10]
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number) % 31] == code[10].upper() and 1 <= int(code[2:4]) <= 12


def in_aadhaar(digits: str) -> bool:
    """Verhoeff; the first digit is 2 to 9."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(position % 8):
            value = _VERHOEFF_P[value]
        check = _VERHOEFF_D[check][value]
    return check == 0 and digits[0] not in "01"


def cn_resident(code: str) -> bool:
    """GB 11643: ISO 7064 mod 11-2 with a birth date inside."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    born = _is_date(int(code[6:10]) or 1, int(code[10:12]), int(code[12:14]))
    return born and "10X98765432"[_weighted(code, weights) % 11] == code[17].upper()


def bitcoin(address: str) -> bool:
    """Base58Check: the last four bytes are a double SHA-256 of the rest."""
    value = 0
    for character in address:
        value = value * 58 + _BASE58.index(character)
    if value >= 1 << 200:
        return False
    raw = value.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]
