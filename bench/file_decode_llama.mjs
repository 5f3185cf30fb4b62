// Decode speed of llama.cpp on a GGUF file, as bench/file_decode.py measures Ponder's: ids for each second of processor
// time of one thread. In a folder with `npm install node-llama-cpp`, whose binaries are llama.cpp's:
//     node file_decode_llama.mjs model-Q4_K_M.gguf [ids] [rounds]
import { getLlama } from "node-llama-cpp";

const [, , file, ids = "16", rounds = "3"] = process.argv;
const llama = await getLlama({ gpu: false, maxThreads: 1, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: 512, threads: 1, batchSize: 64 });
const sequence = context.getSequence();
const prompt = model.tokenize("The history of the world is a long story. ".repeat(4));
const seconds = () => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;
for (let round = 0; round < Number(rounds); round++) {
  await sequence.clearHistory();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
  let start, count = 0;
  for await (const _ of sequence.evaluate(prompt.slice(-1), { temperature: 0, yieldEogToken: true })) {
    if (++count === 1) start = seconds();
    if (count > Number(ids)) break;
  }
  console.log(`llama.cpp: ${((count - 1) / (seconds() - start)).toFixed(2)} ids a second of one thread`);
}
console.log(llama.systemInfo);
process.exit(0);
