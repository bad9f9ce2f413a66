"""Sessions, CSRF tokens, the Content-Security-Policy and static files, for HTML pages only."""
