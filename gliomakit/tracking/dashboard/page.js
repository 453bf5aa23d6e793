"use strict";
// The dashboard of `gliomakit dashboard`: everything is in this file, nothing is fetched.
// What users typed reaches the page as text only (textContent), never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const runs = data.runs;
// Colours that are told apart by those who see fewer (Okabe and Ito), and dashes beside them.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const SHOWN_AT_FIRST = 8;

const state = {
  visible: new Set(runs.slice(-SHOWN_AT_FIRST).map((run) => run.id)),
  sort: "created", descending: true, filter: "", columns: null, smooth: 0, log: false,
  different: false, score: null,
};
runs.forEach((run, i) => {
  run.colour = COLOURS[i % COLOURS.length];
  run.dash = DASHES[Math.floor(i / COLOURS.length) % DASHES.length];
});

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function drawn(tag, properties, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const byName = (a, b) => a.localeCompare(b, "en", { numeric: true });
const visible = () => runs.filter((run) => state.visible.has(run.id));
const first = (path) => path.startsWith("parameters/") ? 0 : path.startsWith("metrics/") ? 1 : 2;
const fields = [...new Set(runs.flatMap((run) => [...Object.keys(run.fields),
  ...Object.keys(run.last)]))].sort((a, b) => first(a) - first(b) || byName(a, b));
const parameters = fields.filter((path) => path.startsWith("parameters/"));
const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.series)))].sort(byName);

function value(run, column) {
  if (column === "created") return run.created;
  if (column === "seconds" || column === "name" || column === "state") return run[column];
  if (column === "tags") return run.tags.join(", ");
  return column in run.last ? run.last[column] : run.fields[column];
}

function text(x, column) {
  if (x === undefined || x === null) return "";
  if (column === "created") return new Date(x * 1000).toISOString().slice(0, 16).replace("T", " ");
  if (typeof x === "number" && !Number.isInteger(x)) return String(Number(x.toPrecision(4)));
  return String(x);
}

function variety(some, path) {
  return new Set(some.filter((run) => path in run.fields).map((run) => text(run.fields[path]))).size;
}

function compared(a, b) {
  const absent = (x) => x === undefined || x === null || x === "";
  if (absent(a) || absent(b)) return absent(a) - absent(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return byName(String(a), String(b));
}

function matching() {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const said = (run) => [run.name, run.state, ...run.tags,
    ...Object.entries(run.fields).map((pair) => pair.join("="))].join(" ").toLowerCase();
  const found = runs.filter((run) => words.every((word) => said(run).includes(word)));
  const sign = state.descending ? -1 : 1;
  return found.sort((a, b) => {
    const x = value(a, state.sort), y = value(b, state.sort);
    const absent = [x, y].some((one) => one === undefined || one === "");
    return compared(x, y) * (absent ? 1 : sign);
  });
}

function swatch(run) {
  const line = drawn("svg", { viewBox: "0 0 34 12", class: "swatch", "aria-hidden": "true" });
  line.append(drawn("line", { x1: 1, x2: 33, y1: 6, y2: 6, stroke: run.colour,
    "stroke-width": 3, "stroke-dasharray": run.dash }));
  return line;
}

// --- the table of runs

function table() {
  const place = document.getElementById("runs");
  const columns = ["name", "state", "created", "seconds", "tags", ...state.columns];
  const head = make("tr", {}, make("th", { title: "shown in the charts" }, "shown"));
  for (const column of columns) {
    const arrow = state.sort === column ? (state.descending ? " ▼" : " ▲") : "";
    const button = make("button", { type: "button", title: "sort by " + column },
      column.replace(/^parameters\//, "") + arrow);
    button.addEventListener("click", () => {
      state.descending = state.sort === column ? !state.descending : false;
      state.sort = column;
      table();
    });
    const sorted = state.sort === column ? (state.descending ? "descending" : "ascending") : "none";
    head.append(make("th", { "aria-sort": sorted }, button));
  }
  const rows = matching().map((run) => {
    const tick = make("input", { type: "checkbox", checked: state.visible.has(run.id) });
    tick.setAttribute("aria-label", "show " + run.name);
    tick.addEventListener("change", () => {
      tick.checked ? state.visible.add(run.id) : state.visible.delete(run.id);
      below();
    });
    const row = make("tr", {}, make("td", {}, tick, " ", swatch(run)));
    for (const column of columns) {
      const one = value(run, column);
      const cell = make("td", { title: text(one, column) });
      if (typeof one === "number" && column !== "created") cell.className = "number";
      if (column === "state") cell.append(make("span", { className: "state" }, text(one)));
      else cell.textContent = text(one, column);
      row.append(cell);
    }
    return row;
  });
  place.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  if (!rows.length) place.append(make("div", { className: "empty" }, "No run has these words."));
  remember();
}

function chooser() {
  const box = document.getElementById("columns");
  for (const path of fields) {
    const tick = make("input", { type: "checkbox", checked: state.columns.includes(path) });
    tick.addEventListener("change", () => {
      state.columns = fields.filter((one) => one === path ? tick.checked
        : state.columns.includes(one));
      table();
    });
    box.append(make("label", {}, tick, " " + path));
  }
}

// --- curves

function smoothed(values, weight) {
  // Exponential, without the pull of its beginning; gaps stay gaps.
  let mean = 0, norm = 0;
  return values.map((x) => {
    if (x === null) return null;
    mean = weight * mean + (1 - weight) * x;
    norm = weight * norm + (1 - weight);
    return mean / norm;
  });
}

function ticks(low, high, count) {
  const span = high - low || 1;
  const rough = span / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let x = Math.ceil(low / step) * step; x <= high + step * 1e-6; x += step) found.push(x);
  return found;
}

function chart(path) {
  const W = 420, H = 230, L = 52, R = 10, T = 8, B = 24;
  const logarithmic = state.log;
  const scale = (y) => y === null ? null : logarithmic ? (y > 0 ? Math.log10(y) : null) : y;
  const curves = visible().filter((run) => run.series[path]).map((run) => {
    const [steps, raw] = run.series[path];
    return { run, steps, raw: raw.map(scale), shown: raw,
      smooth: smoothed(raw.map(scale), state.smooth) };
  });
  const figure = make("figure", {}, make("figcaption", {}, path));
  const xs = curves.flatMap((c) => c.steps), ys = curves.flatMap((c) => c.raw)
    .filter((y) => y !== null);
  if (!ys.length) {
    figure.append(make("div", { className: "empty" }, "Nothing to show for the ticked runs."));
    return figure;
  }
  const limit = (list, f) => list.reduce((a, b) => f(a, b));
  let [x0, x1] = [limit(xs, Math.min), limit(xs, Math.max)];
  let [y0, y1] = [limit(ys, Math.min), limit(ys, Math.max)];
  if (x0 === x1) { x0 -= 0.5; x1 += 0.5; }
  const pad = (y1 - y0) * 0.06 || Math.abs(y1) * 0.1 || 0.5;
  y0 -= pad; y1 += pad;
  const X = (x) => L + (W - L - R) * (x - x0) / (x1 - x0);
  const Y = (y) => H - B - (H - T - B) * (y - y0) / (y1 - y0);
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  svg.append(drawn("title", {}, `${path} of ${curves.length} runs`));
  for (const y of ticks(y0, y1, 5)) {
    svg.append(drawn("line", { class: "grid", x1: L, x2: W - R, y1: Y(y), y2: Y(y) }));
    svg.append(drawn("text", { x: L - 6, y: Y(y) + 4, "text-anchor": "end" },
      String(Number((logarithmic ? 10 ** y : y).toPrecision(3)))));
  }
  for (const x of ticks(x0, x1, 5)) {
    svg.append(drawn("text", { x: X(x), y: H - 8, "text-anchor": "middle" },
      String(Number(x.toPrecision(6)))));
  }
  const line = (steps, values) => {
    let d = "", pen = "M";
    values.forEach((y, i) => {
      if (y === null) pen = "M";
      else { d += `${pen}${X(steps[i]).toFixed(1)} ${Y(y).toFixed(1)}`; pen = "L"; }
    });
    return d;
  };
  for (const c of curves) {
    const look = { fill: "none", stroke: c.run.colour, "stroke-dasharray": c.run.dash };
    if (state.smooth > 0) {
      svg.append(drawn("path", { ...look, class: "raw", d: line(c.steps, c.raw) }));
    }
    svg.append(drawn("path", { ...look, class: "curve", "stroke-width": 1.8, d: line(c.steps,
      state.smooth > 0 ? c.smooth : c.raw) }));
    if (c.steps.length === 1) {
      svg.append(drawn("circle", { cx: X(c.steps[0]), cy: Y(c.raw[0] ?? y0), r: 3.5,
        fill: c.run.colour }));
    }
  }
  const said = make("div", { className: "value" });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = x0 + (x1 - x0) * ((event.clientX - box.left) * W / box.width - L) / (W - L - R);
    said.textContent = curves.map((c) => {
      let best = 0;
      c.steps.forEach((s, i) => { if (Math.abs(s - x) < Math.abs(c.steps[best] - x)) best = i; });
      return `${c.run.name}: ${text(c.shown[best]) || "no number"} at ${c.steps[best]}`;
    }).slice(0, 8).join(" · ");
  });
  svg.addEventListener("pointerleave", () => { said.textContent = ""; });
  figure.append(svg, said);
  return figure;
}

function charts() {
  const some = metrics.filter((path) => visible().some((run) => run.series[path]));
  document.getElementById("charts").replaceChildren(...(some.length ? some.map(chart)
    : [make("div", { className: "empty" }, "Tick a run above to see its curves.")]));
}

// --- side by side

function sides() {
  const chosen = visible();
  const place = document.getElementById("sides");
  const head = make("tr", {}, make("th", {}, "field"), ...chosen.map((run) =>
    make("th", {}, swatch(run), " " + run.name)));
  const rows = [];
  for (const path of fields) {
    const values = chosen.map((run) => text(value(run, path)));
    if (values.every((one) => one === "")) continue;
    const differs = new Set(values).size > 1;
    if (state.different && !differs) continue;
    rows.push(make("tr", {}, make("td", { title: path }, (differs ? "≠ " : "") + path),
      ...values.map((one) => make("td", { className: differs ? "differs" : "", title: one },
        one))));
  }
  place.replaceChildren(chosen.length ? make("table", {}, make("thead", {}, head),
    make("tbody", {}, ...rows)) : make("div", { className: "empty" }, "No run is ticked."));
}

// --- parameters against a score

function parallel() {
  const place = document.getElementById("parallel");
  const chosen = visible();
  const varied = parameters.filter((path) => variety(chosen, path) > 1).slice(0, 8);
  const axes = [...varied, state.score].filter(Boolean);
  if (axes.length < 2 || chosen.length < 2) {
    place.replaceChildren(make("div", { className: "empty" },
      "Tick runs that differ in a parameter to see which one goes with the score."));
    return;
  }
  const W = 900, H = 300, L = 60, R = 60, T = 34, B = 16;
  const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", class: "wide" });
  svg.append(drawn("title", {}, "parameters of the ticked runs against " + state.score));
  const X = (i) => L + (W - L - R) * i / (axes.length - 1);
  const scales = axes.map((path) => {
    const found = chosen.map((run) => value(run, path)).filter((x) => x !== undefined);
    const numeric = found.every((x) => typeof x === "number");
    if (numeric) {
      const low = Math.min(...found), high = Math.max(...found);
      const logs = low > 0 && high / low > 30;
      const f = (x) => logs ? Math.log(x) : x;
      const at = (x) => typeof x !== "number" ? null
        : (f(x) - f(low)) / (f(high) - f(low) || 1);
      return { at, marks: low === high ? [low] : [low, high] };
    }
    const names = [...new Set(found.map((x) => text(x)))].sort(byName);
    return { at: (x) => x === undefined ? null : names.indexOf(text(x)) /
      Math.max(names.length - 1, 1), marks: names.slice(0, 12) };
  });
  const Y = (share) => H - B - (H - T - B) * share;
  axes.forEach((path, i) => {
    svg.append(drawn("line", { class: "grid", x1: X(i), x2: X(i), y1: T, y2: H - B }));
    svg.append(drawn("text", { x: X(i), y: 14, "text-anchor": "middle" },
      path.replace(/^parameters\//, "")));
    for (const mark of scales[i].marks) {
      svg.append(drawn("text", { x: X(i) + 5, y: Y(scales[i].at(mark)) + 4 }, text(mark)));
    }
  });
  for (const run of chosen) {
    let d = "", pen = "M";
    axes.forEach((path, i) => {
      const share = scales[i].at(value(run, path));
      if (share === null) pen = "M";
      else { d += `${pen}${X(i).toFixed(1)} ${Y(share).toFixed(1)}`; pen = "L"; }
    });
    const path = drawn("path", { d, fill: "none", stroke: run.colour, "stroke-width": 2,
      "stroke-dasharray": run.dash });
    path.append(drawn("title", {}, run.name));
    svg.append(path);
  }
  place.replaceChildren(svg);
}

// --- pictures

function pictures() {
  const place = document.getElementById("pictures");
  const found = visible().flatMap((run) => Object.entries(run.images).map(([path, list]) => {
    const image = make("img", { alt: `${path} of ${run.name}` });
    const label = make("div", { className: "value" });
    const slider = make("input", { type: "range", min: 0, max: list.length - 1,
      value: list.length - 1 });
    slider.setAttribute("aria-label", `step of ${path}`);
    const show = () => {
      const [step, png] = list[slider.value];
      image.src = "data:image/png;base64," + png;
      label.textContent = `step ${step}, ${Number(slider.value) + 1} of ${list.length}`;
    };
    slider.addEventListener("input", show);
    show();
    return make("figure", {}, make("figcaption", {}, `${run.name} · ${path}`), image, slider,
      label);
  }));
  place.closest("section").hidden = !runs.some((run) => Object.keys(run.images).length);
  place.replaceChildren(...(found.length ? found
    : [make("div", { className: "empty" }, "The ticked runs have no pictures.")]));
}

function below() { charts(); sides(); parallel(); pictures(); remember(); }

// --- the view, kept in the address: a bookmark brings it back

const KEPT = ["sort", "descending", "filter", "columns", "smooth", "log", "different", "score"];

function remember() {
  const view = Object.fromEntries(KEPT.map((name) => [name, state[name]]));
  view.visible = [...state.visible].slice(0, 60).map((id) => id.slice(0, 8));
  // Not history.replaceState: files opened from a disk may not call it.
  location.replace("#" + encodeURIComponent(JSON.stringify(view)));
}

function recall() {
  let view;
  try { view = JSON.parse(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  for (const name of KEPT) {
    const known = typeof view?.[name] === typeof state[name];
    if (known && Array.isArray(view[name]) === Array.isArray(state[name])) state[name] = view[name];
  }
  state.columns = state.columns.filter((path) => fields.includes(path));
  if (!metrics.includes(state.score)) state.score = metrics[0] ?? null;
  if (Array.isArray(view?.visible)) {
    state.visible = new Set(runs.map((run) => run.id).filter((id) =>
      view.visible.includes(id.slice(0, 8))));
  }
}

function start() {
  const few = runs.length > 1 ? parameters.filter((path) => variety(runs, path) > 1) : parameters;
  const valid = metrics.filter((path) => /valid/.test(path));
  state.columns = [...few.slice(0, 5), ...(valid.length ? valid : metrics).slice(0, 3)];
  state.score = (valid.find((path) => /dice|mean/i.test(path)) ?? valid[0] ?? metrics[0]) || null;
  recall();
  const counts = {};
  for (const run of runs) counts[run.state] = (counts[run.state] ?? 0) + 1;
  document.getElementById("summary").textContent = `${runs.length} runs` + (runs.length ? ": "
    + Object.entries(counts).map(([name, n]) => `${n} ${name}`).join(", ") : "");
  const on = (id, event, change) => document.getElementById(id).addEventListener(event, change);
  on("filter", "input", (e) => { state.filter = e.target.value; table(); });
  on("all", "click", () => { matching().forEach((run) => state.visible.add(run.id));
    table(); below(); });
  on("none", "click", () => { state.visible.clear(); table(); below(); });
  const inputs = { filter: "value", smooth: "value", log: "checked", different: "checked" };
  for (const [id, kind] of Object.entries(inputs)) document.getElementById(id)[kind] = state[id];
  on("smooth", "input", (e) => { state.smooth = Number(e.target.value); charts(); remember(); });
  on("log", "change", (e) => { state.log = e.target.checked; charts(); remember(); });
  on("different", "change", (e) => { state.different = e.target.checked; sides(); remember(); });
  const score = document.getElementById("score");
  for (const path of metrics) score.append(make("option", { value: path,
    selected: path === state.score }, path));
  score.addEventListener("change", () => { state.score = score.value; parallel(); remember(); });
  chooser();
  table();
  below();
}

start();
