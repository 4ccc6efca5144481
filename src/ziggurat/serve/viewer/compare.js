// The page that compares two images; its address says which, how, and where.

import { Comparison } from "./comparison.js";
import { displayOf } from "./display.js";
import { at, el, find, folding, keysDialog, number, onKeys, raw, tell } from "./page.js";

const hash = new URLSearchParams(location.hash.slice(1));
const asked = displayOf(hash);
const refs = [raw("left"), raw("right")];
let opened = false;

const comparison = new Comparison(find("comparison"), {
  onerror: tell,
  onchange: () => {
    if (!opened || !comparison.view) return;
    const said = new URLSearchParams(comparison.query);
    said.set("mode", comparison.mode);
    for (const [name, value] of Object.entries(comparison.view))
      if (name !== "r" || value) said.set(name, String(Number(value.toFixed(2))));
    history.replaceState(null, "", `${at.compare(...refs)}#${said.toString().replaceAll("%2C", ",")}`);
  },
});
comparison.query = asked;
comparison.show(hash.get("mode") ?? "side");

async function begin() {
  if (!refs.every(Boolean))
    throw new Error("Two images are compared: compare?left=ID&right=ID. Mark two on the page of all images.");
  const names = refs.map((ref) => decodeURIComponent(ref));
  const view = hash.has("w")
    ? Object.fromEntries(["x", "y", "w", "r"].map((name) => [name, Number(hash.get(name) ?? 0)]))
    : null;
  const short = names.map((name) => name.split("/").at(-1));
  const alike = short[0] === short[1] ? names : short;
  const sizes = await comparison.open({ ref: refs[0], name: alike[0] }, { ref: refs[1], name: alike[1] }, view);
  opened = true;
  document.title = `${short[0]} and ${short[1]}`;
  find("title").replaceChildren(
    el("a", { href: at.image(refs[0]) }, alike[0]),
    " and ",
    el("a", { href: at.image(refs[1]) }, alike[1]),
  );
  const [one, two] = sizes.map((size) => `${number(size.x)} × ${number(size.y)}`);
  find("sizes").textContent = one === two ? one : `${one} and ${two}`;
  if (Math.abs(sizes[0].y / sizes[0].x - sizes[1].y / sizes[1].x) > (0.01 * sizes[0].y) / sizes[0].x) {
    find("sizes").textContent += " · not of the same shape: places do not match";
  }
}

const exchange = () => location.replace(`${at.compare(refs[1], refs[0])}${location.hash}`);
find("exchange").addEventListener("click", exchange);
const fold = folding(find("details"), find("panel"), Boolean(asked));
const help = keysDialog([
  ["s", "side by side"],
  ["w", "swipe"],
  ["d", "difference"],
  ["b", "blink"],
  ["+ −", "zoom"],
  ["0", "show all of it"],
  ["1", "one to one"],
  ["r", "rotate"],
  ["c", "contrast, bands and curve"],
  ["x", "exchange left and right"],
  ["Esc", "all images"],
  ["?", "these keys"],
]);
onKeys({
  ...comparison.keys,
  r: comparison.moves.right,
  x: exchange,
  c: () => !find("details").disabled && fold(),
  "?": help,
  Escape: () => {
    location.href = find("back").href;
  },
});
find("back").href = sessionStorage.getItem("collection") ?? "./";
begin().catch(tell);
