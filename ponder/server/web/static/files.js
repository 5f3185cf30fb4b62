// The files that go with the message being written. The server takes their text out.
import { upload } from "./api.js";
import { $, el } from "./dom.js";
import { t } from "./i18n.js";

let files = []; // {name, text}
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
    reading.push(file.name);
    draw();
    try {
      files.push(await upload(`/web/extract?name=${encodeURIComponent(file.name)}`, file));
    } catch (error) {
      whole = false;
      fail(error);
    } finally {
      reading.splice(reading.indexOf(file.name), 1);
      draw();
    }
  }
  return whole;
}

export function draw() {
  const drop = (i) => { files.splice(i, 1); draw(); };
  $("files").replaceChildren(
    ...files.map((file, i) => el("li", {}, `📄 ${file.name}`, el("button", { class: "icon small", type: "button",
      "aria-label": `${t("remove")}: ${file.name}`, onclick: () => drop(i) }, "✕"))),
    ...reading.map((name) => el("li", {}, `${t("reading")} ${name} …`)));
}
