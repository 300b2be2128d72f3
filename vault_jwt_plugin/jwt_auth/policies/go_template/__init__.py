"""The part of Go's text/template that policy templates need, evaluated as Go does."""
