// The explorer's drawings: plain SVG, made anew at each change from the numbers of explorer.js.
// Matplotlib's markers as polygons: corners, radius of the dents between them (1: none), turn in degrees.
const SHAPES = {
  s: [4, 1, 45], D: [4, 1, 0], d: [4, 1, 0], "^": [3, 1, 0], v: [3, 1, 180], "<": [3, 1, -90], ">": [3, 1, 90],
  p: [5, 1, 0], "*": [5, 0.42, 0], h: [6, 1, 0], H: [6, 1, 30], 8: [8, 1, 22.5],
};
const ARM = [[-1, -3], [1, -3], [1, -1]]; // a quarter of a plus

function corners(kind, size) {
  if (kind === "P" || kind === "X") {
    const quarters = [ARM, ARM.map(([a, b]) => [-b, a]), ARM.map(([a, b]) => [-a, -b]), ARM.map(([a, b]) => [b, -a])];
    return quarters.flat().map(([a, b]) => (kind === "P" ? [a, b] : [0.75 * (a - b), 0.75 * (a + b)]))
      .map(([a, b]) => [(a * size) / 2.7, (b * size) / 2.7]);
  }
  const [count, dent, turn] = SHAPES[kind], radius = size * (kind === "*" ? 1.45 : 1.2);
  const whole = Array.from({ length: 2 * count }, (_, i) => [i, radius * (i % 2 ? dent : 1)]);
  return whole.filter(([i]) => dent < 1 || i % 2 === 0).map(([i, r]) => {
    const angle = ((180 * i) / count + turn - 90) * (Math.PI / 180);
    return [r * (kind === "d" ? 0.6 : 1) * Math.cos(angle), r * Math.sin(angle)];
  });
}

function markerPath(kind, x, y, size) {
  if (SHAPES[kind] || "PX".includes(kind)) return path(corners(kind, size).map(([a, b]) => [x + a, y + b])) + "Z";
  return `M${x - size},${y}a${size},${size} 0 1,0 ${2 * size},0a${size},${size} 0 1,0 ${-2 * size},0Z`;
}

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const places = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9) + 1e-12; i++) places.push(i * step);
  return places;
}

function plain(x) {
  if (x === 0) return "0";
  return Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3 ? x.toExponential(0) : String(+x.toPrecision(3));
}

function axes(id, { height, x, y, log, xlabel, ylabel, marks = 5 }) { // clears the drawing, returns its scales
  const svg = byId(id), width = Math.max(svg.clientWidth, 120), left = 44, right = width - 10, bottom = height - 38;
  const top = ylabel ? 24 : 8, scaleY = (v) => (log ? Math.log10(Math.max(v, y[0])) : v);
  const [lowY, highY] = [scaleY(y[0]), scaleY(y[1])];
  const X = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (right - left);
  const Y = (v) => bottom - ((scaleY(v) - lowY) / (highY - lowY)) * (bottom - top);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const decades = log && Array.from({ length: Math.round(highY - lowY) + 1 }, (_, i) => 10 ** (lowY + i));
  const thin = decades ? decades.filter((_, i) => i % Math.ceil(decades.length / 6) === 0) : ticks(y[0], y[1], marks);
  for (const v of thin) {
    element(svg, "line", { class: "grid", x1: left, x2: right, y1: Y(v), y2: Y(v) });
    element(svg, "text", { x: left - 7, y: Y(v) + 4, "text-anchor": "end" }, plain(v));
  }
  for (const v of ticks(x[0], x[1], width < 300 ? 4 : 5)) {
    element(svg, "line", { class: "grid", x1: X(v), x2: X(v), y1: top, y2: bottom });
    element(svg, "text", { x: X(v), y: bottom + 16, "text-anchor": "middle" }, plain(v));
  }
  element(svg, "line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom });
  element(svg, "text", { x: (left + right) / 2, y: bottom + 33, "text-anchor": "middle" }, xlabel);
  if (ylabel) element(svg, "text", { x: left - 30, y: 12 }, ylabel);
  return { svg, X, Y, left, right, top, bottom };
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)},${y.toFixed(2)}`).join("");
const NEAR = Array.from({ length: 24 }, (_, i) => 10 ** (-4 + (i * 1.8) / 24)); // denser where powers of p are steep
const EVEN = Array.from({ length: 321 }, (_, i) => i / 320);
const DRAWN = [...new Set([...NEAR, ...EVEN, ...NEAR.map((x) => 1 - x)])];

function round(high) { // the next of a few round numbers, so that the axis stands still while a slider moves
  const power = 10 ** Math.floor(Math.log10(high));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((m) => m * power).find((top) => top >= high);
}

const SPOTS = [[-0.5, -12], [1, 4], [-1, 4], [1, -10], [-1, -10], [-0.5, 22], [1, 18], [-1, 18], [-0.5, -27], [1, -25],
  [1, 34], [-0.5, 38]]; // where a name may stand: right (1), left (-1) or centred (-0.5), and how far down

function place(taken, x, y, words, frame) { // the first spot beside a marker where its name covers nothing
  const width = 7.2 * words.length;
  for (const [side, down] of SPOTS) {
    const left = x + (side === 1 ? 11 : side * width - (side === -1 ? 11 : 0)), base = y + down;
    const box = { left, right: left + width, top: base - 12, bottom: base + 3 };
    const across = left >= frame.left && box.right <= frame.right;
    const inside = across && box.top >= frame.top - 6 && box.bottom <= frame.bottom;
    const apart = (t) => box.right < t.left || box.left > t.right || box.bottom < t.top || box.top > t.bottom;
    if (inside && taken.every(apart)) {
      taken.push(box);
      return [left, base];
    }
  }
  return null; // no room: the list beside the chart still says which it is
}

const drawn = () => DATA.methods.filter((m) => state.shown[m.name] && Number.isFinite(found[m.name].integral));

function curves(id, value, frame, named) {
  const { svg, X, Y } = frame, peaks = [];
  for (const m of drawn()) {
    const psi = found[m.name].psi, points = [...DRAWN, ...(psi > 0 ? [psi] : [])].sort((a, b) => a - b);
    const line = points.map((p) => [X(p), Y(value(m.name, p))]).filter(([, y]) => Number.isFinite(y));
    const look = { stroke: `var(--line-${m.index})`, "stroke-dasharray": m.dash.map((d) => d * 2.2).join(" ") };
    element(svg, "path", { class: "curve", id: `${id}/${m.name}`, d: path(line), ...look });
    if (!Number.isNaN(psi)) peaks.push({ m, psi, x: X(psi), y: Y(value(m.name, psi)) });
  }
  const taken = peaks.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
  for (const { m, psi, x, y } of peaks) {
    const colour = `var(--line-${m.index})`, look = { class: "marker", fill: colour, d: markerPath(m.marker, x, y, 6) };
    element(svg, "line", { class: "stem", x1: x, x2: x, y1: y, y2: frame.bottom, stroke: colour });
    element(svg, "path", { ...look, id: `${id}/${m.name}/psi`, "data-p": psi });
    const spot = named && place(taken, x, y, m.label, frame), style = `fill: var(--word-${m.index})`;
    if (spot) element(svg, "text", { class: "name", x: spot[0], y: spot[1], style }, m.label);
  }
}

function drawWeighting() {
  const phone = window.innerWidth <= 900, chosen = drawn().map((m) => m.name), log = state.scale === "log";
  const xlabel = phone ? "p of the given label" : "p, probability of the given label";
  const tops = chosen.map((n) => Math.max(...DRAWN.map((x) => density(n, x)).filter(Number.isFinite)));
  const h = axes("h", { height: phone ? 215 : 320, x: [0, 1], y: [0, round(1.04 * Math.max(1, ...tops))], xlabel });
  const area = { x: h.X(0), y: h.top, width: h.X(LOW) - h.X(0), height: h.bottom - h.top };
  h.svg.prepend(element(h.svg, "rect", { class: "doubt", ...area }));
  const start = { x: h.X(0) - 30, y: h.bottom + 33 };
  element(h.svg, "text", start, phone ? "◂ doubted" : "◂ doubted: hard, or the label is wrong");
  const end = { x: h.right, y: h.bottom + 33, "text-anchor": "end" };
  element(h.svg, "text", end, phone ? "believed ▸" : "believed: fitted ▸");
  curves("h", density, h, true);
  const largest = Math.max(0.01, ...chosen.map((n) => found[n].largest));
  const high = log ? 10 ** Math.ceil(Math.log10(largest * 1.02)) : round(1.04 * largest);
  const y = [log ? Math.min(0.01, high / 100) : 0, high];
  curves("w", weight, axes("w", { height: phone ? 215 : 205, x: [0, 1], y, log, xlabel }), false);
}

// A curve, and a marker with its number where the sliders stand.
function marked(frame, id, line, x, y, words = y.toFixed(3), fill = "var(--line-t)") {
  const { svg, X, Y } = frame, right = X(x) > (frame.left + frame.right) / 2;
  element(svg, "path", { class: "curve", d: path(line.map(([a, b]) => [X(a), Y(b)])), stroke: "var(--line-t)" });
  const cross = [[X(x), frame.bottom], [X(x), Y(y)], [frame.left, Y(y)]];
  element(svg, "path", { class: "at", d: path(cross), fill: "none" });
  const look = { class: "marker", d: markerPath("o", X(x), Y(y), 6.5), fill };
  element(svg, "path", { ...look, id, "data-x": x, "data-y": y });
  const down = Y(y) < frame.top + 24 ? 22 : -10;
  const spot = { x: X(x) + (right ? -9 : 9), y: Y(y) + down, "text-anchor": right ? "end" : "start" };
  element(svg, "text", { class: "name ink", ...spot }, words);
}

function rise(inside) { // the least confidence at which `inside` holds, by halving; 1 where none does
  let low = 1 / state.trust.C, high = 1;
  if (!inside(1)) return 1;
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2;
    if (inside(middle)) high = middle;
    else low = middle;
  }
  return high;
}

function drawTrust() {
  const { B, C, T, time, confidence } = state.trust, here = trusted(time, confidence), least = 1 / C;
  const steps = Array.from({ length: 81 }, (_, i) => i / 80), unit = { height: 236, x: [0, 1], y: [0, 1], marks: 4 };
  const g = steps.map((t) => [t, globalTrust(t, B)]);
  marked(axes("g", { ...unit, xlabel: "time t/T" }), "g/at", g, time, here.g);
  const spread = [...steps, 0.995, 0.999, 0.9999].sort((a, b) => a - b).map((x) => least + x * (1 - least));
  const l = spread.map((x) => [x, localTrust(x, C, T)]);
  marked(axes("l", { ...unit, xlabel: "confidence, max p" }), "l/at", l, confidence, here.l);
  drawProduct(axes("e", { ...unit, xlabel: "time t/T", ylabel: "confidence, max p" }), steps, here);
}

function drawProduct(frame, steps, here) { // bands of epsilon = 0.1, 0.2 ... 0.9 over time and confidence
  const { svg, X, Y } = frame, { B, C, T, time, confidence } = state.trust;
  for (const level of [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) {
    const edge = steps.map((t) => [X(t), Y(rise((x) => globalTrust(t, B) * localTrust(x, C, T) >= level))]);
    element(svg, "path", { class: "level", d: path([...edge, [X(1), Y(1)], [X(0), Y(1)]]) + "Z" });
  }
  const turns = (t, x) => { const s = trusted(t, x); return s.learner > s.label; };
  const turn = steps.map((t) => [t, rise((x) => turns(t, x))]).filter(([, x]) => x < 1);
  element(svg, "path", { class: "turn", d: path(turn.map(([t, x]) => [X(t), Y(x)])) });
  marked(frame, "e/at", [], time, confidence, `ε = ${here.epsilon.toFixed(3)}`, "var(--ink)");
}
