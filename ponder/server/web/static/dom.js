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
