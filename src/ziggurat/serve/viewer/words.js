// What is told of the images of a job, in words for people.

const STATES = {
  planned: "waiting",
  pending: "waiting",
  running: "in work",
  committing: "in work",
  quarantined: "failed: it crashed the decoder",
  refused: "failed: never begun",
  deferred: "failed: too large",
  skipped: "left out",
};

const FIGURES = {
  psnr: ["PSNR", "dB"],
  ssimulacra2: ["SSIMULACRA2", ""],
};

/** Of a state of the ledger, or a group of them. */
export const stateWords = (state) => STATES[state] ?? state ?? "";

/** The group that a state of the ledger counts in. */
export const stateGroup = (state) => stateWords(state).split(":")[0];

/** How far an output is from its source; only the first figure where there is little room. */
export function fidelityWords({ fidelity, identical }, brief = false) {
  if (identical) return brief ? "identical" : "all pixels are those of the source";
  const figures = Object.entries(FIGURES)
    .filter(([name]) => typeof fidelity?.[name] === "number")
    .map(([name, [shown, unit]]) => {
      const value = fidelity[name].toFixed(brief ? 1 : 2);
      return [brief && unit ? "" : shown, value, unit].filter((part) => part !== "").join(" ");
    });
  return brief ? (figures[0] ?? "") : figures.join(" · ");
}
