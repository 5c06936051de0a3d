"""National numbers, documents, births and wallets: shapes with check digits, or shapes that need a word before them.

Check digits by `python-stdnum`, which follows what the issuing authorities publish; what it lacks is in checksums.py. A
shape that other numbers share (eleven digits, a passport's) counts only after its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from stdnum import bitcoin
from stdnum.util import get_cc_module

from insource.traffic import checksums
from insource.traffic.rules import Rule, RuleSet

_GAP = r"[^\n\d]{0,24}?"
"""Between a name and its number: `is`, `no.:`, `(`; never another number or line."""

_FIRST_WORD = re.compile(r"(?:^|(?<=\|))[a-z]+")

Check = Callable[[str], bool]


@lru_cache(maxsize=256)
def _validator(scheme: str) -> Check:
    """`python-stdnum`'s module for a scheme such as `nl.bsn`, loaded when it is first needed."""
    country, _, name = scheme.partition(".")
    module = get_cc_module(country, name)
    if module is None:
        raise LookupError(scheme)
    return module.is_valid


def _valid(*schemes: str) -> Check:
    """In any of the schemes."""
    return lambda number: any(_validator(scheme)(number) for scheme in schemes)


def _digits(count: str) -> str:
    """So many digits, with at most two separators between them."""
    least, _, most = count.partition("-")
    return rf"\d(?:[ ./-]{{0,2}}\d){{{int(least) - 1},{int(most or least) - 1}}}"


def _shape(pattern: str, confidence: float, check: Check | None = None, *, exact: bool = False) -> Rule:
    """A number that stands for itself; nothing alphanumeric touches it."""
    return Rule(
        kind="national_id",
        pattern=re.compile(rf"(?<![\w-])(?<!\d[./])(?:{pattern})(?![\w-]|[./]\d)"),
        confidence=confidence,
        check=check,
        compact=not exact,
    )


def _named(names: str, pattern: str, check: Check | None = None, *, kind: str = "national_id", gap: str = _GAP) -> Rule:
    """A number after its name. The names, separated by `|`, are literal and lower case."""
    either = "|".join(re.escape(name) for name in sorted(names.split("|"), key=len, reverse=True))
    return Rule(
        kind=kind,
        words=frozenset(_FIRST_WORD.findall(names)),
        markers=tuple(name for name in names.split("|") if not name.isascii()),
        pattern=re.compile(rf"(?<![a-z])(?:{either})(?![a-z]){gap}({pattern})(?!\w)"),
        confidence=0.92,
        group=1,
        check=check,
        compact=True,
        lowered=True,
    )


RUN_RULES = RuleSet(
    _shape(r"\d{3}-\d{2}-\d{4}", 0.9, _valid("us.ssn", "us.itin")),
    _shape(r"\d{3} \d{2} \d{4}", 0.65, _valid("us.ssn", "us.itin")),
    _shape(
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", 0.9
    ),  # United Kingdom, NINO
    _shape(
        r"(?:[A-Z]{5}|[A-Z]{1,4}9{1,4})\d[0156]\d[0-3]\d\d[A-Z][A-Z9][A-Z\d][A-Z]{2}(?: ?\d\d)?", 0.85
    ),  # UK, driver
    _shape(r"\d{2} \d{3} \d{3} \d{3}", 0.7, _valid("de.idnr")),
    _shape(r"[1-478] ?\d{2} ?(?:0\d|1[0-2]|[2-9]\d) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}", 0.9, _valid("fr.nir")),
    _shape(r"\d{2}\.?\d{3}\.?\d{3}[ -]?[A-HJ-NP-TV-Z]", 0.75, _valid("es.dni")),
    _shape(r"[XYZxyz][ -]?\d{7}[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]", 0.9, _valid("es.nie")),
    _shape(r"\d{2}\.\d{2}\.\d{2}[ -]\d{3}[ .]\d{2}", 0.85, _valid("be.nn")),
    _shape(r"\d{3}\.\d{3}\.\d{3}-\d{2}", 0.9, _valid("br.cpf")),
    _shape(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2} \d{5}", 0.8, _valid("no.fodselsnummer")),
    _shape(r"756[. ]\d{4}[. ]\d{4}[. ]\d{2}|756\d{10}", 0.9, _valid("ch.ssn")),
    _shape(r"(?:\d{2}|(?:19|20)\d{2})(?:0[1-9]|1[0-2])\d{2}[-+]\d{4}", 0.8, _valid("se.personnummer"), exact=True),
    _shape(r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}", 0.85, _valid("in.aadhaar")),
    _shape(r"[1-9]\d{16}[\dXx]", 0.9, _valid("cn.ric")),
    _shape(r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6}", 0.8),  # Korea; no check digit since 2020
    _shape(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2}-\d{4}", 0.5),  # Denmark, Iceland; no checksum since 2007
    _shape(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{2}[-+A]\d{3}[\dA-Y]", 0.9, _valid("fi.hetu"), exact=True),
    _shape(r"\d{2}[0156]\d[0-3]\d/\d{3,4}", 0.75, _valid("cz.rc")),
    _shape(r"[1-8]-\d{4}-\d{5}-\d{2}-\d", 0.9, _valid("th.pin")),
    _shape(r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]", 0.85, _valid("cl.rut")),
    _shape(r"\d{5}-\d{7}-\d", 0.8, _valid("pk.cnic")),
    _shape(r"\d{6}-\d{2}-\d{4}", 0.8, _valid("my.nric")),
    _shape(r"(?:20|23|24|27)-\d{8}-\d", 0.85, _valid("ar.cuit")),
    _shape(r"\d{3}-\d{7}-\d", 0.75, _valid("do.cedula")),
    _shape(r"\d{3}-\d{3}-\d{3}", 0.65, _valid("ca.sin")),
    _shape(r"\d{4}\.\d{2}\.\d{3}", 0.65, _valid("nl.bsn")),
)
"""Tried only where six digits stand close together."""

TOKEN_RULES = RuleSet(
    _shape(
        r"[A-Za-z]{6}[\dLMNP-Vlmnp-v]{2}[A-EHLMPR-Ta-ehlmpr-t][\dLMNP-Vlmnp-v]{2}[A-Za-z][\dLMNP-Vlmnp-v]{3}[A-Za-z]",
        0.95,
        _valid("it.codicefiscale"),
    ),
    _shape(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", 0.95, _valid("mx.curp")),
    _shape(r"[STFGM]\d{7}[A-Z]", 0.8, checksums.sg_nric),
    _shape(r"[A-Z][1289ABCD]\d{8}", 0.7, checksums.tw_identity),
    _shape(r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", 0.75, _valid("in.pan")),
    _shape(r"[A-Z]{1,2}\d{6}\([\dA]\)", 0.8, checksums.hk_identity),
    Rule(
        kind="wallet",
        pattern=re.compile(r"(?<![A-Za-z0-9])[13][1-9A-HJ-NP-Za-km-z]{25,34}(?![A-Za-z0-9])"),
        confidence=0.95,
        check=bitcoin.is_valid,
    ),
)
"""Tried only on words of digits and letters."""

WALLET_RULES = RuleSet(
    Rule(
        kind="wallet",
        markers=("bc1",),
        pattern=re.compile(r"(?<![A-Za-z0-9])bc1[02-9ac-hj-np-z]{25,59}(?![A-Za-z0-9])"),
        confidence=0.95,
        check=bitcoin.is_valid,
    ),
    Rule(
        kind="wallet",
        markers=("0x",),
        pattern=re.compile(
            r"(?:wallet|pay|sen[dt]|transfer|deposit|withdraw|donat|my address|metamask)[^\n]{0,60}?"
            r"(?<![a-z0-9])(0x[0-9a-f]{40})(?![0-9a-z])"
        ),
        confidence=0.8,
        group=1,
        lowered=True,
    ),
    Rule(  # by itself as often the address of a contract, which is public
        kind="wallet",
        markers=("0x",),
        pattern=re.compile(r"(?<![A-Za-z0-9])0x[0-9a-fA-F]{40}(?![A-Za-z0-9])"),
        confidence=0.4,
    ),
)
_ANY_NUMBER = r"(?=[^\n]{0,12}\d)[A-Za-z]{0,3}\d[A-Za-z\d./ -]{4,16}\d[A-Za-z]?"
_BIRTH_WORDS = (
    "born|dob|d.o.b.|date of birth|birth date|birthdate|birthday|geboren|geburtsdatum|née le|né le|nacido|nacida"
)

NAMED_RULES = RuleSet(
    _named("ssn|social security", _digits("9"), _valid("us.ssn", "us.itin")),
    _named("bsn|burgerservicenummer|sofinummer|sofi-nummer", _digits("8-9"), _valid("nl.bsn")),
    _named("nhs", _digits("10"), _valid("gb.nhs")),
    _named("utr|unique taxpayer", _digits("10"), _valid("gb.utr")),
    _named("sin|social insurance|assurance sociale", _digits("9"), _valid("ca.sin")),
    _named("teudat zehut|ת.ז|ת״ז|מספר זהות|israeli id", _digits("8-9"), _valid("il.idnr")),
    _named("thai id|thai national id|เลขประจำตัวประชาชน|บัตรประชาชน", _digits("13"), _valid("th.pin")),
    _named("身分證|身份證|taiwan id|taiwanese id", r"[a-z][1289a-d]\d{8}"),
    _named("身份证", r"\d{17}[\dx]"),
    _named("voen|vöen|vergi", _digits("10"), _valid("az.voen")),
    _named(
        "fin kod|fin code|şəxsiyyət|azerbaijan id|azerbaijani id", r"(?=[a-z\d]{0,6}\d)[a-z\d]{7}|(?:aze|aa)\d{7,8}"
    ),
    _named("idnr|steuer-id|steuerliche|steuernummer|steuer-identifikationsnummer", _digits("10-13")),
    _named("nir|sécurité sociale|securite sociale", _digits("13-15"), _valid("fr.nir")),
    _named("pesel", _digits("11"), _valid("pl.pesel")),
    _named("cpf", _digits("11"), _valid("br.cpf")),
    _named("rijksregisternummer|registre national|numéro national", _digits("11"), _valid("be.nn")),
    _named("fødselsnummer|fodselsnummer|personnummer|personal number", r"\d{6}(?:\d{2})?[ +-]?\d{4,5}"),
    _named("cpr", r"\d{6}[ -]?\d{4}"),
    _named("kennitala", _digits("10"), _valid("is.kennitala")),
    _named("isikukood|personal code|asmens kodas", _digits("11"), _valid("ee.ik", "lt.asmens")),
    _named("personas kods", r"\d{6}[ -]?\d{5}"),
    _named("t.c. kimlik|tc kimlik|kimlik", _digits("11"), _valid("tr.tckimlik")),
    _named("oib", _digits("11"), _valid("hr.oib")),
    _named("egn|егн", _digits("10"), _valid("bg.egn")),
    _named("cnp", _digits("13"), _valid("ro.cnp")),
    _named("emšo|emso|jmbg|jмбг", _digits("13"), _valid("si.emso")),
    _named("rodné číslo|rodne cislo|birth number", r"\d{6}/?\d{3,4}", _valid("cz.rc")),
    _named("amka|αμκα", _digits("11"), _valid("gr.amka")),
    _named("pps|ppsn", r"\d{7}[a-z]{1,2}", _valid("ie.pps")),
    _named("nif|número de contribuinte|numero de contribuinte", r"[a-z]?-?\d{7,9}-?[a-z]?"),
    _named("sa id|rsa id|south african id", _digits("13"), _valid("za.idnr")),
    _named("nric|mykad", r"[stfgm]?\d{6,7}-?\d{0,2}-?\d{0,4}[a-z]?"),
    _named("nik", _digits("16"), _valid("id.nik")),
    _named("cnic", _digits("13")),
    _named("rut|run", r"\d{1,2}\.?\d{3}\.?\d{3}-?[\dk]", _valid("cl.rut")),
    _named("cuit|cuil", _digits("11"), _valid("ar.cuit")),
    _named("cédula|cedula", _digits("6-11")),
    _named("dni", r"\d{1,2}\.?\d{3}\.?\d{3}-?[a-z]?"),
    _named("tfn|tax file", _digits("8-9"), _valid("au.tfn")),
    _named("ird", _digits("8-9"), _valid("nz.ird")),
    _named("рнокпп|іпн|rnokpp", _digits("10"), _valid("ua.rntrc")),
    _named("инн|снилс|паспорт", _digits("9-12")),
    _named("aadhaar|aadhar|uidai|आधार", _digits("12")),
    _named("my number|マイナンバー|個人番号", _digits("12"), _valid("jp.in_")),
    _named("주민등록번호|rrn|resident registration", r"\d{6}[ -]?\d{7}"),
    _named(
        "tax id|tax number|tax identification|itin|tin|national id|national insurance|national identity|identity number"
        "|identification number|id number|id card|identity card|citizen id|citizen number|insurance number|my id is"
        "|her id is|his id is|ausweisnummer|personalausweis|versicherungsnummer|codice fiscale"
        "|carta d'identità|numéro fiscal",
        _ANY_NUMBER,
    ),
    _named(
        "passport|reisepass|passeport|pasaporte|passaporto|paspoort|passnummer",
        r"(?=(?:[a-z]{0,3}\d){4})[a-z\d]{6,12}",
    ),
    _named(
        "driver's license|driver’s license|drivers license|driver license|driver's licence|driver’s licence"
        "|driving licence|driving license|license number|licence number|führerschein|dl number|dl no|patente"
        "|patente di guida|permis de conduire|carnet de conducir|rijbewijs",
        r"(?=[a-z]{0,5}(?:[ -]?[a-z]{0,2}\d){4})[a-z]{0,5}\d[a-z\d]{0,3}(?:[ -]?(?=[a-z]{0,4}\d)[a-z\d]{2,10}){1,4}",
    ),
    _named(
        "account|acct|a/c|routing|sort code|bank account|kontonummer|aba",
        r"(?<![$€£])\d{2}-\d{2}-\d{2}|\d{6,17}",
        kind="bank_account",
        gap=r"(?![ _-]?(?:ids?|ref)(?![a-z]))" + _GAP,
    ),
    _named(
        _BIRTH_WORDS,
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
