/** The device that the environment names, under NIBBLE_DEVICE and under its former name. */
import { expect, test } from 'vitest';
import { loadTrainConfig } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';
import { deviceChoice } from '../../src/node/device-choice.ts';

function asked(env: Record<string, string>): { choice: string; notes: string[] } {
  const notes: string[] = [];
  return { choice: deviceChoice(env, (text) => notes.push(text)), notes };
}

test('NIBBLE_DEVICE, by default the best there is', () => {
  expect(asked({})).toEqual({ choice: 'auto', notes: [] });
  expect(asked({ NIBBLE_DEVICE: 'gpu' })).toEqual({ choice: 'gpu', notes: [] });
});

test('the old name is read, and the new one named', () => {
  const notes = ['NIBBLE_ADAPTER: read as NIBBLE_DEVICE, its name now'];
  expect(asked({ NIBBLE_ADAPTER: 'swiftshader' })).toEqual({ choice: 'swiftshader', notes });
  expect(asked({ NIBBLE_ADAPTER: 'gpu', NIBBLE_DEVICE: 'gpu' })).toEqual({ choice: 'gpu', notes });
});

test.each([
  [{ NIBBLE_ADAPTER: 'gpu', NIBBLE_DEVICE: 'lavapipe' }, 'NIBBLE_ADAPTER', /got "gpu", .* is "lavapipe".*unset/],
  [{ NIBBLE_DEVICE: 'cuda' }, 'NIBBLE_DEVICE', /got "cuda", wanted one of auto, gpu/],
  [{ NIBBLE_ADAPTER: 'cuda' }, 'NIBBLE_ADAPTER', /got "cuda", wanted one of auto, gpu/],
])('%j is refused', (env, path, message) => {
  let thrown: unknown;
  try {
    asked(env as Record<string, string>);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(ConfigError);
  expect((thrown as ConfigError).problems).toEqual([{ path, message: expect.stringMatching(message) }]);
});

test('neither is a setting of the run', () => {
  const env = { NIBBLE_ADAPTER: 'lavapipe', NIBBLE_DEVICE: 'lavapipe' };
  const { values, notices } = loadTrainConfig({ env, options: { model_name_or_path: 'm', datasets: [{ path: 'd' }] } });
  expect([values.method, notices]).toEqual(['lora', []]);
});
