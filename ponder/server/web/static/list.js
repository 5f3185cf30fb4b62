// The list of conversations: pinned ones, then by date; search, open, pin, rename and tag, delete.
import { get, send } from "./api.js";
import { $, ask, el } from "./dom.js";
import { chosen, t } from "./i18n.js";
import { icon } from "./icons.js";
import { sure } from "./edit.js";

const DAY = 86_400_000;

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
  const groups = Map.groupBy(found, (c) => (c.pinned ? t("pinned") : groupOf(1000 * c.changed)));
  const pinned = groups.get(t("pinned"));
  groups.delete(t("pinned"));
  const ordered = pinned ? [[t("pinned"), pinned], ...groups] : [...groups];
  $("list").replaceChildren(...ordered.flatMap(([name, some]) => [el("h2", { class: "group" }, name), el("ul", {}, ...some.map(item))]));
}

function groupOf(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return t("today");
  if (time >= midnight - DAY) return t("yesterday");
  if (time >= midnight - 7 * DAY) return t("thisWeek");
  return new Date(time).toLocaleDateString(chosen(), { month: "long", year: "numeric" });
}

function item(c) {
  const title = c.title || t("untitled");
  const current = c.id === page.current();
  const button = (name, label, onclick, more = {}) => el("button", { class: "icon small", type: "button", title: label,
    "aria-label": `${label}: ${title}`, onclick, ...more }, icon(name));
  const tags = c.tags.map((tag) => el("button", { class: "tag", type: "button", onclick: () => searchFor(tag) }, tag));
  return el("li", { class: current ? "current" : "" },
    el("a", { href: `#${c.id}`, "aria-current": current ? "page" : null, title: new Date(1000 * c.changed).toLocaleString(chosen()) }, title),
    ...tags,
    button("pin", t(c.pinned ? "unpin" : "pin"), () => change(c, { pinned: !c.pinned }), { "aria-pressed": String(c.pinned) }),
    button("edit", t("rename"), () => rename(c)), button("remove", t("remove"), () => remove(c)));
}

function searchFor(tag) {
  $("search").value = $("search").value === tag ? "" : tag;
  list();
}

async function change(c, news) {
  await send("PATCH", `/web/conversations/${c.id}`, news);
  await list();
}

async function rename(c) {
  const field = el("input", { value: c.title, "aria-label": t("rename"), maxLength: 200 });
  const tags = el("input", { value: c.tags.join(", "), "aria-label": t("tags"), placeholder: t("tagsHint"), maxLength: 200 });
  const label = el("p", { class: "note" }, t("tags"));
  if ((await ask(t("rename"), [field, label, tags], [[t("cancel"), ""], [t("save"), "ok", true]])) !== "ok") return;
  const named = [...new Set(tags.value.split(/[,，、]/).map((tag) => tag.trim().slice(0, 40)).filter(Boolean))];
  await change(c, { title: field.value, tags: named });
  page.renamed(c.id, field.value);
}

async function remove(c) {
  if (!(await sure(t("removeAsk"), c.title || t("untitled")))) return;
  await send("DELETE", `/web/conversations/${c.id}`);
  page.removed(c.id);
  await list();
}
