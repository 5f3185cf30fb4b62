// The language of the page. Its texts are in texts/, a file a language: what lies there is offered.
const offered = document.querySelector("meta[name=languages]").content.split(" ");
const wanted = [localStorage.getItem("language"), ...navigator.languages.map((one) => one.split("-")[0]), "en"];
let language = wanted.find((one) => offered.includes(one));

const read = async (code) => (await import(`./texts/${code}.js`)).default;
const english = await read("en"); // what a translation lacks
let texts = await read(language);

export const languages = () => offered.map((code) => [code, new Intl.DisplayNames([code], { type: "language" }).of(code)]);
export const chosen = () => language;
export const t = (key) => texts[key] ?? english[key];
export const number = (n) => n.toLocaleString(language);

export function apply() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of document.querySelectorAll("[data-i18n-label]")) {
    node.setAttribute("aria-label", t(node.dataset.i18nLabel));
    node.title = t(node.dataset.i18nLabel);
  }
  for (const node of document.querySelectorAll("[data-i18n-placeholder]")) node.placeholder = t(node.dataset.i18nPlaceholder);
}

export async function choose(code) {
  language = code;
  texts = await read(code);
  localStorage.setItem("language", code);
  apply();
}
