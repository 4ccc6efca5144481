// Places on the sky: what people write, the way there, and where north and east are.

import { ask } from "./page.js";

const NAME = "http://www.w3.org/2000/svg";
const ANGLE = /^([-+\u2212]?)(\d{1,3}(?:\.\d*)?)(?:[:\sd\u00b0h]+(\d{1,2}(?:\.\d*)?)(?:[:\sm\u2032']+(\d{1,2}(?:\.\d*)?)[s\u2033"]?)?)?[m\u2032'd\u00b0]?$/i;

/** Degrees that a text says, and whether it says them in parts of sixty. */
function angle(text) {
  const found = ANGLE.exec(text.trim());
  if (!found) return null;
  const [, sign, whole, minutes, seconds] = found;
  if (Number(minutes ?? 0) >= 60 || Number(seconds ?? 0) >= 60) return null;
  const value = Number(whole) + Number(minutes ?? 0) / 60 + Number(seconds ?? 0) / 3600;
  return { value: sign && sign !== "+" ? -value : value, parts: minutes !== undefined };
}

/**
 * Right ascension and declination in degrees of "10.68 41.27", "00:42:44 +41:16:09", "00 42 44 +41 16 09" or
 * "0h42m44s, +41d16m09s"; null of what is none. In parts of sixty the first one is in hours.
 */
export function position(text) {
  const words = text.trim().replaceAll(",", " ").split(/\s+/);
  if (words.length < 2 || words.length % 2) return null;
  const half = words.length / 2;
  const [ra, dec] = [words.slice(0, half).join(" "), words.slice(half).join(" ")].map(angle);
  if (!ra || !dec) return null;
  const hours = ra.parts || /h/i.test(words[0]);
  const degrees = ra.value * (hours ? 15 : 1);
  return degrees >= 0 && degrees <= 360 && Math.abs(dec.value) <= 90 ? { ra: degrees, dec: dec.value } : null;
}

function drawing(name, attributes, text = "") {
  const element = document.createElementNS(NAME, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** Arrows to north and east; returns what turns them with the view. */
export function compass(viewer, box, directions) {
  box.toggleAttribute("hidden", !directions);
  if (!directions) return () => {};
  const draw = () => {
    const turn = viewer.viewport?.getRotation(true) ?? 0;
    box.replaceChildren(
      ...Object.entries(directions).flatMap(([name, degrees]) => {
        const way = ((degrees + turn) * Math.PI) / 180;
        const [x, y] = [Math.sin(way), -Math.cos(way)];
        const at = (along, across) => `${along * x - across * y},${along * y + across * x}`;
        return [
          drawing("path", { d: `M0,0L${at(30, 0)}M${at(24, 4)}L${at(30, 0)}L${at(24, -4)}` }),
          drawing("text", { x: 41 * x, y: 41 * y }, name[0].toUpperCase()),
        ];
      }),
    );
    const said = Object.entries(directions).map(([name, degrees]) => [name, Math.round(degrees + turn + 720) % 360]);
    box.setAttribute("aria-label", said.map(([name, degrees]) => `${name} is ${degrees} degrees from up`).join(", "));
  };
  draw();
  return draw;
}

/** The form that leads to a place; went() is told that the view was moved. */
export class Goto {
  constructor(viewer, form, { say, went }) {
    this.viewer = viewer;
    this.form = form;
    this.image = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go(say, went);
    });
    form.elements.sought.addEventListener("input", ({ target }) => target.setCustomValidity(""));
  }

  show(image) {
    this.image = image;
    this.form.hidden = !image.compass;
    this.viewer.clearOverlays();
  }

  focus() {
    if (!this.form.hidden) this.form.elements.sought.select();
  }

  #refuse(text) {
    this.form.elements.sought.setCustomValidity(text);
    this.form.elements.sought.reportValidity();
  }

  async #go(say, went) {
    const { image, viewer } = this;
    const field = this.form.elements.sought;
    const wanted = position(field.value);
    if (!wanted) return this.#refuse("Right ascension and declination: 10.68 41.27 or 00:42:44 +41:16:09");
    const { x, y } = await ask(`api/pixel/${image.ref}?ra=${wanted.ra.toFixed(9)}&dec=${wanted.dec.toFixed(9)}`);
    const item = viewer.world.getItemAt(0);
    if (image !== this.image || !item) return undefined;
    const inside = x !== null && x >= -0.5 && y >= -0.5 && x < image.width - 0.5 && y < image.height - 0.5;
    if (!inside) return this.#refuse("This place is outside of the image");
    went();
    // Pixels are counted from the middle of the first one, the viewer's from its corner.
    const point = item.imageToViewportCoordinates(x + 0.5, y + 0.5);
    viewer.clearOverlays();
    const cross = drawing("svg", { viewBox: "-22 -22 44 44", class: "cross", "aria-hidden": "true" });
    cross.append(drawing("path", { d: "M-20,0H-7M20,0H7M0,-20V-7M0,20V7" }));
    viewer.addOverlay({ element: cross, location: point, placement: "CENTER" });
    const close = item.imageToViewportZoom(0.5);
    if (viewer.viewport.getZoom(false) < close) viewer.viewport.zoomTo(close, null, true);
    viewer.viewport.panTo(point, true);
    field.blur();
    say(`Right ascension ${wanted.ra.toFixed(5)}, declination ${wanted.dec.toFixed(5)} is in the middle`);
    return undefined;
  }
}
