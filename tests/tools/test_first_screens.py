"""The page of first screens is complete: ten faults, each with its picture and its judgement, in little space."""

from pathlib import Path

from tools import take_first_screens as tool

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_500_000


def test_every_fault_has_its_picture_and_its_judgement() -> None:
    page = (ROOT / "docs" / "first-screens.md").read_text("utf-8")
    pictures = {path.stem: path.stat().st_size for path in tool.IMAGES.glob("*.png")}
    assert {screen.name for screen in tool.SCREENS} == set(pictures)
    assert len(tool.SCREENS) == page.count("\n## ") == page.count("\n> ") == 10
    assert sum(pictures.values()) < MOST_BYTES
    for screen in tool.SCREENS:
        assert screen.judged.startswith("Found")
        assert screen.injected in page
        assert screen.judged in page
        assert f"(images/first-screens/{screen.name}.png)" in page


def test_every_headline_or_likeliest_component_names_what_was_injected() -> None:
    page = (ROOT / "docs" / "first-screens.md").read_text("utf-8")
    for screen, section in zip(tool.SCREENS, page.split("\n## ")[1:], strict=True):
        said = section.partition("\n> ")[2].partition(". Found")[0]
        assert any(word in said for word in screen.words), screen.name
