// Texts that grow while they are shown. Both write at most once a frame and never touch what is finished.
import { render } from "./api.js";
import { el } from "./dom.js";
import { enrich } from "./rich.js";

const CHUNK = 4000; // characters of thoughts in one element; the browser skips those that are out of sight
const RICH = 100_000; // characters of thoughts that are shown as Markdown when they are over; longer ones stay plain
const RICH_PIECE = 20_000;

// Thoughts: plain text in chunks while they grow, then Markdown. Nothing is drawn while the fold is closed.
export class Thoughts {
  constructor(box) {
    this.box = box;
    this.text = "";
    this.drawn = 0;
    this.open = false;
    this.waiting = false;
    this.growing = false; // then an open box stays at its end
    this.rich = false; // shown as Markdown
  }
  add(text) {
    this.text += text;
    this.schedule();
  }
  show(open) {
    this.open = open;
    this.schedule();
  }
  // Whether more will come.
  grows(growing) {
    this.growing = growing;
    this.schedule();
  }
  schedule() {
    if (this.waiting || !this.open || this.rich) return;
    if (this.drawn === this.text.length) return this.settle();
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }
  draw() {
    const atEnd = this.growing && this.box.scrollTop + this.box.clientHeight > this.box.scrollHeight - 30;
    const until = Math.min(this.text.length, this.drawn + 20 * CHUNK);
    while (this.drawn < until) {
      let last = this.box.lastElementChild;
      if (!last || last.firstChild.length >= CHUNK) {
        last = el("div", { class: "chunk" }, document.createTextNode(""));
        this.box.append(last);
      }
      const room = CHUNK - last.firstChild.length;
      const end = Math.min(until, this.drawn + room);
      last.firstChild.appendData(this.text.slice(this.drawn, end));
      this.drawn = end;
    }
    if (atEnd) this.box.scrollTop = this.box.scrollHeight;
    this.schedule();
  }
  async settle() {
    const texts = pieces(this.text);
    if (this.growing || !this.text || this.text.length > RICH || texts.some((text) => text.length > RICH_PIECE)) return;
    this.rich = true;
    const html = await render(texts).catch(() => null);
    if (!html || this.growing) return (this.rich = false); // plain text is better than nothing
    this.box.replaceChildren();
    for (const one of html) {
      const box = el("div", { class: "piece" });
      box.innerHTML = one;
      enrich(box);
      this.box.append(box);
      await new Promise(requestAnimationFrame); // a long text must not hold up the page
    }
  }
}

// Where a Markdown text may be cut: behind an empty line outside code, math and folds. The last piece may still change.
export function pieces(text) {
  const out = [];
  let start = 0, fence = "", math = false, folds = 0, at = 0;
  for (const line of text.split("\n")) {
    const mark = line.trimStart().match(/^(`{3,}|~{3,})/);
    if (mark && !math) fence = fence ? (mark[1].startsWith(fence) ? "" : fence) : mark[1];
    if (!fence && (line.trim() === "$$" || line.trim() === "\\[" || line.trim() === "\\]")) math = !math;
    if (!fence && /^<details( open)?>/i.test(line.trimStart())) folds += 1;
    if (!fence && folds && /<\/details>\s*$/i.test(line)) folds -= 1;
    at += line.length + 1;
    if (!line.trim() && !fence && !math && !folds && at - start > 400) {
      out.push(text.slice(start, at));
      start = at;
    }
  }
  out.push(text.slice(start));
  return out;
}

// An answer: Markdown, rendered by the server piece by piece.
export class Answer {
  constructor(box, written = () => {}) {
    this.box = box;
    this.written = written;
    this.text = "";
    this.shown = [];
    this.busy = false;
    this.dirty = false;
  }
  add(text) {
    this.text += text;
    this.schedule();
  }
  async schedule() {
    this.dirty = true;
    if (this.busy) return;
    this.busy = true;
    this.box.setAttribute("aria-busy", "true");
    while (this.dirty) {
      this.dirty = false;
      const began = performance.now();
      await this.draw();
      const pause = Math.max(120, 3 * (performance.now() - began)); // a fast model must not ask for every word
      await new Promise((resume) => setTimeout(resume, pause));
    }
    this.busy = false;
    this.box.removeAttribute("aria-busy");
  }
  async draw() {
    const texts = pieces(this.text);
    let html = null;
    try {
      html = await render(texts);
    } catch {
      html = null; // the server is gone: plain text is better than nothing
    }
    texts.forEach((text, i) => {
      if (this.shown[i] === text) return;
      let box = this.box.children[i];
      if (!box) this.box.append((box = el("div", { class: "piece" })));
      if (html) box.innerHTML = html[i];
      else box.textContent = text;
      enrich(box);
      this.shown[i] = text;
    });
    while (this.box.children.length > texts.length) this.box.lastElementChild.remove();
    this.shown.length = texts.length;
    this.written();
  }
}
