// What llama.cpp says to prompts with a GGUF file, always the likeliest id, and how likely every id was. In a folder with
// `npm install node-llama-cpp`, whose binaries are llama.cpp's:
//     node greedy_llama.mjs FILE.gguf PROMPTS.json OUT.json
// PROMPTS holds [{text, ids, most}], OUT gets [{tokens: of the text, ids: what was said, probabilities: [{id: p}]}].
import fs from "fs";
import { getLlama } from "node-llama-cpp";

const [, , file, prompts, out] = process.argv;
const llama = await getLlama({ gpu: false, maxThreads: 1, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: file });
const kv = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
const context = await model.createContext({ contextSize: 512, threads: 1, batchSize: 128, flashAttention: false, ...kv });
const sequence = context.getSequence();
const generateNext = { probabilities: true, options: { temperature: 0 } };
const found = [];
for (const { text, ids, most } of JSON.parse(fs.readFileSync(prompts))) {
  await sequence.clearHistory();
  const said = [], probabilities = [];
  for (let input = ids; said.length < most; input = said.slice(-1)) {
    const asked = input.map((id, i) => (i < input.length - 1 ? id : [id, { generateNext }]));
    const { next } = (await sequence.controlledEvaluate(asked)).at(-1);
    const [[likeliest]] = [...next.probabilities].sort((a, b) => b[1] - a[1]);
    said.push(likeliest);
    probabilities.push(Object.fromEntries(next.probabilities));
    if (model.isEogToken(likeliest)) break;
  }
  found.push({ tokens: model.tokenize(text, true), ids: said, probabilities });
}
fs.writeFileSync(out, JSON.stringify(found));
process.exit(0);
