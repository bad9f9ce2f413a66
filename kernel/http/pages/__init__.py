"""What only HTML pages have: sessions, CSRF tokens, a Content-Security-Policy, and static files."""
