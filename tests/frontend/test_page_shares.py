"""The Shares page and the Share button: a link to anything, as it was asked for, shown once, listed, withdrawn."""

from __future__ import annotations

import pytest

from core.addresses import on_this_machine_alone
from core.schemas.request import RunRequest
from core.schemas.share import ShareRequest
from core.schemas.sweep import SweepRequest
from frontend.keys import Key
from frontend.parts.sharing import FROZEN, KINDS, LIVE


@pytest.fixture(scope="module")
def twins(stack):
    return stack.succeeded("snn"), stack.succeeded("cnn")


@pytest.fixture(scope="module")
def sweep(stack, twins):
    base = RunRequest(mask=["F9"], overrides={"training.max_epochs": 1, "training.train_limit": 32})
    request = SweepRequest(name="two kinds", base=base, axes={"kind": ["snn", "cnn"]})
    return stack.client.launch_sweep(request, idempotency_key="shares-page")


def labels(page):
    return [button.label for button in page.button]


def newest(stack):
    return stack.client.shares().items[0]


def test_a_frozen_double_blind_link_is_made_as_the_form_says_and_offers_its_file(twins, stack, visit, words) -> None:
    page = visit("shares")
    page.button_group(key=Key.SHARE_FROZEN).set_value(FROZEN).run()
    page.checkbox(key=Key.SHARE_BLIND).check().run()
    assert "send the saved file" in words(page) and "stored now with a SHA-256 manifest" in words(page)
    page.checkbox(key=Key.SHARE_WEIGHTS).check()
    page.checkbox(key=Key.SHARE_IMAGES).uncheck()
    page.button(key=Key.SHARE_CREATE).click().run()
    share = newest(stack)
    assert (share.type, share.frozen, share.blind, share.with_weights, share.with_images) == (
        "run",
        True,
        True,
        True,
        False,
    )
    (address,) = [item.value for item in page.code if "/s/" in item.value]
    assert [item.proto.url for item in page.get("link_button")] == [f"{address}?file=offline.html"]
    assert "MB stored" in words(page)


@pytest.mark.parametrize("kind", ["comparison", "sweep", "view"])
def test_every_kind_of_link_is_made_from_the_page_and_leads_back_to_its_place(twins, sweep, stack, visit, words, kind):
    page = visit("shares")
    page.button_group(key=Key.SHARE_NEW_TYPE).set_value(kind).run()
    if kind == "comparison":
        assert not [button for button in page.button if button.key == Key.SHARE_CREATE], "one run is no comparison"
        page.multiselect(key=Key.SHARE_NEW_RUNS).set_value([run.id for run in twins]).run()
    if kind == "view":
        page.selectbox(key=Key.SHARE_NEW_DATASET).set_value("digits").run()
    page.button(key=Key.SHARE_CREATE).click().run()
    share = newest(stack)
    assert share.type == kind and not share.frozen
    said = words(page)
    assert f":gray-badge[{KINDS[kind]}] :gray-badge[{LIVE}]" in said
    assert [item for item in page.code if "/s/" in item.value]
    links = {item.proto.query_string for item in page.get("page_link")}
    wanted = {"comparison": ",".join, "sweep": lambda _: sweep.id, "view": lambda _: "digits"}[kind](
        [run.id for run in twins]
    )
    assert any(wanted in link.replace("%2C", ",") for link in links), links


def test_withdrawn_links_are_out_of_the_way_until_they_are_asked_for(twins, stack, visit, words) -> None:
    made = stack.client.share(ShareRequest(run_id=twins[0].id))
    stack.client.share(ShareRequest(run_id=twins[1].id))
    page = visit("shares")
    page.button(key=Key.SHARE_REVOKE.of(made.id)).click().run()
    assert stack.client.shares().items[1].revoked_at is None and "Withdraw for good" in labels(page)
    page.button(key=Key.SHARE_REVOKE.of(f"not_{made.id}")).click().run()
    assert "Withdraw for good" not in labels(page)
    page.button(key=Key.SHARE_REVOKE.of(made.id)).click().run()
    page.button(key=Key.SHARE_REVOKE.of(made.id)).click().run()
    assert not [button for button in page.button if button.key == Key.SHARE_REVOKE.of(made.id)]
    page.toggle(key=Key.SHARE_OVER).set_value(True).run()
    assert page.button(key=Key.SHARE_REVOKE.of(made.id)).disabled and "withdrawn" in words(page)


def test_a_run_lists_the_links_to_itself_and_no_others(twins, stack, visit) -> None:
    own = stack.client.share(ShareRequest(run_id=twins[0].id))
    other = stack.client.share(ShareRequest(run_id=twins[1].id))
    page = visit("run", run=twins[0].id)
    keys = {button.key for button in page.button}
    assert Key.SHARE_REVOKE.of(own.id) in keys and Key.SHARE_REVOKE.of(other.id) not in keys


@pytest.mark.parametrize(
    ("address", "alone"),
    [
        ("http://127.0.0.1:8000/s/x", True),
        ("http://127.8.8.8/s/x", True),
        ("http://[::1]:8000/s/x", True),
        ("http://localhost:8000/s/x", True),
        ("http://labbox:8000/s/x", False),
        ("http://192.168.1.7:8000/s/x", False),
        ("https://localhost.example.org/s/x", False),
    ],
)
def test_a_loopback_address_is_told_from_one_that_others_reach(address, alone) -> None:
    assert on_this_machine_alone(address) is alone


def test_a_link_that_opens_here_alone_says_so_and_offers_the_file(twins, stack, visit, words) -> None:
    page = visit("shares")
    page.button(key=Key.SHARE_CREATE).click().run()
    (said,) = [item.value for item in page.info]
    assert "on this machine only" in said and "SPIKEFRONT_HOST" in said and "one HTML file" in said
    assert not page.get("link_button")
    kinds = [element.type for element in page.main]
    assert kinds.index("code") < kinds.index("checkbox")  # a new link is in sight however short the window is
    page.button(key=Key.SHARE_FREEZE).click().run()
    assert newest(stack).frozen
    assert page.get("link_button")[0].proto.url.endswith("?file=offline.html")
    assert Key.SHARE_FREEZE not in {button.key for button in page.button}
