"""Reads how browsers report violations of Trusted Types.

With `require-trusted-types-for`, a page may pass text to a sink such as `Element innerHTML` only as
the value of a Trusted Types policy. Otherwise, the blocked source is `trusted-types-sink`, and the
sample is the sink, a vertical bar, and the text. The directive `trusted-types` has the names of the
policies that scripts may create. For another name, or for the second policy of a name, the blocked
source is `trusted-types-policy`, and the sample is the name.

The blocked source of a group also contains the sink or the name, after a space: each of them is a
separate cause. Source: W3C Trusted Types, "should sink type mismatch violation be blocked" and
"should Trusted Type policy creation be blocked". Chromium 156 and Firefox 153 send the same
samples.
"""

from __future__ import annotations

import re

SINK, POLICY = "trusted-types-sink", "trusted-types-policy"
KEYWORDS = frozenset({SINK, POLICY})
DIRECTIVE = "trusted-types"
# Browsers cut a name to this length in the sample.
MAX_SAMPLE_NAME = 40
_SINK_NAME = re.compile(r"[A-Za-z]{1,32}(?: [A-Za-z]{1,32})?")
# The specification allows more characters, but a name with `/`, `@` or `%` may be a URL or an
# e-mail address.
_POLICY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?:#[A-Za-z0-9_.-]+)?")


def is_policy_name(text: str) -> bool:
    return len(text) <= MAX_SAMPLE_NAME and _POLICY_NAME.fullmatch(text) is not None


def split_sample(keyword: str, sample: str) -> tuple[str, str]:
    """Returns the name of the sink or of the policy, and the rest of the sample.

    The name is "" if the sample is missing, or is not one that a browser sends.
    """
    if keyword == SINK:
        name, bar, text = sample.partition("|")
        return (name, text) if bar and _SINK_NAME.fullmatch(name) else ("", sample)
    return (sample, "") if keyword == POLICY and is_policy_name(sample) else ("", sample)


def split_source(source: str) -> tuple[str, str]:
    """Returns the keyword of a group's blocked source, and the name of the sink or policy.

    Both are "" if the source is not one of Trusted Types. The name is "" if it is missing or is not
    one that a browser sends, because a forged report can have any blocked source.
    """
    keyword, _, name = source.partition(" ")
    if keyword not in KEYWORDS:
        return "", ""
    is_valid = _SINK_NAME.fullmatch(name) if keyword == SINK else is_policy_name(name)
    return keyword, name if is_valid else ""
