// Two images that move together: side by side, under a swipe, as their difference, or one after the other.

import { displayOfBoth } from "./display.js";
import { connect, drawn, makeViewer, redraw, showView, tilesOf, viewOf } from "./drawing.js";
import { ask, el, find, settled } from "./page.js";

const MODES = [
  ["side", "Side by side"],
  ["swipe", "Swipe"],
  ["difference", "Difference"],
  ["blink", "Blink"],
];
const BLINK = 700;

export class Comparison {
  /** parent: takes the bar of modes and the pair. onchange: called when the view or the mode has changed. */
  constructor(parent, { onchange = () => {}, onerror = () => {} } = {}) {
    this.onchange = onchange;
    this.onerror = onerror;
    this.mode = "side";
    this.split = 0.5;
    this.moved = false;
    this.held = null;
    this.query = "";
    this.parent = parent;
    parent.classList.add("empty");
    this.#build(parent);
    this.viewers = [this.left, this.right].map((element, place) =>
      makeViewer(element, place ? "Right image" : "Left image", { immediateRender: true }),
    );
    const moved = settled(200, () => this.onchange());
    this.viewers.forEach((viewer, place) => {
      const other = this.viewers[1 - place];
      const follow = () => this.#follow(viewer, other);
      for (const name of ["zoom", "pan", "rotate"]) viewer.addHandler(name, follow);
      for (const name of ["canvas-press", "canvas-scroll", "canvas-pinch"]) {
        viewer.addHandler(name, () => {
          this.moved = true;
        });
      }
      // Each is laid out by itself; both are put in order once that is done.
      viewer.addHandler("resize", () => {
        this.resizing = true;
        this.restore();
      });
      viewer.addHandler("animation-finish", moved);
      viewer.addHandler("open-failed", (event) =>
        this.onerror(new Error(event.message ?? "An image cannot be shown.")),
      );
      viewer.addHandler("tile-drawn", this.measure);
      // OpenSeadragon's own keys turn and mirror one image alone.
      viewer.addHandler("canvas-key", (event) => {
        if (event.originalEvent.key.startsWith("Arrow")) this.moved = true;
        else event.preventDefaultAction = true;
      });
    });
    this.show(this.mode);
    this.moves = {};
    for (const [name, move] of Object.entries(connect(this.viewers[0], () => null))) {
      this.moves[name] = () => {
        this.moved = name !== "fit" || this.viewers[0].viewport.getRotation() !== 0;
        move();
      };
      this.pair.querySelector(`[data-move="${name}"]`)?.addEventListener("click", this.moves[name]);
    }
    // For `onKeys` of a page that compares.
    this.keys = {
      s: () => this.show("side"),
      w: () => this.show("swipe"),
      d: () => this.show("difference"),
      b: () => this.show("blink"),
      "+": this.moves.in,
      "=": this.moves.in,
      "-": this.moves.out,
      0: this.moves.fit,
      1: this.moves.full,
    };
  }

  restore = settled(60, () => this.#restore());

  measure = settled(350, () => this.#measure());

  #build(parent) {
    const buttons = MODES.map(([mode, name]) =>
      el(
        "button",
        {
          type: "button",
          "aria-pressed": "false",
          "data-mode": mode,
          onclick: () => {
            this.show(mode);
          },
        },
        name,
      ),
    );
    this.buttons = buttons;
    this.gain = el("input", {
      type: "range",
      min: "0",
      max: "6",
      step: "1",
      value: "3",
      oninput: () => this.show(this.mode),
    });
    this.gainText = el("span", {});
    this.gainLabel = el("label", {}, "Amplified", this.gain, this.gainText);
    this.figures = el("output", { role: "status", "aria-live": "off" });
    const bar = el(
      "div",
      { class: "modes", role: "toolbar", "aria-label": "How both are shown" },
      el("div", { class: "choice", role: "group", "aria-label": "Mode" }, ...buttons),
      this.gainLabel,
      this.figures,
    );
    this.left = el("div");
    this.right = el("div");
    this.leftSide = el("div", { class: "side left" }, this.left);
    this.rightSide = el("div", { class: "side right" }, this.right);
    this.both = el("div", { class: "both" }, this.leftSide, this.rightSide);
    this.titles = [el("p", { class: "title left" }), el("p", { class: "title right" })];
    this.divider = el("div", {
      class: "divider",
      role: "slider",
      tabIndex: 0,
      "aria-label": "Where the right image begins",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    });
    const tool = (move, name, text) =>
      el("button", { type: "button", "data-move": move, "aria-label": name, title: name }, text);
    const tools = el(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "View" },
      tool("in", "Zoom in", "+"),
      tool("out", "Zoom out", "−"),
      tool("fit", "Fit all of it", "fit"),
      tool("full", "1:1, one to one", "1:1"),
      tool("right", "Rotate right", "↻"),
    );
    this.pair = el("div", { class: "pair", "data-mode": "side" }, this.both, ...this.titles, this.divider, tools);
    parent.append(bar, this.pair);
    this.divider.addEventListener("pointerdown", (event) => {
      this.divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      this.divider.focus();
    });
    this.divider.addEventListener("pointermove", (event) => {
      if (!this.divider.hasPointerCapture(event.pointerId)) return;
      const box = this.pair.getBoundingClientRect();
      this.#splitAt((event.clientX - box.left) / box.width);
    });
    this.divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.#splitAt(this.split + step);
    });
  }

  #splitAt(share) {
    this.split = Math.max(0, Math.min(1, share));
    const percent = this.split * 100;
    this.divider.style.left = `${percent}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(percent)));
    this.rightSide.style.clipPath = this.mode === "swipe" ? `inset(0 0 0 ${percent}%)` : "none";
  }

  /** Opens two images, each {ref, name}, as `query` shows samples, at a view if one is given. */
  async open(left, right, view = null) {
    const refs = [left.ref, right.ref];
    this.refs = refs;
    const sources = await this.#tiles(refs);
    if (refs !== this.refs) return [];
    this.#offer(refs).catch(this.onerror);
    [left, right].forEach(({ name }, place) => {
      this.titles[place].textContent = name;
      this.viewers[place].canvas.setAttribute("aria-label", `${place ? "Right" : "Left"} image: ${name}`);
    });
    const opened = this.viewers.map(
      (viewer) =>
        new Promise((resolve) => {
          viewer.addOnceHandler("open", resolve);
        }),
    );
    this.viewers.forEach((viewer, place) => viewer.open(sources[place]));
    await Promise.all(opened);
    this.parent.classList.remove("empty");
    this.show(this.mode);
    this.moved = Boolean(view?.w);
    const width = this.viewers[0].container.clientWidth;
    this.held = view?.w ? { ...view, scale: view.w / width } : null;
    this.#restore();
    return sources.map((source) => source.dimensions);
  }

  // Lossless tiles: what is seen is what the images differ by.
  #tiles(refs) {
    return Promise.all(refs.map((ref) => tilesOf(ref, this.query, "png")));
  }

  /** The form of the page that says how samples of both become colours. */
  async #offer(refs) {
    find("details").disabled = true;
    const [site, ...images] = await Promise.all([ask("api/site"), ...refs.map((ref) => ask(`api/image/${ref}`))]);
    if (refs !== this.refs) return;
    displayOfBoth(find("display"), images, site, this.query, (query) => this.#develop(query).catch(this.onerror));
    find("details").disabled = false;
  }

  async #develop(query) {
    const { refs } = this;
    this.query = query;
    this.onchange();
    const sources = await this.#tiles(refs);
    if (refs !== this.refs || query !== this.query) return;
    await Promise.all(this.viewers.map((viewer, place) => redraw(viewer, sources[place])));
    this.measure();
  }

  show(mode) {
    const changed = mode !== this.mode;
    this.mode = MODES.some(([name]) => name === mode) ? mode : "side";
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.mode === this.mode));
    this.pair.dataset.mode = this.mode;
    this.divider.hidden = this.mode !== "swipe";
    this.gainLabel.hidden = this.mode !== "difference";
    const gain = 2 ** Number(this.gain.value);
    this.gainText.textContent = `× ${gain}`;
    this.both.style.filter = this.mode === "difference" && gain > 1 ? `brightness(${gain})` : "none";
    this.#splitAt(this.split);
    clearInterval(this.blinking);
    this.rightSide.style.visibility = "";
    this.titles[1].style.visibility = "";
    if (this.mode === "blink") {
      let hidden = false;
      this.blinking = setInterval(() => {
        hidden = !hidden;
        this.rightSide.style.visibility = hidden ? "hidden" : "";
        this.titles[0].style.visibility = hidden ? "" : "hidden";
        this.titles[1].style.visibility = hidden ? "hidden" : "";
      }, BLINK);
    } else this.titles[0].style.visibility = "";
    this.measure();
    if (changed && this.viewers[0].isOpen()) this.onchange();
  }

  /** Moves one as the other was moved, and remembers where that is. */
  #follow(from, to, atOnce = false) {
    if (this.following || this.resizing || !from.isOpen() || !to.isOpen()) return;
    this.following = true;
    const [source, target] = [from.viewport, to.viewport];
    const angle = source.getRotation(false);
    if (target.getRotation(false) !== angle) target.setRotation(angle, atOnce);
    target.zoomTo(source.getZoom(false), null, atOnce);
    target.panTo(source.getCenter(false), atOnce);
    const view = viewOf(from);
    this.held = { ...view, scale: view.w / from.container.clientWidth };
    this.following = false;
  }

  /** After both have another size: all of the images where nobody moved them, else the same place as large as before. */
  #restore() {
    const [left, right] = this.viewers;
    this.resizing = false;
    if (!left.isOpen() || !right.isOpen()) return;
    this.following = true;
    if (this.moved && this.held) showView(left, { ...this.held, w: this.held.scale * left.container.clientWidth });
    else left.viewport.goHome(true);
    this.following = false;
    this.#follow(left, right, true);
    this.measure();
    this.onchange();
  }

  /** How far what is seen of both is apart, in values of 0 to 255, where both are drawn at the same places. */
  #measure() {
    const [left, right] = this.viewers;
    if (!left.isOpen() || !right.isOpen()) return;
    const [one, two] = [drawn(left), drawn(right)];
    if (one.width !== two.width || one.height !== two.height) return;
    const [a, b] = [one.data, two.data];
    const step = Math.max(1, Math.floor(a.length / 4 / 250000)) * 4;
    let sum = 0;
    let squares = 0;
    let most = 0;
    let count = 0;
    for (let at = 0; at < a.length; at += step) {
      if (a[at + 3] < 255 || b[at + 3] < 255) continue;
      for (let band = 0; band < 3; band += 1) {
        const apart = Math.abs(a[at + band] - b[at + band]);
        sum += apart;
        squares += apart * apart;
        if (apart > most) most = apart;
        count += 1;
      }
    }
    if (!count) return;
    const psnr = squares ? `, ${(10 * Math.log10((255 * 255 * count) / squares)).toFixed(1)} dB` : "";
    const item = left.world.getItemAt(0);
    // Smaller than they are, images are seen through their levels, which formats make in different ways.
    const reduced = item.viewportToImageZoom(left.viewport.getZoom(true)) < 0.99 / devicePixelRatio ? " (reduced)" : "";
    this.figures.textContent = `What is seen${reduced}: apart by ${(sum / count).toFixed(2)} on average, ${most} at most${psnr}`;
  }

  get view() {
    return viewOf(this.viewers[0]);
  }
}
