"""The types of option values. Each type parses strings and YAML, and formats values."""
