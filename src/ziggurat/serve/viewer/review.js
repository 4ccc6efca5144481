// Judges samples of a job: source and output side by side, accepted or rejected, with a note.

import { Comparison } from "./comparison.js";
import { displayOf } from "./display.js";
import { ask, el, find, folding, keysDialog, onKeys, tell } from "./page.js";
import { fidelityWords } from "./words.js";

const asked = new URLSearchParams(location.hash.slice(1));
const comparison = new Comparison(find("comparison"), { onerror: tell, onchange: keepAddress });
comparison.query = displayOf(asked);
let pairs = [];
let current = -1;

function keepAddress() {
  if (current >= 0)
    history.replaceState(null, "", `review#${[`pair=${current + 1}`, comparison.query].filter(Boolean).join("&")}`);
}

async function show(index) {
  if (index < 0 || index >= pairs.length) return;
  current = index;
  const pair = pairs[index];
  find("name").textContent = pair.item;
  find("fidelity").textContent = fidelityWords(pair);
  find("note").value = pair.note ?? "";
  marks();
  find("notice").hidden = true;
  keepAddress();
  try {
    const side = (id, name) => ({ ref: encodeURIComponent(id), name });
    await comparison.open(side(pair.source_id, "Source"), side(pair.output_id, "Output"));
  } catch (error) {
    tell(error);
  }
}

function marks() {
  const pair = pairs[current];
  for (const verdict of ["accept", "reject"])
    find(verdict).setAttribute("aria-pressed", String(pair.verdict === verdict));
  find("pairs").replaceChildren(
    ...pairs.map(({ item, verdict }, index) =>
      el(
        "button",
        {
          type: "button",
          class: verdict ?? "",
          title: item,
          "aria-current": index === current ? "true" : null,
          "aria-label": `Pair ${index + 1}, ${item}, ${{ accept: "accepted", reject: "rejected" }[verdict] ?? "not judged"}`,
          onclick: () => show(index),
        },
        String(index + 1),
      ),
    ),
  );
  find("pairs").children[current]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const judged = pairs.filter((one) => one.verdict).length;
  const rejected = pairs.filter((one) => one.verdict === "reject").length;
  find("progress").textContent = `${judged} of ${pairs.length} judged${rejected ? `, ${rejected} rejected` : ""}`;
}

async function save(pair, verdict) {
  const note = find("note").value;
  if (pair.verdict === verdict && (pair.note ?? "") === note) return;
  await ask(`api/job/review/${encodeURIComponent(pair.item)}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ verdict, note }),
  });
  Object.assign(pair, { verdict, note });
  marks();
}

async function judge(verdict) {
  const pair = pairs[current];
  if (!pair) return;
  try {
    await save(pair, verdict);
  } catch (error) {
    tell(error);
    return;
  }
  const after = [...pairs.keys()]
    .map((_, step) => (current + 1 + step) % pairs.length)
    .find((index) => !pairs[index].verdict);
  if (after !== undefined) await show(after);
}

async function keepNote() {
  const pair = pairs[current];
  if (pair?.verdict) await save(pair, pair.verdict).catch(tell);
}

async function begin() {
  const site = await ask("api/site");
  if (!site.job) throw new Error("No job is served here: start the server with a job's ledger.");
  pairs = (await ask("api/job/review")).pairs;
  if (!pairs.length) throw new Error("There is nothing to review yet: no image of this job is done.");
  find("verdict").hidden = false;
  const wanted = Number(asked.get("pair") ?? 0) - 1;
  const open = pairs.findIndex((pair) => !pair.verdict);
  await show(pairs[wanted] ? wanted : Math.max(0, open));
}

find("accept").addEventListener("click", () => judge("accept"));
find("reject").addEventListener("click", () => judge("reject"));
find("previous").addEventListener("click", () => show(current - 1));
find("next").addEventListener("click", () => show(current + 1));
find("note").addEventListener("change", keepNote);
find("verdict").addEventListener("submit", (event) => {
  event.preventDefault();
  keepNote();
});
const fold = folding(find("details"), find("panel"), Boolean(displayOf(asked)));
const help = keysDialog([
  ["a", "accept"],
  ["x", "reject"],
  ["t", "write a note"],
  ["n p", "next and previous pair"],
  ["s w d b", "side by side, swipe, difference, blink"],
  ["c", "contrast, bands and curve"],
  ["+ −", "zoom"],
  ["0", "show all of it"],
  ["1", "one to one"],
  ["?", "these keys"],
]);
onKeys({
  a: () => judge("accept"),
  x: () => judge("reject"),
  n: () => show(current + 1),
  p: () => show(current - 1),
  t: () => find("note").focus(),
  c: () => !find("details").disabled && fold(),
  ...comparison.keys,
  "?": help,
});
begin().catch(tell);
