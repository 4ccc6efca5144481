// The form that says how samples become colours; its result is the query that the server understands.

import { el, settled } from "./page.js";

const NAMES = ["bands", "range", "percentile", "stretch", "gamma", "colormap", "invert"];

const text = (said) => said.toString().replaceAll("%2C", ",");

/** The part of a link that is about display, as the server takes it. */
export function displayOf(fields) {
  const said = new URLSearchParams();
  for (const name of NAMES) if (fields.get(name)) said.set(name, fields.get(name));
  return text(said);
}

/** What two images have in common, as far as their display goes. */
function alike([one, two], query) {
  const same = one.dtype === two.dtype && one.bit_depth === two.bit_depth;
  return {
    ...(two.bands < one.bands ? two : one),
    own_range: one.own_range && two.own_range,
    // Values of one file say nothing of another one's where samples are not of one kind.
    valueless: !same && !new URLSearchParams(query).has("range"),
  };
}

/** A form for two images at once, by what the server says of both. */
export const displayOfBoth = (form, images, site, query, onchange) => {
  const display = new Display(form, alike(images, query), site, onchange);
  display.query = query;
  return display;
};

export class Display {
  /** form: where it stands. image: what the server says of it. site: which curves and colours there are. */
  constructor(form, image, site, onchange) {
    this.form = form;
    this.image = image;
    this.site = site;
    this.colour = image.bands - (image.alpha ? 1 : 0);
    this.most = image.dtype.includes("float") ? null : 2 ** image.bit_depth - 1;
    this.usual = image.shown_range ?? [0, this.most ?? 1];
    this.onchange = settled(140, () => onchange(this.query));
    this.#build();
  }

  get query() {
    const { bands, red, green, blue, range, low, high, stretch, gamma, colormap, invert } = this.form.elements;
    const said = new URLSearchParams();
    if (bands?.value === "three") said.set("bands", [red.value, green.value, blue.value].join(","));
    else if (bands?.value) said.set("bands", bands.value);
    if (range.value === "values") {
      const ends = [Number(low.value), Number(high.value)];
      if (low.value !== "" && high.value !== "" && ends[0] < ends[1]) said.set("range", ends.join(","));
    } else if (range.value) said.set("percentile", range.value);
    if (stretch.value) said.set("stretch", stretch.value);
    if (Number(gamma.value) !== 0) said.set("gamma", (10 ** Number(gamma.value)).toFixed(2));
    if (colormap.value && bands?.value !== "three") said.set("colormap", colormap.value);
    if (invert.checked) said.set("invert", "1");
    return text(said);
  }

  /** Sets the fields to what a link says. */
  set query(query) {
    const said = new URLSearchParams(query);
    const { bands, red, green, blue, range, low, high, stretch, gamma, colormap, invert } = this.form.elements;
    const wanted = said.get("bands")?.split(",") ?? [];
    if (bands) {
      bands.value = wanted.length === 3 ? "three" : (wanted[0] ?? "");
      if (wanted.length === 3) [red.value, green.value, blue.value] = wanted;
    }
    range.value = said.get("range") ? "values" : (said.get("percentile") ?? "");
    if (said.get("range")) [low.value, high.value] = said.get("range").split(",");
    this.#slide();
    stretch.value = said.get("stretch") ?? "";
    gamma.value = Math.log10(Number(said.get("gamma") ?? 1));
    colormap.value = said.get("colormap") ?? "";
    invert.checked = said.get("invert") === "1";
    this.#follow();
  }

  #build() {
    const { form, colour, most } = this;
    const rows = [];
    const row = (label, field) => {
      rows.push(el("label", { htmlFor: field.id }, label), field);
      return field;
    };
    const select = (name, options) =>
      el("select", { id: `f-${name}`, name }, ...options.map(([value, shown]) => el("option", { value }, shown)));
    const named = this.image.details?.mosaic?.bands ?? [];
    const each = Array.from({ length: Math.min(this.image.bands, 512) }, (_, band) => [
      String(band),
      named[band] ? `Band ${named[band]}` : `Band ${band}`,
    ]);
    if (this.image.bands > 1) {
      const usual = this.image.composed ? "All, as colours" : colour === 3 ? "Colours" : "As in the file";
      row(
        "Bands",
        select("bands", [["", usual], ...each, ...(this.image.bands > 2 ? [["three", "Red, green, blue…"]] : [])]),
      );
      const three = ["red", "green", "blue"].map((name, place) => {
        const field = select(
          name,
          each.map(([value]) => [value, named[value] || value]),
        );
        field.setAttribute("aria-label", `Band shown ${name}`);
        field.value = String(this.image.usual_bands[place]);
        return field;
      });
      this.three = el("div", { class: "three" }, ...three);
      this.threeLabel = el("span", { class: "for" }, "R, G, B");
      rows.push(this.threeLabel, this.three);
    }
    const auto = this.image.own_range ? "All values" : "Automatic";
    row(
      "Contrast",
      select("range", [
        ["", auto],
        ["0,100", "Darkest to brightest"],
        ["0.5,99.5", "0.5 – 99.5 %"],
        ["1,99", "1 – 99 %"],
        ["2,98", "2 – 98 %"],
        ["5,95", "5 – 95 %"],
        ...(this.image.valueless ? [] : [["values", "Values…"]]),
      ]),
    );
    this.ends = this.#ends();
    this.endsLabel = el("span", { class: "for" }, "Black, white");
    rows.push(this.endsLabel, this.ends);
    row(
      "Curve",
      select("stretch", [
        ["", this.image.composed ? "Lupton" : "Linear"],
        ...this.site.stretches
          .filter((name) => name !== (this.image.composed ? "lupton" : "linear"))
          .map((name) => [name, name]),
      ]),
    );
    row(
      "Middle",
      el("input", {
        id: "f-gamma",
        name: "gamma",
        type: "range",
        min: "-0.6",
        max: "0.6",
        step: "0.02",
        value: "0",
        title: "Brightens or darkens the middle (gamma)",
      }),
    );
    this.colours = row(
      "Colours",
      select("colormap", [["", "None"], ...this.site.colormaps.map((name) => [name, name])]),
    );
    rows.push(
      el(
        "div",
        { class: "wide" },
        el("label", {}, el("input", { type: "checkbox", name: "invert" }), "Negative"),
        el("button", { type: "reset" }, "Reset"),
      ),
    );
    form.replaceChildren(...rows);
    form.oninput = () => {
      // Colours are for one band: the first, until another one is chosen.
      const { bands, colormap } = form.elements;
      if (bands?.value === "" && colormap.value) bands.value = "0";
      this.#follow();
      this.onchange();
    };
    // The browser puts its own values in after this event.
    form.onreset = () =>
      setTimeout(() => {
        this.#usual();
        form.oninput();
      });
    this.#usual();
    form.onsubmit = (event) => event.preventDefault();
    this.#follow();
  }

  /** Fields for the values shown black and white, each with a slider. */
  #ends() {
    const [low, high] = this.usual;
    const span = high - low;
    // Where samples have no range of their own, what is shown by itself lies in the middle of the slider.
    const [least, greatest] = this.image.own_range ? [low, high] : [low - span / 2, high + span * 2];
    const step = this.most !== null && span > 20 ? "1" : "any";
    const ends = el("div", { class: "ends" });
    for (const name of ["low", "high"]) {
      const text = name === "low" ? "Value shown black" : "Value shown white";
      ends.append(el("input", { id: `f-${name}`, name, type: "number", step: "any", "aria-label": text }));
    }
    for (const name of ["low", "high"]) {
      const field = ends.querySelector(`[name="${name}"]`);
      const slider = el("input", {
        type: "range",
        min: least,
        max: greatest,
        step,
        "aria-label": `${field.getAttribute("aria-label")}, slider`,
      });
      slider.addEventListener("input", () => {
        field.value = String(Number(Number(slider.value).toPrecision(5)));
      });
      field.addEventListener("input", () => {
        slider.value = field.value;
      });
      ends.append(slider);
    }
    return ends;
  }

  /** Fields as they are before anybody touches them, but for those that the browser itself resets. */
  #usual() {
    const { low, high, red, green, blue } = this.form.elements;
    [low.value, high.value] = this.usual.map((value) => String(Number(value.toPrecision(5))));
    if (red)
      [red, green, blue].forEach((field, place) => (field.value = String(this.image.usual_bands[place])));
    this.#slide();
  }

  #slide() {
    const [low, high, ...sliders] = this.ends.querySelectorAll("input");
    [low, high].forEach((field, place) => (sliders[place].value = field.value));
  }

  #follow() {
    const { bands, range } = this.form.elements;
    this.ends.hidden = this.endsLabel.hidden = range.value !== "values";
    if (this.three) this.three.hidden = this.threeLabel.hidden = bands.value !== "three";
    this.colours.disabled = bands?.value === "three";
  }
}
