"""Who gets in: over real channels, against users in a real PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from argon2 import PasswordHasher
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256

from opcua_server.certificate import CERTIFICATE_FILE
from tests.unit.opcua_server.harness import POWER, Site, make_plant, serve

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
USERS = (  # login, role, disabled, must_change
    ("reader", "engineer", False, False),
    ("viewer", "viewer", False, False),  # may not see balances, and a session here sees every tag
    ("gone", "viewer", True, False),
    ("new", "viewer", False, True),
)


def add_users(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for login, role, disabled, must_change in USERS:
            connection.execute(
                "INSERT INTO wattkeeper.app_user (login, password_hash, role, disabled, must_change)"
                " VALUES (%s, %s, %s, %s, %s)",
                (login, CHEAP.hash(PASSWORD), role, disabled, must_change),
            )


@contextlib.asynccontextmanager
async def session(
    site: Site,
    identity: tuple[Path, Path],
    login: str,
    password: str = PASSWORD,
    policy: type = SecurityPolicyBasic256Sha256,
) -> AsyncIterator[Client]:
    """Open a session with user and password over SignAndEncrypt."""
    client = site.client()
    client.application_uri = "urn:example:client"
    certificate, key = identity
    server = site.data.pki / CERTIFICATE_FILE
    await client.set_security(policy, certificate, key, server_certificate=server)
    client.set_user(login)
    client.set_password(password)
    async with client:
        yield client


async def works(client: Client, site: Site) -> bool:
    value = await client.get_node(ua.NodeId(site.plant.tags.tags[POWER].id, 3)).read_data_value(False)
    return value.StatusCode is not None


def test_a_user_gets_in_over_both_encrypted_policies_and_writes_nothing(
    tmp_path: Path, pki: Path, client_identity: tuple[Path, Path], postgres_dsn: str
) -> None:
    add_users(postgres_dsn)

    async def run() -> None:
        async with serve(tmp_path, pki, make_plant(anonymous=False), postgres_dsn) as site:
            for policy in (SecurityPolicyBasic256Sha256, SecurityPolicyAes256Sha256RsaPss):
                async with session(site, client_identity, "reader", policy=policy) as client:
                    assert await works(client, site)
                    node = client.get_node(ua.NodeId(site.plant.tags.tags[POWER].id, 3))
                    with pytest.raises(ua.uaerrors.BadNotWritable):
                        await node.write_value(1.0)

    asyncio.run(run())


def test_wrong_disabled_unchanged_and_unknown_users_are_refused_alike(
    tmp_path: Path, pki: Path, client_identity: tuple[Path, Path], postgres_dsn: str
) -> None:
    add_users(postgres_dsn)

    async def run() -> None:
        async with serve(tmp_path, pki, make_plant(anonymous=True), postgres_dsn) as site:
            for login, password in (
                ("reader", "wrong"),
                ("gone", PASSWORD),
                ("new", PASSWORD),
                ("admin", PASSWORD),
                ("viewer", PASSWORD),
            ):
                with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                    async with session(site, client_identity, login, password):
                        raise AssertionError(f"{login} got in")
            async with session(site, client_identity, "reader") as client:
                assert await works(client, site)

    asyncio.run(run())


def test_a_guesser_is_blocked_even_with_the_right_password(
    tmp_path: Path, pki: Path, client_identity: tuple[Path, Path], postgres_dsn: str
) -> None:
    add_users(postgres_dsn)

    async def run() -> None:
        async with serve(tmp_path, pki, make_plant(), postgres_dsn) as site:
            for password in ["wrong"] * 5 + [PASSWORD]:
                with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                    async with session(site, client_identity, "reader", password):
                        raise AssertionError("got in")

    asyncio.run(run())


def test_a_password_over_an_open_channel_is_refused_even_when_right(
    tmp_path: Path, pki: Path, postgres_dsn: str
) -> None:
    add_users(postgres_dsn)

    async def run() -> None:
        for anonymous in (True, False):
            async with serve(tmp_path / str(anonymous), pki, make_plant(anonymous=anonymous), postgres_dsn) as site:
                client = site.client()
                client.set_user("reader")
                client.set_password(PASSWORD)
                await client.connect_socket()
                try:
                    await client.send_hello()
                    await client.open_secure_channel()
                    await _create_session(client)
                    with pytest.raises(ua.UaStatusCodeError) as refused:
                        await _activate_with_plain_password(client)
                    assert refused.value.code == ua.StatusCodes.BadIdentityTokenRejected
                finally:
                    client.disconnect_socket()

    asyncio.run(run())


async def _create_session(client: Client) -> None:
    """Create a session over whatever channel there is, as a client that ignores the list of endpoints."""
    params = ua.CreateSessionParameters()
    params.EndpointUrl = client.server_url.geturl()
    params.ClientNonce = bytes(32)
    params.SessionName = "test"
    params.RequestedSessionTimeout = 60_000.0
    await client.uaclient.create_session(params)


async def _activate_with_plain_password(client: Client) -> None:
    params = ua.ActivateSessionParameters()
    params.UserIdentityToken = ua.UserNameIdentityToken(
        PolicyId="username", UserName="reader", Password=PASSWORD.encode()
    )
    await client.uaclient.activate_session(params)


def test_anonymous_is_refused_unless_this_is_a_demonstration(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant(anonymous=False)) as site:
            client = site.client()
            await client.connect_socket()
            try:
                await client.send_hello()
                await client.open_secure_channel()
                await _create_session(client)
                node = client.get_node(ua.NodeId(site.plant.tags.tags[POWER].id, 3))
                with pytest.raises(ua.UaStatusCodeError):
                    await node.read_value()  # not activated
                params = ua.ActivateSessionParameters()
                params.UserIdentityToken = ua.AnonymousIdentityToken()
                with pytest.raises(ua.uaerrors.BadIdentityTokenRejected):
                    await client.uaclient.activate_session(params)
                with pytest.raises(ua.UaStatusCodeError):
                    await node.read_value()
            finally:
                client.disconnect_socket()

    asyncio.run(run())


def test_nobody_logs_in_while_the_data_base_is_away_and_the_demonstration_goes_on(
    tmp_path: Path, pki: Path, client_identity: tuple[Path, Path]
) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant(anonymous=True)) as site:
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                async with session(site, client_identity, "reader"):
                    raise AssertionError("got in")
            async with site.client() as client:
                assert await works(client, site)

    asyncio.run(run())


def test_a_session_cannot_be_taken_over_or_meddled_with(tmp_path: Path, pki: Path) -> None:
    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as victim, site.client() as thief:
            subscription = await victim.create_subscription(1000, None)
            identifier = subscription.subscription_id
            assert identifier is not None
            assert victim.uaclient.protocol.authentication_token.NodeIdType == ua.NodeIdType.ByteString
            results = await thief.uaclient.delete_subscriptions([identifier])
            assert results[0].value == ua.StatusCodes.BadSubscriptionIdInvalid
            mode = ua.SetPublishingModeParameters(PublishingEnabled=False, SubscriptionIds=[identifier])
            with pytest.raises(ua.uaerrors.BadSubscriptionIdInvalid):
                await thief.uaclient.set_publishing_mode(mode)
            await subscription.delete()

    asyncio.run(run())
