from __future__ import annotations

from kernel.db.recording import AtomicMigrate


class Command(AtomicMigrate):
    pass
