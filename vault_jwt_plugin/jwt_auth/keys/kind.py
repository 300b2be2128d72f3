"""What every kind of key source says about itself; `kinds` lists the kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from vault_jwt_plugin.jwt_auth.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vault_jwt_plugin.jwt_auth.config.config import Config
    from vault_jwt_plugin.jwt_auth.fetching.fetcher import Fetcher
    from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys
    from vault_jwt_plugin.jwt_auth.keys.fetched import RemoteKeys
    from vault_jwt_plugin.jwt_auth.keys.key_source import KeySource
    from vault_jwt_plugin.jwt_auth.keys.pod import Pod
    from vault_jwt_plugin.jwt_auth.keys.stored import Origin

    Load = Callable[[float], Awaitable[FetchedKeys]]
    """Fetch one key set; the argument is the deadline in seconds. Raises FetchError."""


@dataclass(frozen=True, slots=True)
class KeySourceKind(ABC):
    """One kind of key source, for one configuration.

    Attributes:
        name: of this kind in `status`.
        parameter: the parameter that selects this kind.
        choice: how the message of `check_source` names this kind; "" = by its parameter.
        config: the configuration, which selects this kind.
        fetcher: for the requests.
        pod: that the server runs in, if it does.
    """

    name: ClassVar[str]
    parameter: ClassVar[str]
    choice: ClassVar[str] = ""
    config: Config
    fetcher: Fetcher
    pod: Pod

    @classmethod
    def is_selected(cls, config: Config) -> bool:
        """Tell whether a configuration selects this kind: its parameter is set."""
        return bool(getattr(config, cls.parameter))

    @classmethod
    def status_name(cls, config: Config) -> str:
        """Return the name that `status` shows for a configuration that selects this kind."""
        del config
        return cls.name

    def origins(self) -> tuple[Origin, ...]:
        """Return what the keys are fetched from, in the configuration's order.

        Raises:
            UserError: the configuration can't be understood, or can't be used here.
        """
        return ()

    @abstractmethod
    def source(self, remote: Callable[[Origin, Load], RemoteKeys]) -> KeySource:
        """Make the key source; it fetches nothing yet.

        Args:
            remote: makes the source of one key set.

        Raises:
            UserError: as `origins`, or a public key can't be used.
        """

    @abstractmethod
    async def probe(self) -> None:
        """Check this kind's parameters, and that the keys can be had. A write does so.

        Raises:
            FetchError: keys can't be fetched; `skip_jwks_validation` makes it a warning.
            UserError: a parameter is wrong.
            InternalError: the kind answers such failures with HTTP 500.
        """


class FetchedKind(KeySourceKind):
    """A kind whose keys are fetched."""

    @abstractmethod
    def load(self, origin: Origin, deadline_s: float) -> Awaitable[FetchedKeys]:
        """Fetch the keys of one origin.

        Raises:
            FetchError: they can't be fetched. Raised by the awaitable.
        """

    def source(self, remote: Callable[[Origin, Load], RemoteKeys]) -> KeySource:
        """See `KeySourceKind.source`."""
        return self.joined([remote(each, partial(self.load, each)) for each in self.origins()])

    def joined(self, sources: Sequence[RemoteKeys]) -> KeySource:
        """Return one source for the sources of all origins."""
        (source,) = sources
        return source


def error_checking(what: str, error: FetchError) -> FetchError:
    """Make the error of a write from that of a fetch, in the Go methods' words.

    Args:
        what: what was checked, as the message names it.
        error: of the fetch.
    """
    return FetchError(
        error.code,
        f"error checking {what}: {error.message}",
        url=error.url,
        problem=error.problem,
        status=error.status,
    )
