// What is told of an image: facts, links, and the metadata that its file carries.

import { addressOf, columnQuery } from "./filters.js";
import { at, bytes, el, number } from "./page.js";
import { fidelityWords, stateWords } from "./words.js";

const SCREEN = 97;

/**
 * Size of a pixel: {metres} or {arcseconds} across, or null. A file that says 72 or 96 dots an inch says nothing, and a
 * camera does not know how far its subject was.
 */
export function pixelSize(image) {
  const sky = image.details?.wcs?.pixel_scale;
  if (Array.isArray(sky) && sky[0] > 0) return { arcseconds: sky[0] };
  const across = image.resolution?.[1];
  const camera = image.metadata.exif?.FNumber ?? image.metadata.exif?.ExposureTime;
  return across * 0.0254 > SCREEN && camera === undefined ? { metres: 1 / across } : null;
}

export function unitOf(image) {
  return image.details?.fits?.unit ?? "";
}

function readable(value) {
  if (value === null || value === undefined || value === "") return "";
  if (Array.isArray(value))
    return value.length && value.every((one) => one === null || typeof one !== "object")
      ? value.map(readable).join(", ")
      : value.map((one) => readable(one)).join("\n");
  if (typeof value === "object")
    return Object.entries(value)
      .map(([name, one]) => `${name.replaceAll("_", " ")} ${readable(one)}`)
      .join(", ");
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(8)));
  return String(value);
}

function pairs(entries) {
  const parts = [];
  for (const [name, value] of entries) {
    const shown = readable(value);
    if (shown !== "")
      parts.push(el("dt", {}, name.replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2")), el("dd", {}, shown));
  }
  return parts;
}

export function showFacts(list, image) {
  const density = image.resolution && `${number(Math.round(image.resolution[1] * 0.0254))} dots an inch`;
  const size = pixelSize(image);
  const physical =
    size?.metres &&
    `${(image.width * size.metres * 100).toFixed(1)} × ${((image.height / image.resolution[0]) * 100).toFixed(1)} cm`;
  const scale = size?.arcseconds && `${Number(size.arcseconds.toPrecision(4))}″`;
  const alpha = image.alpha ? ", the last one opacity" : "";
  const stored = image.levels.filter((level) => !level.made);
  const made = image.levels.length - stored.length;
  list.replaceChildren(
    ...pairs([
      ["Size", `${number(image.width)} × ${number(image.height)} pixels`],
      ["File", image.details?.mosaic ? "" : `${image.format}, ${bytes(image.bytes)}`],
      ["Mosaic", image.details?.mosaic && `of ${number(image.details.mosaic.images)} images`],
      ["Bands", image.details?.mosaic?.bands],
      ["Samples", `${image.bands} × ${image.bit_depth} bits (${image.dtype})${alpha}`],
      ["Colours", image.icc_profile ? `${image.colour_space}, ${image.icc_profile}` : image.colour_space],
      ["Unit", unitOf(image)],
      ["Resolution", density],
      ["Original", physical],
      ["Pixel", scale],
      [
        "Levels",
        `${stored.map((level) => number(level.size[1])).join(", ")} pixels wide${made ? `, ${made} more are made` : ""}`,
      ],
      ["Tiles", image.details?.mosaic ? "" : image.levels[0].tile && image.levels[0].tile.toReversed().join(" × ")],
      ["Turned", image.orientation > 1 ? `as EXIF says (${image.orientation})` : ""],
      ["Warnings", image.warnings.join("\n")],
    ]),
  );
}

/** What a job or a manifest says of an image; a value leads to all images with the same one. */
export function showSaid(list, image) {
  const said = pairs([
    ["Item", image.title],
    ["Shown", image.side && `the ${image.side}`],
    ["State", stateWords(image.state)],
    ["Fidelity", image.side === "output" ? fidelityWords(image) : ""],
  ]);
  if (image.title) said[1].replaceChildren(el("a", { href: addressOf({ item: image.item }) }, image.title));
  for (const { label, value } of image.described ?? []) {
    if (value === image.title) continue;
    const q = columnQuery(label, value);
    said.push(
      el("dt", {}, label),
      el("dd", {}, q ? el("a", { href: addressOf({ q }), title: `All images with ${q}` }, value) : value),
    );
  }
  list.replaceChildren(...said);
  list.closest("section").hidden = !said.length;
}

/** The step from an output of a job to its source, or back. */
export function showAgainst(link, { ref, side, counterpart }) {
  link.hidden = !counterpart;
  if (!counterpart) return;
  link.href = side === "source" ? at.compare(ref, counterpart) : at.compare(counterpart, ref);
  link.textContent = side === "source" ? "Compare with output" : "Compare with source";
}

export function showMore(box, image) {
  const groups = [];
  const group = (title, ...content) => groups.push(el("details", {}, el("summary", {}, title), ...content));
  const { exif, iptc, xmp } = image.metadata;
  if (iptc && Object.keys(iptc).length) group("IPTC", el("dl", { class: "facts" }, ...pairs(Object.entries(iptc))));
  if (exif && Object.keys(exif).length) group("EXIF", el("dl", { class: "facts" }, ...pairs(Object.entries(exif))));
  for (const [name, details] of Object.entries(image.details ?? {})) {
    if (details && typeof details === "object")
      group(
        name === "wcs" ? "World coordinates" : name.toUpperCase(),
        el("dl", { class: "facts" }, ...pairs(Object.entries(details))),
      );
  }
  if (xmp) group("XMP", el("pre", { tabIndex: 0 }, xmp));
  box.replaceChildren(...groups);
}

/** Links to an image; part() is its visible window, query() how it is shown, item() what it is a page of, each when it is used. */
export function showLinks(list, image, site, { part, query, item, copy, mark }) {
  const ref = image.ref;
  const link = (text, href, extra = {}) => el("li", {}, el("a", { href, ...extra }, text));
  const shown = () => (query() ? `?${query()}` : "");
  const lively = (text, address) => {
    const anchor = el("a", { target: "_blank", rel: "noopener" }, text);
    const aim = () => {
      anchor.href = address();
    };
    aim();
    for (const event of ["pointerdown", "focus", "pointerenter"]) anchor.addEventListener(event, aim);
    return el("li", {}, anchor);
  };
  list.replaceChildren(
    ...[
      el("li", {}, el("button", { type: "button", onclick: copy }, "Copy a link to this view")),
      el("li", {}, el("button", { type: "button", onclick: mark }, "Mark for comparison")),
      site.download && !image.details?.mosaic ? link(`Original file (${bytes(image.bytes)})`, `download/${ref}`, { download: "" }) : null,
      lively("Picture as shown (JPEG)", () => `iiif/3/${ref}/full/max/0/default.jpg${shown()}`),
      lively("Visible part as shown (PNG)", () => `iiif/3/${ref}/${part()}/max/0/default.png${shown()}`),
      link("IIIF image", at.info(ref), { target: "_blank", rel: "noopener" }),
      lively(
        image.title ? "IIIF manifest of the item" : "IIIF manifest",
        () => `presentation/3/${item()}/manifest.json`,
      ),
      link("Deep Zoom", `deepzoom/${ref}.dzi`, { target: "_blank", rel: "noopener" }),
    ].filter(Boolean),
  );
}
