// Light or dark as the visitor chose. A script of its own: the page must not show the other one until its texts are there.
export function theme(next) {
  if (next) localStorage.setItem("theme", next);
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}

theme();
