// Calls to the server. A server with keys answers 401 once; the page asks for the key and keeps it in this browser.
import { ask, el } from "./dom.js";
import { t } from "./i18n.js";

async function call(path, options = {}) {
  for (;;) {
    const key = localStorage.getItem("key");
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const reply = await fetch(path, { ...options, headers });
    if (reply.ok) return reply;
    if (reply.status === 401) {
      const field = el("input", { type: "password", autocomplete: "off", "aria-label": t("key") });
      if ((await ask(t("keyAsk"), field, [[t("cancel"), ""], [t("save"), "ok", true]])) === "ok") {
        localStorage.setItem("key", field.value.trim());
        continue;
      }
    }
    const told = await reply.json().catch(() => null);
    throw new Error(told?.error?.message || `${reply.status} ${reply.statusText}`);
  }
}

const json = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
export const get = async (path) => (await call(path)).json();
export const send = async (method, path, body = {}) => (await call(path, json(method, body))).json();
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

// HTML of Markdown texts, rendered and made safe by the server; equal texts are asked for once.
const rendered = new Map();
export async function render(texts) {
  const missing = [...new Set(texts.filter((text) => !rendered.has(text)))];
  if (missing.length) {
    const { html } = await send("POST", "/web/render", { texts: missing });
    missing.forEach((text, i) => rendered.set(text, html[i]));
    if (rendered.size > 2000) for (const key of [...rendered.keys()].slice(0, 1000)) if (!texts.includes(key)) rendered.delete(key);
  }
  return texts.map((text) => rendered.get(text));
}
