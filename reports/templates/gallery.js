// The gallery: cards, filters, sorting. Pictures are decoded when they come near the window.
const failures = readJson("data-failures");
const byId = new Map(failures.map((failure) => [failure.id, failure]));
let shownFailures = failures;
const assetUrl = (key) => document.getElementById("asset-" + key)?.textContent ?? null;
const link = (failure) => "#failure-" + encodeURIComponent(failure.id);

function title(failure) {
  const name = failure.class_name || "object", other = failure.predicted_class;
  if (failure.failure === "missed") return `Missed ${name}`;
  if (failure.failure === "invented") return `Invented ${other || name}`;
  if (failure.failure === "confused") return `${capital(name)} taken for ${other || "something else"}`;
  return `Misplaced ${name}`;
}
const place = (failure) => `${words(failure.shift)}, severity ${failure.severity}${failure.physical ? ` · ${failure.physical}` : ""}`;

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); load(entry.target); }
}, { rootMargin: "500px" });
function load(image) {
  const url = image.dataset.asset && assetUrl(image.dataset.asset);
  if (url) image.src = url;
  delete image.dataset.asset;
}

function picture(key, kind, alt, failure, { eager = false } = {}) {
  const image = make("img", { class: kind + (Math.max(...failure.size) <= 160 && kind === "picture" ? " tiny" : ""), alt, "data-asset": key, decoding: "async", draggable: "false" });
  if (eager) load(image); else near.observe(image);
  return image;
}

// The part of the picture that is shown: the object with its surroundings, or everything.
function view(failure, whole, aspect) {
  const [width, height] = failure.size;
  if (whole || !failure.box) return { x: 0, y: 0, width, height };
  const [x1, y1, x2, y2] = failure.box;
  let w = Math.max((x2 - x1) * 2.6, (y2 - y1) * 2.6 * aspect, width * 0.16), h = w / aspect;
  const fit = Math.min(1, width / w, height / h);
  w *= fit; h *= fit;
  const clamp = (value, high) => Math.min(Math.max(value, 0), Math.max(high, 0));
  return { x: clamp((x1 + x2 - w) / 2, width - w), y: clamp((y1 + y2 - h) / 2, height - h), width: w, height: h };
}

function marks(failure, boxes) {
  const svg = make("svg:svg", { class: "marks", viewBox: `0 0 ${failure.size[0]} ${failure.size[1]}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const { box, kind } of boxes) {
    const at = { x: box[0], y: box[1], width: Math.max(0, box[2] - box[0]), height: Math.max(0, box[3] - box[1]) };
    svg.append(make("svg:rect", { ...at, class: `halo ${kind}` }), make("svg:rect", { ...at, class: `box ${kind}` }));
  }
  return svg;
}

function pane(failure, side, { whole, cam, overlay, boxes = [], aspect, eager = false, labels = false }) {
  const seen = view(failure, whole, aspect), [width, height] = failure.size;
  // a whole frame of another shape than the pane is fitted into it
  const fit = whole || !failure.box ? Math.min(1, (width / height) / aspect) : 1, tall = whole || !failure.box ? Math.min(1, aspect / (width / height)) : 1;
  const layer = make("div", { class: "layer" });
  Object.assign(layer.style, {
    width: `${(100 * fit * width) / seen.width}%`, height: `${(100 * tall * height) / seen.height}%`,
    left: `${(-100 * fit * seen.x) / seen.width + 50 * (1 - fit)}%`, top: `${(-100 * tall * seen.y) / seen.height + 50 * (1 - tall)}%`,
  });
  const key = failure[side];
  if (key) layer.append(picture(key, "picture", `${side} picture of ${failure.sample_id}`, failure, { eager }));
  if (overlay && failure["overlay_" + side]) layer.append(picture(failure["overlay_" + side], "overlay", "", failure, { eager }));
  const map = cam && failure.explanation?.["cam_" + side];
  if (map) layer.append(picture(map, "cam", "", failure, { eager }));
  if (boxes.length) layer.append(marks(failure, boxes));
  if (labels) layer.append(...labelsOf(failure, boxes, width / seen.width));
  const parts = [layer, make("span", { class: "tag" }, side)];
  if (!key) parts.push(make("span", { class: "gone" }, "This picture is not part of the page."));
  return { parts };
}

function labelsOf(failure, boxes, scale) {
  const [width, height] = failure.size;
  // labels of distant objects would bury the picture: those of tiny boxes are left away, but for the failure's own
  const wide = $("#stage").clientWidth / ($("#stage").classList.contains("beside") ? 2 : 1);
  const tiny = (box) => ((box[2] - box[0]) / width) * wide * scale < 26 && !(failure.box && failure.box.every((v, i) => Math.abs(v - box[i]) < 1));
  return boxes.filter(({ text, box }) => text && !tiny(box)).map(({ box, kind, text }) => {
    const above = box[1] > height * 0.05, low = kind.includes("prediction");
    const label = make("span", { class: `label ${kind}${above && !low ? " above" : ""}` }, text);
    Object.assign(label.style, { left: `${(100 * Math.max(0, box[0])) / width}%`, top: `${(100 * (low ? Math.min(box[3], height * 0.965) : box[1])) / height}%` });
    return label;
  });
}

function card(failure, options = {}) {
  const pair = make("div", { class: "pair" });
  const focus = failure.box ? [{ box: failure.box, kind: "focus" }] : [];
  const aspect = failure.box && !options.whole ? 4 / 3 : Math.min(1.7, Math.max(1, failure.size[0] / failure.size[1]));
  for (const side of ["clean", "shifted"]) {
    const { parts } = pane(failure, side, { ...options, aspect, boxes: focus });
    pair.append(make("div", { class: "pane", style: `aspect-ratio: ${aspect}` }, ...parts));
  }
  const paper = make("div", { class: "paper" }, make("p", {}, failure.story), make("p", {}, Object.entries(failure.params).map(([key, value]) => `${key} ${brief(value)}`).join(" · ")), make("p", {}, make("code", {}, failure.command || "")));
  const anchor = make("a", { href: link(failure), "aria-label": `${title(failure)}, ${place(failure)}, ${failure.sample_id}: open` }, pair, make("h3", {}, title(failure)), make("p", {}, place(failure)), make("p", {}, failure.sample_id));
  return make("article", { class: "card", "data-id": failure.id }, anchor, paper);
}
// A list of a value for each object says little on paper: its head is enough, the command draws all of it again.
const brief = (value) => { const long = Array.isArray(value) && value.length > 8, text = shortNumber(long ? value.slice(0, 6) : value); return long ? `${text}, … (${value.length} values)` : text; };
const shortNumber = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : Array.isArray(value) ? value.map(shortNumber).join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value));

const form = $("#filters");
const drift = (failure) => { const e = failure.explanation; return e && e.drift !== null ? -e.drift : -Infinity; };
const ORDER = {
  loss: (a, b) => (b.loss ?? 0) - (a.loss ?? 0),
  severity: (a, b) => b.severity - a.severity || (b.loss ?? 0) - (a.loss ?? 0),
  class: (a, b) => String(a.class_name).localeCompare(String(b.class_name)) || (b.loss ?? 0) - (a.loss ?? 0),
  drift: (a, b) => (drift(b) === drift(a) ? 0 : drift(b) - drift(a)),
};
const FILTERS = ["family", "shift", "severity", "class_name", "failure"];

function update() {
  if (!form) return;
  const chosen = Object.fromEntries(FILTERS.map((key) => [key, form.elements[key].value]));
  shownFailures = failures.filter((failure) => FILTERS.every((key) => !chosen[key] || String(failure[key]) === chosen[key]));
  shownFailures.sort(ORDER[form.elements.sort.value]);
  $$("#cards img[data-asset]").forEach((image) => near.unobserve(image));
  const options = { cam: form.elements.cam.checked, whole: form.elements.whole.checked };
  $("#cards").replaceChildren(...shownFailures.map((failure) => card(failure, options)));
  if (shownFailures.length <= 100) idle(loadAll);
  $("#shown").textContent = shownFailures.length ? `${shownFailures.length} of ${failures.length} failures` : `None of ${failures.length} failures: no failure of this kind was kept in the gallery`;
}

// Called by the grid and the ranking: only these failures, and go there.
function showFailures(wanted) {
  const section = $("#failures");
  if (form) {
    for (const key of FILTERS) {
      const value = wanted[key] ?? "", select = form.elements[key];
      if (![...select.options].some((option) => option.value === value)) select.append(make("option", { value }, words(value)));
      select.value = value;
    }
    update();
  }
  section.scrollIntoView();
  form?.elements.family.focus({ preventScroll: true });
}

// Paper, and pictures of the whole page, show what was never scrolled to.
const idle = window.requestIdleCallback ?? ((task) => setTimeout(task, 200));
function loadAll() { $$("img[data-asset]").forEach(load); }
addEventListener("beforeprint", () => { $$(".pane img").forEach((image) => { image.decoding = "sync"; }); loadAll(); });

(function start() {
  const strip = $("#strip");
  if (strip) {
    const families = JSON.parse(strip.dataset.families);
    const worst = families.map((family) => failures.find((failure) => failure.family === family && failure.clean && failure.shifted)).filter(Boolean);
    strip.append(...worst.map((failure) => card(failure)));
  }
  if (!form) return;
  for (const key of FILTERS) {
    const values = [...new Set(failures.map((failure) => failure[key]).filter((value) => value !== null))];
    values.sort((a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b))));
    const text = (value) => (key === "shift" ? words(value) : key === "family" && value === "imagenet_c" ? "ImageNet-C" : String(value));
    form.elements[key].append(...values.map((value) => make("option", { value }, text(value))));
  }
  form.addEventListener("change", update);
  form.addEventListener("reset", () => setTimeout(update));
  update();
})();
