"""The settings of a provider, decoded from `provider_config`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.providers._base import ProviderError
from vault_jwt_plugin.sdk import quoted
from vault_jwt_plugin.sdk.coercion import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings:
    """The members of `provider_config`, decoded strictly: text `"true"` is no bool.

    Rules of Go's `mapstructure.Decode`: names in any case, the exact one first; null
    is the type's zero value; a number counts as text, as it was written.

    Args:
        provider: whose they are, for messages.
        members: decoded JSON.
    """

    def __init__(self, provider: str, members: Mapping[str, Any]) -> None:
        self._provider = provider
        self._members = members

    def text(self, name: str) -> str:
        """A text; "" when it is not set.

        Raises:
            ProviderError: it is something else.
        """
        value = self._find(name)
        if value is None:
            return ""
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def flag(self, name: str) -> bool:
        """A bool; False when it is not set.

        Raises:
            ProviderError: it is something else.
        """
        value = self._find(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "a boolean", value)
        return value

    def whole_number(self, name: str) -> int:
        """A whole number; 0 when it is not set.

        Raises:
            ProviderError: it is something else, or beyond 64 bits.
        """
        value = self._find(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise self._wrong(name, "a whole number", value)
        return value

    def invalid(self, problem: str) -> ProviderError:
        """The error that says what is wrong with a setting."""
        return init_error(self._provider, problem)

    def _find(self, name: str) -> Any:
        if name in self._members:
            return self._members[name]
        same = (value for key, value in self._members.items() if key.lower() == name)
        return next(same, None)

    def _wrong(self, name: str, expected: str, value: Any) -> ProviderError:
        received = kind_of(value)
        if received == "a number":
            received = "another number"
        return self.invalid(f"'{name}' must be {expected}, is {received}")


def init_error(provider: str, problem: str) -> ProviderError:
    """The error of a provider that can't be used, in the Go methods' words."""
    return ProviderError(f"error initializing {quoted(provider)} provider_config: {problem}")
