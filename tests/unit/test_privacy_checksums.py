"""Check digits against published examples, and against every wrong digit beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.traffic import checksums

_EXAMPLES: list[tuple[Callable[[str], bool], str]] = [
    # Published by the authority or the standard, or the usual documentation example.
    (checksums.luhn, "4111111111111111"),
    (checksums.luhn, "378282246310005"),
    (checksums.iban, "DE89370400440532013000"),
    (checksums.iban, "GB82WEST12345698765432"),
    (checksums.iban, "MT84MALT011000012345MTLCAST001S"),
    (checksums.iban, "NO9386011117947"),
    (checksums.us_ssn, "219099998"),
    (checksums.de_tax_id, "86095742719"),
    (checksums.fr_nir, "255081416802538"),
    (checksums.es_dni, "12345678Z"),
    (checksums.es_dni, "X1234567L"),
    (checksums.it_codice_fiscale, "RSSMRA85T10A562S"),
    (checksums.nl_bsn, "111222333"),
    (checksums.uk_nhs, "9434765919"),
    (checksums.pl_pesel, "44051401359"),
    (checksums.be_national, "93051822361"),
    (checksums.br_cpf, "52998224725"),
    (checksums.no_birth_number, "29029600013"),
    (checksums.ch_ahv, "7569217076985"),
    (checksums.se_personal, "8112289874"),
    (checksums.fi_hetu, "131052-308T"),
    (checksums.in_aadhaar, "234123412346"),
    (checksums.cn_resident, "11010519491231002X"),
    (checksums.bitcoin, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
]


@pytest.mark.parametrize(("check", "number"), _EXAMPLES)
def test_published_example_passes(check: Callable[[str], bool], number: str) -> None:
    assert check(number)


@pytest.mark.parametrize(
    ("check", "number"), [(c, n) for c, n in _EXAMPLES if c not in (checksums.us_ssn,) and n[-1].isdigit()]
)
def test_another_last_digit_fails(check: Callable[[str], bool], number: str) -> None:
    """Every scheme here catches a single wrong digit (an SSN has no check digit)."""
    wrong = [number[:-1] + digit for digit in "0123456789" if digit != number[-1]]
    assert not any(check(other) for other in wrong)


@pytest.mark.parametrize("digits", ["000121234", "666121234", "123001234", "123120000", "900121234"])
def test_ssn_that_were_never_issued(digits: str) -> None:
    assert not checksums.us_ssn(digits)


@given(st.text("0123456789", min_size=11, max_size=18))
def test_luhn_has_exactly_one_check_digit(body: str) -> None:
    passing = [digit for digit in "0123456789" if checksums.luhn(body + digit)]
    assert len(passing) == (1 if body.strip("0") else 0)


@given(st.sampled_from([c for c, _ in _EXAMPLES]), st.text("0123456789", min_size=18, max_size=18))
def test_no_digits_make_a_check_raise(check: Callable[[str], bool], digits: str) -> None:
    length = next(len(number) for c, number in _EXAMPLES if c is check)
    example = next(number for c, number in _EXAMPLES if c is check)
    if example.isdigit():
        assert check(digits[:length].ljust(length, "7")) in (True, False)
