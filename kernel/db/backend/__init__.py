"""Django's PostgreSQL backend with a limiter. Django imports the backend's module `base`."""
