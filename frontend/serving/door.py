"""The page for a visitor without the key. Complete in itself: it loads nothing from anywhere."""

from __future__ import annotations

from html import escape

_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--ink:#1b1f24;--dim:#5d6670;--line:#dfe2e5;--go:#0b6b8f;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--bg:#101418;--card:#181d23;--ink:#e7eaed;--dim:#9aa4ae;--line:#2c343c;--go:#58b4d8;--bad:#ff8a80}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:16px;background:var(--bg);
color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{width:100%;max-width:27rem;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:28px}
h1{font-size:1.25rem;margin:0 0 .4rem}p{margin:.3rem 0 1rem;color:var(--dim)}code{font-size:.9em}
label{display:block;font-weight:600;margin-bottom:.35rem}
input{width:100%;font:inherit;padding:.6rem .7rem;border:1px solid var(--line);border-radius:8px;background:var(--bg);color:inherit}
button{margin-top:.9rem;width:100%;font:inherit;font-weight:600;padding:.6rem;border:0;border-radius:8px;background:var(--go);
color:var(--card);cursor:pointer}:is(input,button):focus-visible{outline:3px solid var(--go);outline-offset:2px}
[role=alert]{color:var(--bad);margin:.6rem 0 0}
"""


def door(*, action: str, path: str, complaint: str | None = None) -> bytes:
    """The form that asks for the key. `path` is where the visitor wanted to go."""
    alert = f'<p role="alert">{escape(complaint)}</p>' if complaint else ""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Spikefront</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">
<style>{_STYLE}</style></head><body><main><h1>Spikefront</h1>
<p>This dashboard opens with its key. It is in the address that <code>spikefront up</code> prints, and in the file
<code>token</code> of the data folder.</p>
<form method="post" action="{escape(action)}"><input type="hidden" name="next" value="{escape(path)}">
<label for="key">Key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
{alert}<button type="submit">Open</button></form></main></body></html>""".encode()


def notice(*, title: str, text: str) -> bytes:
    """A refusal with nothing to fill in."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Spikefront</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>
<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></body></html>""".encode()


def bounce(*, path: str) -> bytes:
    """Comes back to the same address from our own site, so that a strict cookie goes with the request."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Spikefront</title>
<meta http-equiv="refresh" content="0;url={escape(path)}"></head><body></body></html>""".encode()
