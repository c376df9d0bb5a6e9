"""The dashboard's own CSS: little, and in terms of the text colour, so that it fits light and dark."""

from __future__ import annotations

# `--line` and `--wash` are mixed from the text colour, which Streamlit sets per theme.
CSS = """
<style>
:root{--line:color-mix(in srgb,currentColor 16%,transparent);--wash:color-mix(in srgb,currentColor 5%,transparent);
--chosen:color-mix(in srgb,#227fa4 60%,currentColor);
--right:color-mix(in srgb,#009e73 70%,currentColor);--wrong:color-mix(in srgb,#c8443a 70%,currentColor)}
.stMainBlockContainer{padding-top:4.2rem;padding-bottom:4rem;max-width:1320px}
.stMainBlockContainer h1{font-size:1.6rem;padding:0 0 .3rem;letter-spacing:-.01em}
.stMainBlockContainer h2{font-size:1.15rem;padding:.6rem 0 .1rem}
.stMainBlockContainer h3{font-size:1rem;padding:.3rem 0 .1rem}
[data-testid="stMetricValue"]{font-size:1.45rem;line-height:1.25;font-variant-numeric:tabular-nums}
[data-testid="stMetricLabel"]{opacity:.75}
/* Streamlit's own captions and chosen options are too faint for WCAG 1.4.3 */
[data-testid="stCaptionContainer"]{opacity:.75}
button[role="radio"][data-selected="true"],[role="tab"][aria-selected="true"]{color:var(--chosen)!important}
[data-testid="stPageLink-NavLink"]{padding-left:0;padding-right:.3rem;background:none!important}
[data-testid="stPageLink-NavLink"]:hover p{text-decoration:underline}
[data-testid="stPageLink-NavLink"] p{font-weight:600}
[data-testid="stPageLink-NavLink"] :is(p,span,div){white-space:normal;overflow:visible}
a:focus-visible{outline:2px solid var(--chosen)!important;outline-offset:2px}
.st-key-run_head{row-gap:.2rem!important}
.sf-way{color:var(--chosen)}
.sf-dim{opacity:.72;font-size:.86rem;line-height:1.45}
.sf-state{display:inline-flex;align-items:center;gap:.4em;font-weight:600;font-size:.9rem;padding:.15em .7em;
border:1px solid var(--line);border-radius:999px;background:var(--wash);white-space:nowrap}
.sf-table{width:100%;border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.sf-table th,.sf-table td{padding:.32rem .6rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
.sf-table th{font-weight:600}.sf-table :is(th,td):first-child{text-align:left;padding-left:0;font-weight:400;opacity:.8}
.sf-words :is(th,td){text-align:left!important}.sf-words td:first-child{white-space:nowrap}
.sf-table .sf-left{text-align:left}
.sf-table .sf-fault td{background:color-mix(in srgb,#d32f2f 18%,transparent);opacity:1;font-weight:600}
.sf-table :is(th,td):first-child .sf-dim{opacity:.9}
.sf-scroll{overflow-x:auto}
.sf-groups :is(th,td){white-space:nowrap}.sf-line{margin:0}.sf-path{overflow-wrap:anywhere}
/* marks of a run, and what came of the last act: at the lower edge of the window, where it covers little */
.sf-marks{margin:0;font-size:.86rem;line-height:1.5;overflow-wrap:anywhere}
.sf-tag{display:inline-block;border:1px solid var(--line);border-radius:.35rem;background:var(--wash);padding:0 .45em;margin-right:.4em}
.st-key-runs_notice{position:fixed;bottom:1rem;left:50%;transform:translateX(-50%);z-index:1000;width:min(44rem,calc(100vw - 2rem));
padding:.6rem 1rem;border-radius:.6rem;border:1px solid #56616b;background:#1b1f24;box-shadow:0 4px 18px rgba(0,0,0,.3)}
.st-key-runs_notice :is(p,button,button p,span){color:#fff!important}
.st-key-runs_notice button{background:none;border-color:#8a939b}

/* the mask: real check boxes, drawn as the network, in groups of one feature-map size */
.st-key-mask_editor{gap:.5rem!important;align-items:stretch!important;row-gap:.6rem!important}
[class*="st-key-mask_group_"]{border-top:2px solid var(--line);padding-top:.1rem;max-width:100%}
[class*="st-key-mask_parts_"]{gap:.3rem!important;align-items:stretch!important;max-width:100%}
.sf-size{font-size:.74rem;opacity:.8;font-variant-numeric:tabular-nums;min-height:1.1rem}
.st-key-mask_editor [data-testid="stCheckbox"] label{display:flex;flex-direction:column;justify-content:center;align-items:center;
min-width:4.1rem;min-height:3.6rem;padding:.3rem .5rem;border:1.5px dashed var(--line);border-radius:.5rem;
cursor:pointer;opacity:.8;text-align:center;gap:0;transition:background .12s}
.st-key-mask_editor [data-testid="stCheckbox"] label>span:first-of-type,
.st-key-mask_editor [data-testid="stCheckbox"] label>div:first-of-type:not(:last-child){position:absolute;opacity:0;
width:1px;height:1px;overflow:hidden}
.st-key-mask_editor [data-testid="stCheckbox"] label:has(input:checked){border:1.5px solid var(--st-primary-color,#0b6b8f);
background:color-mix(in srgb,var(--st-primary-color,#0b6b8f) 16%,transparent);opacity:1}
.st-key-mask_editor [data-testid="stCheckbox"] label:has(input:focus-visible){outline:3px solid var(--st-primary-color,#0b6b8f);
outline-offset:2px}
.st-key-mask_editor [data-testid="stCheckbox"] p{margin:0;line-height:1.25;font-size:.78rem}
.st-key-mask_editor [data-testid="stCheckbox"] p{display:block;white-space:normal!important;overflow-wrap:normal!important;word-break:normal;width:min-content;margin:0 auto;text-align:center}
.st-key-mask_editor [data-testid="stCheckbox"] p::first-line{font-weight:700;font-size:1rem}
.sf-op{display:flex;flex-direction:column;justify-content:center;align-items:center;min-height:3.6rem;height:100%;
padding:.2rem .35rem;font-size:.74rem;line-height:1.2;opacity:.85;background:var(--wash);border-radius:.4rem;text-align:center}

/* confusion examples */
.sf-examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:.7rem}
.sf-example{border:1px solid var(--line);border-radius:.6rem;padding:.6rem;font-size:.84rem;line-height:1.35;min-width:0}
.sf-example img{width:100%;aspect-ratio:1;image-rendering:pixelated;border-radius:.35rem;display:block;margin-bottom:.45rem;
background:var(--wash);outline:1px solid var(--line);outline-offset:-1px}
.sf-example .truth{font-weight:600;margin-bottom:.2rem;overflow-wrap:anywhere}
.sf-answer{display:flex;gap:.4em;align-items:baseline;flex-wrap:wrap}
.sf-answer .net{opacity:.7;min-width:2.4em}
.sf-answer .said{overflow-wrap:anywhere}
.sf-answer .sure{opacity:.7;margin-left:auto;font-variant-numeric:tabular-nums}
.sf-answer.wrong .said,.sf-answer.wrong .sign{color:var(--wrong);font-weight:700}
.sf-answer.right .sign{color:var(--right);font-weight:700}
.sf-steps{display:flex;gap:2px;align-items:flex-end;height:16px;margin:.15rem 0 .1rem 2.8em}
.sf-steps i{flex:1;background:currentColor;opacity:.35;border-radius:1px;min-height:1px}
/* pictures of each class of a data set */
.sf-wall{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:.8rem 1.2rem}
.sf-wall section{min-width:0}.sf-wall h4{margin:0;padding:0;font-size:.9rem;overflow-wrap:anywhere}.sf-wall p{margin:0 0 .2rem}
.sf-wall div{display:flex;flex-wrap:wrap;gap:4px}
.sf-wall img{width:56px;height:56px;image-rendering:pixelated;border-radius:.25rem;border:1px solid var(--line);background:var(--wash)}
/* one image through a network */
.st-key-try_gallery{gap:.4rem!important}
.st-key-try_gallery button{width:72px;min-height:88px;padding:66px 2px 2px;background-size:60px 60px;
background-position:center 5px;background-repeat:no-repeat;image-rendering:pixelated;align-items:flex-end}
.st-key-try_gallery button p{font-size:.74rem;line-height:1.2;max-width:66px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.st-key-try_controls [data-testid="stSlider"]{flex:1;min-width:9rem}
.sf-seen{display:flex;gap:1rem;flex-wrap:wrap}.sf-seen figure{margin:0;font-size:.84rem;line-height:1.35}
.sf-seen img{display:block;border-radius:.35rem;background:var(--wash);outline:1px solid var(--line);outline-offset:-1px}
.sf-seen img.small{width:132px;height:132px;image-rendering:pixelated}
.sf-seen .whole{position:relative;overflow:hidden;border-radius:.35rem;width:max-content}
.sf-seen .whole img{height:132px;width:auto;max-width:200px}
.sf-seen .whole i{position:absolute;box-sizing:border-box;border:2px solid #fff;outline:1px solid #000;
box-shadow:0 0 0 999px rgba(0,0,0,.5)}
.sf-seen figcaption{display:flex;flex-direction:column;margin-top:.3rem;max-width:200px;overflow-wrap:anywhere}
.sf-says .sf-answer-cell.wrong :is(.said,.sign){color:var(--wrong)}.sf-says .sf-answer-cell.right .sign{color:var(--right)}
.sf-says th:nth-child(2),.sf-says td:nth-child(2){text-align:left}
.sf-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.sf-maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:.6rem}
.sf-map{margin:0;font-size:.72rem;line-height:1.3;min-width:0;animation:sf-arrive .35s both}
.sf-map img{width:100%;aspect-ratio:1;image-rendering:pixelated;display:block;border-radius:.3rem;border:1px solid var(--line);
background:var(--wash)}
.sf-map figcaption{display:flex;flex-direction:column;margin-top:.2rem;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.sf-map figcaption span:last-child{opacity:.72}
@keyframes sf-arrive{from{opacity:.25}to{opacity:1}}
/* charts: the heading inside a figure is for its pictures; it lies, unseen, under the page's own (--lift: how far) */
.sf-figure h3{margin:0}.sf-figure p{margin:0;font-size:.82rem;line-height:1.45;opacity:.8;overflow-wrap:anywhere;text-wrap:pretty}
[class*="st-key-sf_figure_"]>[data-testid=stElementContainer]:has(.stPlotlyChart){margin-top:calc(-1*var(--lift,0px));pointer-events:none}
[class*="st-key-sf_figure_"] .modebar{pointer-events:auto}
[class*="st-key-sf_figure_"] .g-gtitle{visibility:hidden}
[class*="st-key-sf_figure_"] .modebar-container{top:var(--lift,0px)!important}
.sf-legend{display:flex;flex-wrap:wrap;gap:.15rem 1rem;list-style:none;margin:.2rem 0 .1rem;padding:0!important;font-size:.82rem;line-height:1.5}
.sf-legend li{display:flex;align-items:center;gap:.4em;margin:0!important;padding:0;min-width:0;overflow-wrap:anywhere}
.sf-legend img{flex:none}
/* drawn empty and filled a moment later: its place above or below the button is chosen by the height it will have */
[data-testid="stPopoverBody"][aria-label^="Save"]{min-height:22rem}
.sf-save{display:flex;align-items:center;gap:.8rem}.sf-save span{font-size:.86rem}
.sf-save button{font:inherit;font-weight:600;color:#fff;background:#0b6b8f;border:0;border-radius:.5rem;padding:.4rem 1.1rem;cursor:pointer}
.sf-save button:disabled{opacity:.88}.sf-save button:focus-visible{outline:2px solid var(--chosen);outline-offset:2px}
/* comparisons and audits */
.sf-compare td,.sf-audit td{white-space:nowrap}.sf-compare th:first-child{min-width:11rem}
.sf-audit th{font-weight:600}.sf-audit .both{text-align:center}.sf-audit .sf-verdicts{white-space:normal;min-width:11rem;
text-align:left;width:34%}
.sf-verdict{font-size:.86rem;font-weight:600;white-space:nowrap;margin-right:.9em}.sf-verdict.wrong{color:var(--wrong)}
.sf-verdict.open{font-weight:400;opacity:.8}summary.sf-verdict{cursor:pointer}
.sf-said tr:first-child>:is(th,td){padding-bottom:0}.sf-said tbody tr:first-child>*{border-bottom:0}
.sf-said tbody :is(th,.sf-sum){white-space:normal}.sf-said tr+tr td:first-child{text-align:left;opacity:1}.sf-said .sf-verdict{margin-right:0}
.sf-rest{padding:.45rem 0 .2rem}.sf-rest summary{white-space:normal}
.sf-sum{font-size:.84rem;line-height:1.45;padding:.25rem 0 .2rem;overflow-wrap:anywhere}
/* a run under way, small cards, long tables */
.sf-phases{display:flex;flex-wrap:wrap;gap:.35rem 1.2rem;list-style:none;margin:0 0 .2rem;padding:0!important;font-size:.86rem}
.sf-phases li{margin:0!important;padding:.1rem 0;opacity:.72;border-bottom:2px solid var(--line)}
.sf-phases .now{opacity:1;font-weight:700;border-color:var(--st-primary-color,#0b6b8f)}
.sf-phases .past::before{content:"✓ "}
.sf-small{grid-template-columns:repeat(auto-fill,minmax(118px,1fr))}
.sf-tall{max-height:26rem;overflow-y:auto}
/* where nothing hovers the bar of a table always stands over it: not on the words above */
@media(hover:none){[data-testid="stElementContainer"]:has(>[data-testid="stFullScreenFrame"]>[data-testid="stDataFrame"]){margin-top:2.2rem}}
/* a narrow window: all tabs in sight, the open one too */
@media(max-width:640px){[role="tablist"]{flex-wrap:wrap;overflow:visible}
.sf-groups :is(th,td):first-child{white-space:normal;min-width:8.5rem}
.sf-audit :is(th,td){padding-left:.3rem;padding-right:.3rem}.sf-audit .sf-verdicts{min-width:7.6rem;padding-right:0}
.sf-audit .sf-verdict{margin-right:0}
.st-key-try_gallery{flex-wrap:nowrap!important;overflow-x:auto;padding:4px}
.sf-maps{grid-template-columns:repeat(auto-fill,minmax(76px,1fr))}
.stMainBlockContainer{padding-left:1rem;padding-right:1rem}
.sf-examples{grid-template-columns:repeat(2,1fr)}}
@media(prefers-reduced-motion:reduce){*{transition:none!important;animation-duration:.01ms!important;
animation-iteration-count:1!important}}
</style>
"""
