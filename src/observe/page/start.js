// ---- what the reader does, and the beginning
/** Whether a key does something where the focus is, without us. */
function isTaken({ target, key, ctrlKey, altKey, metaKey }) {
  if (ctrlKey || altKey || metaKey || $("help").open || target.type === "number") return true;
  return target.type === "range" ? /^(Arrow|Home|End)/.test(key) : target.tagName === "BUTTON" && key === "Enter";
}
document.addEventListener("keydown", (event) => {
  const { key } = event;
  if (isTaken(event) || !Object.hasOwn(keys, key)) return;
  event.preventDefault();
  keys[key]();
});
for (const button of document.querySelectorAll("[data-key]")) button.onclick = () => keys[button.dataset.key]();
$("slider").max = $("number").max = last;
let sliding = false; // it is one stop, however many steps it passes
$("slider").oninput = () => { go(Number($("slider").value), !sliding); sliding = true; };
$("slider").onchange = () => { sliding = false; };
$("number").onchange = () => { go(Number($("number").value)); $("picture").focus(); };
$("of").textContent = `of ${last}`;
$("axis").textContent = "by step";
run.doings.forEach(([sign, name], n) => {
  const item = put($("legend"), "span"), tile = put(item, "canvas");
  [tile.width, tile.height] = [22, 14];
  const paint = () => {
    looks ??= look();
    const pen = tile.getContext("2d");
    pen.fillStyle = looks.patterns[n];
    pen.fillRect(0, 0, 22, 14);
  };
  paint();
  item.append(`${sign} ${name}`);
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
    matchMedia(query).addEventListener("change", () => { looks = undefined; paint(); render(); });
  }
});
put($("legend"), "span", run.whats.map(([sign, name]) => `${sign} ${name}`).join("  "));
new ResizeObserver(() => pan(0, 0)).observe($("picture"));
addEventListener("hashchange", fromAddress);
fit();
view.scale = Math.max(view.scale, 12); // of a long run one sees a part first
fromAddress();
$("picture").focus();
