// What holds for the next message: model, thinking, budget, system prompt, sampling. Kept with the conversation; what is
// chosen while there is none, or kept by a button, holds for new ones. presets.js has those with names.
import { $, el } from "./dom.js";
import { number, t } from "./i18n.js";

const BUDGETS = [0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 24576, 32768];
const SAMPLING = { temperature: [0, 2, 0.05], top_p: [0, 1, 0.01], top_k: [0, 1000, 1], min_p: [0, 1, 0.01],
  presence_penalty: [-2, 2, 0.1], frequency_penalty: [-2, 2, 0.1], repetition_penalty: [0.5, 2, 0.01], max_tokens: [1, 1000000, 1], seed: [0, 4294967295, 1] };
const EMPTY = { thinking: true, budget: null, system: "", sampling: {}, background: false, tools: true };

export const settings = { model: "", ...EMPTY };
let models = [];
let changed = () => {};

export function setup(onchange) {
  changed = onchange;
  for (const [name, [min, max, step]] of Object.entries(SAMPLING)) {
    const field = el("input", { type: "number", id: `s-${name}`, min, max, step, oninput: () => {
      if (field.value === "" || !field.checkValidity()) delete settings.sampling[name];
      else settings.sampling[name] = Number(field.value);
      changed();
    } });
    $("sampling").append(el("label", {}, el("span", {}), field));
  }
  $("model").onchange = () => { settings.model = $("model").value; show(); changed(); };
  $("think").onclick = () => toggleThinking();
  $("budget").oninput = () => { settings.budget = budgets()[Number($("budget").value)]; show(); changed(); };
  $("background").onchange = () => { settings.background = $("background").checked; changed(); };
  $("use-tools").onchange = () => { settings.tools = $("use-tools").checked; changed(); };
  $("system").oninput = () => { settings.system = $("system").value; changed(); };
  $("second").addEventListener("change", () => localStorage.setItem("second", $("second").value));
  $("unfold").checked = unfolded();
  $("unfold").onchange = () => localStorage.setItem("unfold", $("unfold").checked ? "yes" : "no");
}

// found: what /web/models tells.
export function setModels({ models: found, default: preferred, tools, warnings }) {
  models = found;
  $("toolbox").hidden = !tools.length && !warnings.length;
  $("tool-list").replaceChildren(...tools.map((tool) => el("li", { title: tool.description }, tool.name)),
    ...warnings.map((text) => el("li", { class: "remark error" }, text)));
  $("model").replaceChildren(...found.map((m) => el("option", { value: m.name }, m.name)));
  $("second").replaceChildren(el("option", { value: "" }, t("noSecond")), ...found.map((m) => el("option", { value: m.name }, m.name)));
  $("second").value = found.some((m) => m.name === localStorage.getItem("second")) ? localStorage.getItem("second") : "";
  if (!found.some((m) => m.name === settings.model)) settings.model = preferred;
  show();
}

export const offered = () => models;
export const card = (name = settings.model) => models.find((m) => m.name === name) || {};
export const canSwitch = (name) => !["instruct", "base", "thinking"].includes(card(name).capability);

// Another model that answers the same question, beside the first; "" for none.
export const second = () => ($("second").value !== settings.model ? $("second").value : "");

// Whether thoughts are shown without a click.
export const unfolded = () => localStorage.getItem("unfold") === "yes";

export function toggleThinking() {
  if (!canSwitch()) return;
  settings.thinking = !settings.thinking;
  show();
  changed();
}

// -- what new conversations begin with

export const defaults = () => JSON.parse(localStorage.getItem("defaults") || "{}");
export const keepDefaults = () => localStorage.setItem("defaults", JSON.stringify(settings));

export function load(saved) {
  Object.assign(settings, structuredClone(EMPTY), saved, { model: saved.model || settings.model });
  if (models.length && !models.some((m) => m.name === settings.model)) settings.model = models[0].name;
  show();
}

// The notches of the bar; null: no limit. Models of a short context think in tens of tokens, and none longer than it is.
function budgets() {
  const context = card().context ?? Infinity;
  const least = context <= 4096 ? 16 : 64;
  return [...BUDGETS.filter((budget) => !budget || (budget >= least && budget < context)), null];
}

export function show() {
  const fixed = card().capability;
  const thinks = fixed === "thinking" || (canSwitch() && settings.thinking);
  $("model").value = settings.model;
  $("think").setAttribute("aria-pressed", String(thinks));
  $("think").disabled = !canSwitch();
  $("think").title = fixed === "thinking" ? t("alwaysThinks") : canSwitch() ? t("think") : t("noThinking");
  $("budget-box").hidden = !thinks;
  const notches = budgets();
  const place = settings.budget === null ? -1 : notches.findLastIndex((budget) => budget !== null && budget <= settings.budget);
  $("budget").max = String(notches.length - 1);
  $("budget").value = String(place < 0 ? notches.length - 1 : place);
  $("budget-box").title = t("budgetHint");
  const text = settings.budget === null ? t("unlimited") : number(settings.budget);
  $("budget-value").textContent = text;
  $("budget").setAttribute("aria-valuetext", text);
  $("system").value = settings.system;
  $("background").checked = settings.background;
  $("use-tools").checked = settings.tools;
  const own = card().sampling?.[thinks ? "thinking" : "answer"] || {};
  for (const name of Object.keys(SAMPLING)) {
    const field = $(`s-${name}`);
    field.value = settings.sampling[name] ?? "";
    field.placeholder = name in own ? number(own[name]) : t("own");
    const [label, what] = t("parameters")[name];
    const sameWord = label.toLowerCase() === name;
    field.previousElementSibling.replaceChildren(label, ...(sameWord ? [] : [el("small", {}, name)])); // as APIs call it
    field.parentElement.title = what;
  }
}

// The body of a reply request. What a model can is known once it is loaded; before, "on" is left to the model.
export function wish(model = settings.model) {
  const { capability } = card(model);
  const thinks = !canSwitch(model) || (!capability && settings.thinking) ? null : settings.thinking;
  const mayThink = capability === "thinking" || (canSwitch(model) && settings.thinking);
  const { system, sampling, background, tools } = settings;
  return { model, system, sampling, background, tools, thinking: thinks, budget: mayThink ? settings.budget : null };
}

// ... and of one that goes on with what is there: where it was answering, its thoughts are over.
export const wishToGoOn = (row) => (row.steps.at(-1).kind === "thought" ? wish() : { ...wish(), budget: null, thinking: null });
