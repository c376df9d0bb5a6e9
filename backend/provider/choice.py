"""The provider that the settings name. What it needs is part of the extra `server`, and loaded where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import PackageMissing
from core.settings import Settings

if TYPE_CHECKING:
    from backend.provider.oidc import Provider


def provider_of(settings: Settings, *, key: str) -> Provider | None:
    """None without one. Raises PackageMissing, or BadValue for a secret's file that holds none."""
    if settings.oidc_issuer is None:
        return None
    try:
        from backend.provider.oidc import Provider
    except ModuleNotFoundError:
        raise PackageMissing(package="Authlib", extra="server", why="SPIKEFRONT_OIDC_ISSUER") from None
    return Provider(settings, key=key)
