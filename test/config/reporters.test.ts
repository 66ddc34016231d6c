import { describe, expect, test } from 'vitest';
import { loadTrainConfig, reportersOf } from '../../src/config/index.ts';

const load = (text: string, flags = {}) =>
  loadTrainConfig({
    file: { path: 'run.yaml', text: `model_name_or_path: m\ndatasets: [{ path: d }]\n${text}\n` },
    flags,
  });
const asked = (text: string, flags = {}) => reportersOf(load(text, flags).values.report_to);

describe('report_to', () => {
  test.each([
    ['', []],
    ['report_to:', []],
    ['report_to: none', []],
    ['report_to: [none]', []],
    ['report_to: []', []],
    ['report_to: all', ['tensorboard', 'csv', 'jsonl']],
    ['report_to: tensorboard', ['tensorboard']],
    ['report_to: [csv, tensorboard]', ['tensorboard', 'csv']],
    ['report_to: wandb', []],
    ['report_to: [wandb, tensorboard, mlflow]', ['tensorboard']],
  ])('%s', (text, files) => expect(asked(text)).toEqual(files));

  test('a flag takes several with commas between them', () =>
    expect(asked('', { report_to: 'tensorboard,csv' })).toEqual(['tensorboard', 'csv']));

  test('services are taken with a word of what happens instead', () => {
    const { notices, values } = load('report_to: [wandb, csv, mlflow]');
    expect(values.report_to).toEqual(['csv']);
    expect(notices.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'report_to: wandb, mlflow: nibble sends nothing anywhere; log and record of the run are in output_dir, and report_to: ' +
        'tensorboard writes event files (run.yaml:3)',
    ]);
  });

  test('logging_dir without tensorboard has no effect, and a notice says so', () => {
    const notices = (text: string) => load(text).notices.map(({ message }) => message);
    expect(notices('logging_dir: logs')).toEqual(['has no effect: report_to does not name tensorboard (run.yaml:3)']);
    expect(notices('logging_dir: logs\nreport_to: csv')).toHaveLength(1);
    expect(notices('logging_dir: logs\nreport_to: all')).toEqual([]);
    expect(notices('logging_dir:')).toEqual([]);
  });
});
