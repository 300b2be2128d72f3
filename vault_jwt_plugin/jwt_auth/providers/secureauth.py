"""SecureAuth, which sends groups as one string with commas (`provider_secureauth.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.providers._base import ProviderLogin


class SecureAuth:
    """Splits the groups claim; has no settings."""

    name = "secureauth"

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """Return the parts between commas, untrimmed; a claim of another type stays as it is."""
        groups = login.groups()
        return groups.split(",") if isinstance(groups, str) else groups
