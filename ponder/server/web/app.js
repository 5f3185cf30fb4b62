// The chat page: conversations on the left, the shown branch in the middle, settings on the right.
import { blob, events, get, send, upload } from "./api.js";
import { $, ask, clear, download, el } from "./dom.js";
import { apply, number, t, toggle } from "./i18n.js";
import { MessageView } from "./message.js";
import * as settings from "./settings.js";

let conversation = null; // {id, title, leaf, messages, settings}, null before the first message of a new chat
let running = null; // {run, controller, view}
let files = []; // attachments of the message that is being written
let follow = true; // whether the log stays at its end

// -- the list of conversations

async function list() {
  const found = await get(`/web/conversations?q=${encodeURIComponent($("search").value)}`);
  $("list").replaceChildren(...found.map((c) => {
    const title = c.title || t("untitled");
    return el("li", { class: c.id === conversation?.id ? "current" : "" },
      el("a", { href: `#${c.id}`, "aria-current": c.id === conversation?.id ? "page" : null }, title),
      el("button", { class: "icon small", title: t("rename"), "aria-label": `${t("rename")}: ${title}`, onclick: () => rename(c) }, "✎"),
      el("button", { class: "icon small", title: t("remove"), "aria-label": `${t("remove")}: ${title}`, onclick: () => remove(c) }, "🗑"));
  }));
}

async function rename(c) {
  const field = el("input", { value: c.title, "aria-label": t("rename") });
  if ((await ask(t("rename"), field, [[t("cancel"), ""], [t("save"), "ok", true]])) !== "ok") return;
  await send("PATCH", `/web/conversations/${c.id}`, { title: field.value });
  if (conversation?.id === c.id) conversation.title = field.value;
  await list();
}

async function remove(c) {
  const sure = await ask(t("removeAsk"), el("p", {}, c.title || t("untitled")), [[t("cancel"), ""], [t("remove"), "ok", true]]);
  if (sure !== "ok") return;
  if (conversation?.id === c.id) startNew();
  await send("DELETE", `/web/conversations/${c.id}`);
  await list();
}

function startNew() {
  stop();
  conversation = null;
  history.replaceState(null, "", location.pathname);
  files = [];
  draw();
  list();
  narrow(false);
  $("input").focus();
}

async function open(id) {
  if (conversation?.id === id) return;
  stop();
  try {
    conversation = await get(`/web/conversations/${id}`);
  } catch (error) {
    startNew();
    return fail(error);
  }
  settings.load(conversation.settings);
  follow = true;
  draw();
  list();
  narrow(false);
}

// -- the shown branch

const children = (parent) => conversation.messages.filter((m) => m.parent === parent);

function branch() {
  const byId = new Map((conversation?.messages || []).map((m) => [m.id, m]));
  const path = [];
  for (let m = byId.get(conversation?.leaf); m; m = byId.get(m.parent)) path.unshift(m);
  return path;
}

function versions(row) {
  const siblings = children(row.parent);
  return { at: siblings.findIndex((m) => m.id === row.id), count: siblings.length };
}

const actions = { edit, regenerate: (row) => reply(row.parent), step };

function view(row) {
  return new MessageView(row, versions(row), actions, stick);
}

function draw() {
  const path = branch();
  clear($("messages"));
  if (!path.length) $("messages").append(el("div", { class: "empty" }, el("h2", {}, t("empty"))));
  for (const row of path) $("messages").append(view(row).node);
  drawFiles();
  meter();
  document.title = conversation?.title ? `${conversation.title} · Ponder` : "Ponder";
  stick();
}

function meter() {
  const last = branch().findLast((m) => m.facts);
  const limit = settings.card().context;
  const used = last ? last.facts.usage.prompt_tokens + last.facts.usage.completion_tokens : 0;
  const box = $("context");
  box.hidden = !limit;
  if (!limit) return;
  box.setAttribute("aria-valuemax", limit);
  box.setAttribute("aria-valuenow", used);
  box.querySelector("i").style.width = `${Math.min(100, (100 * used) / limit)}%`;
  box.querySelector("b").textContent = `${number(used)} / ${number(limit)}`;
}

function stick() {
  if (follow) $("log").scrollTop = $("log").scrollHeight;
}

async function step(row, by) {
  const siblings = children(row.parent);
  let shown = siblings[(siblings.indexOf(siblings.find((m) => m.id === row.id)) + by + siblings.length) % siblings.length];
  for (let below = children(shown.id); below.length; below = children(shown.id)) shown = below.at(-1);
  stop();
  conversation.leaf = shown.id;
  draw();
  await send("PATCH", `/web/conversations/${conversation.id}`, { leaf: shown.id });
}

async function edit(row) {
  const field = el("textarea", { rows: 8, value: row.content, "aria-label": t("edit") });
  if ((await ask(t("edit"), field, [[t("cancel"), ""], [t("send"), "ok", true]])) !== "ok" || !field.value.trim()) return;
  await say(field.value, row.parent, row.attachments || []);
}

// -- asking

async function submit() {
  const text = $("input").value.trim();
  if ((!text && !files.length) || running) return;
  const attached = files;
  $("input").value = "";
  files = [];
  grow();
  await say(text, conversation?.leaf ?? null, attached);
}

async function say(text, parent, attached) {
  try {
    if (!conversation) {
      const title = (text || attached[0]?.name || "").split("\n")[0].slice(0, 60);
      conversation = await send("POST", "/web/conversations", { title, settings: settings.settings });
      history.replaceState(null, "", `#${conversation.id}`);
    }
    const row = await send("POST", `/web/conversations/${conversation.id}/messages`, { content: text, parent, attachments: attached });
    conversation.messages.push(row);
    conversation.leaf = row.id;
    list();
    await reply(row.id);
  } catch (error) {
    if (!$("input").value) $("input").value = text; // nothing that was typed is lost
    fail(error);
  }
}

async function reply(parent) {
  if (running) stop();
  conversation.leaf = parent;
  follow = true;
  draw();
  const mine = { controller: new AbortController(), run: null, view: null, conversation };
  running = mine;
  buttons();
  const began = performance.now();
  let thinking = 0, seconds = 0, row = null, ended = false;
  const tick = setInterval(() => {
    if (mine.view && thinking && !seconds) mine.view.thoughtsProgress((performance.now() - began) / 1000, thinking, settings.settings.budget);
  }, 250);
  try {
    for await (const event of events(`/web/conversations/${conversation.id}/reply`, { parent, ...settings.wish() }, mine.controller.signal)) {
      if (event.type === "start") {
        row = { ...event.message, stopped: false };
        mine.run = event.run;
        mine.conversation.messages.push(row);
        mine.conversation.leaf = row.id;
        mine.view = view(row);
        mine.view.node.setAttribute("aria-busy", "true");
        $("messages").append(mine.view.node);
        buttons();
      } else if (event.type === "reasoning") {
        thinking += 1;
        row.reasoning_content = (row.reasoning_content || "") + event.text;
        mine.view.reasoning(event.text);
      } else if (event.type === "text" || event.type === "tool_call") {
        if (thinking && !seconds) {
          seconds = (performance.now() - began) / 1000;
          mine.view.thoughtsDone(thinking, seconds);
          buttons();
        }
        if (event.type === "text") {
          row.content += event.text;
          mine.view.answer.add(event.text);
        } else mine.view.toolCall(event.call);
      } else if (event.type === "finish") {
        ended = true;
        row.facts = event.facts;
        row.stopped = event.stopped;
        mine.view.thoughtsDone(event.facts.usage.reasoning_tokens, seconds);
        mine.view.showFacts(event.facts, event.stopped);
        $("live").textContent = t("done");
      } else if (event.type === "error") {
        ended = true;
        mine.view.remark(`${t("failed")}: ${event.message}`, "error");
      }
      stick();
    }
    if (!ended && row) mine.view.remark(t("lost"), "error");
  } catch (error) {
    if (error.name !== "AbortError") mine.view ? mine.view.remark(`${t("lost")} (${error.message})`, "error") : fail(error);
    else if (mine.view) {
      row.stopped = true;
      mine.view.thoughtsDone(thinking, seconds);
      mine.view.remark(t("stopped"));
    }
  } finally {
    clearInterval(tick);
    mine.view?.node.removeAttribute("aria-busy");
    if (running === mine) running = null;
    buttons();
    if (mine.conversation === conversation) meter();
    if (!settings.card().capability) refreshModels();
  }
}

function stop() {
  running?.controller.abort();
  running = null;
  buttons();
}

async function answerNow() {
  if (running?.run) await send("POST", `/v1/requests/${running.run}/answer-now`).catch(fail);
}

function buttons() {
  $("stop").hidden = !running;
  $("send").hidden = Boolean(running);
  $("answer-now").hidden = !(running?.run && running.view && !running.view.answer.text && settings.wish().thinking !== false);
}

function fail(error) {
  $("messages").append(el("p", { class: "remark error", role: "alert" }, `${t("failed")}: ${error.message}`));
  stick();
}

// -- files

async function attach(chosen) {
  for (const file of chosen) {
    const mark = el("li", {}, `${t("reading")} ${file.name} …`);
    $("files").append(mark);
    try {
      files.push(await upload(`/web/extract?name=${encodeURIComponent(file.name)}`, file));
    } catch (error) {
      fail(error);
    }
    drawFiles();
  }
}

function drawFiles() {
  $("files").replaceChildren(...files.map((file, i) => el("li", {}, `📄 ${file.name}`,
    el("button", { class: "icon small", type: "button", "aria-label": `${t("remove")}: ${file.name}`, onclick: () => { files.splice(i, 1); drawFiles(); } }, "✕"))));
}

// -- the rest of the page

function grow() {
  const box = $("input");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
}

function narrow(open) {
  document.body.classList.toggle("sidebar", open);
}

function panel(open) {
  $("settings").hidden = !open;
  $("open-settings").setAttribute("aria-expanded", String(open));
  (open ? $("system") : $("open-settings")).focus();
}

function theme(next) {
  if (next) localStorage.setItem("theme", next);
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}

async function save(format) {
  if (!conversation) return;
  const url = URL.createObjectURL(await blob(`/web/conversations/${conversation.id}/export?format=${format}`));
  download(`${conversation.title || "conversation"}.${format}`, url);
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function help() {
  const rows = t("keys").map(([key, what]) => el("tr", {}, el("td", {}, el("kbd", {}, key)), el("td", {}, what)));
  ask(t("shortcuts"), el("table", {}, el("tbody", {}, ...rows)), [[t("close"), "", true]]);
}

async function refreshModels() {
  const found = await get("/web/models");
  settings.setModels(found.models, found.default);
  meter();
}

function shortcuts(event) {
  if ($("dialog").open || event.isComposing) return;
  const ctrl = event.ctrlKey || event.metaKey;
  const todo = ctrl && event.shiftKey && event.key.toLowerCase() === "f" ? () => { narrow(true); $("search").focus(); }
    : ctrl && event.key === "k" ? startNew
    : ctrl && event.key === "." ? answerNow
    : ctrl && event.key === "/" ? settings.toggleThinking
    : ctrl && event.key === "," ? () => panel($("settings").hidden)
    : event.key === "Escape" ? () => { if (running) stop(); else if (!$("settings").hidden) panel(false); else narrow(false); }
    : null;
  if (!todo) return;
  event.preventDefault();
  todo();
}

function listen() {
  $("composer").onsubmit = (event) => { event.preventDefault(); submit(); };
  $("input").oninput = grow;
  $("input").onkeydown = (event) => {
    if (event.isComposing || event.keyCode === 229) return; // Enter ends the composition of a word, not the message
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); submit(); }
    if (event.key === "ArrowUp" && !event.target.value) {
      const last = branch().findLast((m) => m.role === "user");
      if (last) { event.preventDefault(); edit(last); }
    }
  };
  $("log").onscroll = () => { follow = $("log").scrollTop + $("log").clientHeight > $("log").scrollHeight - 40; };
  $("new").onclick = startNew;
  $("search").oninput = () => list();
  $("stop").onclick = stop;
  $("answer-now").onclick = answerNow;
  $("attach").onclick = () => $("file").click();
  $("file").onchange = () => { attach([...$("file").files]); $("file").value = ""; };
  $("open-sidebar").onclick = () => narrow(true);
  $("close-sidebar").onclick = () => narrow(false);
  $("open-settings").onclick = () => panel($("settings").hidden);
  $("close-settings").onclick = () => panel(false);
  $("theme").onclick = () => theme(getComputedStyle(document.documentElement).getPropertyValue("--scheme").trim() === "dark" ? "light" : "dark");
  $("language").onclick = () => { toggle(); settings.show(); draw(); list(); };
  $("help").onclick = help;
  $("export-md").onclick = () => save("md");
  $("export-json").onclick = () => save("json");
  addEventListener("keydown", shortcuts);
  addEventListener("hashchange", () => location.hash.length > 1 && open(location.hash.slice(1)));
  for (const kind of ["dragover", "drop"]) {
    addEventListener(kind, (event) => { event.preventDefault(); if (kind === "drop") attach([...event.dataTransfer.files]); });
  }
}

async function start() {
  theme();
  apply();
  settings.setup(() => conversation && send("PATCH", `/web/conversations/${conversation.id}`, { settings: settings.settings }).catch(fail));
  listen();
  draw();
  await refreshModels().catch(fail);
  if (location.hash.length > 1) await open(location.hash.slice(1));
  else await list().catch(fail);
  buttons();
  $("input").focus();
}

start();
