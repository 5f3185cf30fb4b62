// The files that go with the message being written. The server takes their text out.
import { upload } from "./api.js";
import { $, el } from "./dom.js";
import { t } from "./i18n.js";

let files = []; // {name, text}
let reading = []; // names

// Takes what is attached, for the message that is sent.
export function take() {
  const taken = files;
  files = [];
  draw();
  return taken;
}

export const any = () => files.length > 0;
export const busy = () => reading.length > 0;

export async function attach(chosen, fail) {
  for (const file of chosen) {
    reading.push(file.name);
    draw();
    try {
      files.push(await upload(`/web/extract?name=${encodeURIComponent(file.name)}`, file));
    } catch (error) {
      fail(error);
    } finally {
      reading.splice(reading.indexOf(file.name), 1);
      draw();
    }
  }
}

export function draw() {
  const drop = (i) => { files.splice(i, 1); draw(); };
  $("files").replaceChildren(
    ...files.map((file, i) => el("li", {}, `📄 ${file.name}`, el("button", { class: "icon small", type: "button",
      "aria-label": `${t("remove")}: ${file.name}`, onclick: () => drop(i) }, "✕"))),
    ...reading.map((name) => el("li", {}, `${t("reading")} ${name} …`)));
}
