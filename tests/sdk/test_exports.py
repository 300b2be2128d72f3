"""The public names, and what importing them costs."""

from __future__ import annotations

import json
import subprocess
import sys

from vault_jwt_plugin import sdk


def test_all_names_are_there_and_sorted():
    assert all(hasattr(sdk, name) for name in sdk.__all__)
    assert len(set(sdk.__all__)) == len(sdk.__all__)


def test_import_brings_nothing_heavy():
    code = "import json, sys, vault_jwt_plugin.sdk; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    )
    heavy = {
        "asyncio",
        "authlib",
        "cryptography",
        "google",
        "ipaddress",
        "joserfc",
        "requests",
        "ssl",
        "vault_jwt_plugin.sdk.help",
        "vault_jwt_plugin.sdk.openapi",
    }
    assert not heavy & set(loaded)
