// A reply that is being written. It runs on the server; here it is followed, from its beginning or from where it is.
import { events, send } from "./api.js";

// page: {begun(turn), step(), ended(turn), failed(error, turn)}; turn.row is the message, turn.view what shows it.
export class Turn {
  constructor(conversation, page) {
    this.conversation = conversation;
    this.page = page;
    this.controller = new AbortController();
    this.row = null;
    this.view = null;
  }
  get thinking() {
    return this.row !== null && !this.row.steps.some((s) => s.kind === "text") && this.row.steps.at(-1)?.kind !== "call";
  }

  begin = (body) => this.follow("POST", `/web/conversations/${this.conversation.id}/reply`, body);
  attach = (id) => this.follow("GET", `/web/turns/${id}`);

  async follow(method, path, body) {
    let ended = false;
    try {
      for await (const event of events(method, path, body, this.controller.signal)) {
        this.take(event);
        ended ||= event.type === "finish" || event.type === "error";
      }
      if (!ended) throw new TypeError("the stream broke off");
    } catch (error) {
      if (error.name !== "AbortError") this.page.failed(error, this);
    } finally {
      this.page.ended(this);
    }
  }

  take(event) {
    const { row } = this;
    if (event.type === "start") {
      this.row = event.message;
      this.page.begun(this);
    } else if (event.type === "step") {
      row.steps[event.at] = event.step;
      this.view?.step(event.step);
    } else if (event.type === "delta") {
      row.steps[event.at].text += event.text;
      this.view?.add(event.at, event.text);
    } else if (event.type === "change") {
      Object.assign(row.steps[event.at], event.news);
      this.view?.change(event.at);
    } else if (event.type === "reading") {
      this.view?.reading(event);
    } else if (event.type === "finish") {
      Object.assign(row, { facts: event.facts, stopped: event.stopped });
      this.view?.ended();
    } else if (event.type === "error") {
      row.error = event.message;
      this.view?.ended();
    }
    this.page.step(event);
  }

  // Before the server has taken the request there is nothing to stop but the request.
  async stop() {
    if (!this.row) return this.controller.abort();
    await send("POST", `/web/turns/${this.row.id}/stop`).catch(() => this.controller.abort());
  }
  answerNow = async () => this.row && send("POST", `/web/turns/${this.row.id}/answer-now`);
  decide = (call, decision) => send("POST", `/web/turns/${this.row.id}/decide`, { call, decision });
  leave() {
    this.controller.abort();
  }
}
