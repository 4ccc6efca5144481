// What all pages share: asking the server, addresses, elements, numbers for people.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** JSON from the server, by an address relative to it; throws Refused with what the server says. */
export async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer; is it still running?");
  }
  if (response.status === 204) return null;
  const said = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, said?.message ?? `The server answers ${response.status}.`);
  return said;
}

/** The value of a query field as it was sent: identifiers stay percent-encoded, whatever bytes they hold. */
export function raw(name) {
  for (const part of location.search.slice(1).split("&")) {
    const at = part.indexOf("=");
    if (at > 0 && part.slice(0, at) === name)
      return part
        .slice(at + 1)
        .replaceAll("/", "%2F")
        .replaceAll("+", "%2B");
  }
  return "";
}

export const at = {
  thumbnail: (ref, side) => `iiif/3/${ref}/full/!${side},${side}/0/default.jpg`,
  info: (ref) => `iiif/3/${ref}/info.json`,
  image: (ref) => `image?id=${ref}`,
  compare: (left, right) => `compare?left=${left}&right=${right}`,
};

/** An element with properties, attributes (those with a dash, role, for), listeners (on...) and children. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export const find = (id) => document.getElementById(id);

const whole = new Intl.NumberFormat();

export const number = (value) => whole.format(value);

export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
  let place = 0;
  while (value >= 1000 && place < units.length - 1) [value, place] = [value / 1000, place + 1];
  return `${place ? value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0) : value} ${units[place]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "unknown";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
}

/** Calls a function once things have been quiet for so many milliseconds. */
export function settled(milliseconds, call) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(call, milliseconds, ...given);
  };
}

/** Keys of a page by what they are called; fields keep their own. */
export function onKeys(keys) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea, dialog")) return;
    const call = keys[event.key];
    if (call && call(event) !== false) event.preventDefault();
  });
}

/** A dialog that says which keys there are; opened with a question mark. */
export function keysDialog(lines) {
  const list = el("dl", { class: "keys" });
  for (const [key, meaning] of lines) {
    list.append(el("dt", {}, ...key.split(" ").flatMap((one) => [el("kbd", {}, one), " "])), el("dd", {}, meaning));
  }
  const dialog = el(
    "dialog",
    { "aria-label": "Keys" },
    el("h2", {}, "Keys"),
    list,
    el("form", { method: "dialog" }, el("button", { class: "close" }, "Close")),
  );
  document.body.append(dialog);
  return () => dialog.showModal();
}

/** A button that folds a panel; gives back what does the same. */
export function folding(button, panel, open, onfold = () => {}) {
  const fold = (wanted = panel.hidden) => {
    panel.hidden = !wanted;
    button.setAttribute("aria-expanded", String(wanted));
    onfold(wanted);
  };
  fold(open);
  button.addEventListener("click", () => fold());
  return fold;
}

/** Takes a token out of the address: the browser has it as a cookie by now. */
export function hideToken() {
  const address = new URL(location.href);
  if (address.searchParams.has("token")) {
    address.searchParams.delete("token");
    history.replaceState(history.state, "", address);
  }
}

export function tell(error) {
  const notice = find("notice");
  notice.textContent = error.message;
  notice.hidden = false;
}

hideToken();
