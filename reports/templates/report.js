"use strict";
// What the whole page shares: reading data, making elements (text never becomes markup), theme, switches, tables.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const readJson = (id) => JSON.parse($("#" + id)?.textContent || "[]");
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
const shiftNames = readJson("data-shifts");
const words = (name) => shiftNames[name] ?? name.replace(/^[^/]*\//, "").replaceAll("_", " ");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// Theme: as the system, light, dark. Storage may be closed to files; then the choice lasts as long as the page.
(function theme() {
  const button = $("#theme"), names = { auto: "Auto", light: "Light", dark: "Dark" }, order = Object.keys(names);
  const said = { auto: "as the system", light: "light", dark: "dark" };
  let now = "auto";
  try { now = localStorage.getItem("roadproof-theme") || "auto"; } catch { /* closed storage */ }
  const show = () => {
    if (!names[now]) now = "auto";
    if (now === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = now;
    button.textContent = names[now];
    button.setAttribute("aria-label", `Colour theme: ${said[now]}`);
  };
  button.addEventListener("click", () => {
    now = order[(order.indexOf(now) + 1) % order.length];
    try { localStorage.setItem("roadproof-theme", now); } catch { /* closed storage */ }
    show();
  });
  show();
})();

// Section in view.
(function sections() {
  const links = new Map($$(".top nav a").map((link) => [link.hash.slice(1), link]));
  const nav = $(".top nav");
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      link.setAttribute("aria-current", "true");
      nav.scrollLeft = link.offsetLeft - nav.offsetLeft - 40;
    }
  }, { rootMargin: "-25% 0px -70% 0px" });
  for (const key of links.keys()) { const section = document.getElementById(key); if (section) watch.observe(section); }
})();

// Metric, and score or share of it.
for (const pick of $$("[data-metric-switch]")) {
  pick.addEventListener("change", () => {
    for (const block of $$(`[data-metric-block="${pick.dataset.metricSwitch}"]`)) block.hidden = block.dataset.metric !== pick.value;
  });
}
for (const radio of $$('input[name="heat-figure"]')) {
  radio.addEventListener("change", () => $$(".heat").forEach((table) => {
    table.classList.toggle("show-kept", radio.value === "kept");
    table.classList.toggle("show-absolute", radio.value === "absolute");
  }));
}
$("#pr-pick")?.addEventListener("change", (event) => {
  for (const block of $$("[data-pr]")) block.hidden = block.dataset.pr !== event.target.value;
});

// The grid is one stop of the tab key; arrows move inside.
for (const table of $$(".heat")) {
  const rows = $$("tbody tr", table).map((row) => $$(".cell", row));
  if (rows[0]?.[0]) rows[0][0].tabIndex = 0;
  table.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const y = rows.findIndex((row) => row.includes(event.target));
    if (!step || y < 0) return;
    const next = rows[y + step[0]]?.[rows[y].indexOf(event.target) + step[1]];
    event.preventDefault();
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  table.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (cell) showFailures({ shift: cell.dataset.shift, severity: cell.dataset.severity });
  });
}
for (const button of $$("[data-filter-family]")) button.addEventListener("click", () => showFailures({ family: button.dataset.filterFamily }));

// Long tables show their head; print shows all.
for (const table of $$("table[data-limit]")) {
  const rest = $$("tbody tr", table).slice(Number(table.dataset.limit));
  if (rest.length < 4) continue;
  rest.forEach((row) => { row.hidden = true; });
  const more = make("button", { type: "button", class: "link" }, `Show all ${rest.length + Number(table.dataset.limit)} rows`);
  more.addEventListener("click", () => { rest.forEach((row) => { row.hidden = false; }); more.parentElement.remove(); });
  table.parentElement.after(make("p", { class: "more" }, more));
}

// Copy: the clipboard where the browser allows it to files, else the selection.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = $("code", button.parentElement);
  try { await navigator.clipboard.writeText(code.textContent); } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

// Confusion matrices.
(function confusion() {
  const matrices = readJson("data-confusion"), pick = $("#confusion-pick");
  if (!pick) return;
  const draw = (target, matrix) => {
    const head = make("tr", {}, make("td"), ...matrix.classes.map((name) => make("th", { scope: "col", title: name }, name)));
    const rows = matrix.counts.map((counts, i) => {
      const total = counts.reduce((a, b) => a + b, 0);
      if (!total && ["background", "other"].includes(matrix.classes[i])) return null;
      return make("tr", {}, make("th", { scope: "row", title: matrix.classes[i] }, matrix.classes[i]), ...counts.map((count, j) => {
        const share = total ? count / total : 0;
        const title = `${matrix.classes[i]} taken for ${matrix.classes[j]}: ${count} of ${total}`;
        const nothing = total === 0 || (i === j && ["background", "other"].includes(matrix.classes[i])); // no such answer exists
        const step = Math.round(20 * (i === j ? share : 1 - share)); // pale is right, on and off the diagonal
        return make("td", { class: nothing ? "" : `q${step}${i === j ? " right" : ""}`, title }, share >= 0.005 || (i === j && !nothing) ? String(Math.round(100 * share)) : "");
      }));
    });
    const table = make("table", { class: "matrix" }, make("caption", {}, matrix.name), make("thead", {}, head), make("tbody", {}, ...rows.filter(Boolean)));
    target.replaceChildren(table);
  };
  const clean = matrices.find((matrix) => matrix.name === "clean");
  if (clean) draw($("#matrix-clean"), clean);
  const update = () => draw($("#matrix-shifted"), matrices[Number(pick.value)]);
  pick.addEventListener("change", update);
  update();
})();
