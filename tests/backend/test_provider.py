"""Which answers of a sign-in provider are believed: one with a real key, over real connections, that does it wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import RSAKey
from providers import CLIENT, SECRET, Lab, unsigned, with_another_key, with_the_public_key_as_a_secret, with_the_secret

from backend.provider import oidc
from backend.provider.__main__ import main
from backend.provider.about import about_of
from backend.provider.choice import provider_of
from backend.provider.oidc import Person, Provider
from backend.provider.refusals import TOO_LATE, UNFIT
from core.errors import PackageMissing, ProviderDown, SignInRefused
from core.schemas.accounts import ProviderAnswer, SignInBegun
from core.settings import Settings

BACK = "https://lab.example/spikefront/_provider/back"


@pytest.fixture
def ours(lab: Lab, tmp_path: Path) -> Iterator[Provider]:
    secret = tmp_path / "client-secret"
    secret.write_text(f"{SECRET}\n")
    told = {"oidc_issuer": lab.issuer, "oidc_client_id": CLIENT, "oidc_client_secret_file": secret}
    public = {"public_url_override": "https://lab.example", "base_path": "/spikefront"}
    opened = Provider(Settings(home=tmp_path, **told, **public), key="the installation's")
    yield opened
    opened.close()


def answer_of(lab: Lab, begun: SignInBegun, **changes: Any) -> ProviderAnswer:
    back = lab.visit(begun.url)
    told = {"ticket": begun.ticket, "returned_state": back["state"], "returned_code": back["code"]}
    return ProviderAnswer(**{**told, "issuer": back.get("iss"), **changes})


def through(ours: Provider, lab: Lab, **changes: Any) -> Person:
    answer = answer_of(lab, ours.begin(), **changes)
    ours.ends_at(answer)
    return ours.person(answer)


def refusal(ours: Provider, lab: Lab, **changes: Any) -> str:
    with pytest.raises(SignInRefused) as caught:
        through(ours, lab, **changes)
    return caught.value.message


@pytest.mark.parametrize("changed", ["end", "random", "none", "long"])
def test_a_ticket_that_was_changed_is_none(ours: Provider, lab: Lab, changed: str) -> None:
    answer = answer_of(lab, ours.begin())
    random, _, end = answer.ticket.partition(".")
    other = {
        "end": f"{random}.{int(end) + 1}",
        "random": f"{random[::-1]}.{end}",
        "none": "",
        "long": f"{random}.{end}0",
    }
    with pytest.raises(SignInRefused, match=TOO_LATE):
        ours.ends_at(answer.model_copy(update={"ticket": other[changed]}))
    assert ours.ends_at(answer).timestamp() == int(end)


def test_a_ticket_ends_after_ten_minutes(ours: Provider, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(ours._tickets, "_clock", lambda: now)
    answer = answer_of(lab, ours.begin())
    monkeypatch.setattr(ours._tickets, "_clock", lambda: now + 598)
    ours.ends_at(answer)
    monkeypatch.setattr(ours._tickets, "_clock", lambda: now + 601)
    with pytest.raises(SignInRefused, match=TOO_LATE):
        ours.ends_at(answer)


def test_a_ticket_of_another_installation_is_none(ours: Provider, lab: Lab, tmp_path: Path) -> None:
    told = {"oidc_issuer": lab.issuer, "oidc_client_id": CLIENT}
    other = Provider(Settings(home=tmp_path, **told), key="another's")
    with pytest.raises(SignInRefused, match=TOO_LATE):
        ours.ends_at(answer_of(lab, other.begin()))
    other.close()


@dataclass(frozen=True)
class FromNow:
    """Seconds from when a test runs: a name with the time of its collection would be another in each process."""

    seconds: int

    def moment(self) -> int:
        return int(time.time()) + self.seconds


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": "another-client", "azp": CLIENT},
        {"aud": None},
        {"aud": [CLIENT, "another-client"]},  # without azp
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"exp": 1_000_000_000},
        {"exp": FromNow(-120)},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": FromNow(3600)},
        {"iat": None},
        {"nbf": FromNow(3600)},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"at_hash": "of another token"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"sub": "a\x00b"},
    ],
    ids=str,
)
def test_an_id_token_that_is_not_of_this_sign_in_is_refused(
    ours: Provider, lab: Lab, claims: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    lab.claims = {name: value.moment() if isinstance(value, FromNow) else value for name, value in claims.items()}
    assert refusal(ours, lab) == UNFIT
    assert any(record.getMessage() == "provider.refused" for record in caplog.records)


def test_an_audience_of_several_with_our_name_as_its_party_is_ours(ours: Provider, lab: Lab) -> None:
    lab.claims = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert through(ours, lab).subject == "00u-ann"


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        with_another_key,
        with_the_secret,
        with_the_public_key_as_a_secret,
        lambda lab, claims: "no token",
        lambda lab, claims: lab.signed(claims)[:-8] + "AAAAAAAA",
    ],
    ids=["none", "another key", "HS256 by the secret", "HS256 by the public key", "no token", "changed"],
)
def test_an_id_token_that_the_provider_did_not_sign_is_refused(ours: Provider, lab: Lab, sign) -> None:
    lab.sign = sign
    lab.about = {"id_token_signing_alg_values_supported": ["none", "HS256", "RS256"]}
    assert refusal(ours, lab) == UNFIT
    lab.sign = None
    assert through(ours, lab).subject == "00u-ann"


def test_a_new_key_of_the_provider_is_found_and_not_asked_for_at_every_answer(
    ours: Provider, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert through(ours, lab).subject == "00u-ann"
    old, lab.key = lab.key, RSAKey.generate_key(2048, auto_kid=True)
    assert refusal(ours, lab) == UNFIT  # asked for less than half a minute ago
    assert lab.asked.count("/keys") == 1
    monkeypatch.setattr(oidc, "AGAIN_S", 0.0)
    assert through(ours, lab).subject == "00u-ann" and lab.asked.count("/keys") == 2
    lab.key = old


def test_an_answer_of_another_provider_is_refused(ours: Provider, lab: Lab) -> None:
    """RFC 9207: two providers of one browser, whose answers are mixed up."""
    assert refusal(ours, lab, issuer="https://evil.example") == UNFIT


def test_a_provider_that_names_itself_must_do_so_each_time(ours: Provider, lab: Lab) -> None:
    lab.names_itself = True
    assert refusal(ours, lab, issuer=None) == UNFIT
    assert through(ours, lab).subject == "00u-ann"


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://lab.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=str,
)
def test_a_provider_that_says_what_is_not_safe_is_not_used(ours: Provider, lab: Lab, about: dict[str, Any]) -> None:
    lab.about = about
    with pytest.raises(ProviderDown):
        ours.begin()


def test_the_browser_is_sent_with_a_challenge_state_and_nonce_and_back_to_the_public_address(
    ours: Provider, lab: Lab
) -> None:
    begun = [ours.begin(), ours.begin()]
    asked = [{name: value for name, (value,) in parse_qs(urlsplit(one.url).query).items()} for one in begun]
    for one in asked:
        assert (one["response_type"], one["client_id"], one["scope"]) == ("code", CLIENT, "openid profile email")
        assert (one["redirect_uri"], one["code_challenge_method"]) == (BACK, "S256")
        assert one["tenant"] == "lab"  # the endpoint's own query stays
        assert SECRET not in str(one)
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[0][name]) == 43 and asked[0][name] != asked[1][name]
    assert len({asked[0]["state"], asked[0]["nonce"], asked[0]["code_challenge"]}) == 3
    assert begun[0].ticket.partition(".")[0] not in begun[0].url  # what the browser keeps stands in no address


def test_what_the_provider_says_of_itself_is_asked_for_once_and_its_keys_too(ours: Provider, lab: Lab) -> None:
    for _ in range(3):
        through(ours, lab)
    assert lab.asked.count("/.well-known/openid-configuration") == lab.asked.count("/keys") == 1


def test_without_authlib_the_start_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "backend.provider.oidc")
    monkeypatch.setitem(sys.modules, "authlib.oidc.core", None)
    settings = Settings(home=tmp_path, oidc_issuer="https://login.example", oidc_client_id=CLIENT)
    with pytest.raises(PackageMissing, match=r"-e '\.\[server\]'"):
        provider_of(settings, key="k")
    assert provider_of(Settings(home=tmp_path), key="k") is None  # and without a provider nothing is


def test_of_what_a_provider_offers_only_keys_that_are_its_own_count() -> None:
    """The other layer: its keys of other kinds are not read either, so no token shows this one alone."""
    told = {
        name: "https://login.example/x" for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    offered = ["none", "HS256", "HS512", "ES256", "RS256"]
    about = about_of({**told, "id_token_signing_alg_values_supported": offered}, issuer=told["issuer"])
    assert set(about.algorithms) == {"RS256", "ES256"}
    assert about_of(told, issuer=told["issuer"]).algorithms == ("RS256",)


def examined(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **told: object) -> tuple[int, str]:
    for name, value in told.items():
        monkeypatch.setenv(f"SPIKEFRONT_{name.upper()}", str(value))
    code = main()
    said = capsys.readouterr()
    return code, said.out + said.err


def test_the_doctor_is_told_whether_the_provider_answers_and_as_whom(lab, tmp_path, monkeypatch, capsys):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    told = {"home": tmp_path, "oidc_issuer": lab.issuer, "oidc_client_id": CLIENT, "oidc_client_secret_file": secret}
    code, said = examined(monkeypatch, capsys, **told)
    assert (code, said) == (0, f"{lab.issuer} answers under this name; {CLIENT} is a client with a secret\n")
    secret.write_text("")
    code, said = examined(monkeypatch, capsys)
    assert (code, said.endswith("is a public client, without a secret\n")) == (0, True)
    secret.write_text("two words")
    code, said = examined(monkeypatch, capsys)
    assert code == 1 and said.startswith("spikefront: SPIKEFRONT_OIDC_CLIENT_SECRET_FILE is ")
    secret.write_text(SECRET)
    code, said = examined(monkeypatch, capsys, oidc_issuer="http://127.0.0.1:9")
    assert code == 1 and "does not answer" in said
    code, said = examined(monkeypatch, capsys, oidc_issuer=lab.issuer.replace("127.0.0.1", "localhost"))
    assert code == 1, "another name for the same one"


def test_without_a_provider_the_doctor_is_told_nothing(tmp_path, monkeypatch, capsys):
    assert examined(monkeypatch, capsys, home=tmp_path) == (0, "")
