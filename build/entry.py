"""What the one-file binary runs: PyInstaller wants a script, ours is the package's `main`."""

import sys

from vault_jwt_plugin.__main__ import main

sys.exit(main())
