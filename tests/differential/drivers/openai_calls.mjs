// The calls of OpenAI's own client for JavaScript.
import OpenAI, { toFile } from "openai";
import {
  FAULTS, IMPATIENT_MS, LINES, LONG, PICTURE, PRIVATE, QUESTION, SCHEMA, SOUND, STREAM_FAULTS, TOOL_SCHEMA, baseUrl,
  collected, faulty, pictureUrl, play, shownHeaders,
} from "./harness.mjs";

const model = "gpt-4o";
const client = new OpenAI({ baseURL: baseUrl });
const { chat, responses, files, batches, audio, images } = client;
const tool = { type: "function", function: { name: "get_weather", parameters: TOOL_SCHEMA, strict: true } };
const responsesTool = { type: "function", name: "get_weather", parameters: TOOL_SCHEMA, strict: true };
const format = { type: "json_schema", json_schema: { name: "place", schema: SCHEMA, strict: true } };
const text = { format: { type: "json_schema", name: "place", schema: SCHEMA, strict: true } };

const asked = (content, more = {}) => ({ model, messages: [{ role: "user", content }], ...more });
const ask = (content, more, options) => chat.completions.create(asked(content, more), options);
const streamed = (content, more) => collected(ask(content, { ...more, stream: true }));
const respond = (more) => responses.create({ model, input: QUESTION, ...more });
const picture = (paddingBytes) => [
  { type: "text", text: "What is this?" },
  { type: "image_url", image_url: { url: pictureUrl(paddingBytes), detail: "low" } },
];
const toolCall = { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city": "Paris"}' } };
const sound = () => toFile(SOUND, "speech.wav", { type: "audio/wav" });

const chatCalls = {
  chat: () => ask(QUESTION, { temperature: 0.2, seed: 7, user: "u-1" }),
  "chat, raw answer": async () => {
    const answer = await ask(QUESTION).asResponse();
    return { status: answer.status, headers: shownHeaders(answer.headers), body: await answer.arrayBuffer() };
  },
  "chat, personal data": () => ask(PRIVATE),
  "chat, 200 kB": () => ask(LONG),
  "chat, extra header, query and field": () =>
    ask(QUESTION, { provider_option: { deep: [1, null] } }, {
      headers: { "X-Trace": "a, b", "x-insource-task": "capitals" },
      query: { "api-version": "2024-10-21", odd: "a b/ü&c" },
    }),
  "chat, stream": () => streamed(QUESTION),
  "chat, stream with usage": () => streamed(QUESTION, { stream_options: { include_usage: true } }),
  "chat, stream helper": () => chat.completions.stream(asked(QUESTION)).finalChatCompletion(),
  "chat, tools": () => ask(QUESTION, { tools: [tool], tool_choice: "required" }),
  "chat, tools, stream": () => streamed(QUESTION, { tools: [tool] }),
  "chat, tool result": () =>
    chat.completions.create({
      model,
      tools: [tool],
      messages: [
        { role: "user", content: QUESTION },
        { role: "assistant", tool_calls: [toolCall] },
        { role: "tool", tool_call_id: "call_1", content: "18 °C" },
      ],
    }),
  "chat, JSON schema": () => ask(QUESTION, { response_format: format }),
  "chat, JSON schema, parsed": () => chat.completions.parse(asked(QUESTION, { response_format: format })),
  "chat, vision": () => ask(picture(0)),
  "chat, vision, 900 kB": () => ask(picture(700_000)),
  "chat, logprobs": () => ask(QUESTION, { logprobs: true, top_logprobs: 2 }),
  "chat, n": () => ask(QUESTION, { n: 3 }),
  "chat, n, stream": () => streamed(QUESTION, { n: 2 }),
  "chat, two streams at once": async () => {
    const one = (await ask("first", { stream: true }))[Symbol.asyncIterator]();
    const two = await respond({ input: "second", stream: true });
    return [(await one.next()).value, await collected(two), await collected({ [Symbol.asyncIterator]: () => one })];
  },
};

const otherCalls = {
  responses: () => respond({ instructions: "Be short.", metadata: { k: "v" } }),
  "responses, stream": () => collected(respond({ stream: true })),
  "responses, tools": () => respond({ tools: [responsesTool] }),
  "responses, tools, stream": () => collected(respond({ tools: [responsesTool], stream: true })),
  "responses, JSON schema": () => respond({ text }),
  "responses, vision": () =>
    respond({ input: [{ role: "user", content: [{ type: "input_image", image_url: pictureUrl(), detail: "low" }] }] }),
  "responses, retrieve": () => responses.retrieve("resp_1"),
  "responses, input items": () => collected(responses.inputItems.list("resp_1", { order: "asc" })),
  "responses, delete": () => responses.delete("resp_1"),
  embeddings: () => client.embeddings.create({ model: "text-embedding-3-small", input: [QUESTION, "b"] }),
  "embeddings, floats": () =>
    client.embeddings.create({ model: "text-embedding-3-small", input: [1, 2, 3], encoding_format: "float" }),
  completions: () => client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: QUESTION, n: 2 }),
  "completions, stream": () =>
    collected(client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: QUESTION, stream: true })),
  "models, list": () => collected(client.models.list()),
  "models, retrieve": () => client.models.retrieve("ft:gpt-4o:acme::7"),
  "models, name with a slash": () => client.models.retrieve("acme/gpt 4o?"),
  "files, upload": async () => files.create({ file: await toFile(Buffer.from(LINES), "a.jsonl"), purpose: "batch" }),
  "files, upload of 3 MB": async () =>
    files.create({ file: await toFile(Buffer.from(LINES.repeat(12_000)), "ünicode.jsonl"), purpose: "fine-tune" }),
  "files, list of two pages": () => collected(files.list({ purpose: "batch", limit: 2 })),
  "files, retrieve": () => files.retrieve("file-1"),
  "files, content": async () => (await files.content("file-1")).arrayBuffer(),
  "files, delete": () => files.delete("file-1"),
  "batches, create": () =>
    batches.create({ input_file_id: "file-1", endpoint: "/v1/chat/completions", completion_window: "24h" }),
  "batches, retrieve": () => batches.retrieve("batch_1"),
  "batches, list": () => collected(batches.list({ limit: 5 })),
  "batches, cancel": () => batches.cancel("batch_1"),
  moderations: () => client.moderations.create({ model: "omni-moderation-latest", input: ["I will hit you."] }),
  "audio, transcription": async () => audio.transcriptions.create({ model: "whisper-1", file: await sound() }),
  "audio, transcription, stream": async () =>
    collected(audio.transcriptions.create({ model: "gpt-4o", file: await sound(), stream: true })),
  "audio, speech": async () =>
    (await audio.speech.create({ model: "tts-1", voice: "alloy", input: QUESTION })).arrayBuffer(),
  "images, generate": () => images.generate({ model: "gpt-image-1", prompt: "a tower" }),
  "images, edit": async () =>
    images.edit({ model: "gpt-image-1", prompt: "a tower", image: [await toFile(PICTURE, "a.png")] }),
};

const impatient = client.withOptions({ timeout: IMPATIENT_MS, maxRetries: 1 });
const faultCalls = Object.fromEntries([
  ...FAULTS.map((name) => [`fault: ${name}`, () => impatient.chat.completions.create(asked(faulty(name)))]),
  ...STREAM_FAULTS.map((name) => [
    `fault: ${name}, stream`,
    () => collected(impatient.chat.completions.create(asked(faulty(name), { stream: true }), untilTimeOut())),
  ]),
  ...STREAM_FAULTS.map((name) => [
    `fault: ${name}, responses stream`,
    () => collected(impatient.responses.create({ model, input: faulty(name), stream: true }, untilTimeOut())),
  ]),
  ["fault: a path that is missing", () => impatient.post("/unknown/thing", { body: { a: [1, null] }, maxRetries: 0 })],
  ["fault: a model that is missing", () => impatient.models.retrieve("missing")],
]);

// The client's own time-out ends with the headers; what bounds a stream is the application's signal. It is longer
// than the client's pauses between its tries.
function untilTimeOut() {
  return { signal: AbortSignal.timeout(2 * IMPATIENT_MS) };
}

await play({ ...chatCalls, ...otherCalls, ...faultCalls });
