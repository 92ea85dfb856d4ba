"""The page of `embed_fastapi`: upload, read, accept, call, remove. Nothing is loaded from elsewhere, and no guest speaks HTML.

What comes from a manifest is escaped twice over: characters that hide or reorder what stands beside them are spelled out,
as for a terminal, and the rest is escaped for HTML. The script only sends what is in the form, and shows answers as text.
"""

import base64
import hashlib
import html
from collections.abc import Mapping
from typing import Any

from desk.bus.ron.text import printable

_STYLE = """
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid #aaa; padding: 0 1rem 1rem; margin: 1rem 0; }
code, pre { font-family: monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.reason, .none { color: #555; }
"""

_SCRIPT = """
const say = text => { document.getElementById("said").textContent = text; };
async function send(method, path, body, type) {
  const answer = await fetch(path, { method, body, headers: type ? { "Content-Type": type } : {} });
  const text = await answer.text();
  if (!answer.ok) { say(answer.status + " " + text); return null; }
  return text;
}
const path = name => "/extensions/" + encodeURIComponent(name);
document.addEventListener("submit", event => {
  event.preventDefault();
  act(event.target, event.target.dataset).catch(error => say(String(error)));
});
async function act(form, { action, name, digest }) {
  let done = null;
  if (action === "upload") {
    const file = form.elements.file.files[0];
    if (file) done = await send("POST", "/extensions", file, "application/wasm");
  } else if (action === "accept") {
    const permissions = {}, config = {};
    for (const box of form.querySelectorAll("input[type=checkbox]:checked"))
      (permissions[box.dataset.section] ??= []).push(box.value);
    for (const { value, dataset } of form.querySelectorAll("input[data-setting]"))
      if (value !== "") config[dataset.setting] = dataset.type.startsWith("string") ? value : JSON.parse(value);
    const decision = JSON.stringify({ digest, permissions, config });
    done = await send("POST", path(name) + "/grants", decision, "application/json");
  } else if (action === "remove") {
    done = await send("DELETE", path(name));
  } else if (action === "call") {
    const call = "/calls/" + encodeURIComponent(form.elements.export.value);
    const text = await send("POST", path(name) + call, form.elements.arguments.value, "application/json");
    if (text !== null) say(text);
    return;
  } else if (action === "audit") {
    const text = await send("GET", path(name) + "/audit");
    if (text !== null) say(JSON.stringify(JSON.parse(text), null, 1));
    return;
  }
  if (done !== null) location.reload();
}
"""


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; connect-src 'self'; style-src {_hashed(_STYLE)}; script-src {_hashed(_SCRIPT)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
"""What the browser is told beside the page: it runs our script, and no other."""


def page(extensions: Mapping[str, Any]) -> str:
    """The page for what `GET /extensions` answers."""
    waiting = "".join(_waiting(each) for each in extensions["waiting"].values())
    running = "".join(_running(each) for each in extensions["running"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Extensions</title><style>{_STYLE}</style></head><body>
<h1>Extensions</h1>
<form data-action="upload"><input type="file" name="file" accept=".wasm"> <button>Upload</button></form>
<pre id="said"></pre>
<h2>Waiting for you</h2>{waiting or '<p class="none">none</p>'}
<h2>Running</h2>{running or '<p class="none">none</p>'}
<script>{_SCRIPT}</script></body></html>
"""


def _text(value: object) -> str:
    """Any text of a manifest as it is shown: between tags, or between double quotes."""
    return html.escape(printable(str(value)))


def _waiting(each: Mapping[str, Any]) -> str:
    permissions = "".join(
        f'<p><label><input type="checkbox" checked data-section="{_text(asked["section"])}" '
        f'value="{html.escape(asked["text"])}"> '
        f"<code>{_text(asked['section'])} {_text(asked['text'])}</code></label> "
        f'<span class="reason">{_text(asked["reason"] or "no reason given")}</span></p>'
        for asked in each["permissions"]
    )
    config = "".join(
        f'<p><label>{_text(name)} <input type="{"password" if setting["secret"] else "text"}" '
        f'data-setting="{_text(name)}" data-type="{_text(setting["type"])}" autocomplete="off"></label> '
        f'<span class="reason">{_text(setting["help"])}</span></p>'
        for name, setting in each["config"].items()
    )
    return f"""<article>{_head(each)}
<form data-action="accept" data-name="{_text(each["name"])}" data-digest="{_text(each["digest"])}">
<p>It asks for</p>{permissions or "<p>nothing</p>"}{config}<button>Start it with what is ticked</button></form>
{_button("remove", each["name"], "Forget it")}</article>"""


def _running(each: Mapping[str, Any]) -> str:
    granted = ", ".join(f"<code>{_text(atom['section'])} {_text(atom['text'])}</code>" for atom in each["granted"])
    notices = "".join(f"<li>{_text(notice)}</li>" for notice in each["notices"])
    options = "".join(
        f'<option value="{_text(name)}">{_text(name)}{_text(signature)}</option>'
        for name, signature in each["exports"].items()
    )
    return f"""<article>{_head(each)}<p>May do: {granted or "nothing"}</p><ul>{notices}</ul>
<p>{each["handled"]} messages handled, {each["failed"]} failed</p>
<form data-action="call" data-name="{_text(each["name"])}"><select name="export">{options}</select>
<input name="arguments" value="[]" size="40"> <button>Call</button></form>
{_button("audit", each["name"], "Audit")} {_button("remove", each["name"], "Remove")}</article>"""


def _head(each: Mapping[str, Any]) -> str:
    return f"<h3>{_text(each['name'])} {_text(each['version'] or '')}</h3><p>{_text(each['description'])}</p>"


def _button(action: str, name: str, label: str) -> str:
    return f'<form data-action="{action}" data-name="{_text(name)}"><button>{label}</button></form>'
