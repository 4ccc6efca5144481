// The images of an item or a folder in a strip, and the steps from one to the next.

import { ask, at, el, find, number } from "./page.js";
import { lazyImage, Pages, VirtualList } from "./tiles.js";

const WIDTH = 100;
const REST = 120;

const plain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey);

export class Folder {
  /** go(ref): shows another image. */
  constructor(go) {
    this.go = go;
    this.place = { ref: "", item: "", title: null, beside: null, index: null, total: 0 };
    this.pages = null;
    this.list = new VirtualList(find("strip"), {
      label: "Images beside this one",
      measure: (width, height) => ({ columns: 0, width: WIDTH, height }),
      fill: (cell, index) => this.#fill(cell, index),
      onsettle: () => this.pages?.want(...this.list.range),
    });
    for (const [name, by] of [
      ["previous", -1],
      ["next", 1],
    ]) {
      find(name).addEventListener("click", (event) => {
        if (!plain(event)) return;
        event.preventDefault();
        this.step(by);
      });
    }
  }

  /** Shows where an image stands: what the server says of its place. */
  show(place) {
    const before = this.place;
    this.place = place;
    const alone = place.index === null || place.total < 2;
    find("strip").hidden = alone;
    find("previous").closest("nav").hidden = alone;
    if (alone) {
      this.pages = null;
      return;
    }
    find("strip").setAttribute("aria-label", place.title ? `Pages of ${place.title}` : "Images of this folder");
    find("position").textContent = `${number(place.index + 1)} / ${number(place.total)}`;
    if (!this.pages || before.beside !== place.beside || before.total !== place.total) {
      this.pages = this.#pages(place.beside);
      this.list.reset(place.total, place.index);
    }
    for (const link of find("strip").querySelectorAll("a")) this.#point(link);
    this.list.active = place.index;
    this.list.scrollTo(place.index, "centre");
    this.list.draw();
    const [from, to] = this.list.range;
    this.pages.want(Math.max(0, Math.min(from, place.index - 1)), Math.min(place.total, Math.max(to, place.index + 2)));
    this.#neighbours();
  }

  /** Goes so many images further; false where there is none. */
  step(by) {
    const item = this.pages?.get(this.place.index + by);
    if (!item) return false;
    this.#open(item, this.place.index + by);
    return true;
  }

  #open(item, index) {
    // The server need not be asked where it stands.
    this.show({ ...this.place, ref: item.ref, index });
    this.go(item.ref);
  }

  #pages(beside) {
    const load = (offset, limit, signal) => ask(`api/items?${beside}&offset=${offset}&limit=${limit}`, { signal });
    const pages = new Pages(load, {
      size: 100,
      onpage: (from, to) => {
        if (this.pages !== pages) return;
        for (let index = from; index < to; index += 1) this.list.refresh(index);
        this.#neighbours();
      },
    });
    return pages;
  }

  #fill(cell, index) {
    const item = this.pages?.get(index);
    if (!item) {
      cell.append(el("a", { tabIndex: -1, "aria-label": "loading" }));
      return;
    }
    const picture = lazyImage(at.thumbnail(item.ref, 160));
    const open = (event) => {
      if (!plain(event)) return;
      event.preventDefault();
      this.#open(item, index);
    };
    const link = el(
      "a",
      { href: at.image(item.ref), title: item.name, "data-index": index, onclick: open },
      el("span", { class: "frame" }, picture),
      el("span", { class: "label" }, item.name),
    );
    this.#point(link);
    cell.append(link);
    // What flies past is not fetched.
    setTimeout(() => cell.isConnected && picture.start(), REST);
  }

  #point(link) {
    // By its number: of a job, a source stands in the place of its output.
    if (Number(link.dataset.index) === this.place.index) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }

  #neighbours() {
    for (const [name, by] of [
      ["previous", -1],
      ["next", 1],
    ]) {
      const item = this.pages?.get(this.place.index + by);
      find(name).setAttribute("aria-disabled", String(!item));
      if (item) find(name).href = at.image(item.ref);
      else find(name).removeAttribute("href");
    }
  }
}
