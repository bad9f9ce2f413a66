"""What of a report may be stored: everything private is cut out before anything is written."""

from __future__ import annotations

import re
from dataclasses import replace

from csp.extras import scrubbed_extra
from csp.free_text import directive_word, scrubbed_policy, scrubbed_text
from csp.masking import MASK
from csp.parsers import LONGEST_POLICY, LONGEST_SAMPLE, LONGEST_URI, Violation
from csp.uris import origin_of, scrubbed_uri

_WORD = re.compile(r"[A-Za-z-]{0,16}")


def scrubbed(violation: Violation) -> Violation:
    """The same report without queries, fragments, credentials, tokens, and names of people.

    Texts are cut here once more: a placeholder may be longer than what it stands for.
    """
    return replace(
        violation,
        document_uri=scrubbed_uri(violation.document_uri)[:LONGEST_URI],
        blocked_uri=scrubbed_uri(violation.blocked_uri)[:LONGEST_URI],
        source_file=scrubbed_uri(violation.source_file)[:LONGEST_URI],
        referrer=origin_of(violation.referrer)[:LONGEST_URI],
        original_policy=scrubbed_policy(violation.original_policy)[:LONGEST_POLICY],
        violated_directive=scrubbed_policy(violation.violated_directive)[:LONGEST_URI],
        effective_directive=directive_word(violation.effective_directive),
        disposition=_disposition(violation.disposition),
        sample=scrubbed_text(violation.sample)[:LONGEST_SAMPLE],
        user_agent=scrubbed_text(violation.user_agent)[:LONGEST_SAMPLE],
        extra=scrubbed_extra(violation.extra),
    )


def _disposition(text: str) -> str:
    """A single word, as `enforce` and `report` are, or a placeholder for anything else."""
    return text if _WORD.fullmatch(text) else MASK
