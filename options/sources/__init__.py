"""The sources of option values. Each returns its settings, errors and warnings."""
