"""The dashboard's own CSS: little, and in terms of the text colour, so that it fits light and dark."""

from __future__ import annotations

import streamlit as st

# `--line` and `--wash` are mixed from the text colour, which Streamlit sets per theme.
CSS = """
<style>
:root{--line:color-mix(in srgb,currentColor 16%,transparent);--wash:color-mix(in srgb,currentColor 5%,transparent);
--right:#009e73;--wrong:#c8443a}
.stMainBlockContainer{padding-top:4.2rem;padding-bottom:4rem;max-width:1320px}
.stMainBlockContainer h1{font-size:1.6rem;padding:0 0 .3rem;letter-spacing:-.01em}
.stMainBlockContainer h2{font-size:1.15rem;padding:.6rem 0 .1rem}
.stMainBlockContainer h3{font-size:1rem;padding:.3rem 0 .1rem}
[data-testid="stMetricValue"]{font-size:1.45rem;line-height:1.25;font-variant-numeric:tabular-nums}
[data-testid="stMetricLabel"]{opacity:.75}
[data-testid="stPageLink-NavLink"]{padding-left:0;padding-right:.3rem;background:none!important}
[data-testid="stPageLink-NavLink"]:hover p{text-decoration:underline}
[data-testid="stPageLink-NavLink"] p{font-weight:600}
.sf-dim{opacity:.72;font-size:.86rem;line-height:1.45}
.sf-state{display:inline-flex;align-items:center;gap:.4em;font-weight:600;font-size:.9rem;padding:.15em .7em;
border:1px solid var(--line);border-radius:999px;background:var(--wash);white-space:nowrap}
.sf-table{width:100%;border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.sf-table th,.sf-table td{padding:.32rem .6rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
.sf-table th{font-weight:600}.sf-table :is(th,td):first-child{text-align:left;padding-left:0;font-weight:400;opacity:.8}
.sf-words td{text-align:left!important}.sf-words td:first-child{white-space:nowrap}
.sf-scroll{overflow-x:auto}

/* the Fire mask: real check boxes, drawn as modules in network order */
.st-key-fire_row{gap:.35rem!important;align-items:stretch!important}
.st-key-fire_row [data-testid="stCheckbox"] label{display:flex;flex-direction:column;justify-content:center;align-items:center;
min-width:4.1rem;min-height:3.6rem;padding:.3rem .5rem;border:1.5px dashed var(--line);border-radius:.5rem;
cursor:pointer;opacity:.62;text-align:center;gap:0;transition:background .12s}
.st-key-fire_row [data-testid="stCheckbox"] label>span:first-of-type,
.st-key-fire_row [data-testid="stCheckbox"] label>div:first-of-type:not(:last-child){position:absolute;opacity:0;
width:1px;height:1px;overflow:hidden}
.st-key-fire_row [data-testid="stCheckbox"] label:has(input:checked){border:1.5px solid var(--st-primary-color,#0b6b8f);
background:color-mix(in srgb,var(--st-primary-color,#0b6b8f) 16%,transparent);opacity:1}
.st-key-fire_row [data-testid="stCheckbox"] label:has(input:focus-visible){outline:3px solid var(--st-primary-color,#0b6b8f);
outline-offset:2px}
.st-key-fire_row [data-testid="stCheckbox"] p{margin:0;line-height:1.25;font-size:.78rem}
.st-key-fire_row [data-testid="stCheckbox"] p strong{display:block;font-size:1rem}
.sf-op{display:flex;flex-direction:column;justify-content:center;align-items:center;min-height:3.6rem;height:100%;
padding:.2rem .35rem;font-size:.74rem;line-height:1.2;opacity:.75;background:var(--wash);border-radius:.4rem;text-align:center}

/* confusion examples */
.sf-examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:.7rem}
.sf-example{border:1px solid var(--line);border-radius:.6rem;padding:.6rem;font-size:.84rem;line-height:1.35;min-width:0}
.sf-example img{width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:.35rem;display:block;margin-bottom:.45rem;
background:var(--wash)}
.sf-example .truth{font-weight:600;margin-bottom:.2rem;overflow-wrap:anywhere}
.sf-answer{display:flex;gap:.4em;align-items:baseline;flex-wrap:wrap}
.sf-answer .net{opacity:.7;min-width:2.4em}
.sf-answer .said{overflow-wrap:anywhere}
.sf-answer .sure{opacity:.7;margin-left:auto;font-variant-numeric:tabular-nums}
.sf-answer.wrong .said,.sf-answer.wrong .sign{color:var(--wrong);font-weight:700}
.sf-answer.right .sign{color:var(--right);font-weight:700}
.sf-steps{display:flex;gap:2px;align-items:flex-end;height:16px;margin:.15rem 0 .1rem 2.8em}
.sf-steps i{flex:1;background:currentColor;opacity:.35;border-radius:1px;min-height:1px}
@media(max-width:640px){.stMainBlockContainer{padding-left:1rem;padding-right:1rem}
.sf-examples{grid-template-columns:repeat(2,1fr)}}
@media(prefers-reduced-motion:reduce){*{transition:none!important;animation-duration:.01ms!important}}
</style>
"""


def apply() -> None:
    """Put the CSS into the page; once a script run."""
    st.html(CSS)
