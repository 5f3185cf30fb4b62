// The shown conversation: its branch, what is sent, and the reply that is being written.
import { get, send } from "./api.js";
import { $, clear, el } from "./dom.js";
import * as drafts from "./drafts.js";
import { askQuestion, askVersion, sure } from "./edit.js";
import * as files from "./files.js";
import { number, t } from "./i18n.js";
import { list } from "./list.js";
import { MessageView, said } from "./message.js";
import * as settings from "./settings.js";
import { Turn } from "./turn.js";

export let conversation = null; // {id, title, leaf, messages, settings}; null before the first message of a new chat
let turn = null; // the reply of this conversation that is being written
const elsewhere = new Map(); // replies of other conversations, by message; read on so that they go on
let follow = true; // whether the log stays at its end
let sticking = false;
let top = 0; // where the log was when it was last looked at
const tabs = new BroadcastChannel("ponder"); // other tabs of this browser

export const running = () => turn !== null;

// -- which conversation is shown

function detach() {
  if (turn?.row) elsewhere.set(turn.row.id, turn);
  if (turn) turn.view = null;
  turn = null;
}

export function startNew() {
  detach();
  conversation = null;
  settings.load(settings.defaults());
  drafts.restore();
  history.replaceState(null, "", location.pathname);
  draw();
  list().catch(fail);
  $("input").focus();
}

export async function open(id) {
  if (conversation?.id === id) return;
  detach();
  let found = null;
  try {
    found = await get(`/web/conversations/${id}`);
  } catch (error) {
    startNew();
    return fail(error);
  }
  settings.load(found.settings);
  follow = true;
  show(found);
  drafts.restore(id);
  list().catch(fail);
}

// Conversations that came from files; the first is shown.
export async function arrived(ids) {
  history.pushState(null, "", `#${ids[0]}`);
  await open(ids[0]);
  $("live").textContent = `${number(ids.length)} ${t("imported")}`;
  tell(ids[0]);
}

function show(found) {
  conversation = found;
  draw();
  const runs = found.running.at(-1);
  if (!runs) return;
  turn = new Turn(conversation, page);
  turn.attach(runs);
  buttons();
}

// What the server knows by now: another tab, or another device, may have changed it.
export async function refresh() {
  if (!conversation || turn) return;
  const { id } = conversation;
  const found = await get(`/web/conversations/${id}`).catch(() => null);
  if (!found || turn || conversation?.id !== id) return;
  if (found.running.length || state(found) !== state(conversation)) show(found);
}

const state = (c) => JSON.stringify([c.leaf, c.title, c.messages.map((m) => [m.id, Boolean(m.facts), m.error])]);

tabs.onmessage = ({ data }) => {
  list().catch(() => {});
  if (data.id !== conversation?.id) return;
  if (data.removed) startNew();
  else refresh();
};
const tell = (id, removed = false) => tabs.postMessage({ id, removed });

export function renamed(id, title) {
  if (conversation?.id === id) conversation.title = title;
  setTitle();
  tell(id);
}

export function removed(id) {
  tell(id, true);
  drafts.forget(id);
  if (conversation?.id === id) startNew();
}

// -- the shown branch

const children = (parent) => conversation.messages.filter((m) => m.parent === parent);

function branch() {
  const byId = new Map((conversation?.messages || []).map((m) => [m.id, m]));
  const path = [];
  for (let m = byId.get(conversation?.leaf); m; m = byId.get(m.parent)) path.unshift(m);
  return path;
}

export const lastQuestion = () => branch().findLast((m) => m.role === "user");

function versions(row) {
  const siblings = children(row.parent);
  return { at: siblings.findIndex((m) => m.id === row.id), count: siblings.length, last: !children(row.id).length };
}

const actions = { edit, regenerate: (row) => reply(row.parent), goOn, remove, choose, step, written: stick, decide };

export function draw() {
  const path = branch();
  top = 0;
  clear($("messages"));
  if (!path.length) $("messages").append(welcome());
  for (const row of path) {
    const other = partner(row);
    if (other) $("messages").append(el("div", { class: "pair" }, ...[row, other].sort((a, b) => a.created - b.created).map((one) => viewOf(one, one === other))));
    else $("messages").append(viewOf(row));
  }
  files.draw();
  for (const id of ["export-md", "export-json", "export-html"]) $(id).disabled = !conversation;
  meter();
  setTitle();
  buttons();
  stick();
}

// other: shown beside the one that the conversation goes on with.
function viewOf(row, other = false) {
  const mine = turn?.row?.id === row.id;
  const view = new MessageView(row, { ...versions(row), other }, actions, mine);
  if (mine) turn.view = view;
  return view.node;
}

// What another model said to the same question, while two are compared.
function partner(row) {
  if (row.role !== "assistant" || row.id !== conversation.leaf || !settings.second()) return null;
  return children(row.parent).findLast((m) => m.role === "assistant" && m.model !== row.model) || null;
}

async function choose(row) {
  conversation.leaf = row.id;
  draw();
  await send("PATCH", `/web/conversations/${conversation.id}`, { leaf: row.id }).catch(fail);
}

// What the model's card says of it, and things to try, its own or four of ours. They are put into the box: who asks has
// the last word.
function welcome() {
  const put = (text) => {
    $("input").value = text;
    $("input").dispatchEvent(new Event("input"));
    $("input").focus();
  };
  const { about, examples } = settings.card();
  const tries = examples ? examples.map((text) => ["", text]) : t("tries");
  return el("div", { class: "empty" }, el("h2", {}, t("empty")), about ? el("p", { class: "note" }, about) : null,
    el("ul", { class: "tries" }, ...tries.map(([head, text]) => el("li", {}, el("button", { type: "button", onclick: () => put(text) },
      el("b", {}, head), el("span", {}, text))))));
}

const setTitle = () => { document.title = conversation?.title ? `${conversation.title} · Ponder` : "Ponder"; };

export function meter() {
  const last = branch().findLast((m) => m.facts);
  const limit = settings.card().context;
  const used = last ? last.facts.used : 0;
  const box = $("context");
  box.hidden = !limit;
  if (!limit) return;
  box.setAttribute("aria-valuemax", limit);
  box.setAttribute("aria-valuenow", used);
  box.querySelector("i").style.width = `${Math.min(100, (100 * used) / limit)}%`;
  box.querySelector("b").textContent = `${number(used)} / ${number(limit)}`;
}

// At most once a frame: where the end is cannot be known without a layout.
function stick() {
  if (sticking || !follow) return;
  sticking = true;
  requestAnimationFrame(() => {
    sticking = false;
    if (follow) $("log").scrollTop = $("log").scrollHeight;
  });
}

// Only a scroll upwards is a wish to stay: that the end is far may be because more text has come meanwhile.
export function scrolled() {
  const { scrollTop, clientHeight, scrollHeight } = $("log");
  if (scrollTop + clientHeight > scrollHeight - 40) follow = true;
  else if (scrollTop < top) follow = false;
  top = scrollTop;
  $("to-end").hidden = scrollTop + clientHeight > scrollHeight - 200;
}

export function toEnd() {
  follow = true;
  stick();
}

async function step(row, by) {
  const siblings = children(row.parent);
  let shown = siblings[(siblings.findIndex((m) => m.id === row.id) + by + siblings.length) % siblings.length];
  for (let below = children(shown.id); below.length; below = children(shown.id)) shown = below.at(-1);
  conversation.leaf = shown.id;
  draw();
  await send("PATCH", `/web/conversations/${conversation.id}`, { leaf: shown.id }).catch(fail);
}

export async function edit(row) {
  if (row.role === "assistant") return editReply(row);
  const text = await askQuestion(row.content);
  if (text !== null) await say(text, row.parent, row.attachments || []);
}

// What was there stays as another version.
async function editReply(row) {
  const wanted = await askVersion(row);
  if (!wanted) return;
  const { goOn: on, ...body } = wanted;
  try {
    const made = await send("POST", `/web/conversations/${conversation.id}/messages/${row.id}/version`, body);
    conversation.messages.push(made);
    conversation.leaf = made.id;
    draw();
    tell(conversation.id);
    if (on) await goOn(made);
  } catch (error) {
    fail(error);
  }
}

// A reply that ended too early is gone on with, in the middle of its sentence.
async function goOn(row) {
  if (turn) await turn.stop();
  follow = true;
  turn = new Turn(conversation, page);
  buttons();
  await turn.begin({ parent: row.parent, message: row.id, go_on: true, ...settings.wishToGoOn(row) });
}

async function remove(row) {
  if (turn || !(await sure(t("removeMessageAsk"), said(row).slice(0, 200)))) return;
  const { id } = conversation;
  try {
    await send("DELETE", `/web/conversations/${id}/messages/${row.id}`);
    show(await get(`/web/conversations/${id}`));
    tell(id);
  } catch (error) {
    fail(error);
  }
}

// -- asking

// A message goes with its files: it waits until they are read, and stays where it is when one of them cannot be.
export async function submit() {
  if (files.busy() && !(await files.read())) return;
  const text = $("input").value.trim();
  if ((!text && !files.any()) || turn) return;
  $("input").value = "";
  $("input").dispatchEvent(new Event("input"));
  drafts.forget(conversation?.id);
  await say(text, conversation?.leaf ?? null, files.take());
}

async function say(text, parent, attachments) {
  try {
    if (!conversation) {
      const title = (text || attachments[0]?.name || "").split("\n")[0].slice(0, 60);
      conversation = await send("POST", "/web/conversations", { title, settings: settings.settings });
      history.replaceState(null, "", `#${conversation.id}`);
    }
    const row = await send("POST", `/web/conversations/${conversation.id}/messages`, { content: text, parent, attachments });
    conversation.messages.push(row);
    list();
    await reply(row.id);
  } catch (error) {
    if (!$("input").value) $("input").value = text; // nothing that was typed is lost
    fail(error);
  }
}

async function reply(parent) {
  if (turn) await turn.stop();
  conversation.leaf = parent;
  follow = true;
  turn = new Turn(conversation, page);
  draw();
  const { id } = conversation;
  loading(settings.settings.model);
  await turn.begin({ parent, ...settings.wish() });
  const other = settings.second();
  if (!other || turn || conversation?.id !== id || conversation.messages.at(-1)?.stopped) return;
  conversation.leaf = parent; // the second answer takes its place beside the first
  turn = new Turn(conversation, page);
  buttons();
  loading(other);
  await turn.begin({ parent, ...settings.wish(other) });
}

// A person's word on a call. Its turn runs, or ended while it waited and goes on now.
async function decide(row, call, decision) {
  if (turn?.row?.id === row.id) return turn.decide(call, decision).catch(fail);
  if (turn) await turn.stop();
  turn = new Turn(conversation, page);
  buttons();
  await turn.begin({ parent: row.parent, message: row.id, decisions: { [call]: decision }, ...settings.wish(), tools: true });
}

// A model that is loaded first takes a while; the page says so, and for how long.
let waiting = 0;
function loading(name) {
  clearInterval(waiting);
  $("waiting")?.remove();
  if (!name || settings.card(name).loaded !== false) return;
  const line = el("p", { id: "waiting", class: "remark", role: "status" }, el("progress", { "aria-label": t("model") }), el("span", {}));
  $("messages").append(line);
  let seconds = 0;
  const tick = () => { line.lastChild.textContent = ` ${t("loadingModel")(name, number(seconds++))}`; };
  tick();
  waiting = setInterval(tick, 1000);
  stick();
}

// What a turn tells the page.
const page = {
  begun(of) {
    loading("");
    elsewhere.get(of.row.id)?.leave();
    elsewhere.delete(of.row.id);
    if (of.conversation !== conversation) return elsewhere.set(of.row.id, of);
    const at = conversation.messages.findIndex((m) => m.id === of.row.id);
    conversation.messages.splice(at < 0 ? conversation.messages.length : at, at < 0 ? 0 : 1, of.row);
    if (![of.row.parent, of.row.id].includes(conversation.leaf)) return; // another branch was chosen meanwhile
    conversation.leaf = of.row.id;
    tell(conversation.id);
    if (partner(of.row)) return draw();
    of.view = new MessageView(of.row, versions(of.row), actions, true);
    const old = $("messages").querySelector(`[data-id="${of.row.id}"]`);
    if (old) old.replaceWith(of.view.node);
    else $("messages").append(of.view.node);
    buttons();
  },
  step(event) {
    if (event.type === "step") buttons();
    if (event.type === "finish") $("live").textContent = t("done");
    stick();
  },
  failed(error, of) {
    if (of.conversation !== conversation) return;
    if (!of.row) return fail(error);
    of.view?.remark(`${t("lost")} (${error.message})`, "error");
    recover(conversation.id, 0);
  },
  ended(of) {
    loading("");
    if (of.row) elsewhere.delete(of.row.id);
    if (turn === of) turn = null;
    buttons();
    tell(of.conversation.id);
    if (of.conversation === conversation) meter();
    if (!settings.card().capability || settings.card(of.row?.model).loaded === false) refreshModels();
  },
};

// The server was away, or the network: look again until it answers.
async function recover(id, tries) {
  await new Promise((resume) => setTimeout(resume, Math.min(10000, 500 * 2 ** tries)));
  if (conversation?.id !== id || turn) return;
  const found = await get(`/web/conversations/${id}`).catch(() => null);
  if (!found && tries < 20) return recover(id, tries + 1);
  if (found && conversation?.id === id && !turn) show(found);
}

export async function refreshModels() {
  const found = await get("/web/models").catch(fail);
  if (!found) return;
  settings.setModels(found);
  if (!conversation && !turn) draw(); // what the model's card says, and what to ask it
  meter();
}

export const stop = () => turn?.stop();
export const answerNow = () => turn?.answerNow()?.catch(fail);

export function buttons() {
  document.body.classList.toggle("busy", Boolean(turn));
  $("stop").hidden = !turn;
  $("send").hidden = Boolean(turn);
  $("answer-now").hidden = !(turn?.thinking && settings.wish().thinking !== false);
}

export function fail(error) {
  $("messages").append(el("p", { class: "remark error", role: "alert" }, `${t("failed")}: ${error.message}`));
  stick();
}
