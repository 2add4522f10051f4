"""TLS and client certificates, with certificates made for the test."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from websockets.exceptions import WebSocketException
from websockets.trio.client import connect

from roomguard.errors import ConfigError
from roomguard.runtime.listener import Listener
from roomguard.runtime.settings_listen import ListenSettings

from .peers import BACKENDS, listening, request, settled


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every test here holds for both backends."""
    value: str = request.param
    return value


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs everything here."""
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    """The settings of a listener with a certificate for loopback."""
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}


def client_context(authority: trustme.CA, *, certified: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certified:
        authority.issue_cert("edge-1").configure_cert(context)
    return context


async def said_to(url: str, context: ssl.SSLContext) -> str | bytes | None:
    """The answer to a hello, None where the connection does not come to stand."""
    try:
        async with connect(url, ssl=context) as client:
            await client.send("hello")
            return await client.recv()
    except (OSError, EOFError, trio.BrokenResourceError, WebSocketException):
        return None


async def test_messages_over_tls(backend: str, files: dict[str, Any], authority: trustme.CA) -> None:
    """With a certificate the listener speaks TLS; everything else is as without."""
    async with listening(backend=backend, **files) as running:
        context = client_context(authority, certified=False)
        async with connect(f"wss://127.0.0.1:{running.port}/v1/edge", ssl=context) as client:
            await client.send("x" * 300_000)
            assert await client.recv() == "x" * 300_000
        await settled(lambda: running.listener.statistics().open == 0)

        assert running.listener.statistics().contained == 0


async def test_client_certificates(backend: str, files: dict[str, Any], authority: trustme.CA, tmp_path: Path) -> None:
    """With a client authority only certified clients get in, and others harm nobody."""
    async with listening(backend=backend, client_ca_file=str(tmp_path / "ca.pem"), **files) as running:
        url = f"wss://127.0.0.1:{running.port}/v1/edge"
        assert await said_to(url, client_context(authority, certified=False)) is None
        async with connect(url, ssl=client_context(authority, certified=True)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"

        assert running.listener.statistics().refused == {"tls": 1}


@pytest.mark.parametrize(
    "junk",
    [request(), b"\x16\x03\x01\xff\xff" + b"\x00" * 500, b"\x16\x03\x01\x02\x00\x01", b"\xff" * 1000, b""],
    ids=["plain HTTP", "bad hello", "half a hello", "noise", "nothing"],
)
async def test_junk_instead_of_tls(backend: str, files: dict[str, Any], authority: trustme.CA, junk: bytes) -> None:
    """Whatever is sent instead of TLS ends within the handshake's deadline; the next client is served."""
    async with listening(backend=backend, handshake_s=0.5, **files) as running:
        peer = await running.connect()
        await peer.send(junk)
        with trio.fail_after(3):
            await peer.rest()
        await settled(lambda: running.listener.statistics().open == 0)
        context = client_context(authority, certified=False)
        async with connect(f"wss://127.0.0.1:{running.port}/v1/edge", ssl=context) as client:
            await client.send("fine")
            assert await client.recv() == "fine"


@pytest.mark.parametrize(
    "broken",
    [
        {"cert_file": "missing.pem", "key_file": "missing.pem"},
        {"cert_file": "cert.pem"},
        {"key_file": "key.pem"},
        {"client_ca_file": "ca.pem"},
        {"cert_file": "key.pem", "key_file": "cert.pem"},
        {"cert_file": "cert.pem", "key_file": "key.pem", "client_ca_file": "missing.pem"},
    ],
)
def test_unusable_files(broken: dict[str, str], files: dict[str, Any], tmp_path: Path) -> None:
    """Files that cannot be used are said at start, by their key."""
    assert files
    settings = ListenSettings(**{key: str(tmp_path / name) for key, name in broken.items()})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"listen\.(cert|key|client_ca)_file"):
        Listener(settings, {})
