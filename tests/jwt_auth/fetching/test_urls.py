"""URLs: which are fetched, and what of them is shown."""

from __future__ import annotations

import pytest

from vault_jwt_plugin.jwt_auth.fetching.urls import check_url, fetch_error, shown


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "https://a.example/b/c?d=e",
        "HTTPS://A:8443/",
        "https://[::1]:8200/",
        "https://u:p@h/",
        "https://bücher.example/",
    ],
)
def test_urls_that_can_be_fetched(url):
    assert check_url(url).hostname


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://a/b", '"https://a/b"'),
        ("https://me:s3cret@a:8443/b?c=s3cret#s3cret", '"https://a:8443/b"'),
        ("https://me@a", '"https://a"'),
        ("https://[::1]:1/", '"https://[::1]:1/"'),
        ("s3cret", "(an invalid URL)"),
        ("", "(an invalid URL)"),
        ("https://[s3cret", "(an invalid URL)"),
        ("https://a:s3cret/", "(an invalid URL)"),
        ("https://a/permission denied", "(text left out)"),
        ("https://a/" + "b" * 200, '"https://a/' + "b" * 118 + '…"'),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_shown(url, text):
    assert shown(url) == text
    error = fetch_error("code", url, "problem")
    assert (error.code, error.url, error.message) == ("code", text, f"can't use {text}: problem")
