"""IBM Security Access Manager, groups in one string with spaces (`provider_ibmisam.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.providers._base import ProviderLogin


class IBMISAM:
    """Splits the groups claim; has no settings."""

    name = "ibmisam"

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """Return the parts between single spaces; a claim of another type stays as it is."""
        groups = login.groups()
        # Every single space splits, as in Go; empty parts are dropped later.
        return groups.split(" ") if isinstance(groups, str) else groups
