"""Times: every combination of the three dates, and the leeways around each."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.jwt_auth.tokens import verified
from vault_jwt_plugin.jwt_auth.claims.dates import Dates, Leeways, check_time, numeric_date
from vault_jwt_plugin.jwt_auth.errors import LoginDenied

T = 1_700_000_000
SECOND = 1_000_000_000
TICK = 0.25


def leeways(e: int = 0, n: int = 0, c: int = 0) -> Leeways:
    """From stored leeways in seconds."""
    return Leeways.of(expiration_ns=e * SECOND, not_before_ns=n * SECOND, clock_skew_ns=c * SECOND)


@pytest.mark.parametrize(
    ("stored", "effective"),
    [
        ((0, 0, 0), (150, 150, 60)),
        ((1, 2, 3), (1, 2, 3)),
        ((-1, -1, -1), (0, 0, 0)),
        ((-99, 0, 5), (0, 150, 5)),
    ],
    ids=["defaults", "given", "off", "mixed"],
)
def test_leeways_in_effect(stored, effective):
    result = leeways(*stored)
    assert (result.expiration_s, result.not_before_s, result.clock_skew_s) == effective


def test_a_leeway_below_a_second_counts():
    assert Leeways.of(expiration_ns=1, not_before_ns=0, clock_skew_ns=SECOND // 2) == Leeways(
        expiration_s=1e-9, not_before_s=150, clock_skew_s=0.5
    )


# Claims, stored leeways, window in seconds relative to T (both ends pass), code before, code after.
WINDOWS = [
    ("exp nbf iat", {"exp": T + 100, "nbf": T, "iat": T - 50}, (), (-60, 160), "nbf"),
    ("exp nbf iat, iat later", {"exp": T + 100, "nbf": T, "iat": T + 50}, (), (-10, 160), "iat+"),
    ("exp nbf", {"exp": T + 100, "nbf": T}, (), (-60, 160), "nbf"),
    ("exp iat", {"exp": T + 100, "iat": T}, (), (-60, 160), "iat"),
    ("exp", {"exp": T + 100}, (), (100 - 210, 160), "exp"),
    ("nbf iat", {"nbf": T, "iat": T - 20}, (), (-60, 210), "nbf"),
    ("nbf iat, iat later", {"nbf": T, "iat": T + 20}, (), (-40, 230), "iat+"),
    ("nbf", {"nbf": T}, (), (-60, 210), "nbf"),
    ("iat", {"iat": T}, (), (-60, 210), "iat"),
    ("iat, skew 10", {"iat": T}, (0, 0, 10), (-10, 160), "iat"),
    ("iat, skew off", {"iat": T}, (0, 0, -1), (0, 150), "iat"),
    ("iat, skew 10, exp leeway off", {"iat": T}, (-1, 0, 10), (-10, 10), "iat"),
    ("iat, exp leeway 30", {"iat": T}, (30, 0, 0), (-60, 90), "iat"),
    ("exp, nbf leeway 30", {"exp": T}, (0, 30, 0), (-90, 60), "exp"),
    ("exp, nbf leeway off", {"exp": T}, (0, -1, -1), (0, 0), "exp"),
    ("exp present: exp leeway unused", {"exp": T, "iat": T}, (999, 0, 0), (-60, 60), "iat"),
    ("nbf present: nbf leeway unused", {"exp": T, "nbf": T}, (0, 999, 0), (-60, 60), "nbf"),
    ("nulls and zeros are missing", {"exp": None, "nbf": 0, "iat": T}, (), (-60, 210), "iat"),
    (
        "fractions are cut",
        {"exp": Decimal(f"{T}.9"), "iat": Decimal(f"{T}.9")},
        (),
        (-60, 60),
        "iat",
    ),
    ("exp before nbf: never", {"exp": T - 200, "nbf": T}, (), None, "nbf"),
]
EARLY = {
    "nbf": ("not_yet_valid", "nbf", 'the token is not yet valid (claim "nbf")'),
    "iat": (
        "not_yet_valid",
        "iat",
        (
            'the token is not yet valid: it has no claim "nbf", and was issued in the future '
            '(claim "iat")'
        ),
    ),
    "exp": (
        "not_yet_valid",
        "exp",
        (
            'the token is not yet valid: it has neither "nbf" nor "iat", and expires later than '
            "the role's not_before_leeway allows"
        ),
    ),
    "iat+": (
        "issued_in_future",
        "iat",
        'the token was issued in the future (claim "iat")',
    ),
}


@pytest.mark.parametrize(
    ("claims", "stored", "window", "early"),
    [row[1:] for row in WINDOWS],
    ids=[row[0] for row in WINDOWS],
)
def test_windows(claims, stored, window, early):
    dates = Dates.of(verified(claims))
    effective = leeways(*stored)
    if window is None:
        for at in range(-400, 400, 20):
            with pytest.raises(LoginDenied):
                check_time(dates, effective, T + at)
        return
    first, last = T + window[0], T + window[1]
    check_time(dates, effective, first)
    check_time(dates, effective, last)
    with pytest.raises(LoginDenied) as denied:
        check_time(dates, effective, first - TICK)
    assert (denied.value.code, denied.value.claim, denied.value.message) == EARLY[early]
    with pytest.raises(LoginDenied) as denied:
        check_time(dates, effective, last + TICK)
    assert (denied.value.code, denied.value.claim) == ("expired", "exp")
    assert denied.value.message == (
        'the token is expired (claim "exp")'
        if dates.expires_at
        else 'the token is expired: it has no claim "exp", and is older than the role\'s '
        "expiration_leeway allows"
    )


@pytest.mark.parametrize(
    "claims",
    [{}, {"exp": None}, {"exp": 0, "nbf": 0, "iat": 0}, {"exp": Decimal("0.9")}, {"iat": -0}],
    ids=str,
)
def test_no_date_at_all(claims):
    with pytest.raises(LoginDenied) as denied:
        check_time(Dates.of(verified(claims)), leeways(), T)
    assert (denied.value.code, denied.value.message) == (
        "time_missing",
        'the token must have a date: one of the claims "exp", "nbf", "iat"',
    )


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (None, 0),
        (0, 0),
        (T, T),
        (Decimal("1700000000.999"), T),
        (Decimal("-1.9"), -1),
        (Decimal("1.7e9"), T),
        (-5, -5),
        (2**63 - 1024, 2**63 - 1024),
        (Decimal("1e-999"), 0),
    ],
    ids=str,
)
def test_dates_are_cut_to_seconds(value, date):
    assert numeric_date(verified({"exp": value}), "exp") == date


@pytest.mark.parametrize(
    ("value", "received"),
    [
        ("1700000000", "a string"),
        ("", "an empty string"),
        (True, "a boolean"),
        (False, "a boolean"),
        ([T], "a list"),
        ({}, "an object"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_dates_of_another_kind(name, value, received):
    with pytest.raises(LoginDenied) as denied:
        Dates.of(verified({"exp": T, name: value}))
    assert denied.value.code == "claim_type"
    assert denied.value.message == f'claim "{name}" must be a number, is {received}'
    assert (denied.value.claim, denied.value.received) == (name, received)


@pytest.mark.parametrize(
    "value", [2**63, 2**63 - 1, -(2**63), 10**300, Decimal("1e308")], ids=lambda v: f"{v:.3e}"
)
def test_dates_beyond_64_bits(value):
    with pytest.raises(LoginDenied) as denied:
        numeric_date(verified({"exp": value}), "exp")
    assert denied.value.message == (
        'claim "exp" must be a date in seconds, is a number out of range'
    )


def test_the_largest_date_is_far_away_and_no_fault():
    check_time(Dates.of(verified({"exp": 2**63 - 1024, "nbf": -(2**63) + 1024})), leeways(), T)
