// What was typed and not sent belongs to its conversation, and is there again after a reload.
import { $ } from "./dom.js";

const place = (id) => `draft:${id || ""}`;

export function keep(id) {
  const text = $("input").value;
  if (text) localStorage.setItem(place(id), text);
  else localStorage.removeItem(place(id));
}

export function restore(id) {
  $("input").value = localStorage.getItem(place(id)) || "";
  $("input").dispatchEvent(new Event("input"));
}

export const forget = (id) => localStorage.removeItem(place(id));
