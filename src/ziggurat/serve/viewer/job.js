// Watches a job while it runs.

import { addressOf } from "./filters.js";
import { ask, bytes, duration, el, find, number } from "./page.js";
import { stateGroup } from "./words.js";

const EVERY = 2000;
const SLOWLY = 15000;
const ORDER = ["done", "running", "failed", "pending", "skipped"];
const ENDED = ["done", "finished", "failed", "cancelled", "stopped"];

let said = 0;

function show(job) {
  document.title = job.name;
  find("name").textContent = job.name;
  find("state").textContent = job.state;
  find("progress").hidden = false;
  find("review").hidden = false;
  const states = Object.entries(job.counts)
    .filter(([, count]) => count)
    .sort(([one], [two]) => ORDER.indexOf(one) - ORDER.indexOf(two));
  const total = Math.max(1, job.total);
  const bars = states
    .filter(([state]) => state !== "pending")
    .map(([state, count]) => {
      const bar = el("span", { class: state });
      bar.style.width = `${(count / total) * 100}%`;
      return bar;
    });
  const done = job.counts.done ?? 0;
  const meter = find("meter");
  meter.replaceChildren(...bars);
  meter.setAttribute("aria-valuemax", String(job.total));
  meter.setAttribute("aria-valuenow", String(done));
  const list = find("counts");
  // Links stay where they are, so that they keep the focus.
  if ([...list.children].map((line) => line.className).join() !== states.map(([state]) => state).join())
    list.replaceChildren(
      ...states.map(([state]) => el("li", { class: state }, el("a", { href: addressOf({ state }) }))),
    );
  states.forEach(([state, count], place) => {
    list.children[place].firstChild.textContent = `${number(count)} ${stateGroup(state)}`;
  });
  const figures = [
    ["Images", number(job.total)],
    ["Done", `${((done / total) * 100).toFixed(done && done < total ? 1 : 0)} %`],
    ["Rate", job.rate_per_second ? `${job.rate_per_second.toFixed(job.rate_per_second < 10 ? 1 : 0)} / s` : "–"],
    ["Time left", job.eta_seconds === null ? "–" : duration(job.eta_seconds)],
    ["Read", bytes(job.bytes_in)],
    ["Written", bytes(job.bytes_out)],
    ["Of what was read", job.bytes_in ? `${Math.round((job.bytes_out / job.bytes_in) * 100)} %` : "–"],
  ];
  find("figures").replaceChildren(
    ...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
  find("failed").hidden = !job.failures.length;
  const rows = job.failures.map(({ item, source, reason }) =>
    el("tr", {}, el("td", {}, item), el("td", {}, source), el("td", {}, reason)),
  );
  if (rows.length !== find("failures").childElementCount) find("failures").replaceChildren(...rows);
  // Read aloud once a minute, and not at every turn.
  if (Date.now() - said > 60000) {
    said = Date.now();
    find("spoken").textContent =
      `${number(done)} of ${number(job.total)} images are done, ${number(job.failures.length)} failed`;
  }
}

async function watch() {
  let pause = document.hidden ? SLOWLY : EVERY;
  try {
    const job = await ask("api/job");
    find("notice").hidden = true;
    show(job);
    if (ENDED.includes(job.state)) pause = SLOWLY;
  } catch (error) {
    const notice = find("notice");
    notice.hidden = false;
    notice.textContent =
      error.status === 404 ? "No job is served here: start the server with a job's ledger." : error.message;
    if (error.status === 404) return;
    pause = SLOWLY;
  }
  setTimeout(watch, pause);
}

async function begin() {
  const site = await ask("api/site").catch(() => ({ job: true }));
  if (site.job) watch();
  else {
    find("notice").hidden = false;
    find("notice").textContent = "No job is served here: start the server with a job's ledger.";
  }
}

begin();
