// Signs drawn in a square of 16: no font is sure to have one.
const PATHS = {
  copy: ["M6.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z", "M10.5 3.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1"],
  remove: ["M2.5 4.5h11", "M6 4.5v-2h4v2", "M4 4.5l.7 9h6.6l.7-9"],
  edit: ["M10.8 2.7l2.5 2.5-7.6 7.6-3.2.7.7-3.2z"],
  again: ["M13 8a5 5 0 1 1-1.6-3.7", "M13.2 1.8v3h-3"],
  goOn: ["M5 3.2l7.5 4.8L5 12.8z"],
  speak: ["M3 6.2h2.3L8.5 3.5v9L5.3 9.8H3z", "M10.6 5.8a3 3 0 0 1 0 4.4", "M12.4 4a5.6 5.6 0 0 1 0 8"],
  pin: ["M9.8 2.2l4 4-2.6.9-2.1 2.1-.2 2.7-4.8-4.8 2.7-.2 2.1-2.1z", "M6.4 9.6l-3.9 3.9"],
  down: ["M8 3v9.5", "M4 8.7l4 4 4-4"],
  up: ["M8 12.5V3.5", "M4 7.3l4-4 4 4", "M2.5 13.8h11"],
  mic: ["M8 2a2 2 0 0 1 2 2v3.5a2 2 0 0 1-4 0V4a2 2 0 0 1 2-2z", "M4 7.5a4 4 0 0 0 8 0", "M8 11.5V14"],
  plus: ["M8 3v10", "M3 8h10"],
  close: ["M4 4l8 8", "M12 4l-8 8"],
  menu: ["M2.5 4.5h11", "M2.5 8h11", "M2.5 11.5h11"],
  settings: ["M2.5 5h5", "M11.5 5h2", "M9.5 3v4", "M2.5 11h2", "M8.5 11h5", "M6.5 9v4"],
  theme: ["M8 2.5a5.5 5.5 0 1 0 0 11z", "M8 2.5a5.5 5.5 0 0 1 0 11"],
  help: ["M6 6.2a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.4v.3", "M8 12v.3"],
  previous: ["M9.8 3.5L5.3 8l4.5 4.5"],
  next: ["M6.2 3.5L10.7 8l-4.5 4.5"],
  models: ["M8 2l5.5 3v6L8 14l-5.5-3V5z", "M2.5 5L8 8l5.5-3", "M8 8v6"],
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const d of PATHS[name]) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

// Those of the page itself: <button data-icon="pin">.
export function drawIcons() {
  for (const node of document.querySelectorAll("[data-icon]")) node.replaceChildren(icon(node.dataset.icon));
}
