// OpenSeadragon, as all pages use it: drawn on a canvas, without its own buttons, tiles from the Image API.

import { ask, at } from "./page.js";

const { OpenSeadragon } = window;

// OpenSeadragon adds a style element that the pages' policy forbids, unless there is one: this one is empty and styles nothing.
const mark = document.createElementNS(null, "style");
mark.setAttribute("data-openseadragon-mobile-css", "true");
document.head.append(mark);

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

export function makeViewer(element, label, options = {}) {
  const viewer = new OpenSeadragon.Viewer({
    element,
    drawer: "canvas",
    showNavigationControl: false,
    animationTime: still ? 0 : 0.4,
    springStiffness: 9,
    blendTime: 0,
    immediateRender: false,
    maxZoomPixelRatio: 24,
    minZoomImageRatio: 0.6,
    visibilityRatio: 0.3,
    maxTilesPerFrame: 12,
    imageLoaderLimit: 8,
    maxImageCacheCount: 600,
    timeout: 60000,
    tileRetryMax: 4,
    tileRetryDelay: 1500,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { pinchRotate: false, dblClickToZoom: true },
    ...options,
  });
  viewer.canvas.setAttribute("role", "img");
  viewer.canvas.setAttribute("aria-label", label);
  // A pixel that is shown large is a square, not a smear.
  viewer.addHandler("animation", () => sharpen(viewer));
  viewer.addHandler("open", () => sharpen(viewer));
  viewer.addHandler("add-item-failed", (event) => viewer.raiseEvent("open-failed", event));
  return viewer;
}

function sharpen(viewer) {
  const item = viewer.world.getItemAt(0);
  if (!item) return;
  const smooth = item.viewportToImageZoom(viewer.viewport.getZoom(true)) * devicePixelRatio < 3;
  if (smooth !== viewer.smooth) {
    viewer.smooth = smooth;
    viewer.drawer.setImageSmoothingEnabled(smooth);
  }
}

/** The tiles of an image; query says how its samples are shown, format is png where no loss is wanted. */
export async function tilesOf(ref, query = "", format = "jpg") {
  const info = await ask(at.info(ref));
  // The server may be known by another name outside: the page's own is the one that works here.
  const id = new URL(`iiif/3/${ref}`, document.baseURI).href;
  const { configure } = OpenSeadragon.IIIFTileSource.prototype;
  const source = new OpenSeadragon.IIIFTileSource(configure({ ...info, id, preferredFormats: [format] }, id, null));
  if (query) {
    const plain = source.getTileUrl.bind(source);
    source.getTileUrl = (level, x, y) => `${plain(level, x, y)}?${query}`;
  }
  return source;
}

/** Shows the same image otherwise; what is there stays until the new tiles are. */
export function redraw(viewer, source) {
  const before = [];
  for (let place = 0; place < viewer.world.getItemCount(); place += 1) before.push(viewer.world.getItemAt(place));
  return new Promise((resolve) => {
    viewer.addTiledImage({
      tileSource: source,
      success: ({ item }) => {
        let timer = 0;
        const done = () => {
          clearTimeout(timer);
          item.removeHandler("fully-loaded-change", check);
          for (const old of before) viewer.world.removeItem(old);
          resolve(item);
        };
        const check = ({ fullyLoaded }) => fullyLoaded && done();
        item.addHandler("fully-loaded-change", check);
        timer = setTimeout(done, 8000);
      },
      error: resolve,
    });
  });
}

/**
 * Whether pictures of all of an image are first looks until its levels are made, or cannot be had yet: what is to be
 * said of that, or "" where everything is as it should be.
 */
export async function unfinished(source) {
  // Browsers do not ask twice at once for one address; under another one the server makes one picture for both.
  const address = new URL(source.getTileUrl(source.minLevel, 0, 0));
  address.searchParams.set("look", "1");
  const response = await fetch(address, { cache: "no-store" }).catch(() => null);
  const body = await response?.text();
  if (response?.headers.has("Ziggurat-Sketch"))
    return "A first look at some of the pixels. The coarser levels are being made; the picture gets sharp by itself.";
  if (response?.status !== 503) return "";
  return body.includes('"NotReady"')
    ? "The coarser levels of this file are being made; the picture comes by itself."
    : "";
}

/** Centre, width in pixels of the image, and rotation: what a link restores. */
export function viewOf(viewer) {
  const item = viewer.world.getItemAt(0);
  if (!item) return null;
  const { viewport } = viewer;
  const centre = item.viewportToImageCoordinates(viewport.getCenter(false));
  // Without the rotation, which turns the bounds.
  const width = item.source.dimensions.x / viewport.getZoom(false) / item.getBoundsNoRotate().width;
  return { x: centre.x, y: centre.y, w: width, r: viewport.getRotation(false) };
}

export function showView(viewer, { x, y, w, r }) {
  const item = viewer.world.getItemAt(0);
  if (!item || !(w > 0)) return;
  viewer.viewport.setRotation(r || 0, true);
  viewer.viewport.zoomTo(item.source.dimensions.x / w / item.getBoundsNoRotate().width, null, true);
  viewer.viewport.panTo(item.imageToViewportCoordinates(x, y), true);
  viewer.viewport.applyConstraints(true);
}

/** Buttons that move a view. */
export function connect(viewer, buttons) {
  const zoom = (factor) => () => viewer.viewport.zoomBy(factor).applyConstraints();
  const turn = (angle) => () => viewer.viewport.rotateBy(angle);
  const moves = {
    in: zoom(1.5),
    out: zoom(1 / 1.5),
    fit: () => viewer.viewport.goHome(),
    full: () => oneToOne(viewer),
    left: turn(-90),
    right: turn(90),
  };
  for (const [name, move] of Object.entries(moves)) buttons(name)?.addEventListener("click", move);
  return moves;
}

export function oneToOne(viewer) {
  const item = viewer.world.getItemAt(0);
  if (item) viewer.viewport.zoomTo(item.imageToViewportZoom(1 / devicePixelRatio));
}

/** Pixels of what is drawn, as on the screen; from a copy, because reading a canvas makes drawing on it slow. */
export function drawn(viewer) {
  const { canvas } = viewer.drawer;
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
