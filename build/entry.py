"""Run the program: PyInstaller wants a script, but ours is the package's `main`."""

import sys

from vault_jwt_plugin.__main__ import main

sys.exit(main())
