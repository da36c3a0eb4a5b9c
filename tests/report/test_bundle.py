"""The modules of the page become one script, and what breaks the convention is refused."""

import re

import pytest

from wiretrace.report.bundle import BundleError, join_modules, page_script, page_style


def test_a_module_stands_behind_those_it_imports_and_once() -> None:
    modules = {
        "main.js": 'import { a } from "./a.js";\nimport { b } from "./b.js";\na(b);\n',
        "a.js": 'import {\n  b,\n} from "./b.js";\nexport function a() { return b; }\n',
        "b.js": "export const b = 1;\n",
        "unused.js": "export const unused = 1;\n",
    }
    assert join_modules(modules, "main.js") == "const b = 1;\n\nfunction a() { return b; }\n\na(b);\n"


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        ({"main.js": 'import { a } from "./a.js";\n'}, "there is no module a.js"),
        ({"main.js": 'import { a } from "./a.js";\n', "a.js": "const a = 1;\n"}, "does not export a"),
        ({"main.js": 'import { a as b } from "./a.js";\n', "a.js": "export const a = 1;\n"}, "does not export a as b"),
        ({"main.js": 'import a from "./a.js";\n', "a.js": ""}, "not in the convention: import a"),
        ({"main.js": "export default 1;\n"}, "not in the convention: export default"),
        ({"main.js": "export { a };\n"}, "not in the convention: export"),
        ({"main.js": 'import { a } from "./a.js";\n', "a.js": 'import { b } from "./main.js";\n'}, "in a circle"),
        (
            {"main.js": 'import { a } from "./a.js";\nconst b = 1;\n', "a.js": "export const a = 1;\nlet b;\n"},
            "b is declared in a.js too",
        ),
    ],
)
def test_what_breaks_the_convention_is_refused(modules: dict[str, str], complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        join_modules(modules, "main.js")


def test_no_way_of_turning_text_into_markup_or_code_is_in_the_script() -> None:
    script = re.sub(r"/\*\*.*?\*/", "", page_script(), flags=re.DOTALL)
    for forbidden in (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createContextualFragment", "DOMParser",
        "srcdoc", "eval(", "new Function", "javascript:", "</script", "<!--", "fetch(", "XMLHttpRequest", "import(",
    ):  # fmt: skip
        assert forbidden not in script


def test_the_style_asks_for_nothing_and_can_not_end_early() -> None:
    style = page_style()
    assert "@import" not in style
    assert "url(" not in style
    assert "</" not in style
    assert "<!" not in style
