"""The paths of the mount: declarations and thin handlers."""
