"""Values under the names of secrets do not survive; names, and other values, do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretrace.protocols.sensitive import is_sensitive, redact_query


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "apiKey", "api_key", "access_token",
     "password",
     "user[password]", "PHPSESSID", "JSESSIONID", "sessionId", "client_secret", "X-Amz-Signature", "X-Amz-Credential",
     "X-Amz-Security-Token", "AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "pin", "cvv", "%70assword",
     "x-csrf-token"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize(
    "name", ["id", "limit", "keyword", "page", "author", "monkey", "order_id", "Content-Type", "shipping", ""]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_sensitive(name)


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("a=1&token=abc&b=2", "a=1&token=[redacted]&b=2"),
        ("a=1;password=x=y;b=2", "a=1;password=[redacted];b=2"),
        ("token=", "token="),
        ("token", "token"),
        ("%74oken=abc", "%74oken=[redacted]"),
        ("user[password]=abc", "user[password]=[redacted]"),
        ("", ""),
        ("a=b=c", "a=b=c"),
    ],
)
def test_queries(query: str, redacted: str) -> None:
    assert redact_query(query) == redact_query(query.encode()) == redacted


@given(st.text(max_size=40), st.text("abc123%+", min_size=4, max_size=20), st.text(max_size=40))
def test_no_password_survives_between_whatever_else(before: str, secret: str, after: str) -> None:
    """What stands under `password` is gone, whatever stands around it."""
    assert f"password={secret}" not in redact_query(f"{before}&password={secret}&{after}")


@given(st.binary(max_size=200))
def test_any_bytes_can_be_redacted(query: bytes) -> None:
    assert redact_query(redact_query(query)) == redact_query(query)
