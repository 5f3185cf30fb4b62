// The files that go with the message being written. The server takes their text out, and counts its tokens.
import { upload } from "./api.js";
import { $, el } from "./dom.js";
import { number, t } from "./i18n.js";
import * as settings from "./settings.js";

const MANY = 200; // files of a folder
const LARGE = 30_000_000; // bytes
const SHARE = 0.6; // of the context, as documents/fitting.py has it
const PASTED = 6000; // characters that are a file rather than a message
const NO_TEXT = /^(image|audio|video)\//;

let files = []; // {name, text, tokens}
let reading = []; // names
let pending = null; // the reading of all of them

// Takes what is attached, for the message that is sent.
export function take() {
  const taken = files;
  files = [];
  draw();
  return taken;
}

export const any = () => files.length > 0;
export const busy = () => reading.length > 0;

// Whether all that is being read could be, once that is known.
export const read = () => pending;

export function attach(chosen, fail) {
  const others = busy() ? pending : true;
  pending = Promise.all([others, readAll(chosen, fail)]).then((whole) => whole.every(Boolean));
}

async function readAll(chosen, fail) {
  let whole = true;
  for (const file of chosen) {
    const name = file.path || file.webkitRelativePath || file.name;
    if (NO_TEXT.test(file.type) && file.type !== "image/svg+xml") {
      whole = false;
      fail(new Error(t("readsText")(settings.settings.model, name)));
      continue;
    }
    reading.push(name);
    draw();
    try {
      files.push(await upload(`/web/extract?name=${encodeURIComponent(name)}`, file));
    } catch (error) {
      if (!file.ofFolder) { // in a folder there is much that is no text
        whole = false;
        fail(error);
      }
    } finally {
      reading.splice(reading.indexOf(name), 1);
      draw();
    }
  }
  return whole;
}

// A whole folder, without what is hidden or fetched from elsewhere.
export function attachFolder(chosen, fail) {
  const wanted = [...chosen].filter((file) => !/(^|\/)(\.|node_modules\/|__pycache__\/)/.test(pathOf(file)) && file.size <= LARGE && !NO_TEXT.test(file.type));
  for (const file of wanted) file.ofFolder = true;
  if (wanted.length > MANY) return fail(new Error(t("manyFiles")(number(wanted.length), number(MANY))));
  attach(wanted, fail);
}

const pathOf = (file) => file.path || file.webkitRelativePath || file.name;

// What was dropped: files, and folders with all that is in them.
export async function dropped(transfer, fail) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const folders = entries.filter((entry) => entry.isDirectory);
  const single = [...transfer.files].filter((file) => !folders.some((entry) => entry.name === file.name));
  if (single.length) attach(single, fail);
  for (const folder of folders) attachFolder(await walk(folder), fail);
}

async function walk(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [Object.assign(file, { path: path + entry.name })];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...await walk(one, `${path}${entry.name}/`));
  }
}

// Pasted files, and text that is long enough to be one.
export function pasted(event, fail) {
  const { files: some } = event.clipboardData;
  const text = event.clipboardData.getData("text/plain");
  if (!some.length && text.length <= PASTED) return;
  event.preventDefault();
  attach(some.length ? [...some] : [new File([text], `${t("pasted")}.txt`, { type: "text/plain" })], fail);
}

export function draw() {
  const drop = (i) => { files.splice(i, 1); draw(); };
  $("files").replaceChildren(
    ...files.map((file, i) => el("li", {}, `📄 ${file.name}`, el("span", { class: "count" }, `${number(file.tokens)} ${t("tokens")}`),
      el("button", { class: "icon small", type: "button", "aria-label": `${t("remove")}: ${file.name}`, onclick: () => drop(i) }, "✕"))),
    ...reading.map((name) => el("li", {}, `${t("reading")} ${name} …`)));
  const all = files.reduce((sum, file) => sum + file.tokens, 0);
  const room = Math.floor(SHARE * (settings.card().context || Infinity));
  $("files-note").hidden = all <= room;
  $("files-note").textContent = all > room ? t("filesLong")(number(all), number(room)) : "";
}
