// Voices that the browser has: answers are read aloud, questions are spoken. Chrome sends what it hears to its maker.
import { $ } from "./dom.js";
import { chosen } from "./i18n.js";

const Recognition = globalThis.SpeechRecognition || globalThis.webkitSpeechRecognition;
let listening = null;

export const canSpeak = () => "speechSynthesis" in globalThis;

const LANGUAGES = [[/[\u3041-\u30ff]/, "ja"], [/[\uac00-\ud7a3]/, "ko"], [/[\u4e00-\u9fff]/, "zh"], [/[\u0600-\u06ff]/, "ar"], [/[\u0400-\u04ff]/, "ru"]];
const languageOf = (text) => LANGUAGES.find(([letters]) => letters.test(text))?.[1] || chosen();

// A second press ends it.
export function speak(text) {
  if (speechSynthesis.speaking) return speechSynthesis.cancel();
  const plain = text.replace(/```[\s\S]*?(```|$)/g, " ").replace(/[*_#`|>$\\]/g, " ");
  const spoken = new SpeechSynthesisUtterance(plain);
  spoken.lang = languageOf(plain);
  speechSynthesis.speak(spoken);
}

export function setup() {
  $("listen").hidden = !Recognition;
  if (!Recognition) return;
  $("listen").onclick = () => (listening ? listening.stop() : listen());
}

function listen() {
  const before = $("input").value;
  listening = new Recognition();
  Object.assign(listening, { lang: chosen(), interimResults: true, continuous: true });
  listening.onresult = (event) => {
    $("input").value = [before, ...[...event.results].map((result) => result[0].transcript)].filter(Boolean).join(" ");
    $("input").dispatchEvent(new Event("input"));
  };
  listening.onend = () => {
    listening = null;
    $("listen").setAttribute("aria-pressed", "false");
    $("input").focus();
  };
  $("listen").setAttribute("aria-pressed", "true");
  listening.start();
}
