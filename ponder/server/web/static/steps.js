// The steps of an assistant's turn: thoughts in a fold, text, and tool calls with what came back.
// A step's object is the server's (core/turn.py); `add` is more text, `update` shows its changed fields.
import { el } from "./dom.js";
import { number, t } from "./i18n.js";
import { Answer, Thoughts } from "./prose.js";
import { unfolded } from "./settings.js";

class ThoughtStep {
  constructor(step, running) {
    this.step = step;
    this.bar = el("span", { class: "bar", hidden: true }, el("i"));
    this.what = el("span", { class: "what" });
    this.count = el("span", { class: "count" });
    const box = el("div", { class: "thoughts", tabindex: "0", role: "region", "aria-label": t("thoughts") });
    this.prose = new Thoughts(box);
    this.node = el("details", { class: "reasoning", open: unfolded(), ontoggle: () => this.prose.show(this.node.open) },
      el("summary", {}, this.what, this.count, this.bar), box);
    this.prose.add(step.text);
    this.update(running);
  }
  add(text) {
    this.prose.add(text);
  }
  update(running) {
    const { seconds, tokens, budget } = this.step;
    this.prose.grows(running);
    this.what.textContent = t(running ? "thinking" : "thought");
    const parts = [seconds ? `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s` : "", tokens ? `${number(tokens)} ${t("tokens")}` : ""];
    this.count.textContent = parts.filter(Boolean).join(" · ");
    this.bar.hidden = !budget;
    if (!budget) return;
    this.bar.title = `${number(tokens)} / ${number(budget)} ${t("tokens")}`;
    this.bar.firstElementChild.style.width = `${Math.min(100, (100 * tokens) / budget)}%`;
  }
}

class TextStep {
  constructor(step, running, hooks) {
    this.node = el("div", { class: "answer" });
    this.prose = new Answer(this.node, hooks.written);
    if (step.text) this.prose.add(step.text);
  }
  add(text) {
    this.prose.add(text);
  }
  update() {}
}

const SIGNS = { waiting: "?", running: "…", done: "✓", failed: "✕", denied: "⊘" };
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

// [[name, value], ...] of the JSON object that a model should have written; null for what is none.
function entriesOf(text) {
  try {
    const parsed = JSON.parse(text);
    return parsed === null || typeof parsed !== "object" || Array.isArray(parsed) ? null : Object.entries(parsed);
  } catch {
    return null;
  }
}

// Arguments as people read them: one block for each, texts as they are (code!), the rest as JSON.
function argumentsOf(text) {
  const entries = entriesOf(text);
  if (!entries) return [el("pre", {}, text)];
  return entries.map(([name, value]) => el("div", { class: "argument" }, el("span", {}, name),
    el("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 1))));
}

// The same in one line; a single argument needs no name.
function short(text) {
  const line = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const entries = entriesOf(text);
  const said = !entries ? text : entries.length === 1 ? line(entries[0][1]) : entries.map(([name, value]) => `${name}: ${line(value)}`).join(", ");
  const flat = said.slice(0, 1000).replace(/\s+/g, " ").trim();
  return flat.length > 80 ? `${flat.slice(0, 80)}…` : flat;
}

function diffOf(text) {
  return el("pre", { class: "diff", tabindex: "0" }, ...text.split("\n").map((line) => {
    const kind = /^(\+\+\+|---|@@)/.test(line) ? "place" : line[0] === "+" ? "new" : line[0] === "-" ? "old" : "";
    return el("span", { class: kind }, `${line}\n`);
  }));
}

function imageOf({ media_type: type, data, name }) {
  if (!data || !PICTURES.includes(type)) return el("p", { class: "note" }, `🖼 ${name || type}`);
  return el("img", { src: `data:${type};base64,${data}`, alt: name || t("picture") });
}

class CallStep {
  constructor(step, running, hooks) {
    this.step = step;
    this.hooks = hooks;
    this.sign = el("span", { class: "sign", "aria-hidden": "true" });
    this.state = el("span", { class: "state" });
    this.given = el("div", { class: "given" }, ...argumentsOf(step.arguments));
    this.result = el("div", { class: "result" });
    this.node = el("details", { class: "step" },
      el("summary", {}, this.sign, el("span", { class: "what" }, step.name), el("span", { class: "short" }, short(step.arguments)), this.state),
      this.given, this.result);
    this.update(running);
  }
  add() {}
  update() {
    const { state, note, output, images, diff } = this.step;
    this.node.className = `step ${state}`;
    this.sign.textContent = SIGNS[state];
    this.state.textContent = [t("states")[state], state === "running" || state === "failed" ? note : ""].filter(Boolean).join(" · ");
    this.result.replaceChildren(...[
      output ? el("pre", { class: "output", tabindex: "0" }, output) : null,
      ...images.map(imageOf),
      diff ? diffOf(diff) : null,
      state === "waiting" ? this.question() : null, // below what it is about
    ].filter(Boolean));
    if (state === "waiting" || images.length || diff) this.node.open = true;
  }
  question() {
    const button = (decision, primary) => el("button", { type: "button", class: primary ? "primary" : "",
      onclick: () => this.hooks.decide(this.step.id, decision) }, t(decision));
    return el("div", { class: "approval", role: "group", "aria-label": t("approvalAsk") }, el("p", {}, t("approvalAsk")), this.step.note ? el("p", { class: "note" }, this.step.note) : null,
      button("once", true), button("always"), button("deny"));
  }
}

class NoteStep {
  constructor(step) {
    const [head, ...more] = step.text.split("\n\n");
    this.node = more.length ? el("details", { class: "told" }, el("summary", {}, head), el("pre", { tabindex: "0" }, more.join("\n\n")))
      : el("p", { class: "remark" }, step.text);
  }
  add() {}
  update() {}
}

const KINDS = { thought: ThoughtStep, text: TextStep, call: CallStep, note: NoteStep };

// hooks: {written(), decide(call, decision)}
export const stepView = (step, running, hooks) => new KINDS[step.kind](step, running, hooks);
