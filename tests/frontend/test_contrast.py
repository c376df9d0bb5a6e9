"""Text against its ground, by WCAG 2.2: 4.5 to 1 for text (1.4.3, AA), computed from the style sheets and themes themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import backend.shares.page
from core.report.charts import theme
from frontend import style
from frontend.serving import door, server

AA = 4.5
MARKS = 3.0  # WCAG 1.4.11: lines and marks
DIM_BARS = {".sf-steps i"}  # bars beside the number that they repeat; no text
THEMES = {"light": server.LIGHT, "dark": server.DARK}
SHARE = Path(backend.shares.page.__file__).with_name("assets") / "share.css"
Colour = tuple[float, float, float]


def read(text: str) -> Colour:
    """`#abc` or `#aabbcc` as sRGB in [0, 255]."""
    digits = text.strip().removeprefix("#")
    whole = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    red, green, blue = (int(whole[place : place + 2], 16) for place in (0, 2, 4))
    return float(red), float(green), float(blue)


def mixed(first: Colour, share: float, second: Colour) -> Colour:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(first, second, strict=True))
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Relative luminance in [0, 1], WCAG 2.2."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: Colour, second: Colour) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def rules(css: str) -> list[tuple[str, dict[str, str]]]:
    """(selector, declarations) of every rule; comments and what stands around blocks of rules are dropped."""
    bare = re.sub(r"/\*.*?\*/|@keyframes[^{]*\{(?:[^{}]*\{[^}]*\})*\}", "", css, flags=re.DOTALL)
    found = []
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", bare):
        pairs = (line.split(":", 1) for line in body.split(";") if ":" in line)
        found.append((selector.strip(), {name.strip(): value.strip() for name, value in pairs}))
    return found


def variables(css: str) -> list[dict[str, str]]:
    """Custom properties of each `:root`, in order."""
    roots = [body for selector, body in rules(css) if selector.split("{")[-1].strip().endswith(":root")]
    return [{name: value for name, value in body.items() if name.startswith("--")} for body in roots]


def resolve(value: str, *, text: Colour, names: dict[str, str]) -> Colour:
    """A CSS colour where the text around has the colour `text`; raises ValueError for a form that is not known."""
    value = value.removesuffix("!important").strip()
    if value.lower() in ("currentcolor", "inherit"):
        return text
    if value.startswith("#"):
        return read(value)
    if found := re.fullmatch(r"var\((--[\w-]+)(?:,(.+))?\)", value):
        return resolve(names.get(found[1]) or found[2], text=text, names=names)
    if found := re.fullmatch(r"color-mix\(in srgb,(.+?)\s+(\d+)%,(.+)\)", value):
        first, second = (resolve(found[place], text=text, names=names) for place in (1, 3))
        return mixed(first, int(found[2]) / 100, second)
    raise ValueError(f"colour {value!r}")


def test_black_on_white_is_twenty_one_to_one():
    assert contrast(read("#000"), read("#ffffff")) == pytest.approx(21.0)  # (1 + 0.05) / (0 + 0.05)
    assert contrast(read("#777"), read("#fff")) == pytest.approx(4.48, abs=0.01)  # the grey that just fails


@pytest.mark.parametrize("scheme", THEMES)
@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
def test_text_and_links_are_read_on_both_grounds(scheme, ground):
    colours = THEMES[scheme]
    for name in ("textColor", "linkColor"):
        assert contrast(read(colours[name]), read(colours[ground])) >= AA, name


@pytest.mark.parametrize("scheme", THEMES)
def test_a_primary_button_carries_white_text(scheme):
    assert contrast(read("#fff"), read(THEMES[scheme]["primaryColor"])) >= AA


@pytest.mark.parametrize("scheme", THEMES)
def test_every_text_of_our_style_sheet_is_read_on_both_grounds(scheme):
    colours = THEMES[scheme]
    text, names = read(colours["textColor"]), variables(style.CSS)[0]
    names["--st-primary-color"] = colours["primaryColor"]
    poor, seen = [], 0
    for selector, body in rules(style.CSS):
        opacity = float(body.get("opacity", 1))
        if selector in DIM_BARS or opacity == 0 or not {"color", "opacity"} & set(body):
            continue
        if own := body.get("background") if "notice" in selector else None:
            grounds = [resolve(own, text=text, names=names)]
        elif "sf-save button" in selector:  # on its own blue
            grounds = [read("#0b6b8f")]
            body = {"color": "#fff", **body}
        elif "notice" in selector:  # a dark slip in both schemes
            grounds = [read("#1b1f24")]
        else:
            grounds = [read(colours["backgroundColor"]), read(colours["secondaryBackgroundColor"])]
        colour = resolve(body.get("color", "currentColor"), text=text, names=names)
        for ground in grounds:
            seen += 1
            if (ratio := contrast(mixed(colour, opacity, ground), ground)) < AA:
                poor.append(f"{selector}: {ratio:.2f}")
    assert seen > 20, "the style sheet was not understood"
    assert poor == []


@pytest.mark.parametrize("scheme", THEMES)
def test_the_text_of_charts_is_read_on_the_page(scheme):
    tone, colours = theme._GROUNDS[scheme], THEMES[scheme]
    for ground in (colours["backgroundColor"], colours["secondaryBackgroundColor"], tone["paper"]):
        for name in ("ink", "soft"):
            assert contrast(read(tone[name]), read(ground)) >= AA, (name, ground)


@pytest.mark.parametrize("scheme", THEMES)
def test_neutral_lines_are_seen_on_both_grounds(scheme):
    assert contrast(read(theme.NEUTRAL), read(THEMES[scheme]["backgroundColor"])) >= MARKS


@pytest.mark.parametrize("place, scheme", [(0, "light"), (1, "dark")])
def test_a_shared_page_is_read_in_both_schemes(place, scheme):
    names = variables(SHARE.read_text())[place]
    for ground in ("--paper", "--card"):
        for name in ("--ink", "--soft", "--right", "--wrong", "--accent"):
            assert contrast(read(names[name]), read(names[ground])) >= AA, (name, ground)
    for name in ("--right", "--wrong"):
        for over in (name, "--ink"):
            assert contrast(read(names[over]), read(names[f"{name}-bg"])) >= AA, (over, name)


@pytest.mark.parametrize("place, scheme", [(0, "light"), (1, "dark")])
def test_the_door_is_read_in_both_schemes(place, scheme):
    names = variables(door.notice(title="", text="").decode())[place]
    for ground in ("--bg", "--card"):
        for name in ("--ink", "--dim", "--bad"):
            assert contrast(read(names[name]), read(names[ground])) >= AA, (name, ground)
    assert contrast(read(names["--card"]), read(names["--go"])) >= AA, "the button's words"
