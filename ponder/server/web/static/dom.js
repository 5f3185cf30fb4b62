// Small helpers: elements are built, never parsed from strings; the one exception is HTML that our server rendered.
import { t } from "./i18n.js";

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// A sign drawn in a square of 16: no font is sure to have one. paths: what its lines are.
export function sign(...paths) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
export const twoSheets = () => sign("M6.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z", "M10.5 3.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1");
export const bin = () => sign("M2.5 4.5h11", "M6 4.5v-2h4v2", "M4 4.5l.7 9h6.6l.7-9");

export const clear = (node) => node.replaceChildren();

export function download(name, url) {
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// A dialog with buttons [[label, value, primary?], ...]; resolves to the value, or null when it was dismissed.
export function ask(title, content, buttons) {
  const dialog = $("dialog");
  dialog.querySelector("h2").textContent = title;
  const box = dialog.querySelector(".content");
  box.replaceChildren(...[content].flat());
  const row = dialog.querySelector(".row");
  row.replaceChildren(...buttons.map(([label, value, primary]) => el("button", { value, class: primary ? "primary" : "" }, label)));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true }));
}

export async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  const label = [...button.childNodes];
  button.replaceChildren("✓");
  button.setAttribute("aria-label", t("copied"));
  setTimeout(() => {
    button.replaceChildren(...label);
    button.setAttribute("aria-label", t("copy"));
  }, 1200);
}
