"""Django's PostgreSQL backend with bounded waits. Django finds it by the name `base`."""
