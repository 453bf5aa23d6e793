// The controls of the page. What is shown comes from Python as one dict, `state`; what a person does
// goes there as messages. Names of files are text, never HTML.

function make(tag, words, more = {}) {
  const one = document.createElement(tag);
  if (words !== undefined && words !== null) one.textContent = words;
  for (const [name, value] of Object.entries(more)) {
    if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else if (name in one) one[name] = value;
    else one.setAttribute(name, value);
  }
  return one;
}

// Files are sent in pieces, one after the other was written down: no memory fills up.
class Sender {
  constructor(model) {
    this.model = model;
    this.begun = new Map();
    this.sending = new Map();
    this.count = 0;
  }
  begin(file) {
    const key = ++this.count;
    this.begun.set(key, file);
    this.model.send({ kind: "begin", key, name: file.name, size: file.size });
  }
  async piece(id, offset) {
    const file = this.sending.get(id);
    if (!file) return;
    if (offset >= file.size) return this.sending.delete(id);
    const size = this.model.get("state").limits.piece;
    try {
      const part = await file.slice(offset, offset + size).arrayBuffer();
      this.model.send({ kind: "piece", id, offset, name: file.name }, undefined, [part]);
    } catch {
      this.sending.delete(id);
      this.model.send({ kind: "drop", id });
    }
  }
  hear(message) {
    if (message.kind === "go") {
      this.sending.set(message.id, this.begun.get(message.key));
      this.piece(message.id, 0);
    } else if (message.kind === "more") this.piece(message.id, message.offset);
    else if (message.kind === "refused") this.sending.delete(message.id);
    if (message.key) this.begun.delete(message.key);
  }
}

function save(name, content) {
  const link = make("a", "", {
    href: URL.createObjectURL(new Blob([content])), download: name,
  });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const OFFERS = [
  ["label", "label (.nii.gz)"], ["report", "report (.html)"], ["pdf", "report (.pdf)"],
  ["slicer", "colours for 3D Slicer"], ["snap", "labels for ITK-SNAP"], ["facts", "facts (.json)"],
];

function render({ model, el }) {
  const sender = new Sender(model);
  const say = (kind, more = {}) => model.send({ kind, ...more });
  const state = () => model.get("state");
  el.classList.add("gliomakit-app");

  const chosen = make("input", null, {
    type: "file", multiple: true, id: "gliomakit-files",
    onchange: () => { take(chosen.files); chosen.value = ""; },
  });
  const drop = make("label", "Drop one to four files of a case here (.nii, .nii.gz), or choose them: ",
    { className: "drop" });
  drop.append(chosen);
  const limits = make("small");
  const examples = make("p", "Nothing at hand? Take a synthetic patient: ");
  const local = make("p", null, { className: "problem", role: "alert" });
  const problem = make("p", null, { className: "problem", role: "alert" });
  const files = make("div");
  const apart = make("p");
  const found = make("div");
  const status = make("p", null, { className: "status", role: "status" });
  const bar = make("progress", null, { max: 1 });
  const segment = make("button", "Segment", { className: "main", onclick: () => say("segment") });
  const stop = make("button", "Stop", { onclick: () => say("stop") });
  const again = make("button", "Start over", { onclick: () => say("again") });
  const actions = make("p");
  actions.append(segment, stop, again);
  const result = make("div");
  const caution = make("p", null, { className: "caution" });
  const intake = make("div");
  intake.append(drop, limits, examples);
  el.append(make("h1", "Segment a glioma"), caution, intake, local, files, apart, problem, found,
    actions, status, bar, result);

  function take(list) {
    // Too large is said before anything is read.
    const most = state().limits.bytes;
    local.textContent = "";
    for (const file of list) {
      if (file.size > most) {
        local.textContent = `✘ ${file.name}: it has ${Math.round(file.size / 1e6)} MB, and a file `
          + `may have ${most / 1e6} MB at most`;
      } else sender.begin(file);
    }
  }
  for (const name of ["dragover", "dragenter"]) {
    el.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  el.addEventListener("dragleave", () => drop.classList.remove("over"));
  el.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files);
  });

  // Rebuilt only when it changes, so that the keyboard's focus stays where it is.
  const last = new Map();
  function rebuild(part, content, build) {
    const now = JSON.stringify(content);
    if (last.get(part) === now) return;
    last.set(part, now);
    part.replaceChildren(...build());
  }
  function choice(name, options, value, change) {
    const one = make("select", null, { onchange: () => change(one.value), "aria-label": name });
    for (const [key, text] of options) one.append(make("option", text, { value: key }));
    one.value = value;
    return one;
  }

  function show() {
    const now = state();
    if (!now.at) return;
    const busy = now.at === "busy";
    caution.textContent = "⚠ " + now.caution;
    intake.hidden = busy || now.at === "done";
    limits.textContent = `At most ${now.limits.files} files of ${now.limits.bytes / 1e6} MB each. `
      + "They stay on the machine that serves this page, and are removed when you close it.";
    rebuild(examples, now.examples, () => [
      "Nothing at hand? Take a synthetic patient: ",
      ...now.examples.map((name, number) => make("button", name,
        { onclick: () => say("example", { number }) })),
    ]);
    problem.textContent = now.problem ? "✘ " + now.problem : "";
    const kept = now.files.map(({ got, ...rest }) => rest);
    rebuild(files, [kept, busy, now.at], () => now.files.map((file) => {
      const row = make("div", null, { className: "file" });
      const options = [["", "which sequence?"], ...now.sequences];
      const select = choice(`sequence of ${file.name}`, options, file.sequence,
        (value) => say("sequence", { id: file.id, value }));
      const remove = make("button", "remove", {
        onclick: () => { sender.sending.delete(file.id); say("drop", { id: file.id }); },
        "aria-label": `remove ${file.name}`,
      });
      select.disabled = remove.disabled = busy;
      row.append(select, make("span", file.name, { className: "name" }),
        make("small", `${file.mb.toFixed(1)} MB`), make("small", "", { className: "got" }), remove);
      return row;
    }));
    now.files.forEach((file, i) => {
      const got = files.children[i].querySelector(".got");
      got.textContent = file.got < 1 ? `${Math.floor(100 * file.got)} % here` : "";
    });
    rebuild(apart, [now.apart, now.resample_to, now.files, busy], () => {
      if (!now.apart) return [];
      const there = now.sequences.filter(([key]) => now.files.some((f) => f.sequence === key));
      const select = choice("grid to bring all files to",
        [["", "no, they do not belong together"], ...there.map(([key, name]) =>
          [key, `yes: bring all to the grid of ${name}`])],
        now.resample_to, (value) => say("onto", { value }));
      select.disabled = busy;
      return [make("span", "The files lie on different grids. One patient, one exam? "), select];
    });
    rebuild(found, [now.case, now.findings], () => {
      if (!now.case) return [];
      const list = make("ul");
      for (const [level, text] of now.findings) {
        list.append(make("li", (level === "warning" ? "⚠ " : "ℹ ") + text, { className: level }));
      }
      if (!now.findings.some(([level]) => level === "warning")) {
        list.append(make("li", "✔ nothing looks wrong"));
      }
      return [make("p", now.case), list];
    });
    segment.hidden = busy || now.at === "done";
    segment.disabled = !now.case;
    stop.hidden = !busy;
    again.hidden = busy || !now.files.length;
    const at = now.progress || {};
    let said = now.doing ? now.doing + " …" : "";
    if ("ahead" in at) {
      said = at.ahead ? `waiting: ${at.ahead} before you …` : now.doing + " …";
    } else if ("done" in at) said = `${now.doing}: ${at.done} of ${at.of} windows …`;
    status.textContent = said;
    bar.hidden = !busy;
    if ("done" in at) bar.value = at.done / at.of;
    else bar.removeAttribute("value");
    rebuild(result, [now.at, now.volumes, now.warnings], () => {
      if (now.at !== "done") return [];
      const table = make("table");
      for (const [name, ml] of now.volumes) {
        const row = make("tr");
        const unit = /\d/.test(ml) ? " mL" : "";
        row.append(make("td", name), make("td", ml + unit, { className: "ml" }));
        table.append(row);
      }
      const buttons = make("p", "Take away: ");
      for (const [what, words] of OFFERS) {
        buttons.append(make("button", words, { onclick: () => say("get", { what }) }));
      }
      return [make("h2", "Result"), ...now.warnings.map((text) =>
        make("p", "⚠ " + text, { className: "warning" })), table, buttons];
    });
  }

  const hear = (message, buffers) => {
    if (message.kind === "file") save(message.name, buffers[0]);
    else sender.hear(message);
  };
  model.on("msg:custom", hear);
  model.on("change:state", show);
  show();
  return () => { model.off("msg:custom", hear); model.off("change:state", show); };
}

export default { render };
