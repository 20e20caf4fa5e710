// One failure in full: slider or side by side, boxes, attention, parameters, and the command that reproduces it.
const detail = $("#detail");
let current = null, opener = null;

function boxesOf(failure, side) {
  const out = [];
  if ($("#show-truth").checked) {
    for (const mark of failure["truth_" + side]) {
      if (mark.box) out.push({ box: mark.box, kind: mark.ignore ? "ignore" : mark.verdict || "kept", text: mark.ignore ? `${mark.name} (ignored)` : mark.name });
    }
  }
  if ($("#show-predictions").checked) {
    for (const mark of failure["predictions_" + side]) if (mark.box && (mark.score ?? 1) >= Number($("#least").value)) out.push({ box: mark.box, kind: "prediction", text: `${mark.name} ${mark.score === null ? "" : mark.score.toFixed(2)}` });
  }
  if (failure.box) out.push({ box: failure.box, kind: "focus", text: null });
  return out;
}

function drawStage() {
  const failure = current, zoom = $("#show-zoom").checked && failure.box, mode = $('input[name="mode"]:checked').value;
  const ratio = failure.size[0] / failure.size[1], aspect = Math.min(2.4, Math.max(0.75, ratio));
  const stage = $("#stage");
  stage.className = `stage ${mode}`;
  stage.style.setProperty("--aspect", aspect);
  stage.style.setProperty("--ratio", aspect);
  for (const side of ["clean", "shifted"]) {
    const { parts } = pane(failure, side, {
      whole: !zoom, cam: $("#show-cam").checked, overlay: $("#show-overlay").checked, aspect, eager: true, labels: true, boxes: boxesOf(failure, side),
    });
    $("#pane-" + side).replaceChildren(...parts);
  }
  drawCloseups(failure, mode);
  $("#least-value").textContent = Number($("#least").value).toFixed(2);
  $("#overlay-note").hidden = !$("#show-overlay").checked || !(failure.overlay_clean || failure.overlay_shifted);
  $("#cam-scale").hidden = !$("#show-cam").checked || !failure.explanation;
  $("#box-legend .this").hidden = !failure.box;
}

// Whether the object is small enough for a close look to show more than the whole frame.
const closer = (failure) => Boolean(failure.box) && view(failure, false, 1.6).width < 0.75 * failure.size[0];

// Side by side leaves room below: the object itself, close up.
function drawCloseups(failure, mode) {
  const closeups = $("#closeups");
  closeups.hidden = mode !== "beside" || !closer(failure) || $("#show-zoom").checked;
  if (closeups.hidden) return;
  ["clean", "shifted"].forEach((side, i) => {
    const { parts } = pane(failure, side, { cam: $("#show-cam").checked, overlay: $("#show-overlay").checked, aspect: 1.6, eager: true, boxes: boxesOf(failure, side) });
    closeups.children[i].replaceChildren(...parts);
  });
}

const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(Math.round(100 * value))}`;
const facts = (rows) => make("dl", { class: "kv" }, ...rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, shortNumber(value)))));

// A classifier's likeliest classes, clean beside shifted.
function answers(failure) {
  const listed = (side) => failure["predictions_" + side].filter((mark) => !mark.box).map((mark) => make("li", {}, `${mark.name} `, make("span", {}, mark.score === null ? "" : mark.score.toFixed(2))));
  const clean = listed("clean"), shifted = listed("shifted");
  if (!clean.length && !shifted.length) return [];
  return [make("h3", {}, "Likeliest classes"), make("div", { class: "answers" }, make("div", {}, "clean", make("ol", {}, ...clean)), make("div", {}, "shifted", make("ol", {}, ...shifted)))];
}

// Of a picture's class two figures count: what is left of the true one, and how sure the wrong one is.
function scores(failure) {
  const of = failure.score_name === "probability" ? ` of ${failure.class_name}` : "";
  return [[`${failure.score_name}${of}, clean`, failure.score_clean], [`${failure.score_name}${of}, shifted`, failure.score_shifted], [`${failure.score_name} of ${failure.predicted_class}, shifted`, failure.score_predicted]];
}

function about(failure) {
  const parts = [make("p", { class: "story" }, failure.story)];
  const verdict = failure.verdict;
  const label = verdict && [verdict.kind, verdict.visible_fraction !== null && verdict.visible_fraction !== undefined ? `${percent(verdict.visible_fraction)} visible` : null, verdict.hard_to_see ? "hard to see" : null, verdict.reason || null].filter(Boolean).join(", ");
  parts.push(facts([
    ["sample", failure.sample_id], ["label", label], ...scores(failure), ["IoU of the box", failure.box && failure.score_name === "score" ? failure.iou : null], ["loss", failure.loss],
  ]), ...answers(failure));
  const e = failure.explanation;
  if (e) {
    const known = e.energy_clean !== null && e.energy_shifted !== null, layers = /\(clean\).*\(shifted\)/.test(e.layer || "");
    const inside = failure.score_name === "IoU of the class" ? "region" : "box";
    parts.push(make("h3", {}, known ? `Attention: share of energy inside the ${inside}` : "Attention"));
    if (known) {
      const row = (name, value, kind) => { const fill = make("i", { class: kind }); fill.style.width = `${100 * Math.min(1, Math.max(0, value))}%`; return [make("span", {}, name), make("div", {}, fill), make("span", {}, percent(value))]; };
      parts.push(make("div", { class: "energy" }, ...row("clean", e.energy_clean, "was"), ...row("shifted", e.energy_shifted, "now")));
    }
    parts.push(facts([["drift", e.drift === null ? null : `${signed(e.drift)} points`], ["map peak, clean", e.peak_clean], ["map peak, shifted", e.peak_shifted], ["method", e.method], ["layer", e.layer || "none: a black box"], ["target", e.target], ["note", e.note]]));
    const faint = ["clean", "shifted"].filter((side) => e["peak_" + side] !== null && e["peak_" + side] < 0.25 * e.scale);
    for (const side of faint) parts.push(make("p", { class: "remark" }, `On the shared scale the ${side} map is faint: little in that picture speaks for the target.`));
    if (layers) parts.push(make("p", { class: "remark" }, "The two maps were read at different layers: one is coarser than the other, so drift is left out: compare where they lie, not how strong or how spread they are."));
  } else {
    parts.push(make("h3", {}, "Attention"), make("p", {}, "This failure was not explained."));
  }
  if (Object.keys(failure.params).length) parts.push(make("h3", {}, "Drawn parameters"), facts(Object.entries(failure.params).map(([key, value]) => [key, brief(value)])));
  if (Object.keys(failure.completed).length) parts.push(make("h3", {}, "Completed before the shift"), facts(Object.entries(failure.completed)));
  if (failure.command) parts.push(make("h3", {}, "Reproduce"), make("div", { class: "command" }, make("code", {}, failure.command), make("button", { type: "button", class: "copy", "data-copy": "" }, "Copy")));
  return parts;
}

function show(failure) {
  current = failure;
  const index = shownFailures.indexOf(failure), e = failure.explanation;
  $("#detail-title").textContent = title(failure);
  $("#detail-place").textContent = capital(place(failure));
  $("#detail-count").textContent = index < 0 ? "" : `${index + 1} of ${shownFailures.length}`;
  $("#previous").disabled = index <= 0;
  $("#next").disabled = index < 0 || index >= shownFailures.length - 1;
  $("#cam-label").hidden = !(e && (e.cam_clean || e.cam_shifted));
  $("#cam-name").textContent = e?.method || "Attention";
  $("#cam-max").textContent = e?.scale ? Number(e.scale.toPrecision(3)) : "max";
  $("#overlay-label").hidden = !(failure.overlay_clean || failure.overlay_shifted);
  $("#zoom-label").hidden = !closer(failure);
  const some = (key) => [...failure[key + "_clean"], ...failure[key + "_shifted"]].some((mark) => mark.box), answered = some("predictions"), known = some("truth");
  $("#least-label").hidden = $("#predictions-label").hidden = !answered;
  $("#truth-label").hidden = !known;
  $$("#box-legend .truth").forEach((item) => { item.hidden = !known; });
  $$("#box-legend .answer").forEach((item) => { item.hidden = !answered; });
  $("#about").replaceChildren(...about(failure));
  if (!detail.open) { opener = document.activeElement; detail.showModal(); $("#cut").focus({ preventScroll: true }); }
  cutAt(failure.box ? Math.min(85, Math.max(15, (50 * (failure.box[0] + failure.box[2])) / failure.size[0])) : 50); // through the object
  drawStage(); // once open, because labels depend on how large the stage is
  detail.scrollTop = 0;
}

function move(step) {
  const next = shownFailures[shownFailures.indexOf(current) + step];
  if (next) history.replaceState(null, "", link(next)), show(next);
}

function route() {
  if (!detail) return;
  if (!location.hash.startsWith("#failure-")) { if (detail.open) detail.close(); return; }
  let id = location.hash.slice("#failure-".length);
  try { id = decodeURIComponent(id); } catch { /* taken as it is */ }
  const failure = byId.get(id);
  if (!failure) return;
  if (!shownFailures.includes(failure)) { form.reset(); setTimeout(() => { update(); show(failure); }); return; }
  show(failure);
}

function cutAt(value) {
  const at = Math.min(100, Math.max(0, value));
  $("#stage").style.setProperty("--cut", `${at}%`);
  $("#cut").setAttribute("aria-valuenow", Math.round(at));
  $("#cut").setAttribute("aria-valuetext", `${Math.round(at)} % clean`);
}

if (detail) {
  const stage = $("#stage"), cut = $("#cut");
  const follow = (event) => { const frame = stage.getBoundingClientRect(); cutAt((100 * (event.clientX - frame.left)) / frame.width); };
  stage.addEventListener("pointerdown", (event) => {
    if (!stage.classList.contains("slider") || event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    follow(event);
    cut.focus({ preventScroll: true });
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) follow(event); });
  cut.addEventListener("keydown", (event) => {
    const now = Number(cut.getAttribute("aria-valuenow"));
    const next = { ArrowLeft: now - 4, ArrowRight: now + 4, ArrowDown: now - 4, ArrowUp: now + 4, PageDown: now - 20, PageUp: now + 20, Home: 0, End: 100 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    cutAt(next);
  });
  detail.addEventListener("keydown", (event) => {
    if (event.target.matches("input[type=radio]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft" || event.key === "k") move(-1);
    if (event.key === "ArrowRight" || event.key === "j") move(1);
  });
  for (const input of $$("input", $(".viewer-tools"))) input.addEventListener(input.type === "range" ? "input" : "change", drawStage);
  $("#previous").addEventListener("click", () => move(-1));
  $("#next").addEventListener("click", () => move(1));
  $("#close").addEventListener("click", () => detail.close());
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
  detail.addEventListener("close", () => {
    if (location.hash.startsWith("#failure-")) history.replaceState(null, "", location.pathname + location.search);
    (opener?.isConnected ? opener : $("#cards a"))?.focus({ preventScroll: true });
  });
  addEventListener("hashchange", route);
  cutAt(50);
  route();
}
