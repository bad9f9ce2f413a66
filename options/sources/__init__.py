"""Where option values come from.

Each source gives settings, not yet read, and what is wrong with it.
"""
