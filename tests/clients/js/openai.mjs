// OpenAI's SDK in every way of asking for one answer, with OPENAI_BASE_URL and OPENAI_API_KEY of the environment.
// Prints one JSON object: for each way [text, input tokens, cached tokens, output tokens], and what the rest returned.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 20_000 });
const model = "up/m";
const messages = [{ role: "user", content: "hi" }];
const input = "hi";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const withUsage = { stream_options: { include_usage: true } };

const ofChat = (text, usage) => [
  text,
  usage.prompt_tokens,
  usage.prompt_tokens_details.cached_tokens,
  usage.completion_tokens,
];
const ofResponse = ({ output_text, usage }) => [
  output_text,
  usage.input_tokens,
  usage.input_tokens_details.cached_tokens,
  usage.output_tokens,
];

async function chat() {
  const answer = await client.chat.completions.create({ model, messages });
  return ofChat(answer.choices[0].message.content, answer.usage);
}

async function chatStream() {
  let text = "";
  let usage;
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, ...withUsage })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return ofChat(text, usage);
}

async function chatHelper() {
  const stream = client.chat.completions.stream({ model, messages, ...withUsage });
  const answer = await stream.finalChatCompletion();
  return ofChat(answer.choices[0].message.content, answer.usage);
}

async function responses() {
  return ofResponse(await client.responses.create({ model, input }));
}

async function responsesStream() {
  let last;
  for await (const event of await client.responses.create({ model, input, stream: true })) last = event;
  const text = last.response.output.flatMap((item) => item.content ?? []).map((part) => part.text).join("");
  return ofResponse({ ...last.response, output_text: text });
}

async function responsesHelper() {
  return ofResponse(await client.responses.stream({ model, input }).finalResponse());
}

async function toolRunner() {
  let city;
  const weather = (given) => ((city = given.city), "sunny");
  const tool = { type: "function", function: { name: "weather", parameters, function: weather, parse: JSON.parse } };
  const text = await client.chat.completions.runTools({ model, messages, tools: [tool], stream: true }).finalContent();
  return [text, city];
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
  const ways = { chat, chatStream, chatHelper, responses, responsesStream, responsesHelper };
  const seen = {};
  for (const [name, ask] of Object.entries(ways)) seen[name] = await ask();
  const models = [];
  for await (const listed of client.models.list()) models.push(listed.id);
  return {
    seen,
    models,
    model: (await client.models.retrieve("quick")).id,
    toolRunner: await toolRunner(),
    counted: (await client.responses.inputTokens.count({ model, input })).input_tokens,
    refusals: {
      unauthorized: await refusal(() => client.withOptions({ apiKey: "tv-wrong" }).models.list()),
      unknown: await refusal(() => client.responses.create({ model: "nobody/m", input })),
      limited: await refusal(() => client.chat.completions.create({ model: "limited", messages })),
      broken: await refusal(() => client.chat.completions.stream({ model: "broken", messages }).done()),
    },
  };
}

console.log(JSON.stringify(await main()));
