"""The one place that names the version."""

VERSION = "0.1.0"
"""Semantic version, without `v`. Reported to hosts as `vX.Y.Z`, the form that both accept."""
