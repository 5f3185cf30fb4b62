// The models: those that are offered here, and those that can be had, sorted by what this machine can run.
import { done, get, send } from "./api.js";
import { $, ask, el } from "./dom.js";
import { sure } from "./edit.js";
import { number, t } from "./i18n.js";
import { offered } from "./settings.js";

const size = (bytes) => (bytes < 1e8 ? `${number(Math.round(bytes / 1e5) / 10)} MB` : `${number(Math.round(bytes / 1e8) / 10)} GB`);

let timer = 0;
let leaving = null; // the model whose files are to go

// changed: what is to be done when other models are offered. fail: says what went wrong on the page.
export async function show(changed, fail) {
  const box = el("div", { class: "models" });
  const own = offered().map((model) => row({ ...model, kind: "own", offered: true }, {}, act(box, changed)));
  box.append(el("p", { class: "note", role: "status" }, t("modelsWait")), el("ul", {}, ...own)); // what is known at once
  const closed = ask(t("models"), box, [[t("close"), "", true]]);
  draw(box, changed);
  const said = await closed;
  clearTimeout(timer);
  if (said === null && leaving) await remove(changed, fail);
}

async function draw(box, changed) {
  clearTimeout(timer);
  try {
    const found = await get("/web/catalogue");
    box.replaceChildren(el("p", { class: "note" }, t("modelsHere")(size(found.memory))),
      el("ul", {}, ...found.models.map((model) => row(model, found, act(box, changed)))));
    if (found.models.some((m) => m.loading || (m.download && !m.download.error))) timer = setTimeout(() => draw(box, changed), 1000);
  } catch (error) {
    box.replaceChildren(el("p", { class: "remark error", role: "alert" }, error.message));
  }
}

// Does something to a model, and shows what came of it.
const act = (box, changed) => async (work) => {
  const working = work().then(() => null, (error) => error);
  setTimeout(() => draw(box, changed), 300); // what takes long shows that it goes on
  const error = await working;
  await draw(box, changed);
  if (error) box.prepend(el("p", { class: "remark error", role: "alert" }, error.message));
  changed();
};

function row(model, found, act) {
  const parts = [model.kind === "own" ? "" : t("kinds")[model.kind], model.bytes ? size(model.bytes) : "",
    model.fits ? t("fits")(size(found.memory)) : model.needs ? t("tooLarge")(size(model.needs)) : "", model.fits ? t("about")(number(model.rate)) : ""];
  const { download } = model;
  return el("li", { class: model.fits === false && !model.here ? "large" : "" },
    el("div", { class: "grow" }, el("b", {}, model.name), model.loaded ? el("span", { class: "badge" }, t("loaded")) : null,
      el("p", { class: "note" }, parts.filter(Boolean).join(" · ")),
      model.about ? el("p", { class: "note" }, model.about) : null,
      download ? progress(download) : model.loading ? el("progress", { "aria-label": t("loadingModel")(model.name, 0) }) : null),
    ...actions(model, found, act));
}

function progress({ done: got, total, error }) {
  if (error) return el("p", { class: "remark error" }, error);
  return el("div", {}, el("progress", total ? { max: total, value: got, "aria-label": t("downloading") } : { "aria-label": t("downloading") }),
    el("span", { class: "note" }, ` ${size(got)} / ${size(total)}`));
}

function actions(model, found, act) {
  const post = (path) => () => send("POST", `/web/models/${path}`, { model: model.name });
  const button = (label, work) => el("button", { type: "button", "aria-label": `${label}: ${model.name}`, onclick: () => act(work) }, label);
  if (model.download && !model.download.error) return [button(t("cancel"), post("stop"))];
  const buttons = [];
  if (model.offered) buttons.push(model.loaded ? button(t("unload"), post("unload")) : button(t("load"), post("load")));
  else if (found.extends) buttons.push(button(t(model.here ? "offer" : "pull"), post("pull")));
  if (model.here && !model.shipped) buttons.push(el("button", { type: "button", "aria-label": `${t("remove")}: ${model.name}`, onclick: () => { leaving = model.name; $("dialog").close(); } }, t("remove")));
  return buttons;
}

// The question takes the place of the list, which comes again: the page has one dialog.
async function remove(changed, fail) {
  const model = leaving;
  leaving = null;
  if (await sure(t("removeModel"), model)) await done("DELETE", "/api/delete", { model }).then(changed, fail);
  await show(changed, fail);
}
