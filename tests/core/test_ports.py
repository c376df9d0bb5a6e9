"""The sockets that API and dashboard serve on, and what a host or a port that cannot be had says."""

from __future__ import annotations

import asyncio
import socket

import pytest

from core.errors import BadValue, PortTaken
from core.host.ports import check_port, listen


def open_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def accepted_option(listener: socket.socket, option: int) -> int:
    """A TCP option of a connection that asyncio accepted on `listener`, as uvicorn's are."""

    async def look() -> int:
        found = asyncio.get_running_loop().create_future()

        class Looking(asyncio.Protocol):
            def connection_made(self, transport):
                found.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, option))

        server = await asyncio.get_running_loop().create_server(Looking, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        try:
            return await asyncio.wait_for(found, 20)
        finally:
            writer.close()
            server.close()

    return asyncio.run(look())


def test_an_accepted_connection_sends_each_part_of_an_answer_at_once():
    assert accepted_option(listen("127.0.0.1", open_port(), setting="P"), socket.TCP_NODELAY) != 0


@pytest.mark.parametrize(
    ("host", "reached"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]), ("0.0.0.0", ["127.0.0.1"])]
)
def test_addresses_of_both_kinds_can_be_listened_on(host, reached):
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen(host, open_port(), setting="P") as listener:
        port = listener.getsockname()[1]
        for address in reached:
            socket.create_connection((address, port), timeout=20).close()
        with pytest.raises(PortTaken):
            check_port(host, port, setting="P")


@pytest.mark.parametrize("take", [listen, check_port])
def test_a_taken_port_names_its_setting(take):
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken) as caught:
        take("127.0.0.1", other.getsockname()[1], setting="SPIKEFRONT_API_PORT")
    assert caught.value.fields["setting"] == "SPIKEFRONT_API_PORT"


@pytest.mark.parametrize("take", [listen, check_port])
@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "a..b", "2001:db8::1", "x" * 300])
def test_a_host_that_is_no_address_of_this_machine_is_a_sentence(take, host):
    with pytest.raises(BadValue, match="SPIKEFRONT_HOST"):
        take(host, open_port(), setting="P")
