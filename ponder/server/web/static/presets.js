// Settings with names, kept in this browser: a role to play, a way to sample.
import { $, ask, el } from "./dom.js";
import { t } from "./i18n.js";
import * as settings from "./settings.js";

const stored = () => JSON.parse(localStorage.getItem("presets") || "{}");
const store = (presets) => localStorage.setItem("presets", JSON.stringify(presets));

// onchange: what a change of the settings does
export function setup(onchange) {
  $("preset").onchange = () => {
    const { [$("preset").value]: chosen } = stored();
    if (!chosen) return;
    settings.load(chosen);
    onchange();
  };
  $("preset-save").onclick = save;
  $("preset-remove").onclick = remove;
  show();
}

export function show(chosen = "") {
  const names = Object.keys(stored());
  $("preset").replaceChildren(el("option", { value: "" }, t("noPreset")), ...names.map((name) => el("option", { value: name }, name)));
  $("preset").value = chosen;
}

async function save() {
  const field = el("input", { value: $("preset").value, maxLength: 60, "aria-label": t("presetName") });
  if ((await ask(t("presetName"), field, [[t("cancel"), ""], [t("save"), "ok", true]])) !== "ok" || !field.value.trim()) return;
  const name = field.value.trim();
  store({ ...stored(), [name]: settings.settings });
  show(name);
}

function remove() {
  const { [$("preset").value]: _, ...others } = stored();
  store(others);
  show();
}
