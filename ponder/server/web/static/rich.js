// What rendered Markdown gets on the page: heads on code (wrap, download, preview, copy), tables that keys scroll, formulas.
import { copy, download, el } from "./dom.js";
import { t } from "./i18n.js";
import { drawMath } from "./math.js";

const EXTENSIONS = { python: "py", javascript: "js", typescript: "ts", bash: "sh", shell: "sh", rust: "rs", ruby: "rb", markdown: "md",
  "c++": "cpp", csharp: "cs", kotlin: "kt", perl: "pl", latex: "tex", text: "txt", plaintext: "txt", haskell: "hs" };

document.documentElement.classList.toggle("wrap", localStorage.getItem("wrap") === "yes");

export function enrich(box) {
  for (const pre of box.querySelectorAll("pre")) codeTools(pre);
  for (const table of box.querySelectorAll("table")) table.tabIndex = 0; // a wide one is scrolled by keys, too
  return drawMath(box);
}

function codeTools(pre) {
  const code = pre.querySelector("code") || pre;
  const language = code.className.replace("language-", "");
  const source = () => code.textContent;
  const button = (name, onclick, more = {}) => el("button", { type: "button", class: name, onclick, ...more }, t(name));
  const copying = button("copy", () => copy(source(), copying));
  const box = el("div", { class: "code" }, el("div", { class: "head" }, el("span", {}, language),
    canPreview(language, source()) ? button("preview", (event) => preview(box, source(), event.currentTarget), { "aria-expanded": "false" }) : null,
    button("wrap", wrap), button("download", () => saveCode(language, source())), copying));
  pre.replaceWith(box);
  pre.tabIndex = 0;
  box.append(pre);
}

function wrap() {
  const on = document.documentElement.classList.toggle("wrap");
  localStorage.setItem("wrap", on ? "yes" : "no");
}

function saveCode(language, source) {
  const plain = /^\w{1,10}$/.test(language) ? language : "txt";
  const url = URL.createObjectURL(new Blob([source], { type: "text/plain" }));
  download(`code.${EXTENSIONS[language] || plain}`, url);
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

const canPreview = (language, source) => ["html", "svg"].includes(language) || (language === "xml" && /^\s*(<\?xml[^>]*>\s*)?<svg\b/.test(source));

// In a frame without an origin, whose policy lets it reach neither this page nor the network (page_files.py).
function preview(box, source, button) {
  const shown = box.querySelector("iframe");
  button.setAttribute("aria-expanded", String(!shown));
  if (shown) return shown.remove();
  const frame = el("iframe", { sandbox: "allow-scripts", title: t("preview"), src: new URL("./preview.html", import.meta.url).href });
  frame.addEventListener("load", () => frame.contentWindow.postMessage(source, "*"), { once: true });
  box.append(frame);
}
