"""Calls of an API over connections that are kept."""

from __future__ import annotations

import asyncio

import pytest

from tests.jwt_auth.certs import Authority
from tests.jwt_auth.providers.stand_in import Answer, StandIn
from vault_jwt_plugin.jwt_auth.errors import FetchError
from vault_jwt_plugin.jwt_auth.fetching.fetcher import HTTPFetcher
from vault_jwt_plugin.jwt_auth.fetching.messages import APIRequest
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust

CA = Authority()
CERTIFICATE = CA.issue("127.0.0.1")


def session(scenario, ca_pem=""):
    async def main():
        fetcher = HTTPFetcher()
        opened = fetcher.open(trust=Trust(ca_pem=ca_pem))
        try:
            return await scenario(opened)
        finally:
            opened.close()
            fetcher.close()

    return asyncio.run(main())


async def send(opened, url, deadline_s=5.0, max_bytes=1024, **request):
    return await opened.send(
        APIRequest(url=url, **request), deadline_s=deadline_s, max_bytes=max_bytes
    )


@pytest.mark.parametrize("certificate", [None, CERTIFICATE], ids=["http", "https"])
def test_one_connection_carries_all_requests(certificate):
    with StandIn({"a": 1}, certificate=certificate) as api:

        async def scenario(opened):
            first = await send(opened, api.origin + "/one")
            second = await send(
                opened,
                api.origin + "/two?q=1",
                method="POST",
                headers={"Authorization": "Bearer hush", "Content-Type": "text/x"},
                body=b"body",
            )
            return first.json, second.json

        assert session(scenario, CA.pem) == ({"a": 1}, {"a": 1})
    one, two = api.asked
    assert one.connection == two.connection
    assert (one.method, one.target, one.body) == ("GET", "/one", b"")
    assert "authorization" not in one.headers
    assert (two.method, two.target, two.body) == ("POST", "/two?q=1", b"body")
    assert two.headers["authorization"] == "Bearer hush"
    assert two.headers["content-type"] == "text/x"
    assert "accept" not in two.headers
    assert two.headers["user-agent"] == "vault-jwt-plugin"


def test_a_session_goes_on_after_an_error_of_the_server():
    answers = [Answer(status=401, body={"a": "long" * 10_000}), Answer(body=[1])]
    with StandIn(lambda _asked: answers.pop(0)) as api:

        async def scenario(opened):
            with pytest.raises(FetchError) as caught:
                await send(opened, api.origin)
            assert (caught.value.code, caught.value.status) == ("http_status", 401)
            assert caught.value.problem == "it answered with HTTP status 401, 200 is needed"
            return (await send(opened, api.origin)).json

        assert session(scenario) == [1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(status):
    answer = Answer(status=status, headers=[("Location", "/elsewhere")])
    with StandIn(answer) as api:

        async def scenario(opened):
            with pytest.raises(FetchError) as caught:
                await send(opened, api.origin, headers={"Authorization": "SSWS hush"})
            return caught.value.code, caught.value.problem

        assert session(scenario) == (
            "redirect_refused",
            "it redirects, which is not followed with credentials",
        )
    assert len(api.asked) == 1


def test_links_are_handed_on():
    links = [("Link", '<https://a/1>; rel="self"'), ("Link", '<https://a/2>; rel="next"')]
    with StandIn(Answer(body=[], headers=links)) as api:

        async def scenario(opened):
            return (await send(opened, api.origin)).link

        assert session(scenario) == '<https://a/1>; rel="self", <https://a/2>; rel="next"'


def test_a_deadline_ends_a_request():
    with StandIn(Answer(hang=True)) as api:

        async def scenario(opened):
            with pytest.raises(FetchError) as caught:
                await send(opened, api.origin, deadline_s=0.2)
            return caught.value.code

        assert session(scenario) == "timeout"


def test_an_answer_too_large():
    with StandIn(Answer(body=b'"' + b"x" * 2048 + b'"')) as api:

        async def scenario(opened):
            with pytest.raises(FetchError) as caught:
                await send(opened, api.origin)
            return caught.value.code

        assert session(scenario) == "too_large"


def test_a_cancelled_request_ends_its_thread():
    with StandIn(Answer(hang=True)) as api:

        async def scenario(opened):
            task = asyncio.create_task(send(opened, api.origin, deadline_s=15))
            assert await asyncio.to_thread(api.come.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # What comes after it in the session fails at once instead of hanging.
            with pytest.raises(FetchError):
                await send(opened, api.origin, deadline_s=1)

        session(scenario)


def test_environment_proxies_are_passed_by_when_asked(monkeypatch):
    with StandIn("proxied") as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        async def scenario(opened):
            through = await send(opened, "http://metadata.invalid/a")
            with pytest.raises(FetchError) as caught:
                await send(opened, "http://metadata.invalid/a", direct=True)
            return through.json, caught.value.code

        assert session(scenario) == ("proxied", "dns")
