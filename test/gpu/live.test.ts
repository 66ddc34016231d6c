import { expect, test } from 'vitest';
import type { Command } from '../../src/gpu/command.ts';
import { liveCommands } from '../../src/gpu/live.ts';
import { Tensor } from '../../src/gpu/tensor.ts';

function tensor(label: string, resident = false): Tensor {
  const storage = { label, category: 'activations', bytes: 4, resident } as const;
  return new Tensor({ label, shape: [1], dtype: 'f32', storage });
}
const copy = (from: Tensor, to: Tensor): Command => ({ kind: 'copy', from, to });
const [input, result] = [tensor('input', true), tensor('result', true)];

test('a chain that ends in nothing resident goes, whole; one that does stays, in order', () => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((l) => tensor(l)) as [Tensor, Tensor, Tensor, Tensor];
  const kept = [copy(input, a), copy(a, b), copy(b, result)];
  const dead = [copy(a, c), copy(c, d)];
  const [first, second, third] = kept as [Command, Command, Command];
  expect(liveCommands([first, dead[0] as Command, second, dead[1] as Command, third])).toEqual(kept);
});

test('what is read before it is overwritten, and parts written one after the other, stay', () => {
  const a = tensor('a');
  const clear: Command = { kind: 'clear', tensor: a };
  const parts = [clear, copy(input, a), copy(a, result)];
  expect(liveCommands(parts)).toEqual(parts);
  // written after its last reader: nobody sees it
  expect(liveCommands([copy(input, a), copy(a, result), copy(input, a)])).toEqual([copy(input, a), copy(a, result)]);
});

test('what only raises flags beside a result that nobody reads goes', () => {
  const [flags, dead] = [tensor('flags', true), tensor('dead')];
  const bindings = [
    { index: 0, tensor: input, writable: false },
    { index: 1, tensor: dead, writable: true },
    { index: 2, tensor: flags, writable: true },
  ];
  const raises = { kind: 'dispatch', bindings } as unknown as Command;
  expect(liveCommands([raises, copy(input, result)], flags.storage)).toEqual([copy(input, result)]);
  expect(liveCommands([raises, copy(dead, result)], flags.storage)).toEqual([raises, copy(dead, result)]);
});
