"""Checks whether a stored string contains private data.

The audit has separate rules, because with the rules of scrubbing it would miss the same secrets
that scrubbing misses. In addition, it applies the rules of `encodings` and `masking`.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from csp.scrubbing.coder_addresses import PAGES
from csp.scrubbing.encodings import decoded
from csp.scrubbing.masking import MASK, holds_secret, names_a_secret
from csp.trusted_types import is_policy_name

_QUERY = re.compile(r"[?#]")
_USERINFO = re.compile(r"""//[^/\s"'`<>();,@]+@""")
_PASSWORD = re.compile(r"""(?<![^/\s"'`<>();,])[^/\s"'`<>();,:@]++:[^/\s"'`<>();,@]++@[\w\[]""")
_PERSON = re.compile(r"/@(?!\{user\})\w|(?:^|[/\s])@\{user\}/(?!\{workspace\})\w")
_USER_ROUTE = re.compile(r"(?i)[/\\](?:users|home)[/\\](?!\{user\})([\w-]+)")
_HOST = re.compile(r"(?:(?<![\w/:{}.-])|(?<=//))([\w{}-]++)\.[\w{]")
_PREFIXED = re.compile(
    r"\b(?:cik_[A-Za-z0-9]{10}|eyJ[A-Za-z0-9_-]{8}|(?:gh[opusr]_|glpat-|AKIA)[A-Za-z0-9_-]{12})"
)
_UNBROKEN = re.compile(r"[A-Za-z0-9]{22,}")
_PERSONAL = re.compile(r"[\w.+-]@[A-Za-z][\w-]*+\.[A-Za-z]")
# Matches a string in a JSON document. If the string is the name of a member, the match includes the
# colon after the name. If the value of the member is null or masked, the match includes the value.
_JSON_TEXT = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)(\s*+:\s*+(?:null\b|"\{secret\}")?)?')
# The names of Trusted Types policies in a policy or in a blocked source.
_NAMES = re.compile(r"(?i)(?:^|; *)trusted-types(?:-policy)?(?: [\w.'#-]+)*")


def holds_private(text: str) -> bool:
    """Returns whether the string contains a query, credentials, the name of a user, or a secret."""
    plain = unquote(text)
    return (
        # Scrubbing decodes every string, so a string that still has escapes was not scrubbed.
        decoded(text) != text
        or any(rule.search(plain) for rule in (_QUERY, _USERINFO, _PASSWORD, _PERSON, _PERSONAL))
        or any(found[1] not in PAGES for found in _USER_ROUTE.finditer(plain))
        or any(_is_named_host(found[1]) for found in _HOST.finditer(text))
        or any(_is_token(found[0]) for found in _UNBROKEN.finditer(text))
        or _PREFIXED.search(text) is not None
        or holds_secret(text)
    )


def holds_private_source(text: str) -> bool:
    """Returns the same for a sample, a policy or a blocked source.

    The name of a Trusted Types policy can contain a `#`, which is not the fragment of a URL then.
    """
    text = _NAMES.sub(lambda found: found[0].replace("#", "."), text)
    return holds_private(text.replace("#", ".") if is_policy_name(text) else text)


def holds_private_member(document: str) -> bool:
    """Returns whether a JSON document contains a private string.

    A member is also private if its name is the name of a secret, such as `password`, and its value
    is not masked.
    """
    return any(_is_private_text(*found.groups("")) for found in _JSON_TEXT.finditer(document))


def _is_private_text(quoted: str, follows: str) -> bool:
    text = str(json.loads(f'"{quoted}"'))
    is_masked = not follows or follows.rstrip().endswith(("null", f'"{MASK}"'))
    return holds_private(text) or (not is_masked and names_a_secret(text))


def _is_named_host(label: str) -> bool:
    """Returns whether the label of an application's host contains names of a workspace and user.

    An example of such a label is `code--workspace--user`.
    """
    app, *names = label.rpartition("---")[2].split("--")
    return bool(app) and len(names) > 1 and not all(name.startswith("{") for name in names)


def _is_token(run: str) -> bool:
    return sum(c.isdigit() for c in run) > 2 and any(c.isalpha() for c in run)
