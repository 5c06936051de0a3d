"""National numbers, documents, births and wallets: shapes with checksums, or shapes that need a word before them.

Formats and check digits as the issuing authorities publish them (see checksums.py). A shape without a checksum that
other numbers share (a passport's, an account's) counts only after its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from insource.traffic import checksums
from insource.traffic.rules import Rule

_GAP = r"[^\n\d]{0,24}?"
"""Between a name and its number: `is`, `no.:`, `(`; never another number or line."""


def _shape(pattern: str, confidence: float, check: Callable[[str], bool] | None = None, *, exact: bool = False) -> Rule:
    """A number that stands for itself; nothing alphanumeric touches it."""
    return Rule(
        kind="national_id",
        pattern=re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-]|\.\d)"),
        confidence=confidence,
        check=check,
        compact=not exact,
    )


def _named(
    names: str, pattern: str, *, kind: str = "national_id", check: Callable[[str], bool] | None = None, gap: str = _GAP
) -> Rule:
    """A number after its name. The names, separated by `|`, are literal and lower case: they are the markers too."""
    either = "|".join(re.escape(name) for name in sorted(names.split("|"), key=len, reverse=True))
    return Rule(
        kind=kind,
        markers=tuple(names.split("|")),
        pattern=re.compile(rf"(?<![a-z])(?:{either})(?![a-z]){gap}({pattern})(?!\w)"),
        confidence=0.85,
        group=1,
        check=check,
        compact=True,
        lowered=True,
    )


RUN_RULES: tuple[Rule, ...] = (
    _shape(r"\d{3}-\d{2}-\d{4}", 0.9, checksums.us_ssn),
    _shape(r"\d{3} \d{2} \d{4}", 0.7, checksums.us_ssn),
    _shape(r"[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]", 0.9),
    _shape(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", 0.8, checksums.de_tax_id),
    _shape(r"[1-478] ?\d{2} ?(?:0\d|1[0-2]|[2-9]\d) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}", 0.95, checksums.fr_nir),
    _shape(r"(?:\d{2}\.?\d{3}\.?\d{3}|[XYZxyz][ -]?\d{7})[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]", 0.9, checksums.es_dni),
    _shape(r"\d{11}", 0.75, checksums.pl_pesel),
    _shape(r"\d{2}\.?\d{2}\.?\d{2}[ -]?\d{3}[ .]?\d{2}", 0.8, checksums.be_national),
    _shape(r"\d{3}\.\d{3}\.\d{3}-\d{2}|\d{11}", 0.85, checksums.br_cpf),
    _shape(r"\d{6} ?\d{5}", 0.8, checksums.no_birth_number),
    _shape(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", 0.95, checksums.ch_ahv),
    _shape(r"\d{6}[-+]\d{4}", 0.85, checksums.se_personal),
    _shape(r"(?:19|20)\d{6}-?\d{4}", 0.85, lambda digits: checksums.se_personal(digits[2:])),
    _shape(r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}", 0.85, checksums.in_aadhaar),
    _shape(r"[1-9]\d{16}[\dXx]", 0.95, checksums.cn_resident),
    _shape(r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6}", 0.8),  # Korea
    _shape(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2}-\d{4}", 0.7),  # Denmark; no checksum since 2007
    _shape(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2}[-+A]\d{3}[\dA-Y]", 0.9, checksums.fi_hetu, exact=True),
)
"""Tried only where six digits stand close together."""

TOKEN_RULES: tuple[Rule, ...] = (
    _shape(
        r"[A-Za-z]{6}[\dLMNP-Vlmnp-v]{2}[A-EHLMPR-Ta-ehlmpr-t][\dLMNP-Vlmnp-v]{2}[A-Za-z][\dLMNP-Vlmnp-v]{3}[A-Za-z]",
        0.95,
        checksums.it_codice_fiscale,
    ),
    _shape(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", 0.95),  # Mexico's CURP
    _shape(r"[STFGM]\d{7}[A-Z]", 0.8),  # Singapore's NRIC
    _shape(r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", 0.85),  # India's PAN
    Rule(
        kind="wallet",
        pattern=re.compile(r"(?<![A-Za-z0-9])[13][1-9A-HJ-NP-Za-km-z]{25,34}(?![A-Za-z0-9])"),
        confidence=0.95,
        check=checksums.bitcoin,
    ),
    Rule(
        kind="wallet",
        markers=("bc1", "0x"),
        pattern=re.compile(r"(?<![A-Za-z0-9])(?:bc1[02-9ac-hj-np-z]{25,59}|0x[0-9a-fA-F]{40})(?![A-Za-z0-9])"),
        confidence=0.9,
    ),
)
"""Tried only where digits and letters stand close together."""

NAMED_RULES: tuple[Rule, ...] = (
    _named("ssn|social security", r"\d{3}[ -]?\d{2}[ -]?\d{4}", check=checksums.us_ssn),
    _named("bsn|burgerservicenummer|sofinummer|sofi-nummer", r"\d{9}|\d{4}[ .]\d{2}[ .]\d{3}", check=checksums.nl_bsn),
    _named("nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", check=checksums.uk_nhs),
    _named("sin|social insurance", r"\d{3}[ -]?\d{3}[ -]?\d{3}", check=checksums.luhn),
    _named(
        "tfn|tax file|tax id|tax number|tax identification|steuernummer|steuer-id|nif|itin|tin|pesel|cpf|personnummer"
        "|national id|national insurance|identity number|id number|id card|identity card|personal number|aadhaar|rut",
        r"(?=[^\n]{0,12}\d)[A-Za-z]{0,3}\d[A-Za-z\d./ -]{4,16}\d[A-Za-z]?",
    ),
    _named("my number", r"\d{4}[ -]?\d{4}[ -]?\d{4}"),
    _named(
        "passport|reisepass|passeport|pasaporte", r"(?=[A-Za-z\d]{0,4}\d{4})[A-Za-z]{0,2}\d[A-Za-z\d]{5,9}", gap=_GAP
    ),
    _named(
        "driver's license|driver’s license|drivers license|driver license|driver's licence|driver’s licence"
        "|driving licence|driving license|license number|licence number|führerschein|dl number|dl no",
        r"[A-Za-z]{0,5}\d[A-Za-z\d]{0,3}(?:[ -]?[A-Za-z\d]{2,10}){1,4}",
    ),
    _named(
        "account|acct|a/c|routing|sort code|bank account|kontonummer|aba",
        r"(?<![$€£])\d{2}-\d{2}-\d{2}|\d{6,17}",
        kind="bank_account",
    ),
    _named(
        "born|dob|d.o.b.|date of birth|birth date|birthdate|birthday|geboren|geburtsdatum|née le|né le|nacido|nacida",
        r"\d{1,2}[./ -]\d{1,2}[./ -](?:19|20)?\d{2}|(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}"
        r"|\d{1,2}(?:st|nd|rd|th)?[. ]{1,3}(?:of )?[a-zäéû]{3,10}\.?,? (?:19|20)\d{2}",
        kind="birth_date",
    ),
    _named(
        "born|dob|date of birth|birth date|birthdate|birthday",
        r"[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? (?:19|20)\d{2}",
        kind="birth_date",
        gap=r"[ :]{1,3}(?:is |was |on ){0,2}",
    ),
)
"""Tried only where there is a digit."""
