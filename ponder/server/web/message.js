// One message on the page: thoughts in a fold, the answer, tool steps, the line of facts and the tools below it.
import { el } from "./dom.js";
import { number, t } from "./i18n.js";
import { Answer, copy, Thoughts } from "./prose.js";

const icon = (label, sign, onclick) => el("button", { class: "icon small", type: "button", title: label, "aria-label": label, onclick }, sign);

// two sheets; no font is sure to have a sign for it
function copySign() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const [x, y] of [[2, 5], [5, 2]]) {
    const sheet = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x, y, width: 9, height: 9, rx: 2 })) sheet.setAttribute(name, value);
    svg.append(sheet);
  }
  return svg;
}

// actions: {edit(row), regenerate(row), step(row, by)}; versions: {at, count} among the siblings
export class MessageView {
  constructor(row, versions, actions, written) {
    this.row = row;
    this.node = el("article", { class: `message ${row.role}`, "data-id": row.id });
    this.body = el("div", { class: "body" });
    this.facts = el("div", { class: "facts" });
    this.tools = el("div", { class: "actions" });
    this.node.append(this.body, this.facts, this.tools);
    if (row.role === "user") this.user(row);
    else this.assistant(row, written);
    this.actions(row, versions, actions);
  }

  user(row) {
    for (const file of row.attachments || []) {
      this.body.append(el("details", { class: "file" }, el("summary", {}, `📄 ${file.name}`), el("pre", {}, file.text.slice(0, 20000))));
    }
    this.body.append(el("div", { class: "said" }, row.content));
  }

  assistant(row, written) {
    this.answerBox = el("div", { class: "answer" });
    this.answer = new Answer(this.answerBox, written);
    this.body.append(this.answerBox);
    if (row.reasoning_content) {
      this.reasoning(row.reasoning_content);
      this.thoughtsDone(row.facts?.usage.reasoning_tokens);
    }
    if (row.content) this.answer.add(row.content);
    for (const call of row.tool_calls || []) this.toolCall(call);
    if (row.facts) this.showFacts(row.facts, row.stopped);
    else if (row.stopped) this.remark(t("stopped"));
    if (row.error) this.remark(`${t("failed")}: ${row.error}`, "error");
  }

  reasoning(text) {
    if (!this.thoughts) {
      this.summary = el("summary", {}, el("span", { class: "what" }, t("thinking")), el("span", { class: "count" }), el("span", { class: "bar", hidden: true }, el("i")));
      const box = el("div", { class: "thoughts", tabindex: "0" });
      this.fold = el("details", { class: "reasoning", ontoggle: () => this.thoughts.show(this.fold.open) }, this.summary, box);
      this.thoughts = new Thoughts(box);
      this.body.prepend(this.fold);
    }
    this.thoughts.add(text);
  }

  // While thinking: seconds, tokens so far, and the share of the budget.
  thoughtsProgress(seconds, tokens, budget) {
    if (!this.summary) return;
    this.summary.querySelector(".count").textContent = `${Math.round(seconds)} s · ${number(tokens)} ${t("tokens")}`;
    const bar = this.summary.querySelector(".bar");
    bar.hidden = !budget;
    if (budget) bar.firstElementChild.style.width = `${Math.min(100, (100 * tokens) / budget)}%`;
  }

  thoughtsDone(tokens, seconds) {
    if (!this.summary) return;
    this.summary.querySelector(".what").textContent = t("thought");
    const parts = [seconds ? `${Math.round(seconds)} s` : "", tokens ? `${number(tokens)} ${t("tokens")}` : ""];
    this.summary.querySelector(".count").textContent = parts.filter(Boolean).join(" · ");
    this.summary.querySelector(".bar").hidden = true;
  }

  toolCall(call) {
    this.body.append(el("details", { class: "step" }, el("summary", {}, `🔧 ${t("toolCall")}: ${call.function.name}`), el("pre", {}, call.function.arguments)));
  }

  showFacts(facts, stopped) {
    const { usage } = facts;
    const parts = [
      stopped ? t("stopped") : "", facts.reason === "length" ? t("length") : "",
      facts.handover ? t("handover") + facts.handover : "", `${number(usage.completion_tokens)} ${t("tokens")}`,
      facts.per_s ? `${facts.per_s} ${t("perSecond")}` : "", `${facts.first_s.toFixed(2)} s ${t("firstToken")}`,
      usage.cached_tokens ? `${number(usage.cached_tokens)} ${t("cached")}` : "",
    ];
    this.facts.textContent = parts.filter(Boolean).join(" · ");
    for (const warning of facts.warnings || []) this.remark(warning);
  }

  remark(text, kind = "") {
    this.node.insertBefore(el("p", { class: `remark ${kind}`, role: kind === "error" ? "alert" : null }, text), this.tools);
  }

  actions(row, versions, actions) {
    const buttons = [];
    if (versions.count > 1) {
      buttons.push(icon(t("previous"), "‹", () => actions.step(row, -1)), el("span", { class: "version" }, `${versions.at + 1}/${versions.count}`),
        icon(t("next"), "›", () => actions.step(row, 1)));
    }
    const copied = icon(t("copy"), copySign(), () => copy(this.answer ? this.answer.text : row.content, copied));
    buttons.push(copied);
    if (row.role === "user") buttons.push(icon(t("edit"), "✎", () => actions.edit(row)));
    else buttons.push(icon(t("regenerate"), "↻", () => actions.regenerate(row)));
    this.tools.replaceChildren(...buttons);
  }
}
