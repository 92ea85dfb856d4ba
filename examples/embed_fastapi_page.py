"""The page of `embed_fastapi`: upload, read, accept, call, remove. Nothing is loaded from elsewhere, and no guest speaks HTML.

What comes from a manifest is escaped twice over: characters that hide or reorder what stands beside them are spelled out,
as for a terminal, and the rest is escaped for HTML. The script only sends what is in the form, and shows answers as text.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import Any

from desk.bus.ron.text import printable

_STYLE = """
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid #aaa; padding: 0 1rem 1rem; margin: 1rem 0; }
code, pre { font-family: monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.reason, .none { color: #555; }
.update { font-weight: bold; }
form { margin: 0.4rem 0; }
select { max-width: 100%; }
form[data-action=audit], form[data-action=remove] { display: inline-block; margin-right: 0.5rem; }
fieldset { border: none; margin: 0; padding: 0; }
fieldset p { margin: 0.4rem 0; }
"""

_SCRIPT = """
const say = text => { document.getElementById("said").textContent = text; };
async function send(method, path, body, type) {
  const answer = await fetch(path, { method, body, headers: type ? { "Content-Type": type } : {} });
  const text = await answer.text();
  if (!answer.ok) { say("Refused (" + answer.status + "): " + why(text)); return null; }
  return text;
}
function why(text) {
  let told;
  try { told = JSON.parse(text); } catch { return text; }
  if (told.reasons) return [...told.reasons, told.hint ?? ""].join("\\n");
  return typeof told.detail === "string" ? told.detail : text;
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
      if (value !== "") config[dataset.setting] = /^(option\\()?string/.test(dataset.type) ? value : JSON.parse(value);
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
    versions = {each["name"]: each["version"] for each in extensions["running"]}
    waiting = "".join(_waiting(each, versions) for each in extensions["waiting"].values())
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


def in_words(section: str, text: str) -> str:
    """A permission for people who do not read the grammar; empty for one that has no words here."""
    verb, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    ports = "any port" if port == "*" else f"ports {port}" if re.search("[,-]", port) else f"port {port}"
    place = f"of its own, {rest}" if rest.startswith("@") else f"below {rest}"
    key = rest.partition("/")[2]
    entries = f"{'entries' if key.endswith('*') or not key else 'the entry'} {key}".removesuffix(" ")
    words = {
        "network connect": f"connect to {'any host' if host == '*' else host}, {ports}",
        "network udp": f"exchange datagrams with {'any host' if host == '*' else host}, {ports}",
        "network listen": f"wait for connections at {host}, {ports}",
        "network resolve": f"look up the addresses of {'any host' if rest == '*' else rest}",
        "filesystem read": f"read files {place}",
        "filesystem write": f"write files {place}",
        "filesystem readwrite": f"read and write files {place}",
        "state read": f"read {entries} of the shared state {rest.partition('/')[0]}",
        "state write": f"write {entries} of the shared state {rest.partition('/')[0]}",
        "state readwrite": f"read and write {entries} of the shared state {rest.partition('/')[0]}",
        "env read": f"read the environment variable{'s' if rest.endswith('*') else ''} {rest}",
        "bus publish": f"publish events {rest}",
        "bus subscribe": f"hear events {rest}",
        "clock monotonic": "measure time" + (", roughly" if rest == "coarse" else ""),
        "clock wall": "know the time" + (", roughly" if rest == "coarse" else ""),
        "random seeded": "have random numbers, always the same ones",
        "random secure": "have random numbers that nobody can guess",
        "system notify": "show notifications",
        "system clipboard": f"{rest} the clipboard",
        "system open-url": "open pages in the browser",
        "system locale": "know the language",
        "system theme": "know whether the desktop is dark",
    }
    if section == "call":
        extension, _, export = text.partition("/")
        return f"call {'all exports' if export == '*' else export} of {extension}"
    if (section, rest) == ("state", "own"):
        return "keep state of its own"
    return words.get(f"{section} {verb}", "")


def _waiting(each: Mapping[str, Any], running: Mapping[str, str | None]) -> str:
    permissions = "".join(_permission(asked) for asked in each["permissions"])
    config = "".join(_setting(name, setting) for name, setting in each["config"].items())
    update = ""
    if each["name"] in running:
        update = (
            f'<p class="update">An update: {_text(each["name"])} {_text(running[each["name"]] or "(no version)")} runs. '
            "Remove that first, then start this one; what it may do is decided anew.</p>"
        )
    return f"""<article>{_head(each)}{update}
<form data-action="accept" data-name="{_text(each["name"])}" data-digest="{_text(each["digest"])}">
<fieldset><p>It asks for{" nothing." if not permissions else " the following. Tick what it gets:"}</p>{permissions}</fieldset>
<fieldset>{config and "<p>Its settings (* must be given)</p>"}{config}</fieldset>
<p><button>Start it with what is ticked</button></p></form>
{_button("remove", each["name"], "Forget it") if not update else ""}</article>"""


def _permission(asked: Mapping[str, str]) -> str:
    grammar = f"<code>{_text(asked['section'])} {_text(asked['text'])}</code>"
    words = _text(in_words(asked["section"], asked["text"]))
    return (
        f'<p><label><input type="checkbox" autocomplete="off" data-section="{_text(asked["section"])}" '
        f'value="{html.escape(asked["text"])}"> {f"{words} ({grammar})" if words else grammar}</label> '
        f'<span class="reason">{_text(asked["reason"] or "no reason given")}</span></p>'
    )


def _setting(name: str, setting: Mapping[str, Any]) -> str:
    default = "" if setting.get("default") is None else f"default: {json.dumps(setting['default'], ensure_ascii=False)}"
    beside = "; ".join(filter(None, (setting["help"], setting["type"], default)))
    return (
        f"<p><label>{_text(name)}{' *' if setting['required'] else ''} "
        f'<input type="{"password" if setting["secret"] else "text"}" data-setting="{_text(name)}" '
        f'data-type="{_text(setting["type"])}" autocomplete="{"new-password" if setting["secret"] else "off"}"'
        f'{" required" if setting["required"] else ""}></label> <span class="reason">{_text(beside)}</span></p>'
    )


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
