// The chat page: what its buttons and keys do. chat.js has the conversation, list.js the others, settings.js the panel.
import { blob, send, upload } from "./api.js";
import * as chat from "./chat.js";
import { $, ask, download, el } from "./dom.js";
import * as files from "./files.js";
import { apply, choose, chosen, languages, t } from "./i18n.js";
import { drawIcons } from "./icons.js";
import * as drafts from "./drafts.js";
import * as list from "./list.js";
import * as models from "./models.js";
import * as presets from "./presets.js";
import * as settings from "./settings.js";
import * as speech from "./speech.js";
import { theme } from "./theme.js";
import * as usage from "./usage.js";

function grow() {
  const box = $("input");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
}

// Fingers have no Shift+Enter: there Enter is a new line, and a button sends.
const touched = () => matchMedia("(pointer: coarse)").matches;

// The list on a narrow page.
function narrow(open) {
  document.body.classList.toggle("sidebar", open);
  $("open-sidebar").setAttribute("aria-expanded", String(open));
  if (open) $("close-sidebar").focus();
}

// ... and on a wide one, where it is beside the page and stays as it was.
function fold(folded) {
  document.body.classList.toggle("folded", folded);
  localStorage.setItem("folded", folded ? "yes" : "no");
}

const wide = () => matchMedia("(min-width: 761px)").matches;

// Shows or hides the list, and leaves the focus where it can be undone.
function showList(open) {
  if (!wide()) narrow(open);
  else fold(!open);
  $(open ? "close-sidebar" : "open-sidebar").focus();
}

const listShown = () => (wide() ? !document.body.classList.contains("folded") : document.body.classList.contains("sidebar"));

function panel(open) {
  $("settings").hidden = !open;
  $("open-settings").setAttribute("aria-expanded", String(open));
  (!open ? $("open-settings") : touched() ? $("close-settings") : $("system")).focus(); // no keyboard over the panel
  if (open) usage.offer().catch(chat.fail);
}

async function speak() {
  await choose($("language").value);
  settings.show();
  presets.show($("preset").value);
  chat.draw();
  await list.list();
}

const dark = () => getComputedStyle(document.documentElement).getPropertyValue("--scheme").trim() === "dark";

async function save(format) {
  if (!chat.conversation) return;
  const { id, title } = chat.conversation;
  await fetched(`/web/conversations/${id}/export?format=${format}`, `${title.replace(/[\\/:*?"<>|\n]+/g, "-") || "conversation"}.${format}`);
}

async function fetched(path, name) {
  const url = URL.createObjectURL(await blob(path));
  download(name, url);
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// Files that an export gave. Each is taken whole or not at all, and says why not.
async function bring(chosen) {
  const ids = [];
  const failed = [];
  for (const file of chosen) {
    try {
      ids.push(...(await upload("/web/import", file)).imported.map((c) => c.id));
    } catch (error) {
      failed.push(new Error(`${file.name}: ${error.message}`));
    }
  }
  if (ids.length) await chat.arrived(ids);
  narrow(false);
  failed.forEach(chat.fail);
}

function keepDefaults() {
  settings.keepDefaults();
  $("live").textContent = t("kept");
  $("keep-defaults").replaceChildren("✓");
  setTimeout(() => { $("keep-defaults").textContent = t("keepDefaults"); }, 1200);
}

function help() {
  const rows = t("keys").map(([key, what]) => el("tr", {}, el("td", {}, el("kbd", {}, key)), el("td", {}, what)));
  ask(t("shortcuts"), el("table", {}, el("tbody", {}, ...rows)), [[t("close"), "", true]]);
}

// Files or a folder, from the menu of what can be added.
function pick(id) {
  $("adding").hidePopover();
  $(id).click();
}

function fresh() {
  chat.startNew();
  narrow(false);
  $("input").focus();
}

function escape() {
  if (chat.running()) chat.stop();
  else if (!$("settings").hidden) panel(false);
  else narrow(false);
}

function shortcuts(event) {
  if ($("dialog").open || event.isComposing) return;
  const ctrl = event.ctrlKey || event.metaKey;
  const todo = ctrl && event.shiftKey && event.key.toLowerCase() === "f" ? () => { showList(true); $("search").focus(); }
    : ctrl && event.key === "k" ? fresh
    : ctrl && event.key === "b" ? () => showList(!listShown())
    : ctrl && event.key === "." ? chat.answerNow
    : ctrl && event.key === "/" ? settings.toggleThinking
    : ctrl && event.key === "," ? () => panel($("settings").hidden)
    : event.key === "Escape" ? escape
    : null;
  if (!todo) return;
  event.preventDefault();
  todo();
}

function typed(event) {
  if (event.isComposing || event.keyCode === 229) return; // Enter ends the composition of a word, not the message
  if (event.key === "Enter" && !event.shiftKey && (!touched() || event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    chat.submit();
  }
  if (event.key === "ArrowUp" && !event.target.value && chat.lastQuestion()) {
    event.preventDefault();
    chat.edit(chat.lastQuestion());
  }
}

function listen() {
  const clicks = {
    new: fresh, stop: chat.stop, "answer-now": chat.answerNow, attach: () => pick("file"), "attach-folder": () => pick("folder"), help,
    "open-sidebar": () => showList(true), "close-sidebar": () => showList(false),
    "open-settings": () => panel($("settings").hidden), "close-settings": () => panel(false),
    theme: () => theme(dark() ? "light" : "dark"), "export-html": () => save("html").catch(chat.fail), "to-end": chat.toEnd, "keep-defaults": keepDefaults, usage: () => usage.show().catch(chat.fail), models: () => models.show(chat.refreshModels, chat.fail), "export-md": () => save("md").catch(chat.fail), "export-json": () => save("json").catch(chat.fail),
    "export-all": () => fetched("/web/export", "conversations.json").catch(chat.fail), import: () => $("import-file").click(),
  };
  for (const [id, action] of Object.entries(clicks)) $(id).onclick = () => action();
  $("language").onchange = speak;
  $("second").onchange = () => chat.draw();
  $("model").addEventListener("change", () => (settings.second() || !chat.conversation) && chat.draw());
  $("composer").onsubmit = (event) => { event.preventDefault(); chat.submit(); };
  $("input").oninput = () => { grow(); drafts.keep(chat.conversation?.id); };
  $("input").onkeydown = typed;
  $("log").onscroll = chat.scrolled;
  document.querySelector("main").addEventListener("pointerdown", () => narrow(false)); // beside an open list
  $("file").onchange = () => { files.attach([...$("file").files], chat.fail); $("file").value = ""; };
  $("adding").addEventListener("beforetoggle", () => {
    const { left, top } = $("add").getBoundingClientRect();
    Object.assign($("adding").style, { left: `${left}px`, bottom: `${innerHeight - top + 6}px` });
  });
  $("folder").onchange = () => { files.attachFolder($("folder").files, chat.fail); $("folder").value = ""; };
  $("input").onpaste = (event) => files.pasted(event, chat.fail);
  $("import-file").onchange = () => { bring([...$("import-file").files]); $("import-file").value = ""; };
  addEventListener("keydown", shortcuts);
  addEventListener("hashchange", () => location.hash.length > 1 && visit());
  addEventListener("visibilitychange", () => document.visibilityState === "visible" && chat.refresh());
  for (const kind of ["dragover", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      if (kind === "drop") files.dropped(event.dataTransfer, chat.fail).catch(chat.fail);
    });
  }
}

async function visit() {
  await chat.open(encodeURIComponent(location.hash.slice(1)));
  narrow(false);
}

async function start() {
  fold(localStorage.getItem("folded") === "yes");
  apply();
  $("language").append(...languages().map(([code, name]) => el("option", { value: code }, name)));
  $("language").value = chosen();
  drawIcons();
  const keep = () => (chat.conversation ? send("PATCH", `/web/conversations/${chat.conversation.id}`, { settings: settings.settings }).catch(chat.fail)
    : settings.keepDefaults());
  settings.setup(keep);
  settings.load(settings.defaults());
  presets.setup(keep);
  speech.setup();
  list.setup({ current: () => chat.conversation?.id, renamed: chat.renamed, removed: chat.removed });
  listen();
  chat.draw();
  await chat.refreshModels();
  if (location.hash.length > 1) await visit();
  else {
    drafts.restore();
    await list.list().catch(chat.fail);
  }
  $("input").focus();
}

start();
