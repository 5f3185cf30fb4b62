// Formulas, drawn by KaTeX with its own fonts; both come from this server, with the first formula.
import { el } from "./dom.js";

let katex = null;
let loading = null;

async function load() {
  document.head.append(el("link", { rel: "stylesheet", href: new URL("./katex/katex.min.css", import.meta.url) }));
  await import("./katex/katex.min.js"); // older than modules: it leaves a global
  await import("./katex/mhchem.min.js"); // \ce and \pu
  katex = globalThis.katex;
}

// The formulas in a box; those that KaTeX cannot read stay as they were written.
export async function drawMath(box) {
  const found = [...box.querySelectorAll(".math:not(.drawn, .raw)")];
  if (!found.length) return;
  if (!katex) await (loading ??= load());
  found.forEach(draw);
}

function draw(node) {
  const tex = node.textContent;
  try {
    const tree = katex.__renderToDomTree(tex, {
      displayMode: node.classList.contains("display"), throwOnError: true, strict: "ignore", trust: false, maxSize: 60, maxExpand: 1000,
    });
    withoutStyles(tree);
    const built = tree.toNode();
    for (const part of built.querySelectorAll("[data-style]")) part.style.cssText = part.getAttribute("data-style");
    node.replaceChildren(built);
    node.classList.add("drawn");
  } catch (error) {
    node.classList.add("raw");
    node.title = error.message;
  }
}

// The page's policy takes no style from an attribute, and KaTeX sets a few so. What a script sets is allowed.
function withoutStyles(part) {
  if (part.attributes?.style) {
    part.attributes["data-style"] = part.attributes.style;
    delete part.attributes.style;
  }
  part.children?.forEach(withoutStyles);
}
