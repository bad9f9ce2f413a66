"""The steps of every request that no app owns: address, host, CORS, and rate limit."""
