import { estimate, finetune, quantize } from 'nibble-tune';

const [model_name_or_path = './llama', output_dir = './llama-4bit'] = process.argv.slice(2);
const settings = { model_name_or_path, method: 'qlora', lora_r: 16, max_length: 64 } as const;
const { estimates } = await estimate(settings);
for (const { method, peak_bytes } of estimates) console.log(`${method}: ${peak_bytes} bytes of GPU memory`);

const rows = [{ text: 'It was the best of times,' }, { text: 'it was the worst of times,' }];
const { steps } = await finetune({ ...settings, datasets: [{ rows }], max_steps: 3, output_dir: null });
console.log(`loss ${steps.at(-1)?.loss.toFixed(3)} after ${steps.length} steps`);

const { quantized_tensors, bits_per_parameter } = await quantize({ model_name_or_path, output_dir });
console.log(`${quantized_tensors} weights in ${bits_per_parameter.toFixed(3)} bits a parameter`);
