"""The only place that names the version."""

VERSION = "0.1.0"
"""Semantic version, without `v`. Hosts get `vX.Y.Z`, the form that both accept."""
