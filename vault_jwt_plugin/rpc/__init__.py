"""gRPC over HTTP/2 on asyncio. Knows nothing of plugins or Vault."""
