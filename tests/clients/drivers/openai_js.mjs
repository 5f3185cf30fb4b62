// The official `openai` package of npm, as a process of its own (see lines.py).
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(process.argv[3] + "/"); // the folder that has node_modules
const OpenAI = require("openai").default ?? require("openai");
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });

async function ask({ body, stream }) {
  try {
    if (!stream) return { whole: await client.chat.completions.create(body) };
    const options = { stream: true, stream_options: { include_usage: true } };
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ ...body, ...options })) chunks.push(chunk);
    return { chunks };
  } catch (e) {
    if (!(e instanceof OpenAI.APIError) || !e.status) throw e;
    return { error: { status: e.status, message: e.message, field: e.param ?? null } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await ask(JSON.parse(line))) + "\n");
}
