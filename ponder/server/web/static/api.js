// Calls to the server. A server with keys answers 401 once; the page asks for the key and keeps it in this browser.
import { ask, el } from "./dom.js";
import { t } from "./i18n.js";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, ""); // where this server lies behind another one

let typing = null; // the dialog that asks for the key; one for all who need it

async function askKey() {
  const field = el("input", { type: "password", autocomplete: "off", "aria-label": t("key") });
  const said = await ask(t("keyAsk"), field, [[t("cancel"), ""], [t("save"), "ok", true]]);
  if (said === "ok") localStorage.setItem("key", field.value.trim());
  typing = null;
  return said === "ok";
}

async function call(path, options = {}) {
  for (;;) {
    const key = localStorage.getItem("key");
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const reply = await fetch(ROOT + path, { ...options, headers });
    if (reply.ok) return reply;
    if (reply.status === 401 && localStorage.getItem("key") !== key) continue; // typed while this call was away
    if (reply.status === 401 && (await (typing ??= askKey()))) continue;
    const told = await reply.json().catch(() => null);
    throw new Error(told?.error?.message || `${reply.status} ${reply.statusText}`);
  }
}

const json = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
export const get = async (path) => (await call(path)).json();
export const send = async (method, path, body = {}) => (await call(path, json(method, body))).json();
export const done = async (method, path, body) => { await call(path, json(method, body)); };
export const blob = async (path) => (await call(path)).blob();
export const upload = async (path, file) => (await call(path, { method: "POST", body: file })).json();

// The events of a stream, one object each. Bytes may be cut anywhere, inside a character too.
export async function* events(method, path, body, signal) {
  const reply = await call(path, { ...(body ? json(method, body) : { method }), signal });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
  }
}

// HTML of Markdown texts, rendered and made safe by the server. Equal texts are asked for once, and all that are wanted in
// one moment together: a long conversation is one request.
const known = new Map();
const wanted = new Set();
let asking = null;

async function askFor() {
  await null; // until whoever else draws now has said what it wants
  const texts = [...wanted];
  wanted.clear();
  asking = null;
  const { html } = await send("POST", "/web/render", { texts });
  if (known.size > 2000) known.clear();
  texts.forEach((text, i) => known.set(text, html[i]));
}

export async function render(texts) {
  while (texts.some((text) => !known.has(text))) {
    for (const text of texts) if (!known.has(text)) wanted.add(text);
    await (asking ??= askFor());
  }
  return texts.map((text) => known.get(text));
}
