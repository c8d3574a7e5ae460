"use strict";
// The dashboard asks /status once a second while somebody looks, and draws what it is told. Counters only grow, so what has happened
// between two answers is their difference; percentiles come from the differences of histograms. Nothing that is told is ever
// taken for markup: all text goes through textContent.

const EVERY_MS = 1000, KEPT_S = 300, NOW_S = 5, SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function draw(name, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== "") node.textContent = text;
  return node;
}
function put(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}
function mark(node, name, is) {
  if (node.classList.contains(name) !== is) node.classList.toggle(name, is);
}

// ---- words and numbers

function short(n) {
  if (n >= 1e6) return (n / 1e6).toFixed(n < 1e7 ? 1 : 0) + "M";
  if (n >= 1e4) return (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + "k";
  return n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n.toFixed(n < 10 ? 1 : 0);
}
function latency(us) {
  if (us === null) return ["–", ""];
  if (us < 1000) return [String(Math.round(us)), "µs"];
  if (us < 1e6) return [us < 1e4 ? (us / 1e3).toFixed(1) : String(Math.round(us / 1e3)), "ms"];
  return [(us / 1e6).toFixed(us < 1e7 ? 1 : 0), "s"];
}
const showLatency = (us) => latency(us).join(us === null ? "" : " ");
function span(ms) {
  const s = ms / 1000;
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + (Math.floor(s / 60) % 60) + " min";
  return Math.floor(s / 86400) + " d " + (Math.floor(s / 3600) % 24) + " h";
}

// ---- what is known

const sum = (list) => list.reduce((a, b) => a + b, 0);
const minus = (now, before) => now.map((n, at) => Math.max(0, n - (before ? before[at] : 0)));
const plus = (a, b) => (a ? a.map((n, at) => n + b[at]) : b.slice());

let bounds = [];
/** The quantile of buckets, in microseconds, as if they were filled evenly; null if they are empty. */
function quantile(buckets, q) {
  let rank = Math.max(1, Math.ceil(sum(buckets) * q));
  if (sum(buckets) === 0) return null;
  for (let at = 0; at < buckets.length; at++) {
    if (rank <= buckets[at]) {
      const below = at === 0 ? 0 : bounds[at - 1];
      return at >= bounds.length ? below : below + ((bounds[at] - below) * rank) / buckets[at];
    }
    rank -= buckets[at];
  }
  return null;
}

/** What all backends of an answer have counted: by backend, and together. */
function counted(status) {
  const backends = new Map(), causes = new Map();
  let whole = null, classes = null;
  for (const [pool, served] of Object.entries(status.traffic.pools)) {
    for (const [word, n] of Object.entries(served.causes)) causes.set(word, (causes.get(word) || 0) + n);
    for (const [name, passed] of Object.entries(served.backends)) {
      backends.set(pool + "/" + name, passed);
      whole = plus(whole, passed.whole);
      classes = plus(classes, passed.classes);
    }
  }
  return { at: performance.now(), pid: status.pid, backends, causes, whole: whole || [], classes: classes || [0, 0, 0, 0, 0, 0] };
}

let answers = []; // What was counted, the latest last; as far back as the plots show.
let points = []; // What is plotted.

/** The latest answer and the one of so many seconds before. */
function window_(seconds) {
  const last = answers[answers.length - 1];
  let first = answers[0];
  for (const answer of answers) if (last.at - answer.at >= seconds * 1000 - 100) first = answer;
  return [first, last, Math.max(0.001, (last.at - first.at) / 1000)];
}

function take(status) {
  bounds = status.traffic.bounds_us;
  const now = counted(status), before = answers[answers.length - 1];
  if (before && (before.pid !== now.pid || sum(now.classes) < sum(before.classes))) {
    answers = [];
  }
  answers.push(now);
  answers = answers.filter((answer) => now.at - answer.at <= (KEPT_S + 2) * 1000);
  if (answers.length > 1) {
    const [first, last, s] = window_(2);
    const classes = minus(last.classes, first.classes).map((n) => n / s);
    const buckets = minus(last.whole, first.whole);
    points.push({
      at: now.at, ok: classes[1] + classes[2] + classes[3], client: classes[4], fail: classes[0] + classes[5],
      p50: quantile(buckets, 0.5), p90: quantile(buckets, 0.9), p99: quantile(buckets, 0.99),
    });
  }
  points = points.filter((point) => now.at - point.at <= KEPT_S * 1000);
}

// ---- plots

const SERIES = {
  rate: [["ok", "ok", (p) => p.ok], ["client", "4xx", (p) => p.client], ["fail", "5xx, none", (p) => p.fail]],
  latency: [["p50", "p50", (p) => p.p50], ["p90", "p90", (p) => p.p90], ["p99", "p99", (p) => p.p99]],
};
/** How far back the plots reach, in seconds: a minute at first, and more as there is more. */
function reach() {
  const age = points.length ? (points[points.length - 1].at - points[0].at) / 1000 : 0;
  return Math.min(KEPT_S, Math.max(60, Math.ceil(age / 60) * 60));
}
const pointed = { rate: null, latency: null };

function legend(name) {
  const list = $("l-" + name);
  const items = SERIES[name].map(([key, word]) => {
    const sign = draw("svg", { viewBox: "0 0 16 8", "aria-hidden": "true" });
    sign.append(name === "rate" ? draw("rect", { width: 16, height: 8, rx: 2, class: "area " + key }) : draw("path", { d: "M0 4H16", class: "line " + key }));
    const value = el("b");
    list.append(el("li", {}, sign, word + " ", value));
    return value;
  });
  const plot = $("p-" + name);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    pointed[name] = (event.clientX - box.left) / box.width;
    plotAll();
  });
  plot.addEventListener("pointerleave", () => { pointed[name] = null; plotAll(); });
  return items;
}

/** A round number not below `n`. */
function ceiling(n) {
  const step = 10 ** Math.floor(Math.log10(Math.max(n, 1e-9)));
  return [1, 2, 5, 10].map((m) => m * step).find((m) => m >= n * 0.999);
}

function plot(name, values) {
  const svg = $("p-" + name), width = svg.clientWidth, height = svg.clientHeight;
  if (width === 0) return;
  const left = 44, bottom = height - 18, top = 6, now = points.length ? points[points.length - 1].at : 0;
  const back_s = reach();
  const x = (at) => left + (width - left) * (1 - (now - at) / (back_s * 1000));
  let y, ticks;
  if (name === "rate") {
    const most = ceiling(Math.max(1, ...points.map((p) => p.ok + p.client + p.fail)) * 1.05);
    y = (n) => bottom - ((bottom - top) * n) / most;
    ticks = [0, most / 2, most].map((n) => [n, short(n)]);
  } else {
    const known = points.flatMap((p) => [p.p50, p.p99]).filter((n) => n !== null && n > 0);
    const low = Math.floor(Math.log10(Math.min(1000, ...known))), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1000, ...known)) - 0.001));
    y = (n) => bottom - ((bottom - top) * (Math.log10(Math.max(n, 10 ** low)) - low)) / (high - low);
    ticks = [];
    for (let power = low; power <= high; power++) ticks.push([10 ** power, showLatency(10 ** power)]);
  }
  const parts = [];
  for (const [n, text] of ticks) {
    parts.push(draw("line", { x1: left, x2: width, y1: Math.round(y(n)), y2: Math.round(y(n)), class: n === ticks[0][0] ? "grid base" : "grid" }));
    parts.push(draw("text", { x: left - 8, y: y(n) + 4, "text-anchor": "end" }, text));
  }
  const step = back_s === 60 ? 15 : width < 460 && back_s > 120 ? 120 : 60;
  for (let ago = 0; ago <= back_s; ago += step) {
    const anchor = ago === 0 ? "end" : ago === back_s ? "start" : "middle";
    const text = ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
    parts.push(draw("text", { x: x(now - ago * 1000), y: height - 3, "text-anchor": anchor }, text));
  }
  if (name === "rate") {
    const layers = [["ok", (p) => 0, (p) => p.ok], ["client", (p) => p.ok, (p) => p.ok + p.client], ["fail", (p) => p.ok + p.client, (p) => p.ok + p.client + p.fail]];
    for (const [key, from, to] of layers) {
      if (points.length < 2) break;
      const there = points.map((p) => x(p.at).toFixed(1) + " " + y(to(p)).toFixed(1));
      const back = points.map((p) => x(p.at).toFixed(1) + " " + y(from(p)).toFixed(1)).reverse();
      parts.push(draw("path", { d: "M" + there.concat(back).join("L") + "Z", class: "area " + key }));
    }
    parts.push(line(points.map((p) => [x(p.at), y(p.ok + p.client + p.fail)]), "total"));
  } else {
    for (const [key, , of] of SERIES.latency) parts.push(line(points.map((p) => (of(p) === null ? null : [x(p.at), y(of(p))])), key));
  }
  let point = points[points.length - 1];
  if (pointed[name] !== null && points.length) {
    const at = now - (1 - (pointed[name] * width - left) / (width - left)) * back_s * 1000;
    point = points.reduce((best, p) => (Math.abs(p.at - at) < Math.abs(best.at - at) ? p : best));
    parts.push(draw("line", { x1: x(point.at), x2: x(point.at), y1: top, y2: bottom, class: "cross" }));
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  SERIES[name].forEach(([, , of], at) => put(values[at], point ? (name === "rate" ? short(of(point)) : showLatency(of(point))) : "–"));
}
function line(places, key) {
  let d = "", pen = "M";
  for (const place of places) {
    if (place === null) { pen = "M"; continue; }
    d += pen + place[0].toFixed(1) + " " + place[1].toFixed(1);
    pen = "L";
  }
  return draw("path", { d: d || "M0 0", class: "line " + key });
}
const values = { rate: legend("rate"), latency: legend("latency") };
function plotAll() {
  plot("rate", values.rate);
  plot("latency", values.latency);
}
new ResizeObserver(plotAll).observe($("p-rate"));

// ---- backends

const COLUMNS = [
  ["state", "State", (r) => r.order], ["name", "Backend", (r) => r.name], ["address", "Address", (r) => r.address],
  ["weight", "Weight", (r) => r.weight], ["flight", "In flight", (r) => r.flight], ["rate", "Req/s", (r) => r.rate],
  ["p50", "p50", (r) => r.p50 ?? -1], ["p99", "p99", (r) => r.p99 ?? -1], ["failed", "Failed/s", (r) => r.failed],
];
const NUMBERS = new Set(["weight", "flight", "rate", "p50", "p99", "failed"]);
const LOOKS = {
  up: ["s-up", "good", 6], warming: ["s-warming", "warm", 4], unchecked: ["s-unchecked", "warm", 5], ejected: ["s-ejected", "bad", 1], down: ["s-down", "bad", 0],
};
const pools = new Map(); // By name: the section, its rows, how it is sorted.

function look(backend) {
  if (backend.state === "drain") return ["s-drain", "off", 3, "draining"];
  if (backend.state === "down") return ["s-off", "off", 2, "taken out"];
  const [symbol, tone, order] = LOOKS[backend.standing] || LOOKS.unchecked;
  return [symbol, tone, order, backend.standing];
}

function makePool(name) {
  const title = el("h3", {}, name), facts = el("p"), panic = el("p", { class: "panic", hidden: "" }, "too few are well: requests go to all");
  const head = el("tr"), body = el("tbody");
  const table = el("table", {}, el("caption", { class: "hidden" }, "Backends of the pool " + name), el("thead", {}, head), body);
  const pool = { name, facts, panic, body, rows: new Map(), sort: null, falls: false, heads: new Map() };
  for (const [key, word] of COLUMNS) {
    const button = el("button", { type: "button" }, word);
    const th = el("th", { scope: "col", class: (NUMBERS.has(key) ? "n " : "") + key }, button);
    button.addEventListener("click", () => {
      // A second click turns the order around, a third one brings back that of the configuration.
      const first = NUMBERS.has(key);
      if (pool.sort !== key) [pool.sort, pool.falls] = [key, first];
      else if (pool.falls === first) pool.falls = !first;
      else pool.sort = null;
      for (const [other, cell] of pool.heads) {
        if (other === pool.sort) cell.setAttribute("aria-sort", pool.falls ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      }
      arrange(pool);
    });
    pool.heads.set(key, th);
    head.append(th);
  }
  head.append(el("th", { scope: "col", class: "marks" }, el("span", {}, "Seen")), el("th", { scope: "col", class: "figures" }, "Figures"), el("th", { scope: "col", class: "act" }, el("span", { class: "hidden" }, "Change")));
  pool.section = el("section", { class: "pool", "data-pool": name }, el("header", {}, title, facts, panic), table);
  return pool;
}

function makeRow(pool, name) {
  const cell = (kind) => el("td", { class: kind });
  const row = { pool, name, cells: {}, symbol: draw("use"), word: el("span"), note: el("small") };
  const icon = draw("svg", { "aria-hidden": "true" });
  icon.append(row.symbol);
  row.tone = el("span", {}, icon, row.word);
  row.cells.state = el("td", { class: "state" }, row.tone, row.note);
  row.cells.name = cell("name");
  row.cells.address = cell("address");
  for (const key of NUMBERS) row.cells[key] = cell("n " + key);
  row.strip = draw("svg", { viewBox: "0 0 96 14", "aria-hidden": "true" });
  row.seen = el("button", { type: "button", class: "seen", "aria-haspopup": "dialog" });
  row.seen.append(row.strip);
  row.cells.figures = cell("figures");
  row.button = el("button", { type: "button" });
  row.button.addEventListener("click", () => act(row));
  const id = pool.name + "/" + name;
  row.seen.addEventListener("pointerenter", () => openPop(row, false));
  row.seen.addEventListener("pointerleave", () => closePopSoon());
  row.seen.addEventListener("focus", () => { if (row.seen.matches(":focus-visible")) openPop(row, false); });
  row.seen.addEventListener("blur", () => closePopSoon());
  row.seen.addEventListener("click", () => openPop(row, true));
  row.tr = el("tr", { "data-backend": id }, ...COLUMNS.map(([key]) => row.cells[key]), el("td", { class: "marks" }, row.seen), row.cells.figures, el("td", { class: "act" }, row.button));
  return row;
}

function showMarks(row, marks) {
  if (row.marks === marks) return;
  row.marks = marks;
  const shown = marks.slice(-16), from = 16 - shown.length;
  const rects = [];
  for (let at = 0; at < 16; at++) {
    const kind = at < from ? "none" : shown[at - from];
    rects.push(draw("rect", { x: at * 6, width: 4, rx: 1, y: kind === "i" ? 0 : kind === "w" ? 4 : 6, height: kind === "i" ? 14 : kind === "w" ? 8 : 2, class: kind }));
  }
  row.strip.replaceChildren(...rects);
  const ill = [...shown].filter((c) => c === "i").length;
  row.seen.setAttribute("aria-label", `${row.name}: ${shown.length ? `${ill} of the last ${shown.length} observations were ill` : "nothing was observed yet"}`);
}

function showRow(row, backend, changed) {
  const id = row.pool.name + "/" + row.name, [first, last, s] = window_(NOW_S);
  const passed = last.backends.get(id), before = first.backends.get(id);
  const buckets = passed ? minus(passed.whole, before && before.whole) : [];
  const failures = (of) => (of ? sum(Object.values(of.failures)) : 0);
  row.rate = passed ? sum(minus(passed.classes, before && before.classes)) / s : 0;
  row.failed = Math.max(0, failures(passed) - failures(before)) / s;
  [row.p50, row.p99, row.flight, row.weight, row.address, row.backend] = [quantile(buckets, 0.5), quantile(buckets, 0.99), backend.in_flight, backend.weight, backend.address, backend];
  const [symbol, tone, order, word] = look(backend);
  row.order = order;
  if (row.symbol.getAttribute("href") !== "#" + symbol) row.symbol.setAttribute("href", "#" + symbol);
  if (row.tone.className !== tone) row.tone.className = tone;
  put(row.word, word);
  const by = changed.find((change) => change.what === "state");
  const notes = [];
  if (backend.state !== "ready" && backend.standing !== "up") notes.push("and " + backend.standing);
  if (by) notes.push(span(by.age_ms));
  else if (backend.left_ms !== null) notes.push(span(backend.left_ms) + " left");
  else if (backend.since_ms !== null) notes.push(span(backend.since_ms));
  if (backend.share < 1000) notes.push("at " + Math.round(backend.share / 10) + " %");
  put(row.note, notes.join(", "));
  row.tr.title = by ? `${by.value} by ${by.by}` : "";
  put(row.cells.name, row.name);
  put(row.cells.address, backend.address);
  put(row.cells.weight, backend.weight);
  const weighed = changed.find((change) => change.what === "weight");
  mark(row.cells.weight, "changed", Boolean(weighed));
  row.cells.weight.title = weighed ? `${weighed.value} by ${weighed.by}; the configuration says ${weighed.filed}` : "";
  number(row.cells.flight, backend.in_flight, short(backend.in_flight));
  number(row.cells.rate, row.rate, short(row.rate));
  number(row.cells.p50, row.p50 ?? 0, showLatency(row.p50));
  number(row.cells.p99, row.p99 ?? 0, showLatency(row.p99));
  number(row.cells.failed, row.failed, short(row.failed));
  put(row.cells.figures, `${short(row.rate)} req/s · p99 ${showLatency(row.p99)} · ${short(backend.in_flight)} in flight · weight ${backend.weight}`);
  showMarks(row, backend.marks);
  const verb = backend.state === "ready" ? "Drain" : "Ready";
  put(row.button, verb);
  mark(row.button, "main", verb === "Ready");
  row.button.setAttribute("aria-label", `${verb} ${id}`);
  row.text = [row.name, backend.address, word, backend.standing, row.pool.name].join(" ").toLowerCase();
}
function number(cell, n, text) {
  put(cell, text);
  mark(cell, "zero", n === 0);
}

function arrange(pool) {
  const wanted = $("find").value.trim().toLowerCase();
  let rows = [...pool.rows.values()];
  if (pool.sort) {
    const of = COLUMNS.find(([key]) => key === pool.sort)[2], sign = pool.falls ? -1 : 1;
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
    rows = rows.map((row, at) => [row, at]).sort((a, b) => sign * compare(of(a[0]), of(b[0])) || a[1] - b[1]).map(([row]) => row);
  }
  let shown = 0;
  rows.forEach((row, at) => {
    const hides = wanted !== "" && !row.text.includes(wanted);
    if (row.tr.hidden !== hides) row.tr.hidden = hides;
    shown += hides ? 0 : 1;
    if (pool.body.children[at] !== row.tr) pool.body.insertBefore(row.tr, pool.body.children[at] || null);
  });
  pool.section.hidden = wanted !== "" && shown === 0;
  return shown;
}

function showPools(status) {
  const there = new Set(), changed = new Map();
  for (const change of status.changes) changed.set(change.backend, [...(changed.get(change.backend) || []), change]);
  let [all, well, shown] = [0, 0, 0];
  for (const told of status.pools) {
    there.add(told.name);
    let pool = pools.get(told.name);
    if (!pool) {
      pool = makePool(told.name);
      pools.set(told.name, pool);
      $("pool-list").append(pool.section);
    }
    const names = new Set(told.backends.map((backend) => backend.name));
    for (const [name, row] of pool.rows) if (!names.has(name)) { row.tr.remove(); pool.rows.delete(name); }
    let [usable, rate] = [0, 0];
    for (const backend of told.backends) {
      let row = pool.rows.get(backend.name);
      if (!row) pool.rows.set(backend.name, (row = makeRow(pool, backend.name)));
      showRow(row, backend, changed.get(told.name + "/" + backend.name) || []);
      rate += row.rate;
      usable += backend.state === "ready" && (backend.standing === "up" || backend.standing === "warming") ? 1 : 0;
    }
    put(pool.facts, `${usable} of ${told.backends.length} serve · ${short(rate)} req/s`);
    pool.panic.hidden = !told.panics;
    [all, well, shown] = [all + told.backends.length, well + usable, shown + arrange(pool)];
  }
  for (const [name, pool] of pools) if (!there.has(name)) { pool.section.remove(); pools.delete(name); }
  put($("sum"), $("find").value.trim() ? `${shown} of ${all} shown` : well === all ? `all ${all} serve` : `${well} of ${all} serve, ${all - well} ${all - well === 1 ? "does" : "do"} not`);
}

// ---- what is done

async function act(row) {
  const wanted = row.backend.state === "ready" ? "drain" : "ready", id = row.pool.name + "/" + row.name;
  const others = [...row.pool.rows.values()].some((other) => other !== row && other.backend.state === "ready" && other.backend.weight > 0);
  if (wanted === "drain" && !others && !(await ask(`No other backend of ${row.pool.name} takes new requests. If ${id} is drained they are answered with 503.`))) return;
  await change(id, { state: wanted }, row.button);
}
async function change(id, what, button) {
  button.disabled = true;
  try {
    const at = id.indexOf("/");
    const path = `/backends/${encodeURIComponent(id.slice(0, at))}/${encodeURIComponent(id.slice(at + 1))}`;
    const response = await call(path, { method: "POST", body: JSON.stringify(what), headers: { "Content-Type": "application/json" } });
    const told = await response.json();
    toast(response.ok ? told.done : told.error);
  } catch (error) {
    toast("There was no answer: " + error.message);
  } finally {
    button.disabled = false;
  }
  await look_();
}
function ask(text) {
  const dialog = $("sure");
  $("sure-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
let toasted;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toasted);
  toasted = setTimeout(() => $("toast").classList.remove("shown"), 6000);
}

// ---- the last observations of a backend

let popRow = null, closing, stays = false;
async function openPop(row, isAsked) {
  clearTimeout(closing);
  if (popRow === row && !isAsked) return;
  popRow = row;
  stays = isAsked;
  const response = await call(`/backends/${encodeURIComponent(row.pool.name)}/${encodeURIComponent(row.name)}`);
  if (popRow !== row || !response.ok) return;
  const backend = await response.json(), list = el("ol");
  for (const seen of backend.history.slice().reverse()) {
    list.append(el("li", {}, el("span", { class: "age" }, span(seen.age_ms)), el("span", { class: seen.is_well ? "well" : "ill" }, seen.is_well ? "well" : "ill"), el("span", {}, seen.by), el("span", {}, seen.phase), el("span", { class: "found" }, seen.found)));
  }
  const pop = $("pop");
  pop.replaceChildren(el("h3", {}, `${row.pool.name}/${row.name}`), backend.history.length ? list : el("p", {}, "Nothing was observed of it yet."));
  pop.hidden = false;
  const box = row.seen.getBoundingClientRect(), room = document.documentElement.clientWidth;
  pop.style.left = Math.max(8, Math.min(box.left + scrollX, room - pop.offsetWidth - 12)) + "px";
  const above = box.bottom + pop.offsetHeight + 8 > innerHeight && box.top > pop.offsetHeight + 8;
  pop.style.top = (above ? box.top - pop.offsetHeight - 4 : box.bottom + 4) + scrollY + "px";
}
function closePop() {
  popRow = null;
  stays = false;
  $("pop").hidden = true;
}
function closePopSoon() {
  clearTimeout(closing);
  closing = setTimeout(() => { if (!stays) closePop(); }, 150);
}
$("pop").addEventListener("pointerenter", () => clearTimeout(closing));
$("pop").addEventListener("pointerleave", closePopSoon);
document.addEventListener("pointerdown", (event) => { if (stays && !$("pop").contains(event.target)) closePop(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && popRow) closePop();
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
    event.preventDefault();
    $("find").focus();
  }
});

// ---- the rest

function showTiles(status) {
  const [first, last, s] = window_(NOW_S);
  const classes = minus(last.classes, first.classes), all = sum(classes), failed = classes[0] + classes[5], buckets = minus(last.whole, first.whole);
  put($("t-rate"), answers.length > 1 ? short(all / s) : "–");
  for (const [key, q] of [["p50", 0.5], ["p99", 0.99]]) {
    const [text, unit] = latency(answers.length > 1 ? quantile(buckets, q) : null);
    put($("t-" + key), text);
    put($("u-" + key), unit);
  }
  const share = all ? (failed / all) * 100 : 0;
  put($("t-failed"), answers.length > 1 ? (share === 0 || share >= 10 ? share.toFixed(0) : share.toFixed(share < 0.1 ? 2 : 1)) : "–");
  mark($("tile-failed"), "alert", share >= 1);
  put($("t-flight"), short(sum(status.pools.flatMap((pool) => pool.backends.map((backend) => backend.in_flight)))));
  put($("t-clients"), short(sum(status.crowd.groups.map((group) => group.count))));
}

function showCauses() {
  const [first, last] = [answers[0], answers[answers.length - 1]];
  const rows = [...last.causes].map(([word, n]) => [word, n, n - (first.causes.get(word) || 0)]).filter(([, n]) => n > 0).sort((a, b) => b[2] - a[2] || b[1] - a[1]);
  if (rows.length === 0) return $("cause-list").replaceChildren(el("p", { class: "nothing" }, "None has."));
  const most = Math.max(1, ...rows.map((row) => row[2])), list = el("ul", { class: "rows cause" });
  for (const [word, n, lately] of rows.slice(0, 12)) {
    const filled = el("i"), meter = el("span", { class: "meter", "aria-hidden": "true" }, filled);
    filled.style.width = (lately / most) * 100 + "%";
    list.append(el("li", {}, el("span", { class: "word" }, word), meter, el("span", { class: "n" }, short(lately)), el("small", {}, `of ${short(n)}`)));
  }
  $("cause-list").replaceChildren(list, el("p", { class: "nothing" }, `while this page was open, of all since the start. pollux why ${rows[0][0]} says what to do.`));
}

const TERMS = { valid: ["s-up", "good", "valid"], "expires-soon": ["s-ejected", "warm", "expires soon"], expired: ["s-down", "bad", "expired"] };
// ---- the last exchanges that failed or were slow, and each of them step by step

const outcome = (story) => [story.status || "no answer", story.cause || story.kept].join(" ");
let storiesAt = -Infinity, storiesOf = -1;
/** Asks for them when there are more failures than before, and now and then because they grow older. */
async function showStories() {
  const failed = sum([...answers[answers.length - 1].causes.values()]), age = performance.now() - storiesAt;
  if (age < 2000 || (age < 10000 && failed === storiesOf)) return;
  [storiesAt, storiesOf] = [performance.now(), failed];
  let stories;
  try {
    const response = await call("/recorder?count=6");
    if (!response.ok) return;
    stories = await response.json();
  } catch (error) {
    return; // The next look at the status says so.
  }
  const focused = document.activeElement.getAttribute("data-story");
  $("stories").hidden = stories.length === 0;
  $("story-list").replaceChildren(...stories.map((story) => {
    const told = el("button", { type: "button", "data-story": story.id }, el("span", { class: "age" }, span(story.ago_ms)), el("span", { class: "asked" }, story.request || story.listener), el("span", { class: "found" }, outcome(story)));
    told.addEventListener("click", () => openStory(story));
    return el("li", {}, told);
  }));
  if (focused) $("story-list").querySelector(`[data-story="${focused}"]`)?.focus();
}
function openStory(story) {
  put($("story-title"), `${story.request || "A connection"}: ${outcome(story)}`);
  const by = story.backend ? `${story.pool}/${story.backend}` : story.pool || "no pool";
  const route = story.route ? `, route ${story.route}` : "";
  put($("story-facts"), `${story.client} to ${story.listener}${route}, ${by}; ${showLatency(story.took_us)} in all, ${span(story.ago_ms)} ago. Request ${story.request_id}.`);
  const steps = story.steps.map((step) => el("li", {}, el("span", { class: "at" }, showLatency(step.at_us)), el("span", {}, step.text)));
  if (story.left_out > 0) steps.splice(-1, 0, el("li", {}, el("span", { class: "at" }, "…"), el("span", {}, `${story.left_out} more`)));
  $("story-steps").replaceChildren(...steps);
  put($("story-hint"), story.cause ? `pollux why ${story.cause} says what to do about it.` : "");
  $("story").showModal();
}

let certificatesShown = "";
function showCertificates(status) {
  const certificates = status.certificates.slice().sort((a, b) => a.days_left - b.days_left), key = JSON.stringify(certificates);
  if (key === certificatesShown) return;
  certificatesShown = key;
  $("certificates").hidden = certificates.length === 0;
  const list = el("ul", { class: "certificates" });
  for (const one of certificates.slice(0, 12)) {
    const [symbol, tone, word] = TERMS[one.term] || TERMS.expired;
    const icon = draw("svg", { "aria-hidden": "true" });
    icon.append(draw("use", { href: "#" + symbol }));
    const days = Math.abs(one.days_left), count = `${days} ${days === 1 ? "day" : "days"} ${one.days_left < 0 ? "ago" : "left"}`;
    const term = el("span", { class: "state" }, el("span", { class: tone }, icon, el("span", {}, word)));
    const stale = one.stale_s === null ? [] : [el("small", { class: "stale" }, ` a new one cannot be taken for ${span(one.stale_s * 1000)}: ${one.stale_why}`)];
    const of = el("span", { class: "word" }, one.names.join(", ") || one.file, el("small", {}, ` ${one.listener}`), ...stale);
    list.append(el("li", { title: one.file, "data-term": one.term, "data-stale": String(one.stale_s !== null) }, of, term, el("span", { class: "n" }, count)));
  }
  $("certificate-list").replaceChildren(list, ...(certificates.length > 12 ? [el("p", { class: "nothing" }, `and ${certificates.length - 12} more, which last longer`)] : []));
}

let changesShown = "";
function showChanges(status) {
  const key = JSON.stringify(status.changes.map(({ age_ms, ...rest }) => [rest, span(age_ms)]));
  if (key === changesShown) return;
  changesShown = key;
  const focused = document.activeElement.getAttribute("data-undo");
  const rows = status.changes.map((one) => {
    const undo = el("button", { type: "button", class: "undo", "data-undo": one.backend + " " + one.what, "aria-label": `Undo: ${one.backend} ${one.what}` }, "Undo");
    const back = one.what === "state" ? { state: one.filed } : { weight: null };
    undo.addEventListener("click", () => change(one.backend, back, undo));
    return el("div", { class: "change" }, el("span", {}, `${one.backend}: ${one.what} ${one.value}`, el("small", {}, `${span(one.age_ms)} ago by ${one.by}; the configuration says ${one.filed}`)), undo);
  });
  $("change-list").replaceChildren(...(rows.length ? rows : [el("p", { class: "nothing" }, "Nothing: it runs as configured.")]));
  if (focused) for (const button of document.querySelectorAll(".undo")) if (button.getAttribute("data-undo") === focused) button.focus();
}

function showCrowd(status) {
  const groups = status.crowd.groups;
  if (groups.length === 0) return $("crowd-list").replaceChildren(el("p", { class: "nothing" }, "Nobody is there."));
  const most = Math.max(...groups.map((group) => group.count)), list = el("ul", { class: "rows kind" });
  for (const group of groups) {
    const filled = el("i"), meter = el("span", { class: "meter", "aria-hidden": "true" }, filled);
    filled.style.width = (group.count / most) * 100 + "%";
    list.append(el("li", {}, el("span", {}, group.kind), meter, el("span", { class: "n" }, short(group.count)), el("small", {}, "oldest " + span(group.oldest_ms))));
  }
  const busy = status.crowd.holders.filter((one) => one.request !== "" || one.kind === "tcp").slice(0, 4);
  const oldest = el("ul", { class: "oldest" }, ...busy.map((one) => el("li", { title: one.id }, `${span(one.age_ms)}  ${one.kind}  ${one.request}  ${one.client}${one.backend ? " → " + one.backend : ""}`)));
  $("crowd-list").replaceChildren(list, ...(busy.length ? [oldest] : []));
}

function show(status) {
  take(status);
  const file = status.configuration.file || "the command line";
  put($("where"), `${status.version} · process ${status.pid} · up ${span(status.uptime_ms)} · ${status.workers.length} ${status.workers.length === 1 ? "worker" : "workers"} · ${file}${readOnly ? " · read-only" : ""}`);
  if (status.drain) pulse("drain", `draining, ${span(status.drain.left_ms)} left`);
  else pulse("live", "serving");
  showTiles(status);
  plotAll();
  showPools(status);
  showCertificates(status);
  showCauses();
  showStories();
  showChanges(status);
  showCrowd(status);
}
function pulse(state, text) {
  $("pulse").setAttribute("data-state", state);
  put($("pulse-text"), text);
}

// ---- asking

const readOnly = document.body.hasAttribute("data-readonly");
const KEPT = "pollux-token";
function call(path, options = {}) {
  const token = sessionStorage.getItem(KEPT), headers = { ...options.headers };
  if (token) headers.Authorization = "Bearer " + token;
  return fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(10000) });
}
function login() {
  const dialog = $("login");
  if (dialog.open) return;
  if (sessionStorage.getItem(KEPT)) put($("login-text"), "That was not the token of this Pollux.");
  sessionStorage.removeItem(KEPT);
  $("token").value = "";
  dialog.showModal();
  dialog.addEventListener("close", () => {
    if ($("token").value) sessionStorage.setItem(KEPT, $("token").value);
    look_();
  }, { once: true });
}

let due, lostSince = null, asking = false;
async function look_() {
  clearTimeout(due);
  if (asking) return;
  asking = true;
  let rest = EVERY_MS;
  try {
    const response = await call("/status?history=marks");
    if (response.status === 401) {
      login();
      return;
    }
    if (!response.ok) throw new Error((await response.json()).error);
    show(await response.json());
    lostSince = null;
    $("banner").hidden = true;
  } catch (error) {
    lostSince ??= performance.now();
    pulse("lost", "no answer");
    put($("banner"), `No answer for ${span(performance.now() - lostSince)}: what is shown is old. (${error.message})`);
    $("banner").hidden = false;
    rest = Math.min(10000, EVERY_MS + (performance.now() - lostSince) / 5);
  } finally {
    asking = false;
  }
  if (!document.hidden) due = setTimeout(look_, rest);
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(due);
  else look_();
});
$("find").addEventListener("input", () => pools.forEach(arrange));
look_();
