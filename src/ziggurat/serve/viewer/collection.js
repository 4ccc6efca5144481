// The page of all images: search, folders, and a grid that stays smooth with a hundred thousand of them.

import { ask, at, el, find, keysDialog, number, onKeys, settled, tell } from "./page.js";
import { lazyImage, Pages, VirtualList } from "./tiles.js";

const CAPTION = 54;
const FIRST = 100;

const query = new URLSearchParams(location.search);
const here = {
  q: query.get("q") ?? "",
  under: query.get("under") ?? "",
  start: Number(location.hash.match(/at=(\d+)/)?.[1] ?? 0),
};
const field = find("q");
const size = find("size");
let pages = null;
let round = 0;

const grid = new VirtualList(find("grid"), {
  label: "Images",
  measure: (width) => {
    const inner = width - 12;
    const wanted = Math.min(Number(size.value), inner / 2);
    const columns = Math.max(1, Math.floor(inner / wanted));
    const side = inner / columns;
    return { columns, width: side, height: Math.round(side * 0.86 + CAPTION) };
  },
  fill: fillCard,
  onsettle: () => {
    load();
    keepPlace();
  },
});

function fillCard(cell, index) {
  const item = pages?.get(index);
  if (!item) {
    cell.append(el("a", { class: "card", tabIndex: -1, "aria-label": "loading" }, el("span", { class: "frame" })));
    return;
  }
  const frame = el("span", { class: "frame" });
  const wide = grid.shape.width * devicePixelRatio > 260 ? 480 : 240;
  const image = lazyImage(at.thumbnail(item.ref, wide), {
    onfail: () => frame.replaceChildren(el("span", { class: "broken" }, "cannot be read")),
  });
  frame.append(image);
  const facts = [item.folder, item.width ? `${number(item.width)} × ${number(item.height)}` : "", item.state ?? ""];
  cell.append(
    el(
      "a",
      { class: "card", href: at.image(item.ref), title: item.id },
      frame,
      el(
        "span",
        { class: "caption" },
        el("span", { class: "name" }, item.name),
        el("span", { class: `where state ${item.state ?? ""}` }, facts.filter(Boolean).join(" · ")),
      ),
    ),
    markButton(item),
  );
  if (!grid.hurried) image.start();
}

/** Starts the pictures of what is in sight, and fetches the names that are missing. */
function load() {
  grid.hurried = false;
  if (!pages) return;
  pages.want(...grid.range);
  for (const cell of grid.cells.values()) cell.querySelector("img")?.start();
}

let last = [0, 0];
find("grid").addEventListener(
  "scroll",
  () => {
    // Pictures that fly past are not fetched.
    const now = [performance.now(), find("grid").scrollTop];
    grid.hurried = Math.abs(now[1] - last[1]) / Math.max(1, now[0] - last[0]) > 1.5;
    last = now;
    if (!grid.hurried && pages) requestAnimationFrame(() => pages.want(...grid.range));
  },
  { passive: true },
);

async function show(start = 0) {
  const mine = (round += 1);
  const fields = new URLSearchParams({ q: here.q, under: here.under });
  const list = (offset, limit, signal) => ask(`api/items?${fields}&offset=${offset}&limit=${limit}`, { signal });
  let said;
  try {
    said = await list(0, FIRST);
  } catch (error) {
    tell(error);
    return;
  }
  if (mine !== round) return;
  find("notice").hidden = true;
  pages = new Pages(list, {
    size: FIRST,
    onpage: (from, to) => {
      for (let index = from; index < to; index += 1) grid.refresh(index);
    },
  });
  pages.onerror = tell;
  pages.pages.set(0, said.items);
  const noun = said.total === 1 ? "image" : "images";
  find("count").textContent = `${said.complete ? "" : "the first "}${number(said.total)} ${noun}`;
  grid.hurried = false;
  grid.reset(said.total, start);
  load();
  if (!said.total) {
    tell({
      message:
        here.q || here.under
          ? `No image has “${here.q}” in its name${here.under ? ` below ${here.under}` : ""}.`
          : "There are no images here yet.",
    });
    find("notice").classList.add("calm");
  }
}

async function showFolders() {
  const said = await ask(`api/folders?${new URLSearchParams({ under: here.under })}`).catch(() => ({
    folders: [],
    total: 0,
  }));
  const nav = find("folders");
  nav.hidden = !said.total && !here.under;
  const steps = here.under ? here.under.split("/") : [];
  const trail = [["All images", ""], ...steps.map((name, place) => [name, steps.slice(0, place + 1).join("/")])];
  find("path").replaceChildren(
    ...trail.map(([name, under], place) => folderLink(name, under, null, place === trail.length - 1)),
  );
  find("below").replaceChildren(
    ...said.folders.map(({ folder, name, count }) => el("li", {}, folderLink(name, folder, count))),
  );
  if (said.total > said.folders.length)
    find("below").append(
      el("li", { class: "count" }, `and ${number(said.total - said.folders.length)} more: search for their names`),
    );
}

function folderLink(name, under, count, current = false) {
  const address = `./?${new URLSearchParams({ ...(here.q && { q: here.q }), ...(under && { under }) })}`;
  return el(
    "a",
    {
      href: address,
      title: name,
      "aria-current": current ? "page" : null,
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        history.pushState(null, "", address);
        here.under = under;
        show();
        showFolders();
      },
    },
    el("span", {}, name),
    count === null ? "" : el("span", {}, number(count)),
  );
}

const keepPlace = settled(200, () => {
  const fields = new URLSearchParams({ ...(here.q && { q: here.q }), ...(here.under && { under: here.under }) });
  const said = fields.toString();
  history.replaceState(null, "", `./${said ? `?${said}` : ""}${grid.first ? `#at=${grid.first}` : ""}`);
  sessionStorage.setItem("collection", location.href);
});

// Two images that are marked can be compared.

let marked = JSON.parse(sessionStorage.getItem("marked") ?? "[]");

function markButton(item) {
  const is = marked.some((one) => one.ref === item.ref);
  return el(
    "button",
    {
      class: "mark",
      type: "button",
      tabIndex: -1,
      "aria-pressed": String(is),
      "aria-label": `Mark ${item.name} for comparison`,
      title: "Mark for comparison",
      "data-ref": item.ref,
      onclick: () => toggleMark(item),
    },
    is ? "✓" : "+",
  );
}

function toggleMark({ ref, name }) {
  marked = marked.some((one) => one.ref === ref)
    ? marked.filter((one) => one.ref !== ref)
    : [...marked, { ref, name }].slice(-2);
  sessionStorage.setItem("marked", JSON.stringify(marked));
  for (const button of document.querySelectorAll(".mark")) {
    const is = marked.some((one) => one.ref === button.dataset.ref);
    button.setAttribute("aria-pressed", String(is));
    button.textContent = is ? "✓" : "+";
  }
  showMarked();
}

function showMarked() {
  const box = find("marked");
  box.hidden = !marked.length;
  const names = marked.map((one) => one.name).join(" and ");
  box.replaceChildren(
    el("p", { role: "status" }, marked.length === 1 ? `${names}: mark a second one` : names),
    marked.length === 2
      ? el("a", { class: "button main", href: at.compare(marked[0].ref, marked[1].ref) }, "Compare")
      : "",
    el(
      "button",
      {
        type: "button",
        onclick: () => {
          marked.slice().forEach(toggleMark);
        },
      },
      "Clear",
    ),
  );
}

async function begin() {
  const site = await ask("api/site");
  find("title").textContent = site.title;
  document.title = site.title;
  find("job").hidden = !site.job;
}

field.value = here.q;
size.value = localStorage.getItem("size") ?? size.value;
size.addEventListener("input", () => {
  localStorage.setItem("size", size.value);
  grid.resize();
  load();
});
field.addEventListener(
  "input",
  settled(160, () => {
    here.q = field.value;
    show().then(keepPlace);
  }),
);
field.closest("form").addEventListener("submit", (event) => {
  event.preventDefault();
  grid.focus(0);
});
field.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") {
    event.preventDefault();
    grid.focus(grid.first);
  }
});
addEventListener("popstate", () => {
  const back = new URLSearchParams(location.search);
  [here.q, here.under] = [back.get("q") ?? "", back.get("under") ?? ""];
  field.value = here.q;
  show();
  showFolders();
});
const help = keysDialog([
  ["/", "search"],
  ["← ↑ → ↓", "from image to image"],
  ["Enter", "open the image"],
  ["c", "mark the image for comparison"],
  ["Home End", "first and last image"],
  ["?", "these keys"],
]);
onKeys({
  "/": () => field.focus(),
  "?": help,
  c: () => document.activeElement.closest("li")?.querySelector(".mark")?.click(),
});
showMarked();
begin().catch(tell);
show(here.start);
showFolders();
sessionStorage.setItem("collection", location.href);
