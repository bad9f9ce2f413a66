"""What happens to users, told to the apps above, which this one may not know."""

from __future__ import annotations

from django.dispatch import Signal

# Within the transaction that sets the password. Arguments: user; kept_key_id, the id of the key
# that the change came with, or ""; actor; now.
password_changed = Signal()
