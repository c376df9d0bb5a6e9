"""Begin a sign-in at the provider and go no further: for `spikefront doctor`, which does not load what that needs."""

from __future__ import annotations

import sys

from backend.provider.choice import provider_of
from core.errors import SpikefrontError
from core.settings import Settings, read_client_secret


def main() -> int:
    """0 and a sentence, or 1 and why nobody can sign in through it; 0 and nothing where none is set."""
    try:
        settings = Settings()
        provider = provider_of(settings, key="of nobody")
        if provider is None:
            return 0
        try:
            provider.begin()  # asks what it says of itself, and whether that names this issuer
        finally:
            provider.close()
        secret = read_client_secret(settings)
    except SpikefrontError as error:
        print(f"spikefront: {error.message}", file=sys.stderr)
        return 1
    kind = "a public client, without a secret" if secret is None else "a client with a secret"
    print(f"{settings.oidc_issuer} answers under this name; {settings.oidc_client_id} is {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
