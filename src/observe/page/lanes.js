// ---- the picture: only what is visible is drawn
const ink = $("canvas").getContext("2d");
let looks; // colours and patterns; another theme has others
function look() {
  const probe = put(document.body, "span"), colours = {}, doings = run.doings.map((_, n) => `d${n}`);
  for (const name of ["page", "ink", "faint", "line", "accent", "here", "hatch", ...doings]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  colours.patterns = run.doings.map(([, , path], n) => {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.fillStyle = colours[`d${n}`];
    pen.fillRect(0, 0, 8, 8);
    pen.strokeStyle = colours.hatch;
    pen.stroke(new Path2D(path));
    return ink.createPattern(tile, "repeat");
  });
  return colours;
}
let frame = 0;
const render = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };
function draw() {
  const [width, height] = size(), ratio = devicePixelRatio || 1, canvas = $("canvas");
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  }
  looks ??= look();
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.fillStyle = looks.page;
  ink.fillRect(0, 0, width, height);
  ink.font = "12px ui-monospace, monospace";
  ink.textBaseline = "middle";
  const first = Math.max(0, Math.floor(view.top / ROW)), visible = lanes.slice(first, first + Math.ceil(height / ROW) + 1);
  const yOf = new Map(visible.map(([lane], n) => [lane, HEAD + (first + n) * ROW - view.top]));
  ink.save();
  ink.beginPath();
  ink.rect(GUTTER, 0, width - GUTTER, height);
  ink.clip();
  const here = x(view.step), wide = view.byTime ? 0 : view.scale;
  ink.fillStyle = looks.here;
  ink.fillRect(here, HEAD, wide, height);
  for (const [lane, y] of yOf) drawLane(lane, y, width);
  drawArrows(yOf, width);
  ink.strokeStyle = looks.accent;
  ink.lineWidth = 1.5;
  ink.strokeRect(here, HEAD - 2, wide, height);
  ink.restore();
  ink.fillStyle = looks.page;
  ink.fillRect(0, 0, width, HEAD);
  drawAxis(width);
  labels(yOf);
}
/** Where in its step a moment is drawn, and an arrow. */
const xOfMoment = (step) => x(step) + (view.byTime ? 0 : Math.min(view.scale / 2, 12));
const xOfArrow = (step) => x(step) + (view.byTime ? 0 : Math.min(view.scale / 3, 5));
function drawLane(lane, y, width) {
  ink.fillStyle = looks.line;
  ink.fillRect(GUTTER, y + ROW - 1, width, 1);
  const slices = slicesOf(lane), captions = [];
  let drawn = -1; // what would cover the same point is left out
  for (let n = Math.max(0, count(slices, ([, from]) => x(from) < GUTTER) - 1); n < slices.length; n++) {
    const [, from, to, doing, short] = slices[n], start = x(from), wide = Math.max(1.5, endOf(from, to) - start);
    if (start > width) break;
    if (start + wide < drawn + .5) continue;
    drawn = start + wide;
    ink.fillStyle = looks.patterns[doing];
    ink.fillRect(start, y + 2, wide, BAR);
    if (wide < 3) continue;
    ink.strokeStyle = looks.faint;
    ink.lineWidth = 1;
    ink.strokeRect(start + .5, y + 2.5, wide - 1, BAR - 1);
    const seen = Math.max(start, GUTTER), space = start + wide - seen - 6, sign = run.doings[doing][0];
    const words = `${sign} ${text(short)}`, fits = ink.measureText(words).width <= space;
    if (space > 7) label(fits ? words : sign, seen + 3, y + 2 + BAR / 2);
    if (!fits && lane === LOOP) captions.push([start + 2, text(short)]);
  }
  const moments = momentsOf(lane);
  let before = -9;
  for (let n = count(moments, ([step]) => x(step) < GUTTER); n < moments.length; n++) {
    const [step, , what, said] = moments[n], at = xOfMoment(step);
    if (at > width) break;
    if (at - before < 3) continue;
    before = at;
    ink.fillStyle = looks.page;
    ink.strokeStyle = looks.ink;
    ink.lineWidth = 1;
    ink.beginPath();
    ink.arc(at, y + BAR + 2, 6, 0, 7);
    ink.fill();
    ink.stroke();
    ink.textAlign = "center";
    label(run.whats[what][0], at, y + BAR + 2.5);
    ink.textAlign = "left";
    captions.push([at + 8, text(said).split("\n")[0]]);
  }
  captions.sort((a, b) => a[0] - b[0]).forEach(([at, words], n) => {
    const space = (captions[n + 1]?.[0] ?? width) - at - 12, wide = ink.measureText(words).width;
    const most = Math.floor(words.length * space / wide) - 1;
    if (wide > space && most < 7) return;
    label(wide > space ? `${words.slice(0, most)}…` : words, at, y + BAR + 9);
  });
}
function label(words, left, middle) {
  ink.strokeStyle = looks.page;
  ink.lineWidth = 3;
  ink.lineJoin = "round";
  ink.strokeText(words, left, middle);
  ink.fillStyle = looks.ink;
  ink.fillText(words, left, middle);
}
function drawArrows(yOf, width) {
  const few = view.byTime || view.scale > 2.5;
  for (let n = count(run.arrows, ([step]) => x(step) < GUTTER); n < run.arrows.length; n++) {
    const [step, from, to] = run.arrows[n], at = xOfArrow(step);
    if (at > width) break;
    const here = step === view.step, [y0, y1] = [yOf.get(from), yOf.get(to)];
    const isSeen = (y0 !== undefined || y1 !== undefined) && place.has(from) && place.has(to);
    if (!isSeen || from === to || (!few && !here)) continue;
    const down = place.get(to) > place.get(from);
    const start = y0 === undefined ? (down ? HEAD : 1e4) : y0 + (down ? BAR + 2 : 2);
    const tip = y1 === undefined ? (down ? 1e4 : 0) : y1 + (down ? 2 : BAR + 2);
    ink.strokeStyle = ink.fillStyle = here ? looks.accent : looks.ink;
    ink.lineWidth = here ? 2.5 : 1.2;
    ink.beginPath();
    ink.moveTo(at, start);
    ink.lineTo(at, tip);
    ink.stroke();
    const back = down ? -6 : 6;
    ink.beginPath();
    ink.moveTo(at, tip);
    ink.lineTo(at - 3.5, tip + back);
    ink.lineTo(at + 3.5, tip + back);
    ink.fill();
  }
}
function drawAxis(width) {
  ink.fillStyle = looks.faint;
  ink.strokeStyle = looks.line;
  ink.fillText(view.byTime ? "seconds" : "step", 6, HEAD / 2);
  const least = 64 / view.scale, power = 10 ** Math.floor(Math.log10(least));
  let every = [1, 2, 5, 10].map((n) => n * power).find((every) => every >= least);
  if (!view.byTime) every = Math.max(1, Math.round(every));
  const digits = Math.max(0, -Math.floor(Math.log10(every) + 1e-9));
  for (let tick = Math.ceil(view.left / every) * every, right = GUTTER; right < width; tick += every) {
    right = GUTTER + (tick - view.left) * view.scale;
    if (tick > ends()[1]) break;
    ink.fillText(view.byTime ? tick.toFixed(digits) : String(tick), right + 3, HEAD / 2);
    ink.fillRect(right, HEAD / 2 - 6, 1, HEAD / 2 + 6);
  }
}
function labels(yOf) {
  const focused = document.activeElement.id;
  $("lanes").replaceChildren();
  for (const [lane, y] of yOf) {
    const both = put($("lanes"), "div", undefined, lane === (row(view.step)?.lane ?? LOOP) ? "lane here" : "lane");
    both.style.top = `${y - HEAD}px`;
    const name = put(both, "button", nameOf.get(lane), "name"), away = put(both, "button", "×", "hide");
    [name.id, away.id] = [`name${lane}`, `hide${lane}`];
    name.title = `${nameOf.get(lane)}: its next resume`;
    name.onclick = () => seek("s", lane, "it is not resumed any more");
    away.title = "hide this lane";
    away.setAttribute("aria-label", `hide ${nameOf.get(lane)}`);
    away.onclick = () => hide(lane);
  }
  // These are new ones: what had the focus has it still.
  if (document.activeElement === document.body) $(focused)?.focus();
}

// ---- what stands where the pointer is
function found(px, py) {
  const lane = lanes[Math.floor((py - HEAD + view.top) / ROW)]?.[0];
  if (py < HEAD || px < GUTTER || lane === undefined) return null;
  const near = (list) => list.slice(count(list, ([step]) => x(step) < px - 20), count(list, ([step]) => x(step) < px + 8));
  const arrow = near(run.arrows).find(([step, from, to]) => {
    const between = (place.get(lane) - place.get(from)) * (place.get(lane) - place.get(to));
    return from !== to && between <= 0 && Math.abs(xOfArrow(step) - px) < 3;
  });
  const slices = slicesOf(lane), slice = slices[count(slices, ([, from]) => x(from) <= px) - 1];
  const inside = slice && px <= Math.max(endOf(slice[1], slice[2]), x(slice[1]) + 2) ? slice : null;
  const moment = near(momentsOf(lane)).find(([step]) => Math.abs(xOfMoment(step) - px) < 6);
  return { lane, arrow, slice: inside, moment };
}
function tip(event) {
  const box = $("picture").getBoundingClientRect(), [px, py] = [event.clientX - box.left, event.clientY - box.top];
  const hit = found(px, py), lines = [];
  if (hit?.arrow) lines.push(`step ${hit.arrow[0]}, ${laneName(hit.arrow[2])}: ${text(hit.arrow[3])}`);
  if (hit?.moment) lines.push(`step ${hit.moment[0]}, ${run.whats[hit.moment[2]][1]}: ${text(hit.moment[3])}`);
  const [, from, to, , , said] = hit?.slice ?? [];
  if (hit?.slice) lines.push(`${nameOf.get(hit.lane)}, from step ${from} to ${to}: ${text(said)}`);
  $("tip").hidden = !lines.length;
  $("tip").textContent = lines.join("\n");
  $("tip").style.left = `${Math.max(4, Math.min(px + 12, box.width - $("tip").offsetWidth - 8))}px`;
  $("tip").style.top = `${py + 16 + $("tip").offsetHeight > box.height ? py - $("tip").offsetHeight - 8 : py + 16}px`;
}
let drag = null; // where the pointer was last while it is down
$("canvas").onpointerdown = (event) => {
  drag = { x: event.clientX, y: event.clientY, moved: false };
  $("canvas").setPointerCapture(event.pointerId);
};
$("canvas").onpointermove = (event) => {
  if (!drag) return tip(event);
  const [dx, dy] = [drag.x - event.clientX, drag.y - event.clientY];
  if (!drag.moved && Math.abs(dx) + Math.abs(dy) < 4) return;
  Object.assign(drag, { x: event.clientX, y: event.clientY, moved: true });
  pan(dx, dy);
};
$("canvas").onpointerup = (event) => {
  const moved = drag?.moved, px = event.clientX - $("picture").getBoundingClientRect().left;
  drag = null;
  if (moved || px < GUTTER) return;
  const hit = found(px, event.clientY - $("picture").getBoundingClientRect().top);
  const at = view.left + (px - GUTTER) / view.scale;
  go(!view.byTime ? Math.floor(at) : hit?.slice ? hit.slice[1] : count(rows, (row) => row.at / 1e9 <= at));
};
$("canvas").onpointerleave = () => { $("tip").hidden = true; };
$("picture").addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) return zoom(2 ** (-event.deltaY / 300), event.clientX - $("picture").getBoundingClientRect().left);
  const fits = lanes.length * ROW <= size()[1] - HEAD, across = fits || event.shiftKey;
  pan(across ? event.deltaX + event.deltaY : event.deltaX, across ? 0 : event.deltaY);
}, { passive: false });
