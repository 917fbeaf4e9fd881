const byId = (id) => document.getElementById(id);
const talk = byId("talk"), told = byId("told"), written = byId("written");
const hello = talk.firstElementChild;
let messages = [];
let running = null;

function settings() {
  const found = Object.create(null);
  for (const input of document.querySelectorAll("[data-setting]")) {
    const text = input.value.trim();
    // What is no number is sent as it is: the server says what is off.
    if (text !== "") found[input.dataset.setting] = Number.isFinite(Number(text)) ? Number(text) : text;
  }
  return found;
}

function refuse(error) {
  told.replaceChildren(make("span", error.message, "error"), make("span", error.hint ? " " + error.hint : ""));
  for (const input of document.querySelectorAll("[data-setting]")) {
    input.classList.toggle("wrong", input.dataset.setting === error.field);
    if (input.dataset.setting === error.field) input.closest("details").open = true;
  }
}

// The events of a stream, one by one, as they come.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split("\n\n");
    held = whole.pop();
    for (const event of whole) {
      const line = event.split("\n").find((one) => one.startsWith("data: "));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}

function works(on) {
  for (const button of document.querySelectorAll("button.stop")) button.hidden = !on;
  for (const button of document.querySelectorAll("button.main")) button.disabled = on;
}

// Asks, and gives each piece of text to `add`. True when the text came to its end, or was stopped by hand.
async function write(asked, add) {
  if (running) return false;
  running = new AbortController();
  works(true);
  told.textContent = "";
  const started = performance.now();
  let first = 0, last = null;
  try {
    const response = await fetch(model.generate, {
      method: "POST", headers: { "content-type": "application/json", ...shownKey() }, signal: running.signal,
      body: JSON.stringify({ ...asked, ...settings(), stream: true }),
    });
    if (!response.ok) {
      refuse((await response.json()).error);
      return false;
    }
    for await (const event of events(response)) {
      if (event.error) {
        refuse(event.error);
        return false;
      }
      if (event.text) {
        first = first || performance.now() - started;
        add(event.text);
      }
      if (event.finish) last = event;
    }
    if (last) told.textContent = summary(last, first, performance.now() - started);
    return true;
  } catch (problem) {
    if (problem.name === "AbortError") told.textContent = "stopped";
    else refuse({ message: "the server did not answer", hint: "is it still running?" });
    return problem.name === "AbortError";
  } finally {
    running = null;
    works(false);
  }
}

function summary(last, first, whole) {
  const count = last.usage.completion_tokens;
  const parts = [
    count + " tokens in " + (whole / 1000).toFixed(1) + " s", (count / whole * 1000).toFixed(0) + " a second",
    "the first after " + first.toFixed(0) + " ms", "seed " + last.seed,
  ];
  if (last.finish === "length") parts.push("cut at the length that was set");
  if (last.usage.slid_tokens) parts.push("the first " + last.usage.slid_tokens + " tokens fell out of its window");
  return parts.join(" · ");
}

function bubble(role, text) {
  const said = make("div", undefined, "said " + role);
  said.append(make("span", role === "user" ? "You" : model.name, "who"));
  const words = make("span", text);
  said.append(words);
  talk.append(said);
  talk.scrollTop = talk.scrollHeight;
  return words;
}

function asked() {
  const system = byId("system").value.trim();
  return system ? [{ role: "system", content: system }, ...messages] : messages;
}

byId("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = byId("words");
  const content = words.value.trim();
  if (!content || running) return;
  hello.remove();
  bubble("user", content);
  messages.push({ role: "user", content });
  words.value = "";
  const reply = bubble("assistant", "");
  let text = "";
  const done = await write({ messages: asked() }, (piece) => {
    text += piece;
    reply.textContent = text;
    talk.scrollTop = talk.scrollHeight;
  });
  if (done || text) {
    messages.push({ role: "assistant", content: text });
  } else {
    // Nothing came of it: the words go back to where they were typed.
    messages.pop();
    reply.parentElement.previousSibling.remove();
    reply.parentElement.remove();
    words.value = content;
  }
  snippets();
  words.focus();
});

byId("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("say").requestSubmit();
  }
});

byId("anew").addEventListener("click", () => {
  if (running) running.abort();
  messages = [];
  talk.replaceChildren(hello);
  told.textContent = "";
  snippets();
});

byId("go").addEventListener("submit", async (event) => {
  event.preventDefault();
  const start = byId("prompt").value;
  const rest = make("b", "");
  written.replaceChildren(make("span", start, "soft"), rest);
  await write({ prompt: start }, (piece) => {
    rest.textContent += piece;
  });
});

for (const button of document.querySelectorAll("button.stop")) {
  button.addEventListener("click", () => running && running.abort());
}
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    byId("prompt").value = model.starts[Number(button.dataset.example)];
    snippets();
    byId("go").requestSubmit();
  });
}

const tabs = ["chat", "text"];
function show(chosen) {
  for (const one of tabs) {
    byId(one).hidden = one !== chosen;
    byId("tab-" + one).setAttribute("aria-selected", String(one === chosen));
  }
  snippets();
}
for (const one of tabs) byId("tab-" + one).addEventListener("click", () => show(one));

// JSON on one line, with room to breathe.
function spaced(value) {
  return JSON.stringify(value, null, 1).replace(/\n\s*(?=[\]}])/g, "").replace(/([[{])\n\s*/g, "$1").replace(/,\n\s*/g, ", ");
}

function snippets() {
  const asks = Boolean(shownKey().authorization);
  const chats = !byId("chat").hidden;
  const set = settings();
  const user = { role: "user", content: byId("words").value.trim() || (messages.at(-2) || {}).content || "Hello!" };
  const start = byId("prompt").value;
  const about = chats ? { messages: [user] } : { prompt: start };
  const python = Object.entries({ model: model.name, ...about, max_tokens: set.max_tokens || 200 })
    .map(([name, value]) => "    " + name + "=" + spaced(value) + ",\n").join("");
  byId("openai").textContent =
    "import " + (asks ? "os\n\nimport " : "") + "openai\n\nclient = openai.OpenAI(\n    base_url=" + JSON.stringify(location.origin + "/v1") + ",\n" +
    "    api_key=" + (asks ? "os.environ[\"HANDRAIL_KEY\"]" : "\"none\"") + ",\n)\n" +
    "for event in client." + (chats ? "chat.completions" : "completions") + ".create(\n" + python + "    stream=True,\n):\n" +
    "    print(event.choices[0]." + (chats ? "delta.content or \"\"" : "text") + ", end=\"\", flush=True)";
  const body = spaced({ ...about, ...set, stream: true });
  byId("curl").textContent = sending("curl -N", location.origin + model.generate, body, asks);
}
document.addEventListener("input", snippets);
snippets();
