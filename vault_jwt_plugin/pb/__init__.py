"""Generated from proto/ by scripts/gen-protos; edit neither by hand."""
