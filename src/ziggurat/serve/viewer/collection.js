// The page of all images: search, folders, and a grid that stays smooth with a hundred thousand of them.

import {
  addressOf,
  filterLink,
  nothingFound,
  offerColumns,
  queryOf,
  readAddress,
  showFilters,
  showStates,
} from "./filters.js";
import { ask, at, el, find, keysDialog, number, onKeys, settled, tell } from "./page.js";
import { lazyImage, Pages, VirtualList } from "./tiles.js";
import { fidelityWords, stateGroup, stateWords } from "./words.js";

const CAPTION = 54;
const FIRST = 100;

let here = readAddress();
const field = find("q");
const size = find("size");
let pages = null;
let round = 0;
let title = "";

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
  const size = item.width ? `${number(item.width)} × ${number(item.height)}` : "";
  const facts = item.state
    ? [item.state === "done" ? fidelityWords(item, true) || "done" : stateGroup(item.state)]
    : [item.title ? "" : item.folder, size];
  cell.append(
    el(
      "a",
      { class: "card", href: at.image(item.ref), title: item.id },
      frame,
      el("span", { class: "caption" }, el("span", { class: "name" }, item.name)),
    ),
    el(
      "p",
      { class: "where" },
      ...itemLink(item),
      el(
        "span",
        { class: `state ${stateGroup(item.state)}`, title: stateWords(item.state) },
        facts.filter(Boolean).join(" · "),
      ),
    ),
    markButton(item),
    item.counterpart && item.side === "output" ? againstSource(item) : "",
  );
  if (!grid.hurried) image.start();
}

/** The item that an image belongs to: its pages alone are shown where it is followed. */
function itemLink({ item, title }) {
  if (!title) return [];
  const name = el("span", { class: "unseen" }, "Only the item ");
  return [filterLink({ ...here, item }, go, { class: "item", tabIndex: -1, title: `Only ${title}` }, name, title), " "];
}

const againstSource = (item) =>
  el(
    "a",
    {
      class: "mark against",
      tabIndex: -1,
      href: at.compare(item.counterpart, item.ref),
      title: "Compare with its source",
      "aria-label": `Compare ${item.name} with its source`,
    },
    "⇄",
  );

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
  const fields = queryOf(here);
  const list = (offset, limit, signal) =>
    ask(`api/items?${fields ? `${fields}&` : ""}offset=${offset}&limit=${limit}`, { signal });
  showFilters(here, title, go);
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
  title = (here.item && said.items[0]?.title) || title;
  showFilters(here, title, go);
  if (!said.total) {
    tell({ message: nothingFound(here, title) });
    find("notice").classList.add("calm");
  }
}

/** Looks for something else, in an address of its own. */
function go(wanted) {
  history.pushState(null, "", addressOf(wanted));
  arrive();
}

function arrive() {
  const before = here;
  here = readAddress();
  if (here.item !== before.item) title = "";
  field.value = here.q;
  remember();
  show().then(keepPlace);
  showFolders();
  countStates();
}

/** How many images are in which state; asked for anew with every step, because a job may go on. */
async function countStates() {
  const job = (await site).job ? await ask("api/job").catch(() => null) : null;
  showStates(job?.counts ?? null, here, go);
  find("side").hidden = find("folders").hidden && find("states").hidden;
}

async function showFolders() {
  const { under: wanted } = here;
  const said = await ask(`api/folders?${new URLSearchParams({ under: wanted })}`).catch(() => ({
    folders: [],
    total: 0,
  }));
  if (wanted !== here.under) return;
  const nav = find("folders");
  nav.hidden = !said.total && !here.under;
  find("side").hidden = nav.hidden && find("states").hidden;
  const steps = here.under ? here.under.split("/") : [];
  const trail = [["All folders", ""], ...steps.map((name, place) => [name, steps.slice(0, place + 1).join("/")])];
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
  return filterLink(
    { ...here, under },
    go,
    { title: name, "aria-current": current ? "page" : null },
    el("span", {}, name),
    count === null ? "" : el("span", {}, number(count)),
  );
}

/** Writes what is looked for into the address, to which the other pages lead back. */
function remember(first = 0) {
  history.replaceState(null, "", `${addressOf(here)}${first ? `#at=${first}` : ""}`);
  sessionStorage.setItem("collection", location.href);
}

const keepPlace = settled(200, () => remember(grid.first));

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

const site = ask("api/site");

async function begin() {
  const said = await site;
  find("title").textContent = said.title;
  document.title = said.title;
  find("job").hidden = !said.job;
  offerColumns(said.columns, field);
  if (said.columns.length) field.placeholder = "Search names and all columns";
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
    remember();
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
addEventListener("popstate", arrive);
const press = (part) => document.activeElement.closest("li")?.querySelector(part)?.click();
const help = keysDialog([
  ["/", "search"],
  [
    "material:map",
    "in the search: what holds “map” in the column “material”; words that belong together stand in quotes",
  ],
  ["← ↑ → ↓", "from image to image"],
  ["Enter", "open the image"],
  ["c", "mark the image for comparison"],
  ["s", "compare an output with its source"],
  ["i", "only the item of the image"],
  ["Home End", "first and last image"],
  ["?", "these keys"],
]);
onKeys({
  "/": () => field.focus(),
  "?": help,
  c: () => press("button.mark"),
  s: () => press(".against"),
  i: () => press(".item"),
});
showMarked();
begin().catch(tell);
show(Number(location.hash.match(/at=(\d+)/)?.[1] ?? 0));
showFolders();
countStates().catch(() => {});
sessionStorage.setItem("collection", location.href);
