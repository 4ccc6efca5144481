// A bar of a round length, and the samples under the cursor.

import { ask } from "./page.js";

const LONGEST = 150;

const SCALES = {
  metres: [
    [1e-9, "nm"],
    [1e-6, "µm"],
    [1e-3, "mm"],
    [1e-2, "cm"],
    [1, "m"],
    [1e3, "km"],
  ],
  arcseconds: [
    [1e-3, "mas"],
    [1, "″"],
    [60, "′"],
    [3600, "°"],
  ],
};

/** The largest of 1, 2, 5, 10 ... units that is no longer than a length. */
export function round(length, kind) {
  const units = SCALES[kind].filter(([size]) => size <= length);
  const [size, name] = units.at(-1) ?? SCALES[kind][0];
  const power = 10 ** Math.floor(Math.log10(length / size));
  const digit = [5, 2, 1].find((one) => one * power * size <= length) ?? 1;
  const count = digit * power;
  const space = kind === "metres" || name === "mas" ? " " : "";
  return { length: count * size, text: `${Number(count.toPrecision(3))}${space}${name}` };
}

/** Keeps the bar right while the view moves. */
export function scaleBar(viewer, { box, bar, text }, size) {
  const kind = size && Object.keys(size)[0];
  box.hidden = !kind;
  const draw = () => {
    const item = viewer.world.getItemAt(0);
    if (!item || !kind) return;
    const zoom = item.viewportToImageZoom(viewer.viewport.getZoom(true));
    const wanted = round((LONGEST / zoom) * size[kind], kind);
    bar.style.width = `${(wanted.length / size[kind]) * zoom}px`;
    text.textContent = wanted.text;
    box.setAttribute("aria-label", `Scale bar: ${wanted.text}`);
  };
  draw();
  return draw;
}

/** Degrees of right ascension and declination as hours and degrees, minutes and seconds. */
function onTheSky(ra, dec) {
  const parts = (value, places, whole) => {
    const second = 10 ** places;
    const all = Math.round(Math.abs(value) * 3600 * second) % (whole * 3600 * second);
    const minutes = Math.floor(all / (60 * second));
    const pair = (number) => String(number).padStart(2, "0");
    const seconds = ((all % (60 * second)) / second).toFixed(places).padStart(places + 3, "0");
    return `${pair(Math.floor(minutes / 60))}:${pair(minutes % 60)}:${seconds}`;
  };
  return `RA ${parts(ra / 15, 2, 24)}  Dec ${dec < 0 ? "-" : "+"}${parts(dec, 1, 360)}`;
}

/** Asks for the samples under the cursor, one request at a time, the latest place last. */
export class Readout {
  constructor(viewer, output, spoken) {
    this.viewer = viewer;
    this.output = output;
    this.spoken = spoken;
    this.image = null;
    this.known = new Map();
    viewer.canvas.addEventListener("pointermove", (event) => event.pointerType !== "touch" && this.#moved(event));
    viewer.canvas.addEventListener("pointerleave", () => this.hide());
  }

  show(image, unit) {
    this.image = image;
    this.unit = unit;
    this.known.clear();
    this.hide();
  }

  hide() {
    this.place = null;
    this.output.hidden = true;
  }

  #moved(event) {
    const box = this.viewer.canvas.getBoundingClientRect();
    const pixel = this.#pixel(event.clientX - box.left, event.clientY - box.top);
    if (!pixel) return this.hide();
    this.place = pixel;
    this.#say();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), 40);
    return undefined;
  }

  #pixel(x, y) {
    const item = this.viewer.world.getItemAt(0);
    if (!item || !this.image) return null;
    const point = item.viewerElementToImageCoordinates(new window.OpenSeadragon.Point(x, y));
    const [column, row] = [Math.floor(point.x), Math.floor(point.y)];
    const inside = column >= 0 && row >= 0 && column < this.image.width && row < this.image.height;
    return inside ? { x: column, y: row } : null;
  }

  #text(said) {
    const { x, y } = this.place;
    const shown = said
      ? said.values
          .map((value) =>
            typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value,
          )
          .join("  ")
      : "…";
    const unit = said && this.unit ? ` ${this.unit}` : "";
    const sky = said?.sky ? `    ${onTheSky(...said.sky)}` : "";
    return `x ${x}  y ${y}    ${shown}${unit}${sky}`;
  }

  #say() {
    this.output.hidden = false;
    this.output.textContent = this.#text(this.known.get(`${this.place.x},${this.place.y}`));
  }

  async #ask() {
    if (this.asking || !this.place) return;
    const { x, y } = this.place;
    const key = `${x},${y}`;
    if (this.known.has(key)) return;
    const { image } = this;
    this.asking = true;
    try {
      const said = await ask(`api/values/${image.ref}?x=${x}&y=${y}`);
      if (image !== this.image) return;
      if (this.known.size > 5000) this.known.clear();
      this.known.set(key, said);
    } catch (error) {
      this.known.set(key, { values: [error.status === 503 ? "busy" : "cannot be read"] });
    } finally {
      this.asking = false;
    }
    if (this.place) {
      this.#say();
      if (`${this.place.x},${this.place.y}` !== key) this.#ask();
    }
  }

  /** For those who cannot point: the pixel in the middle of the view, read aloud. */
  async middle() {
    const box = this.viewer.canvas.getBoundingClientRect();
    const pixel = this.#pixel(box.width / 2, box.height / 2);
    if (!pixel) return;
    this.place = pixel;
    await this.#ask();
    this.#say();
    this.spoken.textContent = this.output.textContent;
  }
}
