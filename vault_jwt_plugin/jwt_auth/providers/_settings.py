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
    """The members of `provider_config`, decoded strictly: the string `"true"` is no boolean.

    The rules are those of Go's `mapstructure.Decode`: names are found in any case, the exact one
    first; null is the type's zero value; a number counts as a string, as it was written. A value
    of another type raises `ProviderError`.

    Args:
        provider: the provider's name, for messages.
        members: decoded JSON.
    """

    def __init__(self, provider: str, members: Mapping[str, Any]) -> None:
        self._provider = provider
        self._members = members

    def text(self, name: str) -> str:
        """Return a string; "" when it is not set."""
        value = self._find(name, "")
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; False when it is not set."""
        value = self._find(name, default=False)
        if not isinstance(value, bool):
            raise self._wrong(name, "a boolean", value)
        return value

    def whole_number(self, name: str) -> int:
        """Return a whole number of 64 bits; 0 when it is not set."""
        value = self._find(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise self._wrong(name, "a whole number", value)
        return value

    def invalid(self, problem: str) -> ProviderError:
        """Return the error that says what is wrong with a setting."""
        return init_error(self._provider, problem)

    def _find(self, name: str, default: object) -> Any:
        same = (value for key, value in self._members.items() if key.lower() == name)
        value = self._members[name] if name in self._members else next(same, None)
        return default if value is None else value

    def _wrong(self, name: str, expected: str, value: Any) -> ProviderError:
        received = "another number" if kind_of(value) == "a number" else kind_of(value)
        return self.invalid(f"'{name}' must be {expected}, is {received}")


def init_error(provider: str, problem: str) -> ProviderError:
    """Return the error of a provider that can't be used, in the Go methods' words."""
    return ProviderError(f"error initializing {quoted(provider)} provider_config: {problem}")
