// Dialogs that change what was said: a question, an answer with its thoughts.
import { ask, el } from "./dom.js";
import { t } from "./i18n.js";

// The new text of a question, or null.
export async function askQuestion(text) {
  const field = el("textarea", { rows: 8, dir: "auto", value: text, "aria-label": t("edit") });
  const said = await ask(t("edit"), field, [[t("cancel"), ""], [t("send"), "ok", true]]);
  return said === "ok" && field.value.trim() ? field.value : null;
}

// {texts, until, goOn} for a reply whose thoughts and texts a person changed; null when it was left. A reply that goes
// on does so behind the last text that was changed: what followed came of what stood there.
export async function askVersion(row) {
  const fields = row.steps.map((step) => (["thought", "text"].includes(step.kind) ? el("textarea", {
    rows: Math.min(14, 3 + Math.floor(step.text.length / 80)), dir: "auto", value: step.text, "aria-label": t(step.kind === "thought" ? "thoughts" : "answer") }) : null));
  const shown = fields.flatMap((field) => (field ? [el("p", { class: "note" }, field.getAttribute("aria-label")), field] : []));
  const said = await ask(t("edit"), shown, [[t("cancel"), ""], [t("save"), "ok"], [t("saveGoOn"), "on", true]]);
  if (!said) return null;
  const changed = fields.flatMap((field, at) => (field && field.value !== row.steps[at].text ? [at] : []));
  if (said === "ok" && !changed.length) return null;
  const texts = Object.fromEntries(changed.map((at) => [at, fields[at].value]));
  const goOn = said === "on";
  return { texts, until: goOn && changed.length ? changed.at(-1) + 1 : row.steps.length, goOn };
}

export async function sure(question, shown) {
  return (await ask(question, el("p", {}, shown), [[t("cancel"), ""], [t("remove"), "ok", true]])) === "ok";
}
