/**
 * `nibble train` on a model of every architecture, quantized on the way, and on one in every form; the other forms of the others:
 * test/slow/architectures.test.ts.
 */
import path from 'node:path';
import { expect, test } from 'vitest';
import { expectFallingLoss, FORMS, NAMES, ROOT, train } from './architectures.ts';
import { directory } from './nibble.ts';

test('there are models', () => {
  expect(NAMES.length).toBeGreaterThanOrEqual(10);
});

test.each(NAMES)('%s, QLoRA of the dense base: falling loss', (name) => expectFallingLoss(name, 'qlora', 'dense'));

test.each(FORMS.filter(([method, form]) => method !== 'qlora' || form !== 'dense'))(
  'llama, %s of the %s base: falling loss',
  (method, form) => expectFallingLoss('llama', method, form),
);

test('Phi-3 without target modules is asked for them, as PEFT does', async () => {
  const { code, stderr } = await train(path.join(ROOT, 'phi3', 'dense'), path.join(directory(), 'run'));
  expect(code).toBe(2);
  expect(stderr).toContain('lora_target_modules: has no default for this architecture');
  expect(stderr).toContain('qkv_proj');
});
