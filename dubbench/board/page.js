"use strict";
const root = document.documentElement;
root.classList.add("js");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Sorting: a heading's first press puts the best on top, the next one turns the order round; empty cells stay last.
const NAMES = new Intl.Collator(undefined, { numeric: true });
function sort(table, header) {
  const button = header.querySelector("button");
  const before = header.getAttribute("aria-sort");
  const turned = { ascending: "descending", descending: "ascending" };
  const order = turned[before] || button.dataset.first;
  const sign = order === "ascending" ? 1 : -1;
  const column = header.cellIndex;
  const number = "number" in button.dataset;
  const body = table.querySelector("tbody.methods");
  const keyed = [...body.rows].map((row) => {
    const text = row.cells[column].dataset.v;
    return { row, empty: text === "", key: number ? Number(text) : text };
  });
  keyed.sort((a, b) => {
    if (a.empty || b.empty) return a.empty - b.empty;
    if (!number) return sign * NAMES.compare(a.key, b.key);
    return a.key === b.key ? 0 : sign * (a.key < b.key ? -1 : 1);
  });
  body.append(...keyed.map((own) => own.row));
  all("thead th", table).forEach((own) => own.setAttribute("aria-sort", own === header ? order : "none"));
  const said = table.closest("section").querySelector("[role=status]");
  said.textContent = `Sorted by ${button.firstChild.textContent.trim()}, ${order}`;
}
all("table.board thead th").forEach((header) =>
  header.querySelector("button").addEventListener("click", () => sort(header.closest("table"), header)));

// Columns that do not fit hide behind the switch, those of the least weight first.
function fit(group) {
  const table = group.querySelector("table.board"), box = table.parentElement, button = group.querySelector("button.all");
  const minor = all("thead th.more", table), heads = all("thead th[data-weight]:not(.more)", table);
  const hide = (head, hidden) =>
    [...table.rows].forEach((row) => row.cells[head.cellIndex]?.classList.toggle("tight", hidden));
  heads.forEach((head) => hide(head, false));
  if (group.classList.contains("every")) return;
  heads.sort((a, b) => b.dataset.weight - a.dataset.weight);
  const widths = heads.map((head) => head.offsetWidth);
  let over = box.scrollWidth - box.clientWidth;
  button.hidden = over <= 0 && !minor.length;
  heads.forEach((head, place) => {
    if (over > 0) hide(head, true);
    over -= widths[place];
  });
}
const groups = all(".group");
function every(group, shown) {
  group.classList.toggle("every", shown);
  group.querySelector("button.all").setAttribute("aria-pressed", String(shown));
  fit(group);
}
all("button.all").forEach((button) => {
  const group = button.closest(".group");
  button.addEventListener("click", () => every(group, !group.classList.contains("every")));
});
groups.forEach(fit);
addEventListener("resize", () => groups.forEach(fit));

// Dark or light is the system's choice until the reader chooses.
const theme = document.querySelector("button.theme"), dark = matchMedia("(prefers-color-scheme: dark)");
const CHOSEN = "dubbench-theme";
function shade(chosen) {
  if (["dark", "light"].includes(chosen)) root.dataset.theme = chosen;
  theme.dataset.turns = (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
  theme.textContent = theme.dataset.turns === "dark" ? "Dark mode" : "Light mode";
}
// Some browsers keep nothing for pages from disk; then the choice lasts as long as the page.
function kept(work) { try { return work(); } catch { return null; } }
theme.hidden = false;
shade(kept(() => localStorage.getItem(CHOSEN)));
dark.addEventListener("change", () => shade(""));
theme.addEventListener("click", () => {
  shade(theme.dataset.turns);
  kept(() => localStorage.setItem(CHOSEN, root.dataset.theme));
});

// Definitions on hover and focus; Escape puts them away.
const tip = document.getElementById("tip");
function show(button) {
  tip.textContent = button.dataset.tip;
  tip.hidden = false;
  const box = button.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const below = box.bottom + own.height + 8 < innerHeight;
  tip.style.left = `${Math.max(4, Math.min(box.left, root.clientWidth - own.width - 4))}px`;
  tip.style.top = `${below ? box.bottom + 6 : Math.max(4, box.top - own.height - 6)}px`;
}
const hide = () => { tip.hidden = true; };
all("[data-tip]").forEach((button) => {
  for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => show(button));
  for (const event of ["mouseleave", "blur"]) button.addEventListener(event, hide);
});
addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
addEventListener("scroll", hide, { passive: true, capture: true });

