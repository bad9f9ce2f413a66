"""The applications that the service is compared with. Each runs under the same HTTP server."""
