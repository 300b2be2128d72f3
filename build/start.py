"""Run before each program's own script, as a PyInstaller run-time hook."""

import sys
from pathlib import Path

import bundle

bundle.settle(Path(sys.executable).parent)
