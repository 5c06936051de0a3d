// What the drivers in JavaScript share: as harness.py.
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

export const baseUrl = process.argv[2];
const wanted = process.argv[3] ?? "";

export const QUESTION = "What is the capital of France? «Où» 🗼";
export const PRIVATE = "Write to Ada Lovelace <ada.lovelace@example.com>, card 4111 1111 1111 1111.";
export const LONG = "The quick brown fox jumps over the lazy dog. ".repeat(4500);
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, country: { type: "string" } },
  required: ["city", "country"],
  additionalProperties: false,
};
export const TOOL_SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
export const SOUND = Buffer.concat([
  Buffer.from("RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0", "latin1"),
  Buffer.alloc(10_000, "0123456789"),
]);
export const LINES = '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'.repeat(3);
export const FAULTS = [
  "429", "429 once", "500", "500 once", "400", "html", "cut", "stall", "no answer", "no answer once",
];
export const STREAM_FAULTS = ["429", "500", "html", "cut", "reset", "error event", "stall midway", "no answer"];
export const IMPATIENT_MS = 2000;

export const faulty = (name) => `${QUESTION} [[fault: ${name}]]`;
export const pictureUrl = (paddingBytes = 0) =>
  "data:image/png;base64," + Buffer.concat([PICTURE, Buffer.alloc(paddingBytes)]).toString("base64");

// One line per call; then a line from standard input is awaited, as in harness.py.
export async function play(calls) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (const [name, call] of Object.entries(calls)) {
    if (!name.includes(wanted)) continue;
    process.stdout.write(JSON.stringify({ call: name, outcome: await outcomeOf(call) }) + "\n");
    await lines.next();
  }
  process.exit(0);
}

async function outcomeOf(call) {
  try {
    return { value: plain(await call()) ?? null };
  } catch (error) {
    return raised(error);
  }
}

// The items of a stream in their order, and what ended it where that is an error.
export async function collected(items, shown = plain) {
  const found = [];
  try {
    for await (const item of await items) found.push(shown(item));
  } catch (error) {
    found.push(raised(error));
  }
  return found;
}

// What an application can see of an exception.
export function raised(error) {
  const told = { class: `${error?.constructor?.name}`, message: `${error?.message ?? error}` };
  for (const name of ["name", "status", "statusCode", "code", "type", "param", "requestID", "isRetryable", "reason"])
    if (error?.[name] !== undefined && error[name] !== null) told[name] = plain(error[name]);
  const headers = error?.headers ?? error?.responseHeaders;
  if (headers) told.headers = shownHeaders(headers);
  if (error?.responseBody !== undefined) told.body = error.responseBody;
  if (error?.errors) told.errors = error.errors.map(raised);
  if (error?.cause) told.cause = raised(error.cause);
  return { raised: told };
}

const NEVER_COMPARED = new Set(["connection", "keep-alive", "transfer-encoding", "set-cookie"]);

export function shownHeaders(headers) {
  const pairs = typeof headers.entries === "function" ? [...headers.entries()] : Object.entries(headers);
  return pairs.filter(([name]) => !NEVER_COMPARED.has(name) && !name.startsWith("x-insource-"));
}

// As JSON; bytes as their length and digest, errors as what an application sees of them.
export function plain(value) {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
    const data = Buffer.from(value);
    return { bytes: data.length, sha256: createHash("sha256").update(data).digest("hex") };
  }
  if (value instanceof Error) return raised(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object") {
    if (typeof value.toJSON === "function") return value.toJSON();
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
  }
  return value;
}
