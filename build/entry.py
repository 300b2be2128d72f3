"""What the one-file binary runs: PyInstaller wants a script, ours is the package's `main`."""

import sys

import bundle

from vault_jwt_plugin.__main__ import main

bundle.settle()
sys.exit(main())
