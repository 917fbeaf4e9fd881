const form = document.getElementById("form");
const answer = document.getElementById("answer");
const inputs = [...form.querySelectorAll("[data-field]")];

function row() {
  const found = Object.create(null);
  for (const input of inputs) {
    const kind = input.dataset.kind;
    const text = input.value;
    if (text === "") {
      if (input.dataset.optional === "") found[input.dataset.field] = null;
      else if (kind === "text") found[input.dataset.field] = "";
      continue;
    }
    if (kind === "vector") found[input.dataset.field] = text.split(/[\s,[\]]+/).filter((part) => part !== "").map(Number);
    else if (kind === "number") found[input.dataset.field] = Number.isFinite(Number(text)) ? Number(text) : text;
    else if (kind === "boolean") found[input.dataset.field] = text === "true";
    else found[input.dataset.field] = text;
  }
  return found;
}

function fill(values) {
  for (const input of inputs) {
    const value = values[input.dataset.field];
    const text = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(", ") : String(value);
    if (input.tagName === "SELECT" && ![...input.options].some((option) => option.value === text)) {
      const option = make("option", text);
      option.value = text;
      input.append(option);
    }
    input.value = text;
  }
  snippets();
}

function shown(number) {
  const size = Math.abs(number);
  if (size !== 0 && (size < 0.001 || size >= 1e15)) return number.toExponential(3);
  return number.toLocaleString("en", { maximumFractionDigits: size >= 1000 ? 0 : size >= 1 ? 2 : 4 });
}

function bars(shares, chosen) {
  const grid = make("div", undefined, "bars");
  const sorted = Object.entries(shares).sort((one, other) => other[1] - one[1]);
  for (const [name, share] of sorted.slice(0, 12)) {
    const bar = make("progress", undefined, chosen.includes(name) ? "top" : "");
    bar.max = 1;
    bar.value = share;
    bar.setAttribute("aria-label", name);
    grid.append(make("div", name, "name"), bar, make("div", (100 * share).toFixed(1) + " %", "number"));
  }
  return grid;
}

function draw(found) {
  answer.replaceChildren();
  if ("matches" in found) {
    answer.append(matches(found.matches));
  } else if ("vector" in found) {
    answer.append(make("p", found.vector.map(shown).join(", "), "soft"));
  } else if ("value" in found) {
    answer.append(make("p", shown(found.value), "headline number"));
    if (typeof found.low === "number") {
      answer.append(make("p", "usually between " + shown(found.low) + " and " + shown(found.high), "soft number"));
    }
  } else {
    const chosen = "label" in found ? [found.label] : found.labels || [];
    answer.append(make("p", chosen.length ? chosen.join(", ") : "none of the labels", "headline"));
    if (found.probabilities) answer.append(bars(found.probabilities, chosen));
  }
  if (found.explanation) answer.append(explained(found.explanation));
}

function matches(found) {
  const list = make("ol", undefined, "matches");
  for (const match of found) {
    const item = make("li");
    item.append(make("p", match.text), make("p", match.score.toFixed(2) + " · " + match.document, "soft small number"));
    list.append(item);
  }
  return found.length ? list : make("p", "nothing was found", "soft");
}

function explained(explanation) {
  const parts = [...(explanation.contributions || explanation.words || [])];
  parts.sort((one, other) => Math.abs(other.contribution) - Math.abs(one.contribution));
  const box = make("div");
  box.append(make("h2", "What moved it"));
  const table = make("table");
  for (const part of parts.slice(0, 12)) {
    const line = make("tr");
    const name = part.name || part.word || "";
    const signed = (part.contribution > 0 ? "+" : "") + shown(part.contribution);
    line.append(make("td", name), make("td", signed, "number"));
    table.append(line);
  }
  box.append(table);
  return box;
}

function refuse(error) {
  answer.replaceChildren(make("p", error.message, "error"), make("p", error.hint || "", "soft"));
  for (const input of inputs) {
    const wrong = input.dataset.field === error.field;
    input.classList.toggle("wrong", wrong);
    if (wrong) input.focus();
  }
}

// What is asked, and where: a search is asked a question, everything else a row.
const searches = model.task === "search";
const path = searches ? "/" + model.name + "/search" : model.predict;

function body() {
  return JSON.stringify(searches ? { question: inputs[0].value, k: 5 } : row());
}

async function ask(explain) {
  for (const input of inputs) input.classList.remove("wrong");
  const started = performance.now();
  try {
    const response = await fetch(path + (explain ? "?explain=true" : ""), {
      method: "POST", headers: { "content-type": "application/json", ...shownKey() }, body: body(),
    });
    const found = await response.json();
    if (!response.ok) return refuse(found.error);
    draw(found);
    answer.append(make("p", "answered in " + (performance.now() - started).toFixed(0) + " ms", "soft small"));
  } catch (problem) {
    refuse({ message: "the server did not answer", hint: "is it still running?" });
  }
}

function snippets() {
  const address = location.origin + path;
  const text = body();
  const asks = Boolean(shownKey().authorization);
  document.getElementById("curl").textContent = sending("curl", address, text, asks);
  const python = text.replaceAll("\\", "\\\\").replaceAll("'''", "\\'\\'\\'");
  document.getElementById("python").textContent =
    "import json, " + (asks ? "os, " : "") + "urllib.request\n\nrow = json.loads('''" + python + "''')\n" +
    "request = urllib.request.Request(\n    " + JSON.stringify(address) + ",\n    json.dumps(row).encode(),\n" +
    "    {\"content-type\": \"application/json\"" +
    (asks ? ", \"authorization\": \"Bearer \" + os.environ[\"HANDRAIL_KEY\"]" : "") + "},\n)\nprint(json.load(urllib.request.urlopen(request)))";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(false);
});
document.getElementById("explain").addEventListener("click", () => ask(true));
form.addEventListener("input", snippets);
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    fill(model.examples[Number(button.dataset.example)].input);
    ask(false);
  });
}
snippets();
if (location.hash === "#try" && model.examples.length) {
  fill(model.examples[0].input);
  ask(false);
}
