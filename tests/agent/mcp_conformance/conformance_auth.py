"""How the conformance client signs in: the SDK's OAuth providers, handed to `McpServers`, by a person who agrees."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

CALLBACK = AnyUrl("http://localhost:3000/callback")
METADATA_URL = "https://conformance-test.local/client-metadata.json"


class Memory:
    """A `TokenStorage` for one run."""

    def __init__(self, client: OAuthClientInformationFull | None = None) -> None:
        self._client, self._tokens = client, None

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


class Browser:
    """Opens the page that asks for consent; the suite's page agrees and redirects at once."""

    answer: AuthorizationCodeResult

    async def open(self, url: str) -> None:
        async with httpx2.AsyncClient() as http:
            response = await http.get(url)
        values = {name: found[0] for name, found in parse_qs(urlsplit(response.headers["location"]).query).items()}
        self.answer = AuthorizationCodeResult(code=values["code"], state=values.get("state"), iss=values.get("iss"))

    async def came_back(self) -> AuthorizationCodeResult:
        return self.answer


def signer(scenario: str, url: str, context: dict[str, Any]) -> httpx2.Auth:
    match scenario:
        case "auth/client-credentials-jwt":
            identity = SignedJWTParameters(
                issuer=context["client_id"], subject=context["client_id"], signing_key=context["private_key_pem"],
                signing_algorithm=context.get("signing_algorithm", "ES256"),
            )  # fmt: skip
            return PrivateKeyJWTOAuthProvider(url, Memory(), context["client_id"], identity.create_assertion_provider())
        case "auth/client-credentials-basic":
            return ClientCredentialsOAuthProvider(url, Memory(), context["client_id"], context["client_secret"])
        case "auth/cross-app-access-complete-flow":
            return _enterprise(url, context)
    client = None
    if "client_id" in context:
        secret = context.get("client_secret")
        method = "client_secret_basic" if secret else "none"
        client = OAuthClientInformationFull(
            client_id=context["client_id"], client_secret=secret, redirect_uris=[CALLBACK],
            token_endpoint_auth_method=method,
        )  # fmt: skip
    about = OAuthClientMetadata(
        client_name="ponder", redirect_uris=[CALLBACK], grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
    )  # fmt: skip
    browser = Browser()
    return OAuthClientProvider(url, about, Memory(client), browser.open, browser.came_back, METADATA_URL)


def _enterprise(url: str, context: dict[str, Any]) -> httpx2.Auth:
    """The identity provider's token is exchanged for an assertion that the server's own issuer accepts (SEP-990)."""

    async def assertion(audience: str, resource: str) -> str:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
            "subject_token": context["idp_id_token"],
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "audience": audience,
            "resource": resource,
            "client_id": context.get("idp_client_id", context["client_id"]),
        }
        async with httpx2.AsyncClient() as http:
            response = await http.post(context["idp_token_endpoint"], data=form)
        return str(response.raise_for_status().json()["access_token"])

    # A deployment is configured with its issuer; the suite tells it only in the server's metadata.
    about = httpx2.get(url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")).raise_for_status().json()
    issuer = about["authorization_servers"][0]
    return IdentityAssertionOAuthProvider(
        url, Memory(), context["client_id"], context["client_secret"], issuer, assertion,
        token_endpoint_auth_method="client_secret_basic",
    )  # fmt: skip
