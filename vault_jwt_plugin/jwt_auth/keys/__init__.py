"""Where the keys come from that verify signatures: one module per kind of key source."""
