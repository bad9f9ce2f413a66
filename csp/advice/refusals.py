"""Explains why no entry should allow a blocked source, and what to do instead."""

from __future__ import annotations

from enum import StrEnum

from csp.directives import EXTENSIONS


class Risk(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


REFUSALS = {
    **dict.fromkeys(EXTENSIONS, (Risk.LOW, "A browser extension caused it. Ignore it.")),
    **dict.fromkeys(("", "unknown"), (Risk.MEDIUM, "The browser did not report what it blocked.")),
    "other": (Risk.MEDIUM, "This group collects the reports of many causes."),
    "eval": (
        Risk.HIGH,
        "To allow eval, the policy would need 'unsafe-eval', which lets injected text run as code. "
        "Replace eval, new Function and timers with text in the script at the source file of the "
        "reports. Many template libraries have a version that does not need them. If the reports "
        "lack a source file, the code is probably a browser extension's.",
    ),
}
_IF_FEW = "If few users are affected, it is probably a browser extension."
_SCRIPT = (
    "Do not add 'unsafe-inline', because it also allows the code that an attacker injects. Find "
    "out where the code comes from."
)
_STYLE = (
    "'unsafe-inline' would also allow the styles that an attacker injects. They can hide or "
    "imitate parts of the page, and some read values from it, but they run no code."
)
_SCRIPT_ELEMENT = (
    "If it is your own, move it to a file, or put its nonce or its hash into the policy."
)
_STYLE_ELEMENT = (
    "Move the styles to a file, or put the nonce or the hash of the element into the policy."
)
# The advice about inline code: of elements, of attributes, and of browsers that report neither.
INLINE: dict[str, tuple[Risk, *tuple[str, ...]]] = {
    "script-src-elem": (Risk.HIGH, _SCRIPT, _SCRIPT_ELEMENT, _IF_FEW),
    "script-src-attr": (
        Risk.HIGH,
        _SCRIPT,
        "If it is your own, move it to a script file that calls addEventListener. A nonce does not "
        "help an attribute. A hash does only beside 'unsafe-hashes', and then an attacker can "
        "inject this handler into other elements.",
        _IF_FEW,
    ),
    "script-src": (
        Risk.HIGH,
        _SCRIPT,
        f"{_SCRIPT_ELEMENT} For an attribute such as onclick, a nonce does not help: use "
        "addEventListener in a script file.",
        _IF_FEW,
    ),
    "style-src-elem": (Risk.MEDIUM, _STYLE, _STYLE_ELEMENT, _IF_FEW),
    "style-src-attr": (
        Risk.MEDIUM,
        _STYLE,
        "Use a class, or set the property in a script, such as element.style.color, which no "
        "policy blocks. A nonce does not help an attribute. A hash does only beside "
        "'unsafe-hashes'. If the site cannot do without style attributes, style-src-attr "
        "'unsafe-inline' allows them, and no style elements.",
    ),
    "style-src": (
        Risk.MEDIUM,
        _STYLE,
        f"{_STYLE_ELEMENT} For the attribute style, a nonce does not help: use a class.",
        _IF_FEW,
    ),
}
