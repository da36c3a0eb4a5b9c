"""Names under which secrets travel, and their structural redaction. Shared by all protocols.

Rules: a value is judged by the name that it stands under (a header, a query key, a form or JSON field), never by its looks;
looks are the business of ``exchanges/redaction.py``. Names are compared without case and punctuation, so that
``X-Api-Key``, ``api_key`` and ``apiKey`` are one name. When in doubt a name is sensitive.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_plus

REDACTED = "[redacted]"
"""What stands in the place of a redacted value, in every output."""

SENSITIVE_PARTS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "authkey",
    "accountkey",
    "authorization",
    "authentication",
    "cookie",
    "session",
    "sessid",
    "signature",
    "credential",
    "bearer",
    "csrf",
    "xsrf",
    "onetime",
    "cardnumber",
    "creditcard",
    "securitycode",
    "socialsecurity",
)
"""A name that holds one of these is sensitive: the signatures of Amazon and Google storage are among them."""

SENSITIVE_NAMES = frozenset(
    {
        "auth", "code", "codeverifier", "cvc", "cvv", "email", "iban", "jwt", "key", "otp", "pan", "pass", "pin", "pw",
        "pwd", "saml", "samlrequest", "samlresponse", "sid", "sig", "ssn", "awsaccesskeyid", "assertion", "clientassertion",
        "googleaccessid", "nonce", "ticket", "phone", "wresult", "xauth", "xclientcert", "xforwardedclientcert",
    }
)  # fmt: skip
"""Names that are sensitive as a whole, and too short or common to be looked for inside others."""

NOT_A_WORD = re.compile(r"[^a-z0-9]+")
PAIR = re.compile(r"([^&;=]*)=([^&;]*)")
LONGEST_NAME = 100
"""Longest name of which it is remembered whether it is sensitive."""


@lru_cache(maxsize=4096)
def is_sensitive(name: str) -> bool:
    """Whether values under `name` (a header, a query key, a form or JSON field, percent-encoded or not) are secrets."""
    plain = NOT_A_WORD.sub("", unquote_plus(name).lower())
    return plain in SENSITIVE_NAMES or any(part in plain for part in SENSITIVE_PARTS)


def redact_query(query: bytes | str) -> str:
    """A query string or URL-encoded form, the values of sensitive keys replaced by ``[redacted]``, keys kept.

    Bytes are read as UTF-8; what is not becomes U+FFFD. Pairs may be separated by ``&`` or ``;``. A pair without ``=`` has
    no name to judge by, and is kept.
    """
    text = query if isinstance(query, str) else query.decode("utf-8", "replace")
    for pair in text.replace(";", "&").split("&"):
        name, _, value = pair.partition("=")
        if value and (is_sensitive if len(name) <= LONGEST_NAME else is_sensitive.__wrapped__)(name):
            return PAIR.sub(redact_pair, text)
    return text


def redact_pair(pair: re.Match[str]) -> str:
    """One ``name=value`` of a query; `pair` is a match of PAIR."""
    return f"{pair[1]}={REDACTED}" if pair[2] and is_sensitive.__wrapped__(pair[1]) else pair[0]
