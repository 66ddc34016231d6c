import { expect, test } from 'vitest';
import { fileVersionEvent, restartEvent, scalarsEvent, textEvent } from '../../src/formats/tfevents.ts';
import { crc32c, readEvents, records } from '../ref/tfevents.ts';

const SECONDS = 1_796_111_625.25;
const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

test("the reader's checksum is CRC-32C", () => {
  // the check value of the CRC catalogue
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
});

// records of SummaryWriter in torch 2.13 with tensorboard 2.21, its wall time set: add_scalar, add_text, purge_step
const SCALAR = '2100000000000000017becf609000050429fc3da4110ac022a130a110a0a747261696e2f6c6f7373150000204023f564b0';
const TEXT =
  '3e00000000000000d9d240e709000050429fc3da412a330a310a11617267732f746578745f73756d6d6172794212080712041202080142087b22' +
  '61223a20317d4a080a060a0474657874b9e4cf2e';
const RESTART = '0f000000000000006d532b0909000050429fc3da41100b3a02080169d55a7b';
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('scalars, a text and a restart are the bytes that torch.utils.tensorboard writes', () => {
  expect(hex(scalarsEvent(SECONDS, 300, new Map([['train/loss', 2.5]])))).toBe(SCALAR);
  expect(hex(textEvent(SECONDS, 'args', '{"a": 1}'))).toBe(TEXT);
  expect(hex(restartEvent(SECONDS, 11))).toBe(RESTART);
});

test('records of every kind read back, long texts and large steps too', () => {
  const long = `ä${'x'.repeat(20_000)}`;
  const file = joined(
    fileVersionEvent(SECONDS),
    textEvent(SECONDS, 'args', long),
    scalarsEvent(
      SECONDS,
      2 ** 33,
      new Map([
        ['train/loss', 0.1],
        ['eval/loss', Number.NaN],
      ]),
    ),
  );
  expect(readEvents(file)).toEqual([
    { seconds: SECONDS, step: 0, version: 'brain.Event:2', scalars: {}, texts: {} },
    { seconds: SECONDS, step: 0, scalars: {}, texts: { 'args/text_summary': long } },
    {
      seconds: SECONDS,
      step: 2 ** 33,
      scalars: { 'train/loss': Math.fround(0.1), 'eval/loss': Number.NaN },
      texts: {},
    },
  ]);
  const broken = file.slice();
  broken[40] = (broken[40] ?? 0) ^ 1;
  expect(() => records(broken)).toThrow('checksum');
});
