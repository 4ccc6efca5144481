// What is looked for in the collection: words, a folder, a state of the job, an item. All of it stands in the address.

import { el, find, number, raw } from "./page.js";
import { stateGroup } from "./words.js";

const STATES = ["done", "failed", "running", "pending"];

/** What an address asks for. The item stays percent-encoded, whatever bytes its name holds. */
export function readAddress() {
  const said = new URLSearchParams(location.search);
  const text = (name) => said.get(name) ?? "";
  return { q: text("q"), under: text("under"), state: text("state"), item: raw("item") };
}

/** The query that asks for it, of this page and of the server alike. */
export function queryOf({ q, under, state, item }) {
  const said = new URLSearchParams({ ...(q && { q }), ...(under && { under }), ...(state && { state }) }).toString();
  return [said, item && `item=${item}`].filter(Boolean).join("&");
}

export function addressOf(wanted) {
  const query = queryOf(wanted);
  return `./${query ? `?${query}` : ""}`;
}

/** A link that changes what is looked for, which is followed without loading the page anew. */
export function filterLink(wanted, go, properties, ...content) {
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(wanted);
  };
  return el("a", { href: addressOf(wanted), onclick: follow, ...properties }, ...content);
}

/** The states of a job with their numbers; counts is null where no job is served. */
export function showStates(counts, wanted, go) {
  const list = find("states");
  list.hidden = !counts;
  if (!counts) return;
  const all = STATES.reduce((sum, state) => sum + counts[state], 0);
  const shown = STATES.filter((state) => counts[state] || state === wanted.state);
  const line = (state, name, count) => {
    const current = wanted.state === state ? "true" : null;
    const link = filterLink({ ...wanted, state }, go, { "aria-current": current }, el("span", {}, name));
    link.append(el("span", {}, number(count)));
    return el("li", {}, link);
  };
  const focused = list.contains(document.activeElement);
  list.replaceChildren(
    line("", "All images", all),
    ...shown.map((state) => line(state, capital(stateGroup(state)), counts[state])),
  );
  if (focused) list.querySelector("[aria-current]").focus();
}

/** The filters that are on, each with a button that takes it off. title: what people call the item. */
export function showFilters(wanted, title, go) {
  const named = [
    ["state", "State", stateGroup(wanted.state)],
    ["item", "Item", title || decoded(wanted.item)],
    ["under", "Folder", wanted.under],
  ].filter(([name]) => wanted[name]);
  const without = (names) => ({ ...wanted, ...Object.fromEntries(names.map((name) => [name, ""])) });
  const buttons = named.map(([name, kind, value]) =>
    el(
      "button",
      {
        type: "button",
        "aria-label": `Remove the filter ${kind}: ${value}`,
        title: `Remove this filter`,
        onclick: () => go(without([name])),
      },
      el("span", {}, `${kind}: `, el("b", {}, value)),
      el("span", { "aria-hidden": "true" }, "×"),
    ),
  );
  if (buttons.length > 1) {
    const all = () => go(without(named.map(([name]) => name)));
    buttons.push(el("button", { type: "button", class: "plain", onclick: all }, "Remove all"));
  }
  const list = find("filters");
  const focused = list.contains(document.activeElement);
  list.hidden = !buttons.length;
  list.replaceChildren(...buttons.map((button) => el("li", {}, button)));
  if (focused) (buttons[0] ?? find("q")).focus();
}

/** What asks for a text in one column; "" where no query can say it. */
export function columnQuery(column, text) {
  const quoted = (part) => (/[\s":]/.test(part) ? `"${part}"` : part);
  return /"/.test(column + text) ? "" : `${quoted(column)}:${quoted(text)}`;
}

/** Offers the columns that can be searched: the chosen one is written into the field. */
export function offerColumns(columns, field) {
  const choice = find("column");
  choice.hidden = !columns.length;
  choice.append(...columns.map((name) => el("option", { value: columnQuery(name, "") }, name)));
  choice.addEventListener("change", () => {
    field.value = `${field.value.trimEnd()} ${choice.value}`.trimStart();
    choice.selectedIndex = 0;
    field.focus();
    field.dispatchEvent(new Event("input"));
  });
}

/** What is looked for in one sentence, for when nothing is found. */
export function nothingFound({ q, under, state, item }, title) {
  const parts = [
    q && `“${q}”`,
    state && `in the state “${stateGroup(state)}”`,
    item && `in the item “${title || decoded(item)}”`,
    under && `in the folder “${under}”`,
  ].filter(Boolean);
  return parts.length ? `No image is found: ${parts.join(" ")}.` : "There are no images here yet.";
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function decoded(ref) {
  try {
    return decodeURIComponent(ref);
  } catch {
    return ref;
  }
}
