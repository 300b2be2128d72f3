"""The last check of a text before a host reads it: hosts act on some texts (see `sdk.text`)."""

from __future__ import annotations

import re

from vault_jwt_plugin.sdk.text import HOST_PHRASES, READ_ONLY_PHRASES

_READ_ONLY = tuple(phrase.casefold() for phrase in READ_ONLY_PHRASES)
# This searches the text itself: case folding makes some letters longer and so shifts positions.
_FIND_READ_ONLY = re.compile("|".join(map(re.escape, READ_ONLY_PHRASES)), re.IGNORECASE)
_WHOLE = frozenset(phrase.casefold() for phrase in HOST_PHRASES)


def is_read_only(text: str) -> bool:
    """Return whether OpenBao forwards the request to its active node when it sees this text."""
    folded = text.casefold()
    return any(phrase in folded for phrase in _READ_ONLY)


def harmless(text: str) -> str:
    """Return the text, changed where a host would act on it.

    Every text of ours passes here, except those of storage, which mean what hosts read in them.
    """
    folded = text.casefold()
    if folded.strip() in _WHOLE:
        # Hosts compare these whole: `permission denied` would become a 403, another text a restart.
        text = f"plugin error: {text}"
    return _FIND_READ_ONLY.sub("(text left out)", text)
