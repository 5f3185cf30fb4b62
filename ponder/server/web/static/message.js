// One message on the page: what was asked, or the steps of an answer, the line of facts and the tools below it.
import { copy, el } from "./dom.js";
import { number, t } from "./i18n.js";
import { icon } from "./icons.js";
import { canSpeak, speak } from "./speech.js";
import { stepView } from "./steps.js";

const button = (label, sign, onclick) => el("button", { class: "icon small", type: "button", title: label, "aria-label": label, onclick }, icon(sign));

// What was said, without thoughts and calls.
export const said = (row) => (row.role === "assistant"
  ? row.steps.filter((s) => s.kind === "text").map((s) => s.text.trim()).filter(Boolean).join("\n\n") : row.content);

// actions: {edit(row), regenerate(row), goOn(row), remove(row), choose(row), step(row, by), written(), decide(row, call, decision)};
// versions: {at, count, last, other} among the siblings, whether nothing comes after it, or another one is gone on with
export class MessageView {
  constructor(row, versions, actions, running = false) {
    this.row = row;
    this.hooks = actions;
    this.running = running;
    this.node = el("article", { class: `message ${row.role}`, "data-id": row.id });
    this.body = el("div", { class: "body" });
    this.facts = el("div", { class: "facts" });
    this.tools = el("div", { class: "actions" });
    this.node.append(this.body, this.facts, this.tools);
    if (row.role === "user") this.user();
    else this.assistant();
    this.actions(versions);
  }

  user() {
    for (const file of this.row.attachments || []) {
      const text = file.text.length > 20000 ? `${file.text.slice(0, 20000)} …` : file.text;
      this.body.append(el("details", { class: "file" }, el("summary", {}, `📄 ${file.name}`), el("pre", { tabindex: "0" }, text)));
    }
    if (this.row.content) this.body.append(el("div", { class: "said", dir: "auto" }, this.row.content));
  }

  assistant() {
    this.steps = [];
    this.row.steps.forEach((step, i) => this.step(step, this.running && i === this.row.steps.length - 1));
    if (this.running) this.node.setAttribute("aria-busy", "true");
    else this.ended();
  }

  // A new step, or what came to the one at a place. The page has put it into the row already.
  step(step, running = true) {
    this.facts.textContent = "";
    this.steps.at(-1)?.update(false);
    const decide = (call, decision) => this.hooks.decide(this.row, call, decision);
    const shown = stepView(step, running, { written: this.hooks.written, decide });
    this.steps.push(shown);
    this.body.append(shown.node);
  }
  // Nothing was said yet: how much of a long prompt has been read. What comes next takes its place.
  reading({ processed, total }) {
    this.facts.textContent = t("readingPrompt")(number(processed), number(total));
  }
  add(at, text) {
    this.steps[at].add(text);
  }
  change(at) {
    this.steps[at].update(this.running && at === this.steps.length - 1);
  }

  // The turn is over: the row has all there is to say about it.
  ended() {
    const { facts, stopped, error } = this.row;
    this.running = false;
    this.node.removeAttribute("aria-busy");
    this.facts.textContent = "";
    this.steps.at(-1)?.update(false);
    if (facts) this.showFacts(facts, stopped);
    else if (stopped) this.remark(t("stopped"));
    if (error) this.remark(`${t("failed")}: ${error}`, "error");
  }

  showFacts(facts, stopped) {
    const { usage } = facts;
    const parts = [
      this.row.model, stopped ? t("stopped") : "", facts.reason === "length" ? t("length") : "",
      facts.handover ? t("handovers")[facts.handover] : "", `${number(usage.completion_tokens)} ${t("tokens")}`,
      facts.per_s ? `${facts.per_s} ${t("perSecond")}` : "", facts.first_s === null ? "" : t("firstToken")(facts.first_s.toFixed(2)),
      usage.cached_tokens ? `${number(usage.cached_tokens)} ${t("cached")}` : "",
    ];
    this.facts.textContent = parts.filter(Boolean).join(" · ");
    for (const warning of facts.warnings || []) this.remark(warning);
  }

  remark(text, kind = "") {
    this.node.insertBefore(el("p", { class: `remark ${kind}`, role: kind === "error" ? "alert" : null }, text), this.tools);
  }

  actions(versions) {
    const { row, hooks } = this;
    const buttons = [];
    if (versions.count > 1) {
      buttons.push(button(t("previous"), "previous", () => hooks.step(row, -1)), el("span", { class: "version" }, `${versions.at + 1}/${versions.count}`),
        button(t("next"), "next", () => hooks.step(row, 1)));
    }
    const copied = button(t("copy"), "copy", () => copy(said(row), copied));
    buttons.push(copied);
    if (versions.other) buttons.push(el("button", { type: "button", class: "choose", onclick: () => hooks.choose(row) }, t("choose")));
    if (row.role === "assistant") {
      if (canSpeak()) buttons.push(button(t("speak"), "speak", () => speak(said(row))));
      buttons.push(button(t("regenerate"), "again", () => hooks.regenerate(row)));
      if (versions.last && ["thought", "text"].includes(row.steps.at(-1)?.kind)) buttons.push(button(t("goOn"), "goOn", () => hooks.goOn(row)));
    }
    buttons.push(button(t(row.role === "user" ? "edit" : "editReply"), "edit", () => hooks.edit(row)), button(t("removeMessage"), "remove", () => hooks.remove(row)));
    this.tools.replaceChildren(...buttons);
  }
}
