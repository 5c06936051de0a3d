// The calls of Vercel's `ai` with its provider for OpenAI.
import { createOpenAI } from "@ai-sdk/openai";
import {
  Output, embed, embedMany, experimental_getBatchStatus, experimental_listBatches, experimental_startBatch,
  generateImage, generateObject, generateSpeech, generateText, isStepCount, jsonSchema, streamObject, streamText, tool,
  transcribe, uploadFile,
} from "ai";
import {
  FAULTS, IMPATIENT_MS, LINES, LONG, PICTURE, PRIVATE, QUESTION, SCHEMA, SOUND, STREAM_FAULTS, TOOL_SCHEMA, baseUrl,
  collected, faulty, plain, play, shownHeaders,
} from "./harness.mjs";

const openai = createOpenAI({ baseURL: baseUrl });
const models = { chat: openai.chat("gpt-4o"), responses: openai.responses("gpt-4o") };
const schema = jsonSchema(SCHEMA);
const getWeather = tool({
  description: "The weather of a city.",
  inputSchema: jsonSchema(TOOL_SCHEMA),
  execute: async ({ city }) => `18 °C in ${city}`,
});
const quiet = { onError: () => {} };

const seen = (result) => ({
  text: result.text,
  toolCalls: plain(result.toolCalls),
  toolResults: plain(result.toolResults),
  steps: result.steps.length,
  finishReason: result.finishReason,
  usage: result.usage,
  warnings: result.warnings,
  provider: result.providerMetadata,
  headers: shownHeaders(result.response.headers),
});
const generate = async (options) => seen(await generateText({ prompt: QUESTION, ...options }));
// Without what the library measures or makes up: the time of an answer, its speed, ids of its own.
const shown = (part) => {
  const { response, request, timestamp, performance, messageId, ...rest } = plain(part);
  return rest;
};
const stream = (options) => collected(streamText({ prompt: QUESTION, ...quiet, ...options }).stream, shown);
const withPicture = (data) => {
  const content = [{ type: "text", text: "What is this?" }, { type: "file", mediaType: "image/png", data }];
  return [{ role: "user", content }];
};

const callsOf = (name, model) => ({
  [name]: () => generate({ model, temperature: 0.2 }),
  [`${name}, instructions`]: () => generate({ model, instructions: "Be short." }),
  [`${name}, personal data`]: () => generate({ model, prompt: PRIVATE }),
  [`${name}, 200 kB`]: () => generate({ model, prompt: LONG }),
  [`${name}, extra header`]: () => generate({ model, headers: { "X-Trace": "a, b", "x-insource-task": "capitals" } }),
  [`${name}, stream`]: () => stream({ model }),
  [`${name}, tools in two steps`]: () =>
    generate({ model, tools: { get_weather: getWeather }, stopWhen: isStepCount(2) }),
  [`${name}, tools in two steps, stream`]: () =>
    stream({ model, tools: { get_weather: getWeather }, stopWhen: isStepCount(2) }),
  [`${name}, schema`]: async () =>
    (await generateText({ model, prompt: QUESTION, output: Output.object({ schema }) })).output,
  [`${name}, schema of an object`]: async () => (await generateObject({ model, prompt: QUESTION, schema })).object,
  [`${name}, schema, stream`]: () =>
    collected(streamObject({ model, prompt: QUESTION, schema, ...quiet }).partialObjectStream),
  [`${name}, vision`]: () => generate({ model, prompt: undefined, messages: withPicture(PICTURE) }),
});

const requests = ["a", "b"].map((id) => ({ id, type: "text", model: "gpt-4o", prompt: QUESTION }));
const embedding = openai.embedding("text-embedding-3-small");
const otherCalls = {
  "chat, logprobs": () => generate({ model: models.chat, providerOptions: { openai: { logprobs: 2 } } }),
  completions: () => generate({ model: openai.completion("gpt-3.5-turbo-instruct") }),
  "completions, stream": () => stream({ model: openai.completion("gpt-3.5-turbo-instruct") }),
  embedding: async () => (await embed({ model: embedding, value: QUESTION })).embedding,
  embeddings: async () => (await embedMany({ model: embedding, values: [QUESTION, "b"] })).embeddings,
  "files, upload": async () => {
    const found = await uploadFile({ api: openai.files(), data: Buffer.from(LINES), filename: "a.jsonl" });
    return found.providerReference;
  },
  "batches, create": async () => {
    const batch = await experimental_startBatch({ provider: openai, requests });
    return { id: batch.id, status: batch.status };
  },
  "audio, transcription": async () =>
    (await transcribe({ model: openai.transcription("whisper-1"), audio: SOUND })).text,
  "audio, speech": async () => {
    const { audio } = await generateSpeech({ model: openai.speech("tts-1"), voice: "alloy", text: QUESTION });
    return audio.uint8Array;
  },
  "images, generate": async () =>
    (await generateImage({ model: openai.image("gpt-image-1"), prompt: "a tower" })).image.base64,
};

const spoilt = (model, fault) => ({
  model,
  prompt: faulty(fault),
  maxRetries: 1,
  ...(fault.startsWith("stall") && { abortSignal: AbortSignal.timeout(IMPATIENT_MS) }),
});
const faultsOf = (name, model) => [
  ...FAULTS.map((fault) => [`fault: ${fault}, ${name}`, () => generate(spoilt(model, fault))]),
  ...STREAM_FAULTS.map((fault) => [`fault: ${fault}, ${name} stream`, () => stream(spoilt(model, fault))]),
];

await play({
  ...callsOf("chat", models.chat),
  ...callsOf("responses", models.responses),
  ...otherCalls,
  ...Object.fromEntries([...faultsOf("chat", models.chat), ...faultsOf("responses", models.responses)]),
});
