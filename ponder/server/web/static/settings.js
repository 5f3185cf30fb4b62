// What holds for the next message: model, thinking, budget, system prompt, sampling. Kept with the conversation.
import { $, el } from "./dom.js";
import { number, t } from "./i18n.js";

const BUDGETS = [0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 24576, 32768, null]; // null: no limit
const SAMPLING = { temperature: [0, 2, 0.05], top_p: [0, 1, 0.01], top_k: [0, 1000, 1], min_p: [0, 1, 0.01],
  presence_penalty: [-2, 2, 0.1], frequency_penalty: [-2, 2, 0.1], repetition_penalty: [0.5, 2, 0.01], max_tokens: [1, 1000000, 1], seed: [0, 4294967295, 1] };

export const settings = { model: "", thinking: true, budget: null, system: "", sampling: {}, background: false, tools: true };
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
    $("sampling").append(el("label", {}, el("span", {}, name), field));
  }
  $("model").onchange = () => { settings.model = $("model").value; show(); changed(); };
  $("think").onclick = () => toggleThinking();
  $("budget").oninput = () => { settings.budget = BUDGETS[Number($("budget").value)]; show(); changed(); };
  $("background").onchange = () => { settings.background = $("background").checked; changed(); };
  $("use-tools").onchange = () => { settings.tools = $("use-tools").checked; changed(); };
  $("system").oninput = () => { settings.system = $("system").value; changed(); };
}

// found: what /web/models tells.
export function setModels({ models: found, default: preferred, tools, warnings }) {
  models = found;
  $("toolbox").hidden = !tools.length && !warnings.length;
  $("tool-list").replaceChildren(...tools.map((tool) => el("li", { title: tool.description }, tool.name)),
    ...warnings.map((text) => el("li", { class: "remark error" }, text)));
  $("model").replaceChildren(...found.map((m) => el("option", { value: m.name }, m.name)));
  if (!found.some((m) => m.name === settings.model)) settings.model = preferred;
  show();
}

export const card = () => models.find((m) => m.name === settings.model) || {};
export const canSwitch = () => !["instruct", "base", "thinking"].includes(card().capability);

export function toggleThinking() {
  if (!canSwitch()) return;
  settings.thinking = !settings.thinking;
  show();
  changed();
}

export function load(saved) {
  Object.assign(settings, { thinking: true, budget: null, system: "", sampling: {}, background: false, tools: true }, saved, { model: saved.model || settings.model });
  if (models.length && !models.some((m) => m.name === settings.model)) settings.model = models[0].name;
  show();
}

export function show() {
  const fixed = card().capability;
  const thinks = fixed === "thinking" || (canSwitch() && settings.thinking);
  $("model").value = settings.model;
  $("think").setAttribute("aria-pressed", String(thinks));
  $("think").disabled = !canSwitch();
  $("think").title = fixed === "thinking" ? t("alwaysThinks") : canSwitch() ? t("think") : t("noThinking");
  $("budget-box").hidden = !thinks;
  const place = BUDGETS.indexOf(settings.budget);
  $("budget").value = String(place < 0 ? BUDGETS.length - 1 : place);
  const text = settings.budget === null ? t("unlimited") : number(settings.budget);
  $("budget-value").textContent = text;
  $("budget").setAttribute("aria-valuetext", text);
  $("system").value = settings.system;
  $("background").checked = settings.background;
  $("use-tools").checked = settings.tools;
  for (const name of Object.keys(SAMPLING)) $(`s-${name}`).value = settings.sampling[name] ?? "";
}

// The body of a reply request. What a model can is known once it is loaded; before, "on" is left to the model.
export function wish() {
  const thinks = !canSwitch() || (!card().capability && settings.thinking) ? null : settings.thinking;
  const mayThink = card().capability === "thinking" || (canSwitch() && settings.thinking);
  const { model, system, sampling, background, tools } = settings;
  return { model, system, sampling, background, tools, thinking: thinks, budget: mayThink ? settings.budget : null };
}
