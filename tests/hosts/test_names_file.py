"""A names file names services by host, address and port, and outranks what is found out."""

from collections import Counter
from pathlib import Path

import pytest

from wiretrace.hosts.names import name_services
from wiretrace.hosts.names_file import read_names, service_of_end
from wiretrace.hosts.vantage import Hosts
from wiretrace.model.errors import UserError
from wiretrace.model.service_marks import ServiceMarks

TEXT = """
[service.shop]
ends = ["app1:8080", "10.0.0.9"]
owner = "team-shop"

[service.bank]
external = true
"""


def test_the_file_says_ends_owners_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(TEXT)
    names = read_names(path)
    assert names == {"shop": ServiceMarks(["app1:8080", "10.0.0.9"], "team-shop"), "bank": ServiceMarks(external=True)}
    assert service_of_end(names) == {"app1:8080": "shop", "10.0.0.9": "shop"}


@pytest.mark.parametrize("text", ["[service.shop]\nowners = 1", "service = 1", "\xff", "[x]"])
def test_what_is_no_names_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "names.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="not a names file") as raised:
        read_names(path)
    assert "\n" not in str(raised.value)


def test_given_names_outrank_what_is_found_out() -> None:
    hosts = Hosts()
    app, other = hosts.add("app1", True), hosts.add("10.0.0.9", False)
    hosts.own(other, "10.0.0.9")
    asked = Counter({(app, 8080, "http"): 3, (app, 9090, "http"): 2, (other, 80, "http"): 1})
    services = name_services(hosts, asked, {}, {}, {"app1:8080": "shop", "10.0.0.9": "front"})
    named = {end: services.names[number] for end, number in services.of_end.items()}
    assert named == {(app, 8080): "shop", (app, 9090): "app", (other, 80): "front"}
    assert services.names[services.of_host[other]] == "front"
