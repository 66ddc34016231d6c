import { estimate, quantize } from 'nibble-tune';

const [model = './llama', folder = './llama-4bit'] = process.argv.slice(2);
const { estimates } = await estimate({ model_name_or_path: model, max_length: 512, lora_r: 16 });
for (const { method, peak_bytes } of estimates) console.log(`${method}: ${peak_bytes} bytes of GPU memory`);
const written = await quantize({ model_name_or_path: model, output_dir: folder, bnb_4bit_use_double_quant: true });
console.log(`${written.quantized_tensors} weights in ${written.bits_per_parameter.toFixed(3)} bits a parameter`);
