// Anthropic's SDK in every way of asking for one answer, with the environment's ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.
// Prints one JSON object: for each way [text, input tokens, cached tokens, output tokens], and what the rest returned.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";

const client = new Anthropic({ maxRetries: 0, timeout: 20_000 });
const question = { model: "up/m", messages: [{ role: "user", content: "hi" }] };
const asked = { ...question, max_tokens: 40 };
const inputSchema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

const textOf = (content) => content.map((block) => block.text ?? "").join("");
const ofMessage = ({ content, usage }) => [
  textOf(content),
  usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
  usage.cache_read_input_tokens,
  usage.output_tokens,
];

async function messages() {
  return ofMessage(await client.messages.create(asked));
}

async function messagesStream() {
  let text = "";
  let usage;
  for await (const event of await client.messages.create({ ...asked, stream: true })) {
    if (event.type === "message_start") usage = event.message.usage;
    if (event.type === "content_block_delta") text += event.delta.text ?? "";
    if (event.type === "message_delta") usage = { ...usage, ...event.usage };
  }
  return ofMessage({ content: [{ text }], usage });
}

async function messagesHelper() {
  return ofMessage(await client.messages.stream(asked).finalMessage());
}

async function toolRunner(options) {
  let city;
  const run = (given) => ((city = given.city), "sunny");
  const weather = betaTool({ name: "weather", description: "The weather", inputSchema, run });
  const final = await client.beta.messages.toolRunner({ ...asked, tools: [weather], ...options }).runUntilDone();
  return [textOf(final.content), city];
}

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status ?? null];
  }
  return ["nothing was thrown", null];
}

async function main() {
  const ways = { messages, messagesStream, messagesHelper };
  const seen = {};
  for (const [name, ask] of Object.entries(ways)) seen[name] = await ask();
  const models = [];
  for await (const listed of client.models.list()) models.push(listed.id);
  const other = (model) => ({ ...asked, model });
  return {
    seen,
    models,
    model: (await client.models.retrieve("quick")).id,
    toolRunner: await toolRunner({ thread: false }),
    toolRunnerStreamed: await toolRunner({ thread: false, stream: true }),
    // By default it asks the server to hold the conversation, and sends it whole once the server says it cannot.
    toolRunnerThreaded: await toolRunner({}).catch((error) => [error.constructor.name, error.status]),
    counted: (await client.messages.countTokens(question)).input_tokens,
    refusals: {
      unauthorized: await refusal(() => client.withOptions({ apiKey: "tv-wrong" }).models.list()),
      unknown: await refusal(() => client.messages.create(other("nobody/m"))),
      limited: await refusal(() => client.messages.create(other("limited"))),
      broken: await refusal(() => client.messages.stream(other("broken")).finalMessage()),
    },
  };
}

console.log(JSON.stringify(await main()));
