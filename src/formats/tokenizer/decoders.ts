/** Decoders of tokenizer.json: tokens back into text. */
import { show } from '../../config/show.ts';
import { bytesOfToken } from './bytes.ts';
import { replace } from './normalizers.ts';
import type { Part } from './read.ts';

export type Decoder = (tokens: readonly string[]) => string[];

/** Without a decoder, tokens are joined by spaces. @throws DataError for a kind that nibble does not follow */
export function decoderOf(part: Part | null): Decoder {
  if (part === null) return (tokens) => [tokens.join(' ')];
  const type = part.text('type');
  switch (type) {
    case 'Sequence': {
      const steps = part.objects('decoders').map(decoderOf);
      return (tokens) => steps.reduce<string[]>((so_far, step) => step(so_far), [...tokens]);
    }
    case 'ByteLevel':
      return (tokens) => [
        new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(tokens.flatMap(bytesOfToken))),
      ];
    case 'Replace': {
      const replaced = replace(part);
      return (tokens) => tokens.map(replaced);
    }
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'ByteFallback':
      return byteFallback;
    case 'Strip':
      return strip(part.text('content'), part.count('start'), part.count('stop'));
    case 'Metaspace':
      return metaspace(part.text('replacement'), part.text('prepend_scheme', 'always') !== 'never');
    default:
      throw part.unsupported('type', `is ${show(type)}, a decoder`);
  }
}

function metaspace(replacement: string, prepended: boolean): Decoder {
  return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && prepended ? '' : ' '));
}

function strip(content: string, start: number, stop: number): Decoder {
  return (tokens) =>
    tokens.map((token) => {
      const chars = Array.from(token);
      let from = 0;
      while (from < start && chars[from] === content) from++;
      let to = chars.length;
      while (chars.length - to < stop && to > from && chars[to - 1] === content) to--;
      return chars.slice(from, to).join('');
    });
}

/** Tokens such as <0x0A> as the text of their bytes; a replacement character for each of those that are not UTF-8. */
function byteFallback(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length > 0) for (const text of textOf(bytes)) out.push(text);
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte !== null) bytes.push(Number.parseInt(byte[1]!, 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function textOf(bytes: readonly number[]): string[] {
  try {
    return [new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes))];
  } catch {
    return bytes.map(() => '\ufffd');
  }
}
