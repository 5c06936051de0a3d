// Asks the gateway's own API, streamed, once for each model; answers are set as text, never as HTML.
"use strict";

const form = document.getElementById("ask");
const answers = document.getElementById("answers");

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

async function listLocals() {
  try {
    const listed = await (await fetch("/insource/models")).json();
    const field = document.getElementById("locals");
    for (const model of listed.data) {
      const label = element("label", "", field);
      label.className = "check";
      const box = document.createElement("input");
      box.type = "checkbox";
      box.name = "local";
      box.value = model.id;
      label.append(box, model.id);
      field.hidden = false;
    }
  } catch {
    // Only the hosted model can be asked then.
  }
}

function pieces(line) {
  if (!line.startsWith("data:")) return "";
  const data = line.slice(5).trim();
  if (!data || data === "[DONE]") return "";
  const event = JSON.parse(data);
  if (event.error) return `\n${event.error.message}`;
  return event.choices?.[0]?.delta?.content ?? "";
}

async function ask(model, messages) {
  const column = element("section", "", answers);
  element("h2", model, column);
  const note = element("p", "asked …", column);
  note.className = "soft small";
  const shown = element("pre", "", column);
  shown.dir = "auto";
  const started = performance.now();
  try {
    const answer = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, messages, stream: true }),
    });
    if (!answer.ok) {
      const body = await answer.json().catch(() => ({}));
      shown.textContent = body.error?.message ?? `It answered with status ${answer.status}.`;
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      shown.append(lines.map(pieces).join(""));
    }
    const route = answer.headers.get("x-insource-route");
    const upstream = route ? JSON.parse(route).upstream : "unknown";
    note.textContent = `${upstream}, ${((performance.now() - started) / 1000).toFixed(1)} s`;
  } catch (error) {
    shown.append(`\nThe answer broke off: ${error.message}`);
  } finally {
    if (note.textContent === "asked …") note.textContent = "failed";
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = new FormData(form);
  const messages = [{ role: "user", content: asked.get("prompt") }];
  if (asked.get("system").trim()) messages.unshift({ role: "system", content: asked.get("system") });
  const models = [asked.get("hosted").trim(), ...asked.getAll("local")].filter(Boolean);
  answers.replaceChildren();
  for (const model of models) ask(model, messages);
});
listLocals();
