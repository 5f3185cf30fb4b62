// What was used on which day: one's own, and everybody's for an administrator. A server without keys counts nobody.
import { get } from "./api.js";
import { $, ask, el } from "./dom.js";
import { chosen, number, t } from "./i18n.js";

// The button is there where there is something to show.
export async function offer() {
  $("usage").hidden = !(await get("/v1/usage")).name;
}

export async function show() {
  const { name, admin, requests_per_day: requests, tokens_per_day: tokens, days } = await get("/v1/usage");
  const limits = requests || tokens ? ` ${t("usageLimits")(requests && number(requests), tokens && number(tokens))}` : "";
  const head = el("tr", {}, ...t("usageColumns").map((text) => el("th", { scope: "col" }, text)));
  const rows = days.map((used) => el("tr", {}, el("td", {}, dayOf(used.day)), el("td", {}, used.name),
    ...[used.requests, used.prompt_tokens, used.completion_tokens].map((n) => el("td", { class: "number" }, number(n)))));
  const box = el("div", { class: "usage", tabindex: 0 }, days.length ? el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)) : t("usageNone"));
  await ask(t("usage"), [el("p", { class: "note" }, t(admin ? "usageAll" : "usageOwn")(name) + limits), box], [[t("close"), "", true]]);
}

const dayOf = (day) => new Date(day).toLocaleDateString(chosen(), { timeZone: "UTC" });
