import { expect, test } from 'vitest';
import { nextStep } from '../../src/cli/train/next-step.ts';

const values = { method: 'lora', model_name_or_path: 'org/Tiny-1.1B', output_dir: './out' };

test('a finished run names the command that generates with its adapter, or with its whole model', () => {
  expect(nextStep(values as never)).toBe('next: nibble generate org/Tiny-1.1B --adapter ./out --prompt "..."');
  expect(nextStep({ ...values, method: 'full' } as never)).toBe('next: nibble generate ./out --prompt "..."');
});

test('quotes what a shell would take apart', () => {
  expect(nextStep({ ...values, output_dir: "./ben's run" } as never)).toBe(
    `next: nibble generate org/Tiny-1.1B --adapter './ben'\\''s run' --prompt "..."`,
  );
});
