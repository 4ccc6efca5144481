// The page of one image, and of the others in its folder.

import { ask, at, el, find, folding, keysDialog, number, onKeys, raw, settled, tell } from "./page.js";
import { Display, displayOf } from "./display.js";
import { connect, makeViewer, redraw, showView, tilesOf, unfinished, viewOf } from "./drawing.js";
import { Folder } from "./folder.js";
import { pixelSize, showAgainst, showFacts, showLinks, showMore, showSaid, unitOf } from "./facts.js";
import { Readout, scaleBar } from "./measure.js";
import { compass, Goto } from "./sky.js";

const AGAIN = 4000;

const viewer = makeViewer(find("canvas"), "The image; arrows move, plus and minus zoom", {
  showNavigator: true,
  navigatorElement: find("map"),
  navigatorDisplayRegionColor: "#e8a33d",
  navigatorAutoFade: false,
  navigatorBackground: "transparent",
  navigatorOpacity: 1,
});
connect(viewer, find);
const readout = new Readout(viewer, find("readout"), find("spoken"));
const folder = new Folder(go);
const places = new Goto(viewer, find("goto"), {
  say: (text) => (find("spoken").textContent = text),
  went: () => took(),
});
const site = ask("api/site").catch(() => ({ download: false, colormaps: [], stretches: [] }));

let image = null;
let display = null;
let drawScale = () => {};
let drawCompass = () => {};
let round = 0;
let moved = false;
let wanted = null;
let made = false;

/** What first looks were kept under is not asked for again: a field that the server ignores makes another address. */
const asked = (query) => [query, made ? "made=1" : ""].filter(Boolean).join("&");

async function open(ref) {
  const mine = (round += 1);
  const hash = new URLSearchParams(location.hash.slice(1));
  const query = displayOf(hash);
  document.body.classList.remove("empty");
  find("notice").hidden = true;
  find("note").hidden = true;
  made = false;
  // Samples of the image before are none of this one.
  readout.show(null, "");
  // The pixels do not wait for what is told of them.
  const tiles = tilesOf(ref, query);
  tiles.catch(() => {});
  const told = ask(`api/image/${ref}`);
  told.catch(() => {});
  // A listing of a large store must keep nobody from looking at the image.
  ask(`api/place/${ref}`).then(
    (found) => {
      if (mine !== round) return;
      settleOn(ref, found.ref);
      folder.show(found);
    },
    () => {},
  );
  try {
    const source = await tiles;
    if (mine !== round) return;
    viewer.open(source);
    follow(source, { ref, query }, mine);
    const [known, around] = await Promise.all([told, site]);
    if (mine !== round) return;
    image = known;
    settleOn(ref, known.ref);
    describe(around, query);
  } catch (error) {
    if (mine === round) fail(error);
  }
}

/** An identifier can be written in several ways; the address gets the usual one. */
function settleOn(ref, usual) {
  if (ref !== usual && raw("id") === ref) history.replaceState(history.state, "", at.image(usual) + location.hash);
}

/** Draws anew once the levels of a file that lacks them are made. */
async function follow(source, { ref, query }, mine, waited = false) {
  const text = await unfinished(source);
  if (mine !== round) return;
  const note = find("note");
  note.hidden = !text;
  note.textContent = text;
  if (text) setTimeout(() => mine === round && follow(source, { ref, query }, mine, true), AGAIN);
  else if (waited) {
    made = true;
    // What is told of the image may still be on its way: until then it is shown as the address says.
    await redraw(viewer, await tilesOf(ref, asked(display?.query ?? query)));
  }
}

function fail(error) {
  document.body.classList.add("empty");
  viewer.close();
  find("name").textContent = decodeURIComponent(raw("id")) || "No image";
  tell(error);
}

function describe(around, query) {
  document.title = image.name;
  find("name").textContent = image.name;
  const side = image.side === "source" ? "source" : "";
  find("where").textContent = [image.title ?? image.folder, side, `${number(image.width)} × ${number(image.height)}`]
    .filter(Boolean)
    .join(" · ");
  showAgainst(find("against"), image);
  viewer.canvas.setAttribute(
    "aria-label",
    `${image.name}, ${image.width} by ${image.height} pixels; arrows move, plus and minus zoom`,
  );
  display = new Display(find("display"), image, around, show);
  display.query = query;
  showSaid(find("said"), image);
  showFacts(find("facts"), image);
  showMore(find("more"), image);
  showLinks(find("links"), image, around, {
    part,
    query: () => display.query,
    item: () => image.item ?? ((folder.place.ref === image.ref && folder.place.item) || image.ref),
    copy,
    mark,
  });
  readout.show(image, unitOf(image));
  drawScale = scaleBar(
    viewer,
    { box: find("scale"), bar: find("scalebar"), text: find("scaletext") },
    pixelSize(image),
  );
  drawCompass = compass(viewer, find("compass"), image.compass);
  places.show(image);
}

async function show(query) {
  keepView();
  try {
    await redraw(viewer, await tilesOf(image.ref, asked(query)));
    find("notice").hidden = true;
  } catch (error) {
    tell(error);
  }
}

/** The visible window in pixels of the image, as the Image API writes it. */
function part() {
  const item = viewer.world.getItemAt(0);
  if (!item) return "full";
  const box = item.viewportToImageRectangle(viewer.viewport.getBounds(true)).getBoundingBox();
  const x = Math.max(0, Math.floor(box.x));
  const y = Math.max(0, Math.floor(box.y));
  const width = Math.min(image.width, Math.ceil(box.x + box.width)) - x;
  const height = Math.min(image.height, Math.ceil(box.y + box.height)) - y;
  return width > 0 && height > 0 ? `${x},${y},${width},${height}` : "full";
}

function viewAddress() {
  const view = moved && viewOf(viewer);
  const hash = new URLSearchParams(display?.query ?? "");
  if (view) {
    for (const [name, value] of Object.entries(view))
      if (name !== "r" || value) hash.set(name, String(Number(value.toFixed(2))));
  }
  const said = hash.toString().replaceAll("%2C", ",");
  return at.image(image.ref) + (said ? `#${said}` : "");
}

// What belongs to an image that is no longer open must not be written into the next one's address.
const keepView = settled(250, () => {
  if (image && raw("id") === image.ref && viewer.isOpen()) history.replaceState(history.state, "", viewAddress());
});

async function copy(event) {
  const address = new URL(viewAddress(), document.baseURI).href;
  const said = await navigator.clipboard?.writeText(address).then(
    () => "Copied",
    () => null,
  );
  if (said) {
    const button = event.target;
    const text = button.textContent;
    button.textContent = said;
    find("spoken").textContent = said;
    setTimeout(() => {
      button.textContent = text;
    }, 1500);
  } else prompt("The link to this view:", address);
}

function mark() {
  const marked = JSON.parse(sessionStorage.getItem("marked") ?? "[]").filter((one) => one.ref !== image.ref);
  const other = marked.at(-1);
  sessionStorage.setItem("marked", JSON.stringify([...marked, { ref: image.ref, name: image.name }].slice(-2)));
  if (other) location.href = at.compare(other.ref, image.ref);
  else find("spoken").textContent = "Marked: open another image and mark it to compare both";
}

/** Another image, shown as this one is: how samples become colours stays. */
function go(ref) {
  const query = display?.query;
  history.pushState(null, "", `${at.image(ref)}${query ? `#${query}` : ""}`);
  open(ref);
}

viewer.addHandler("open", () => {
  const hash = new URLSearchParams(location.hash.slice(1));
  moved = hash.has("w");
  wanted = moved ? Object.fromEntries(["x", "y", "w", "r"].map((name) => [name, Number(hash.get(name) ?? 0)])) : null;
  if (wanted) showView(viewer, wanted);
  drawScale();
});
viewer.addHandler("open-failed", (event) => tell({ message: event.message ?? "The image cannot be shown." }));
// The window and the strip change the place that there is; what a link asks for, or all of the image, stays in sight.
viewer.addHandler("resize", () =>
  queueMicrotask(() => {
    // Only now: OpenSeadragon fits its own idea of it after this event.
    if (!viewer.isOpen()) return;
    if (!moved) viewer.viewport.goHome(true);
    else if (wanted) showView(viewer, wanted);
    drawScale();
  }),
);
function took() {
  moved = true;
  wanted = null;
}
for (const name of ["canvas-press", "canvas-scroll", "canvas-pinch"]) viewer.addHandler(name, took);
for (const name of ["in", "out", "full", "left", "right"]) find(name).addEventListener("click", took);
find("map").addEventListener("pointerdown", took);
find("fit").addEventListener("click", () => {
  moved = viewer.viewport.getRotation() !== 0;
  keepView();
});
viewer.addHandler("animation", () => {
  drawScale();
  drawCompass();
});
viewer.addHandler("animation-finish", keepView);
viewer.addHandler("rotate", () => {
  keepView();
  drawCompass();
});
addEventListener("popstate", () => open(raw("id")));

const wide = matchMedia("(min-width: 721px)").matches;
const toggle = folding(find("details"), find("panel"), wide && localStorage.getItem("panel") !== "", (open_) =>
  localStorage.setItem("panel", open_ ? "1" : ""),
);

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}
find("screen").addEventListener("click", fullScreen);

const help = keysDialog([
  ["← →", "previous and next image; with the image in focus they move it"],
  ["PageUp PageDown", "previous and next image"],
  ["+ −", "zoom"],
  ["0", "show all of it"],
  ["1", "one to one"],
  ["r R", "rotate"],
  ["f", "full screen"],
  ["d", "details"],
  ["g", "go to a place on the sky"],
  ["v", "value of the pixel in the middle"],
  ["m", "mark for comparison"],
  ["s", "compare an output with its source"],
  ["Esc", "all images"],
  ["?", "these keys"],
]);
const inImage = () => viewer.element.contains(document.activeElement);
onKeys({
  ArrowLeft: () => !inImage() && folder.step(-1),
  ArrowRight: () => !inImage() && folder.step(1),
  PageUp: () => folder.step(-1),
  PageDown: () => folder.step(1),
  ...Object.fromEntries(
    Object.entries({ "+": "in", "=": "in", "-": "out", 0: "fit", 1: "full", r: "right", R: "left" }).map(
      ([key, name]) => [key, () => find(name).click()],
    ),
  ),
  f: fullScreen,
  d: () => toggle(),
  v: () => readout.middle(),
  g: () => places.focus(),
  m: () => image && mark(),
  s: () => !find("against").hidden && find("against").click(),
  "?": help,
  Escape: () => {
    location.href = find("back").href;
  },
});
// OpenSeadragon keeps the arrows alone: its own f mirrors the image, and it would turn it twice.
viewer.addHandler("canvas-key", (event) => {
  if (event.originalEvent.key.startsWith("Arrow")) took();
  else event.preventDefaultAction = true;
});
find("back").href = sessionStorage.getItem("collection") ?? "./";
open(raw("id"));
