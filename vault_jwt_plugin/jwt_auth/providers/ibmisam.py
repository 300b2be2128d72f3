"""IBM Security Access Manager, whose groups are one text with spaces (`provider_ibmisam.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.providers._base import ProviderLogin


class IBMISAM:
    """Splits the groups claim; has no settings."""

    name = "ibmisam"

    async def fetch_groups(self, login: ProviderLogin) -> Any:
        """The parts between single spaces; a claim that is no text stays as it is."""
        groups = login.groups()
        # At each space alone, not at runs of white space: empty parts are dropped later, as in Go.
        return groups.split(" ") if isinstance(groups, str) else groups
