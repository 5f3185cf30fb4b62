// The list of conversations: search, open, rename, delete.
import { get, send } from "./api.js";
import { $, ask, bin, el } from "./dom.js";
import { t } from "./i18n.js";

// page: {current() -> id, renamed(id, title), removed(id)}
let page = null;
let asked = 0;

export function setup(hooks) {
  page = hooks;
  $("search").oninput = () => list();
}

export async function list() {
  const mine = ++asked; // an older answer must not replace a newer one
  const found = await get(`/web/conversations?q=${encodeURIComponent($("search").value)}`);
  if (mine !== asked) return;
  const current = page.current();
  $("list").replaceChildren(...found.map((c) => {
    const title = c.title || t("untitled");
    return el("li", { class: c.id === current ? "current" : "" },
      el("a", { href: `#${c.id}`, "aria-current": c.id === current ? "page" : null }, title),
      el("button", { class: "icon small", type: "button", title: t("rename"), "aria-label": `${t("rename")}: ${title}`, onclick: () => rename(c) }, "✎"),
      el("button", { class: "icon small", type: "button", title: t("remove"), "aria-label": `${t("remove")}: ${title}`, onclick: () => remove(c) }, bin()));
  }));
}

async function rename(c) {
  const field = el("input", { value: c.title, "aria-label": t("rename"), maxLength: 200 });
  if ((await ask(t("rename"), field, [[t("cancel"), ""], [t("save"), "ok", true]])) !== "ok") return;
  await send("PATCH", `/web/conversations/${c.id}`, { title: field.value });
  page.renamed(c.id, field.value);
  await list();
}

async function remove(c) {
  const sure = await ask(t("removeAsk"), el("p", {}, c.title || t("untitled")), [[t("cancel"), ""], [t("remove"), "ok", true]]);
  if (sure !== "ok") return;
  await send("DELETE", `/web/conversations/${c.id}`);
  page.removed(c.id);
  await list();
}
