"""Check the bundle from inside: every library that the program imports late is there and works.

This is a second program over the same modules and libraries. scripts/build runs it on what it has
just made, and tests/build runs it in a chroot. It is not part of the binary. PyInstaller finds what
it imports by reading it, so a library that our code names only at run time belongs here.

usage: check                  import every module, use each library once, print the findings (JSON)
       check URL CA_FILE      ... and fetch URL, trusting the certificates in CA_FILE
"""

import encodings.idna
import importlib
import json
import pkgutil
import ssl
import sys

import certifi
import requests
from cryptography.hazmat.backends.openssl import backend
from google.protobuf.internal import api_implementation
from joserfc import jwk, jws

import vault_jwt_plugin
from vault_jwt_plugin.jwt_auth.cel import library
from vault_jwt_plugin.jwt_auth.providers._re2 import Pattern


def own_modules() -> list[str]:
    """Import every module of ours; return their names."""
    names = [
        module.name
        for module in pkgutil.walk_packages(vault_jwt_plugin.__path__, "vault_jwt_plugin.")
        if not module.name.endswith("__main__")
    ]
    for name in names:
        importlib.import_module(name)
    return names


def check() -> dict[str, object]:
    """Use each library once."""
    key = jwk.RSAKey.generate_key(2048, private=True)
    compact = jws.serialize_compact({"alg": "RS256"}, b"{}", key)
    jws.deserialize_compact(compact, key)
    ssl.create_default_context(cafile=certifi.where())
    return {
        "modules": own_modules(),
        "cel": library.load().__name__,
        "re2": Pattern("^a").matches("abc"),
        "idna": encodings.idna.ToASCII("b\u00fccher").decode(),
        "protobuf": api_implementation.Type(),
        "openssl": ssl.OPENSSL_VERSION,
        "cryptography_openssl": backend.openssl_version_text(),
    }


def main() -> int:
    """Run the checks."""
    found = check()
    if len(sys.argv) > 1:
        url, ca_file = sys.argv[1:]
        found["fetched"] = requests.get(url, verify=ca_file, timeout=5).text
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


sys.exit(main())
