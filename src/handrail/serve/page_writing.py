"""The page of a model that writes: a talk or a text that goes on while one watches, and how to ask from a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from handrail.serve.page import CSS, WRITES, drawn_page, inert, links, policy_of, script_of

Json = dict[str, Any]
JS: Final = script_of("writing.js")
WRITING_POLICY: Final = policy_of(JS, CSS)
HELLO: Final = "Say something; it sees the whole talk each time."


def writing_page(model: Json, own: Mapping[str, object], *, chats: bool, reports: bool) -> bytes:
    """Two ways to try it, the one it was taught shown first: a chat that remembers, and a text that goes on. `own` are
    the settings that the model comes with."""
    name = escape(model["name"])
    version = f" <span class=soft>version {model['version']}</span>" if model["version"] is not None else ""
    report = f'<a href="/{name}/report">Report: how good it is</a>' if reports else ""
    first, second = ("", " hidden") if chats else (" hidden", "")
    starts = [example["input"].get("prompt", "") for example in model["examples"]]
    buttons = "".join(
        f'<button type=button data-example="{place}">{escape(start[:40])}</button>'
        for place, start in enumerate(starts)
        if start
    )
    examples = f"<div class=examples>{buttons}</div>" if buttons else ""
    start = next(iter(starts), "") or "Once upon a time"
    body = f"""<nav><a href="/">All models</a>{report}{links(name)}</nav>
<h1>{name}{version}</h1><p class=soft>{WRITES}</p>
<noscript><p class=error>Trying it here needs JavaScript; the requests below do not.</p></noscript>
<div class=columns><div><section class=card>
<div class=tabs role=tablist aria-label="How to try it">
<button type=button role=tab id=tab-chat aria-controls=chat aria-selected={_said(chats)}>Chat</button>
<button type=button role=tab id=tab-text aria-controls=text aria-selected={_said(not chats)}>Go on with a text</button>
</div>
<div id=chat role=tabpanel aria-labelledby=tab-chat{first}>
<div id=talk class=talk aria-live=polite><p class="soft small">{HELLO}</p></div>
<form id=say autocomplete=off><label class=unseen for=words>What you say</label>
<textarea id=words rows=2 maxlength=20000 placeholder="Your words; Enter sends, Shift+Enter begins a line"></textarea>
<div class=act><button class=main>Send</button>
<button type=button class=stop hidden>Stop</button>
<button type=button id=anew>Begin anew</button></div></form></div>
<div id=text role=tabpanel aria-labelledby=tab-text{second}>{examples}
<form id=go autocomplete=off><label for=prompt>The beginning</label>
<textarea id=prompt maxlength=100000>{escape(start)}</textarea>
<div class=act><button class=main>Write</button>
<button type=button class=stop hidden>Stop</button></div></form>
<p id=written class=written aria-live=polite></p></div>
<p id=told class="soft small"></p></section>
<details class=card><summary>Settings</summary><div class="fields settings">{_settings(own)}
<div class=wide><label for=system>System prompt <span>before the talk; may be empty</span></label>
<textarea id=system rows=2 maxlength=20000></textarea></div></div></details></div>
<div class=side><section class=card><h2>From a program</h2>
<p class="soft small">OpenAI's own client works unmodified.</p>
<pre id=openai></pre><p class="soft small">Or anything that speaks HTTP:</p><pre id=curl></pre></section></div></div>
<script type="application/json" id=model>{inert({**model, "starts": starts})}</script><script>{JS}</script>"""
    return drawn_page(model["name"], body)


def _said(chosen: bool) -> str:
    return json.dumps(chosen)


def _settings(own: Mapping[str, object]) -> str:
    return "".join(
        f"<div><label for={name}>{words} <span>{hint}</span></label>"
        f'<input id={name} data-setting={name} inputmode=decimal value="{_plain(own.get(name))}"></div>'
        for name, words, hint in _SETTINGS
    )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ""


_SETTINGS: Final = (
    ("max_tokens", "Length", "tokens at most"),
    ("temperature", "Temperature", "0: the likeliest"),
    ("top_p", "Top p", "share of likelihood kept"),
    ("seed", "Seed", "empty: a new one"),
)
