// A list of any length of which only what can be seen exists: cells in rows, or in one line from left to right.

export class VirtualList {
  /**
   * scroller: the element that scrolls.
   * measure(width, height): {columns, width, height} of the cells; columns is 0 for one horizontal line.
   * fill(cell, index): puts content into an empty cell.
   * label: what the list is called.
   */
  constructor(scroller, { measure, fill, label, settle = 90, onsettle = () => {} }) {
    this.scroller = scroller;
    this.measure = measure;
    this.fill = fill;
    this.settleTime = settle;
    this.onsettle = onsettle;
    this.total = 0;
    this.active = 0;
    this.cells = new Map();
    this.list = document.createElement("ul");
    this.list.setAttribute("aria-label", label);
    this.list.setAttribute("role", "list");
    scroller.append(this.list);
    this.frame = 0;
    this.timer = 0;
    scroller.addEventListener("scroll", () => this.#soon(), { passive: true });
    scroller.addEventListener("keydown", (event) => this.#key(event));
    scroller.addEventListener("focusin", (event) => {
      const cell = event.target.closest("li");
      if (cell) this.active = Number(cell.dataset.index);
      this.#rove();
    });
    new ResizeObserver(() => this.resize()).observe(scroller);
  }

  get first() {
    const { columns, width, height } = this.shape;
    return columns
      ? Math.floor(this.scroller.scrollTop / height) * columns
      : Math.floor(this.scroller.scrollLeft / width);
  }

  /** Takes another number of cells; those that are there are thrown away. */
  reset(total, index = 0) {
    this.clear();
    this.total = total;
    this.active = Math.max(0, Math.min(index, total - 1));
    this.resize(index);
  }

  clear() {
    for (const cell of this.cells.values()) this.#drop(cell);
    this.cells.clear();
  }

  /** Lays out anew, with the same cell in sight. */
  resize(index = this.shape ? this.first : 0) {
    const shape = this.measure(this.scroller.clientWidth, this.scroller.clientHeight);
    this.shape = shape;
    const rows = shape.columns ? Math.ceil(this.total / shape.columns) : 1;
    this.list.style.height = `${rows * shape.height}px`;
    this.list.style.width = shape.columns ? "" : `${this.total * shape.width}px`;
    this.scrollTo(index, "start");
    for (const [number, cell] of this.cells) this.#place(cell, number);
    this.draw();
  }

  scrollTo(index, how = "nearest") {
    const { columns, width, height } = this.shape;
    const scroller = this.scroller;
    if (columns) {
      const top = Math.floor(index / columns) * height;
      if (how === "start" || top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top + height > scroller.scrollTop + scroller.clientHeight)
        scroller.scrollTop = top + height - scroller.clientHeight;
    } else {
      const left = index * width;
      const middle = left - (scroller.clientWidth - width) / 2;
      if (how === "centre") scroller.scrollLeft = middle;
      else if (left < scroller.scrollLeft || left + width > scroller.scrollLeft + scroller.clientWidth)
        scroller.scrollLeft = middle;
    }
  }

  /** Makes the cells that are in sight and a little beyond, and removes the others. */
  draw() {
    const { columns, width, height } = this.shape;
    const scroller = this.scroller;
    let from;
    let to;
    if (columns) {
      const margin = scroller.clientHeight / 2;
      from = Math.floor(Math.max(0, scroller.scrollTop - margin) / height) * columns;
      to = Math.ceil((scroller.scrollTop + scroller.clientHeight + margin) / height) * columns;
    } else {
      from = Math.floor(Math.max(0, scroller.scrollLeft - width * 2) / width);
      to = Math.ceil((scroller.scrollLeft + scroller.clientWidth) / width) + 2;
    }
    this.range = [from, Math.min(to, this.total)];
    const focused = this.list.contains(document.activeElement) ? this.active : -1;
    for (const [index, cell] of this.cells) {
      if ((index < from || index >= to) && index !== focused) {
        this.#drop(cell);
        this.cells.delete(index);
      }
    }
    for (let index = from; index < this.range[1]; index += 1) if (!this.cells.has(index)) this.#make(index);
    this.#rove();
  }

  /** One cell alone is a stop for the tab key; arrows move on from there. */
  #rove() {
    const stop = this.cells.has(this.active) ? this.active : Math.min(this.first, this.total - 1);
    for (const [index, cell] of this.cells) {
      const link = cell.querySelector("a");
      if (link) link.tabIndex = index === stop ? 0 : -1;
    }
  }

  /** Fills a cell anew, if it is there. */
  refresh(index) {
    const cell = this.cells.get(index);
    if (!cell) return;
    const focused = cell.contains(document.activeElement);
    cell.replaceChildren();
    this.fill(cell, index);
    if (focused) cell.querySelector("a")?.focus({ preventScroll: true });
    this.#rove();
  }

  focus(index) {
    if (index < 0 || index >= this.total) return;
    this.active = index;
    this.scrollTo(index);
    this.draw();
    if (!this.cells.has(index)) this.#make(index);
    this.cells.get(index).querySelector("a")?.focus({ preventScroll: true });
  }

  #make(index) {
    const cell = document.createElement("li");
    cell.dataset.index = index;
    cell.setAttribute("aria-setsize", this.total);
    cell.setAttribute("aria-posinset", index + 1);
    this.#place(cell, index);
    this.fill(cell, index);
    this.cells.set(index, cell);
    this.list.append(cell);
  }

  #place(cell, index) {
    const { columns, width, height } = this.shape;
    const x = columns ? (index % columns) * width : index * width;
    const y = columns ? Math.floor(index / columns) * height : 0;
    cell.style.width = `${width}px`;
    cell.style.height = `${height}px`;
    cell.style.transform = `translate(${x}px, ${y}px)`;
  }

  #drop(cell) {
    // An image that is no longer wanted is not fetched to its end.
    for (const image of cell.querySelectorAll("img")) image.removeAttribute("src");
    cell.remove();
  }

  #soon() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.onsettle(), this.settleTime);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.list.contains(event.target)) return;
    const across = this.shape.columns || 1;
    const shown = Math.max(1, Math.floor(this.scroller.clientHeight / this.shape.height)) * across;
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -this.active, End: this.total - 1 - this.active };
    if (this.shape.columns)
      Object.assign(steps, { ArrowDown: across, ArrowUp: -across, PageDown: shown, PageUp: -shown });
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.focus(Math.max(0, Math.min(this.total - 1, this.active + step)));
  }
}

/** The images of a list, fetched a page at a time where they are looked at. */
export class Pages {
  constructor(load, { size = 100, kept = 60, onpage }) {
    this.load = load;
    this.size = size;
    this.kept = kept;
    this.onpage = onpage;
    this.pages = new Map();
    this.loading = new Map();
  }

  get(index) {
    return this.pages.get(Math.floor(index / this.size))?.[index % this.size];
  }

  /** Sees to it that images are there; what is asked for no longer is given up. */
  want(from, to) {
    const wanted = new Set();
    for (let page = Math.floor(from / this.size); page * this.size < to; page += 1) wanted.add(page);
    for (const [page, control] of this.loading) if (!wanted.has(page)) control.abort();
    for (const page of wanted) if (!this.pages.has(page) && !this.loading.has(page)) this.#fetch(page);
  }

  put(page, items) {
    this.pages.set(page, items);
    if (this.pages.size > this.kept) this.pages.delete(this.pages.keys().next().value);
    this.onpage(page * this.size, page * this.size + items.length);
  }

  async #fetch(page) {
    const control = new AbortController();
    this.loading.set(page, control);
    try {
      const said = await this.load(page * this.size, this.size, control.signal);
      this.put(page, said.items);
    } catch (error) {
      if (error.name !== "AbortError") this.onerror?.(error);
    } finally {
      this.loading.delete(page);
    }
  }
}

/** An image that is fetched when it is told to, and asks again where the server is busy. */
export function lazyImage(address, { onfail = () => {}, onload = () => {} } = {}) {
  const image = document.createElement("img");
  image.alt = "";
  image.decoding = "async";
  let tries = 0;
  image.addEventListener("load", () => {
    image.classList.add("there");
    onload();
  });
  image.addEventListener("error", () => {
    if (!image.hasAttribute("src")) return;
    tries += 1;
    if (tries > 2) onfail();
    else setTimeout(() => image.isConnected && (image.src = address), 1500 * tries);
  });
  image.start = () => {
    if (!image.hasAttribute("src")) image.src = address;
  };
  return image;
}
