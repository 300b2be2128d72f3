"""The JWT/OIDC auth method for HashiCorp Vault and OpenBao, as an external plugin."""
