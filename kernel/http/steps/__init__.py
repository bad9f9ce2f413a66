"""The steps of every request that know no app: the host, the address, CORS, and the rate limit."""
