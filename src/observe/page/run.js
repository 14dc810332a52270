"use strict";
// What events mean is not known here. The page gets, for each step, what to say and what changes in the panel.
const run = JSON.parse(document.getElementById("run").textContent);
const $ = (id) => document.getElementById(id);
const last = run.steps.length, LOOP = 0, HEAD = 24, ROW = 34, BAR = 18, GUTTER = 146;
const text = (number) => run.texts[number];
const nameOf = new Map(run.lanes), laneName = (lane) => lane === LOOP ? "a callback" : nameOf.get(lane) ?? `task-${lane}`;
const seconds = (nanos) => `${Math.floor(nanos / 1e9)}.${String(Math.floor(nanos / 1e6) % 1000).padStart(3, "0")}`;
const rows = run.steps.map((columns) => {
  const [at, cause, lane, focus, who, sign, told, tail, place, stands, stop, explained, talk, ...change] = columns;
  return { at, cause, lane, focus, who, sign, told, tail, place, stands, stop, explained, talk, change };
});
const row = (step) => rows[step - 1];

// ---- the state at a step: some are kept, and the changes since lead to the others
const EVERY = 1024, kept = [];
const copy = ({ ready, parked, timers, sources, holders }) => ({
  ready: ready.slice(), parked: new Map(parked), timers: new Map(timers), sources: new Set(sources), holders: new Map(holders),
});
function apply(s, [ready, parked, timer, source, lock]) {
  if (Array.isArray(ready)) s.ready = ready.slice();
  else if (ready > 0) s.ready.push(ready);
  else if (ready < 0) s.ready.splice(s.ready.indexOf(-ready), 1);
  if (Array.isArray(parked)) s.parked.set(parked[0], parked); else if (parked < 0) s.parked.delete(-parked);
  if (Array.isArray(timer)) s.timers.set(timer[0], timer); else if (timer < 0) s.timers.delete(-timer);
  if (source > 0) s.sources.add(source); else if (source < 0) s.sources.delete(-source);
  if (Array.isArray(lock)) s.holders.set(...lock);
}
{
  const state = copy({ ready: [] });
  for (let step = 0; step <= last; step++) {
    if (step > 0) apply(state, row(step).change);
    if (step % EVERY === 0) kept.push(copy(state));
  }
}
function stateAt(step) {
  const state = copy(kept[Math.floor(step / EVERY)]);
  for (let next = step - step % EVERY + 1; next <= step; next++) apply(state, row(next).change);
  return state;
}

// ---- what is looked up by lane or by step
const byLane = (list, key) => {
  const lanes = new Map();
  for (const item of list) lanes.has(key(item)) ? lanes.get(key(item)).push(item) : lanes.set(key(item), [item]);
  return (lane) => lanes.get(lane) ?? [];
};
const slicesOf = byLane(run.slices, ([lane]) => lane), momentsOf = byLane(run.moments, ([, lane]) => lane);
const talksOf = byLane(rows.map((row, n) => [n + 1, row]).filter(([, row]) => row.talk), ([, row]) => row.lane);
const printed = run.moments.filter(([, , what]) => what === 0);
/** How many of a sorted list keep a condition that its first ones keep. */
function count(list, keeps) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keeps(list[middle])) low = middle + 1; else high = middle;
  }
  return low;
}

// ---- where one is
const view = { step: -1, byTime: false, left: 0, scale: 1, top: 0, hidden: new Set() }, stops = [];
let lanes, place; // those that are shown, and which of them is where
function list() {
  lanes = run.lanes.filter(([lane]) => !view.hidden.has(lane));
  place = new Map(lanes.map(([lane], n) => [lane, n]));
}
list();
const value = (step) => view.byTime ? row(Math.min(Math.max(step, 1), last))?.at / 1e9 || 0 : step;
const ends = () => view.byTime ? [value(1), Math.max(value(last), value(1) + 1e-9)] : [1, last + 1];
const x = (step) => GUTTER + (value(step) - view.left) * view.scale;
const size = () => [$("picture").clientWidth, $("picture").clientHeight];
/** A slice that takes no time is drawn as long as a step. */
const endOf = (from, to) => view.byTime ? x(to) : x(Math.max(to, from + 1));

function fit() {
  const [from, to] = ends();
  view.left = from;
  view.scale = Math.max(1, size()[0] - GUTTER - 24) / (to - from);
  if (!view.byTime) view.scale = Math.min(view.scale, 46);
}
function zoom(factor, around = GUTTER + (size()[0] - GUTTER) / 2) {
  const at = view.left + (around - GUTTER) / view.scale, [from, to] = ends();
  const least = Math.max(1, size()[0] - GUTTER - 24) / (to - from);
  view.scale = Math.min(Math.max(view.scale * factor, Math.min(least, 46)), view.byTime ? least * 1e6 : 200);
  view.left = at - (around - GUTTER) / view.scale;
  pan(0, 0);
}
function pan(dx, dy) {
  const [from, to] = ends(), [width, height] = size();
  const room = (width - GUTTER - 24) / view.scale;
  view.left = Math.max(from, Math.min(view.left + dx / view.scale, to - room));
  view.top = Math.max(0, Math.min(view.top + dy, lanes.length * ROW - (height - HEAD) + ROW));
  render();
}
function follow() {
  const [width, height] = size(), here = x(view.step);
  if (here < GUTTER + 20 || here > width - 60) view.left = value(view.step) - (width - GUTTER) / 3 / view.scale;
  const lane = place.get(row(view.step)?.lane ?? LOOP), y = lane * ROW - view.top;
  if (lane !== undefined && (y < 0 || y > height - HEAD - ROW)) view.top = lane * ROW - (height - HEAD) / 2;
  pan(0, 0);
}
function go(step, isStop = true) {
  step = Math.min(Math.max(Math.round(step) || 0, 0), last);
  say("");
  if (step === view.step) return;
  if (isStop && view.step >= 0) stops.push(view.step);
  view.step = step;
  panel();
  follow();
  remember();
}
let pending = 0;
function remember() {
  clearTimeout(pending); // an address for each of many steps would be too many
  const address = `#step=${view.step}${view.byTime ? "&axis=time" : ""}`;
  pending = setTimeout(() => history.replaceState(null, "", address), 120);
}
function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("axis") && (asked.get("axis") === "time") !== view.byTime) swap();
  if (asked.has("step")) go(Number(asked.get("step")));
  else if (view.step < 0) go(rows.findIndex((row) => row.stop === "s") + 1);
}
function swap() {
  view.byTime = !view.byTime;
  $("axis").textContent = view.byTime ? "by time" : "by step";
  fit();
}
const say = (what) => { $("said").textContent = what; $("said").hidden = !what; };
const focus = () => row(view.step)?.focus ?? 1;
function seek(stop, lane, otherwise, back = false) {
  for (let step = view.step + (back ? -1 : 1); step > 0 && step <= last; step += back ? -1 : 1) {
    if (row(step).stop === stop && (lane === undefined || row(step).lane === lane)) return go(step);
  }
  say(otherwise);
}
const keys = {
  s: () => seek("s", undefined, "nobody is resumed any more"),
  e: () => view.step < last ? go(view.step + 1) : say("this is the last step"),
  n: () => seek("s", focus(), "it is not resumed any more"),
  i: () => seek("i", undefined, "there is no more news of I/O"),
  t: () => seek("t", undefined, "no timer fires any more"),
  o: () => seek("o", undefined, "nothing is printed any more"),
  r: () => seek("r", undefined, "this is the end"),
  m: () => seek("m", undefined, "no mark follows"),
  f: () => seek("f", focus(), "it has ended before this step, or never does"),
  P: () => seek("s", focus(), "it was not resumed before", true),
  p: () => stops.length ? go(stops.pop(), false) : say("there was no stop before this one"),
  c: () => row(view.step)?.cause ? go(row(view.step).cause) : say("nothing of this run caused it"),
  g: () => { $("number").focus(); $("number").select(); },
  a: () => { swap(); follow(); remember(); },
  x: () => hide(focus()),
  A: () => hide(),
  h: () => $("help").showModal(),
  "?": () => { $("explained").hidden = !$("explained").hidden; },
  "+": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: () => { fit(); pan(0, 0); },
  Home: () => go(1), End: () => go(last), ArrowLeft: () => go(view.step - 1),
  ArrowUp: () => pan(0, -ROW), ArrowDown: () => pan(0, ROW),
};
Object.assign(keys, { Enter: keys.s, ArrowRight: keys.e, "=": keys["+"] });
function hide(lane) {
  if (lane === undefined) view.hidden.clear(); else view.hidden.add(lane);
  list();
  $("all").hidden = !view.hidden.size;
  $("all").textContent = `show ${view.hidden.size} hidden`;
  pan(0, 0);
}

// ---- the panel. Names and printed lines are somebody else's text: they become text, never markup
function put(parent, tag, content, name) {
  const element = document.createElement(tag);
  if (content !== undefined) element.textContent = content;
  if (name) element.className = name;
  parent.append(element);
  return element;
}
const several = (list, none, between = ", ", most = 60) =>
  (list.length > most ? [...list.slice(0, most), `and ${list.length - most} more`] : list).join(between) || none;
function panel() {
  const now = row(view.step), state = stateAt(view.step), at = now?.at ?? 0;
  $("slider").value = $("number").value = view.step;
  $("slider").setAttribute("aria-valuetext", `step ${view.step} of ${last}`);
  $("when").textContent = now ? `step ${view.step} · ${seconds(at)} · ${text(now.who)}` : "before the first step";
  const tail = now?.tail ? `\n  ${text(now.tail)}` : "";
  $("told").textContent = now ? `${text(now.sign)} ${text(now.told)}${tail}`.trim() : "";
  $("explained").textContent = now ? text(now.explained) : "Nothing has happened yet.";
  $("because").replaceChildren();
  if (now?.cause) {
    const cause = row(now.cause), link = put($("because"), "button", `because of step ${now.cause}`);
    link.onclick = keys.c;
    put($("because"), "span", ` ${text(cause.who)}: ${text(cause.told)}`);
  }
  for (const [, , to, reason] of arrowsAt(view.step)) {
    put($("because"), "div", `→ ${laneName(to)}: ${text(reason)}`);
  }
  source(now);
  const of = focus(), talks = talksOf(of), so = count(talks, ([step]) => step <= view.step);
  $("talkers").textContent = `the loop and ${laneName(of)}`;
  $("talk").replaceChildren();
  for (const [step, { talk: [inward, what] }] of talks.slice(Math.max(0, so - 2), so)) {
    const [from, to] = inward ? ["──", "──►"] : ["◄──", "──"];
    put($("talk"), "div", `loop ${from} ${text(what)} ${to} ${laneName(of)}   step ${step}`);
  }
  $("ready").textContent = several(state.ready.map(laneName), "nobody");
  const due = (timer) => timer[1] ?? Infinity;
  const timers = [...state.timers.values()].sort((a, b) => due(a) - due(b) || a[0] - b[0]);
  const left = (timer) => timer[1] === null ? "never" : `in ${seconds(Math.max(0, timer[1] - at))}`;
  $("timers").textContent = several(timers.map((timer) => `${timer[0]}: ${laneName(timer[2])} ${left(timer)}`), "none");
  $("sources").textContent = several([...state.sources].sort((a, b) => a - b), "none");
  const parked = [...state.parked.values()].sort((a, b) => a[0] - b[0]);
  const held = (holder, lane) => holder && holder !== lane ? `, which ${laneName(holder)} has` : "";
  const waits = ([lane, why, lock]) => `${laneName(lane)} ${text(why)}${held(state.holders.get(lock), lane)}`;
  $("parked").textContent = several(parked.map(waits), "nobody", "\n");
  const lines = count(printed, ([step]) => step <= view.step), latest = printed.slice(Math.max(0, lines - 200), lines);
  $("printed").textContent = several(latest.map(([, , , said]) => text(said)), "nothing", "\n", 200);
  $("printed").scrollTop = 1e9;
}
function source(now) {
  $("source").replaceChildren();
  const [file, line, name] = (now && run.places[now.place]) ?? [-1, 0, ""], sign = now ? text(now.stands) : "";
  $("file").textContent = name && sign === " " ? `${laneName(now.focus)} was at ${name}` : name;
  $("source").hidden = !name || file < 0;
  for (let n = Math.max(1, line - 3); n <= line + 3 && !$("source").hidden; n++) {
    const content = run.sources[file][1][n - 1];
    if (content === undefined) continue;
    const [mark, kind] = n === line ? [sign, sign === " " ? "was" : "at"] : [" ", ""];
    put($("source"), "div", `${mark} ${String(n).padStart(4)} │ ${content}`, kind);
  }
}
function arrowsAt(step) {
  const from = count(run.arrows, (arrow) => arrow[0] < step), arrows = [];
  for (let n = from; n < run.arrows.length && run.arrows[n][0] === step; n++) arrows.push(run.arrows[n]);
  return arrows;
}
