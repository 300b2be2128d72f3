"""CEL roles: programs that decide over a token's claims (OpenBao's `cel/role`, `cel/login`)."""
