// The explorer's numbers, words and controls; explorer_drawing.js draws. WEIGHTS and the data come from explorer.py.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const LOW = 0.25; // "emphasis on p below 1/4"
DATA.methods.forEach((m, index) => Object.assign(m, { index }));
const METHODS = Object.fromEntries(DATA.methods.map((m) => [m.name, m]));
const TRUST = Object.fromEntries(DATA.trust.map((s) => [s.name, s]));
const state = { shown: {}, knobs: {}, trust: {}, scale: "log" };
const found = {}; // numbers of each method at its present knobs

function element(parent, tag, attributes, words) {
  const made = document.createElementNS(parent.namespaceURI, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  parent.append(made);
  return made;
}

// ---- numbers: the same points, clip and rules as robustdl_lib.gradients -----------------------------------------
const LAST = DATA.grid - 1;
const GRID = Float64Array.from({ length: DATA.grid }, (_, i) => (i === LAST ? 1 : i * (1 / LAST)));
const clip = (x, low, high) => Math.min(Math.max(x, low), high);

function weight(name, p) {
  const given = clip(p, DATA.edge, 1), others = clip(1 - p, DATA.edge, 1), sum = given + others;
  return WEIGHTS[name](given / sum, others / sum, state.knobs[name]);
}

function trapezium(points, values, last = values.length - 1) {
  let sum = 0;
  for (let i = 0; i < last; i++) sum += (values[i] + values[i + 1]) * (points[i + 1] - points[i]);
  return sum / 2;
}

function resolved(name, values) { // the grid, its cells halved until the trapezium rule errs by 1e-11 in each
  const small = 1e-11 * trapezium(GRID, values), points = [0], heights = [values[0]];
  const halve = (low, high, atLow, atHigh) => {
    const middle = (low + high) / 2, at = weight(name, middle), off = Math.abs(2 * at - atLow - atHigh);
    if ((off * (high - low)) / 4 > small && high - low > 1e-13) {
      halve(low, middle, atLow, at);
      halve(middle, high, at, atHigh);
    } else {
      points.push(high);
      heights.push(atHigh);
    }
  };
  for (let i = 0; i < LAST; i++) halve(GRID[i], GRID[i + 1], values[i], values[i + 1]);
  return [points, heights];
}

function mode(name, values) {
  let best = 0, least = values[0];
  for (let i = 1; i < values.length; i++) {
    if (values[i] > values[best]) best = i;
    if (values[i] < least) least = values[i];
  }
  if (!(values[best] - least > 1e-9 * values[best])) return NaN;
  if (best === 0 || best === values.length - 1) return GRID[best];
  const golden = (Math.sqrt(5) - 1) / 2;
  let a = GRID[best - 1], b = GRID[best + 1];
  let c = b - golden * (b - a), d = a + golden * (b - a), wc = weight(name, c), wd = weight(name, d);
  while (b - a > 1e-11) {
    if (wc > wd) {
      [b, d, wd] = [d, c, wc];
      wc = weight(name, (c = b - golden * (b - a)));
    } else {
      [a, c, wc] = [c, d, wd];
      wd = weight(name, (d = a + golden * (b - a)));
    }
  }
  return (a + b) / 2;
}

function measure(name) {
  const values = GRID.map((p) => weight(name, p));
  const [points, heights] = resolved(name, values), psi = mode(name, values);
  const integral = trapezium(points, heights);
  const sigma = trapezium(points, heights.map((w) => (w - integral) ** 2));
  const low = trapezium(points, heights, points.indexOf(GRID[Math.round(LOW * LAST)])) / integral;
  found[name] = { psi, sigma, integral, low, largest: values.reduce((a, b) => Math.max(a, b)) };
}

const density = (name, p) => weight(name, p) / found[name].integral;

const globalTrust = (time, B) => 0.5 * (1 + Math.tanh(0.5 * B * (time - 0.5)));

function learner(confidence, C, T) { // softmax(z / T): its largest probability, each of the others, and its entropy
  const one = Math.log(clip(confidence, DATA.edge, 1)) / T;
  const other = Math.log(clip(1 - confidence, DATA.edge, 1) / (C - 1)) / T;
  const top = Math.max(one, other), log = top + Math.log(Math.exp(one - top) + (C - 1) * Math.exp(other - top));
  const most = Math.exp(one - log), each = Math.exp(other - log);
  return { most, each, entropy: -(most * (one - log) + (C - 1) * each * (other - log)) };
}

const localTrust = (confidence, C, T) => clip(1 - learner(confidence, C, T).entropy / Math.log(C), 0, 1);

function trusted(time, confidence) {
  const { B, C, T } = state.trust, p = learner(confidence, C, T);
  const g = globalTrust(time, B), l = localTrust(confidence, C, T), epsilon = g * l;
  const label = 1 - epsilon + epsilon * p.each, own = epsilon * p.most;
  return { g, l, epsilon, entropy: p.entropy, label, learner: own, others: epsilon * (C - 2) * p.each };
}

// ---- words ------------------------------------------------------------------------------------------------------
function digits(x) {
  if (Number.isNaN(x)) return "none";
  if (x !== 0 && (Math.abs(x) >= 1e5 || Math.abs(x) < 5e-4)) return x.toExponential(2);
  return Math.abs(x) >= 100 ? x.toFixed(1) : x.toFixed(3);
}

function setting(m) {
  return m.knobs.map((k) => `${k.letter} = ${+state.knobs[m.name][k.name].toPrecision(6)}`).join(", ");
}

function say() {
  for (const m of DATA.methods) {
    const { psi, sigma } = found[m.name], card = byId(`card.${m.name}`);
    card.classList.toggle("on", state.shown[m.name]);
    card.querySelector(".numbers").innerHTML = `ψ <b>${digits(psi)}</b> &nbsp;σ <b>${digits(sigma)}</b>`;
  }
  const body = byId("table").tBodies[0];
  body.replaceChildren();
  for (const m of DATA.methods.filter((each) => state.shown[each.name])) {
    const { psi, sigma, low, integral, largest } = found[m.name], row = element(body, "tr", {});
    element(element(row, "th", { scope: "row" }, `${m.label} `), "span", { class: "soft" }, setting(m));
    const words = [digits(psi), digits(sigma), (100 * low).toFixed(1), digits(integral), digits(largest)];
    for (const number of words) element(row, "td", {}, number);
  }
  sayTrust(trusted(state.trust.time, state.trust.confidence));
}

function sayTrust(now) {
  const share = (x) => `${(100 * x).toFixed(0)} %`, taken = `takes ${share(now.epsilon)} from the learner`;
  const corrected = "It now stands for the learner's class: the label is corrected.";
  const verdict = now.learner > now.label ? corrected : "It still stands for the label's class.";
  byId("said").textContent = `The target keeps ${share(1 - now.epsilon)} of the label and ${taken}. ${verdict}`;
  for (const [key, words] of [["label", "label"], ["learner", "learner's class"], ["others", "others"]]) {
    const bar = byId("bar").querySelector(`.${key}`);
    bar.style.cssText = `flex: ${now[key]} 1 0; ${now[key] < 0.01 ? "display: none" : ""}`;
    bar.textContent = now[key] > 0.12 ? `${words} ${now[key].toFixed(2)}` : "";
  }
  const named = { g: "g(t)", l: "l(p)", epsilon: "trust ε", entropy: "entropy H, nats" };
  const targets = { label: "target of the label", learner: "target of the learner's class" };
  byId("facts").replaceChildren();
  for (const [key, words] of Object.entries({ ...named, ...targets })) {
    const fact = element(byId("facts"), "div", {});
    element(fact, "dt", {}, words);
    element(fact, "dd", { id: `fact.${key}` }, now[key].toFixed(3));
  }
}

// ---- controls ---------------------------------------------------------------------------------------------------
function update() {
  drawWeighting();
  drawTrust();
  say();
}

function fit(name, knob, value) { // hold a knob between its neighbours where the method asks that they increase
  const { increasing, knobs } = METHODS[name], at = increasing.indexOf(knob);
  const { step } = knobs.find((k) => k.name === knob);
  const below = state.knobs[name][increasing[at - 1]], above = state.knobs[name][increasing[at + 1]];
  if (at >= 0 && below !== undefined) value = Math.max(value, below + step);
  return at >= 0 && above !== undefined ? Math.min(value, above - step) : value;
}

function show(id, slider, value) { // put a value on a slider, exact in the state and as near as it can on the screen
  const input = byId(id);
  input.value = value;
  input.style.setProperty("--filled", (input.value - input.min) / (input.max - input.min));
  input.setAttribute("aria-valuetext", `${+value.toPrecision(6)}`);
  byId(`${id}.value`).textContent = value.toFixed(Math.max(0, -Math.floor(Math.log10(slider.step) + 1e-9)));
}

function assign(name, value) { // "dm.beta", "trust.time", "show.dm" or "scale"
  const dot = name.indexOf("."), [group, knob] = dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot + 1)];
  if (group === "scale") state.scale = value;
  else if (group === "show" && METHODS[knob]) byId(name).checked = state.shown[knob] = Boolean(value);
  else if (group === "trust" && TRUST[knob]) {
    state.trust[knob] = value;
    const least = Math.ceil(100 / (state.trust.C ?? 2) - 1e-9) / 100;
    if (knob !== "C" && knob !== "confidence") return show(name, TRUST[knob], value);
    byId("trust.confidence").min = least; // the largest of C probabilities is 1 / C or more
    state.trust.confidence = Math.max(state.trust.confidence ?? 1, least);
    if (knob === "C") show(name, TRUST.C, value);
    show("trust.confidence", TRUST.confidence, state.trust.confidence);
  } else if (METHODS[group]?.knobs.some((k) => k.name === knob)) {
    state.knobs[group][knob] = fit(group, knob, value);
    show(name, METHODS[group].knobs.find((k) => k.name === knob), state.knobs[group][knob]);
    measure(group);
  } else throw new Error(`no slider ${name}`);
}

function set(name, value) {
  assign(name, value);
  update();
}

function addSlider(parent, id, slider, spoken, words) {
  const row = element(parent, "div", { class: "slider" }), label = element(row, "label", { for: id });
  element(label, "i", {}, slider.letter);
  element(label, "small", {}, ` ${words}`);
  const range = { min: slider.low, max: slider.high, step: slider.step };
  const input = element(row, "input", { type: "range", id, ...range, "aria-label": spoken });
  input.addEventListener("input", () => set(id, parseFloat(input.value)));
  element(row, "span", { class: "value", id: `${id}.value`, "aria-hidden": "true" });
}

function addMethod(m) {
  const line = `var(--line-${m.index})`;
  const card = element(byId("methods"), "div", { class: "card method", id: `card.${m.name}` });
  card.style.setProperty("--line", line);
  const head = element(card, "div", { class: "head" });
  const label = element(head, "label", { class: "pick", for: `show.${m.name}`, title: m.source });
  const box = element(label, "input", { type: "checkbox", id: `show.${m.name}` });
  box.addEventListener("change", () => set(`show.${m.name}`, box.checked));
  const swatch = byId("h").cloneNode(false);
  for (const name of ["id", "role", "aria-label", "viewBox", "height"]) swatch.removeAttribute(name);
  swatch.setAttribute("class", "swatch");
  swatch.setAttribute("aria-hidden", "true");
  label.append(swatch);
  const dash = m.dash.map((d) => d * 2.2).join(" ");
  element(swatch, "path", { class: "curve", d: "M0,8H44", stroke: line, "stroke-dasharray": dash });
  element(swatch, "path", { class: "marker", d: markerPath(m.marker, 22, 8, 5.5), fill: line });
  element(label, "span", {}, m.label);
  const body = m.knobs.length ? element(card, "div", { class: "body" }) : head;
  element(body, "span", { class: "formula" }).innerHTML = m.math;
  element(head, "span", { class: "numbers" });
  for (const k of m.knobs) addSlider(body, `${m.name}.${k.name}`, k, `${m.label}, ${k.name}`, k.words);
}

function reset() {
  for (const s of DATA.trust) assign(`trust.${s.name}`, s.value);
  for (const m of DATA.methods) {
    state.knobs[m.name] = { ...m.fixed };
    for (const k of m.knobs) show(`${m.name}.${k.name}`, k, (state.knobs[m.name][k.name] = k.value));
    measure(m.name);
    assign(`show.${m.name}`, m.shown);
  }
  state.scale = "log";
  document.querySelector("input[name=scale][value=log]").checked = true;
  update();
}

DATA.methods.forEach(addMethod);
for (const s of DATA.trust) addSlider(byId("trust"), `trust.${s.name}`, s, s.words, s.words);
for (const radio of document.querySelectorAll("input[name=scale]")) {
  radio.addEventListener("change", () => set("scale", radio.value));
}
byId("reset").addEventListener("click", reset);
window.addEventListener("resize", update);
const read = () => ({ methods: structuredClone(found), trust: trusted(state.trust.time, state.trust.confidence) });
window.explorer = { state, set, reset, read, weight, density, globalTrust, localTrust };
reset();
