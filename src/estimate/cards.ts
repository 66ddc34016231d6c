/** GPUs as they are sold: their memory, whose limits they have, and how much of the memory a run may count on. */

const GIB = 2 ** 30;

/** Name in KNOWN_PROFILES of the limits that a card has. */
export type Maker = 'nvidia' | 'amd' | 'intel' | 'apple';

export type Card = {
  /** As --gpu takes it. */
  readonly name: string;
  /** As a person says it: "24 GB", "NVIDIA GeForce RTX 4090". */
  readonly title: string;
  /** In a sentence: "a 24 GB card", "an NVIDIA GeForce RTX 4090". */
  readonly spoken: string;
  readonly maker: Maker;
  /** Bytes of its memory: a card that is sold with 24 GB has 24 GiB. */
  readonly bytes: number;
  /** Bytes that a run may count on, by the assumption below. */
  readonly usableBytes: number;
};

/** Memory that cards are sold with, in GB as on the box. */
export const CARD_SIZES = [8, 12, 16, 24, 32, 40, 48, 80, 141] as const;

/**
 * What of a card's memory is assumed to be free: the driver, a display and what other programs hold take the rest, and on cards
 * with GDDR6 and ECC (A10G, L4, T4) ECC alone takes 1/16. It is the share above which nibble train warns of a run.
 */
export const USABLE_SHARE = 0.9;

/**
 * What Metal says that a GPU should use of the memory it shares with the processor (recommendedMaxWorkingSetSize): two thirds up to
 * 32 GB, three quarters above, as llama.cpp's logs of M1 to M3 have it; macOS 15 allows some more.
 */
const METAL = { share: 2 / 3, largeShare: 3 / 4, largeAbove: 32 } as const;

const USABLE_NOTE = {
  card: `${100 * USABLE_SHARE} % of a card's memory is taken as free: drivers, a display and ECC hold some`,
  apple: "of a Mac's memory what Metal recommends for the GPU is taken as free: 2/3 up to 32 GB, 3/4 above",
} as const;

/** Says by which assumption a card's usable bytes come; those of the usual sizes where it is null. */
export const usableNote = (card: Card | null): string =>
  card?.maker === 'apple' ? USABLE_NOTE.apple : USABLE_NOTE.card;

/** Published memory in GB, from the pages of the makers. */
const DISCRETE: Readonly<
  Record<Exclude<Maker, 'apple'>, Readonly<Record<string, readonly [title: string, gb: number]>>>
> = {
  nvidia: {
    rtx2060: ['GeForce RTX 2060', 6],
    rtx2080ti: ['GeForce RTX 2080 Ti', 11],
    rtx3060: ['GeForce RTX 3060', 12],
    rtx3070: ['GeForce RTX 3070', 8],
    rtx3080: ['GeForce RTX 3080', 10],
    rtx3090: ['GeForce RTX 3090', 24],
    rtx3090ti: ['GeForce RTX 3090 Ti', 24],
    rtx4060: ['GeForce RTX 4060', 8],
    'rtx4060ti-16': ['GeForce RTX 4060 Ti 16 GB', 16],
    rtx4070: ['GeForce RTX 4070', 12],
    'rtx4070ti-super': ['GeForce RTX 4070 Ti SUPER', 16],
    rtx4080: ['GeForce RTX 4080', 16],
    rtx4090: ['GeForce RTX 4090', 24],
    'rtx5060ti-16': ['GeForce RTX 5060 Ti 16 GB', 16],
    rtx5070: ['GeForce RTX 5070', 12],
    rtx5070ti: ['GeForce RTX 5070 Ti', 16],
    rtx5080: ['GeForce RTX 5080', 16],
    rtx5090: ['GeForce RTX 5090', 32],
    rtxa6000: ['RTX A6000', 48],
    rtx6000ada: ['RTX 6000 Ada', 48],
    rtxpro6000: ['RTX PRO 6000 Blackwell', 96],
    t4: ['T4', 16],
    'v100-16': ['V100 16 GB', 16],
    'v100-32': ['V100 32 GB', 32],
    a10g: ['A10G', 24],
    l4: ['L4', 24],
    a40: ['A40', 48],
    l40s: ['L40S', 48],
    'a100-40': ['A100 40 GB', 40],
    'a100-80': ['A100 80 GB', 80],
    h100: ['H100', 80],
    h200: ['H200', 141],
  },
  amd: {
    rx7600: ['Radeon RX 7600', 8],
    rx7600xt: ['Radeon RX 7600 XT', 16],
    rx7700xt: ['Radeon RX 7700 XT', 12],
    rx7800xt: ['Radeon RX 7800 XT', 16],
    rx7900xt: ['Radeon RX 7900 XT', 20],
    rx7900xtx: ['Radeon RX 7900 XTX', 24],
    'rx9060xt-16': ['Radeon RX 9060 XT 16 GB', 16],
    rx9070: ['Radeon RX 9070', 16],
    rx9070xt: ['Radeon RX 9070 XT', 16],
    w7800: ['Radeon PRO W7800', 32],
    w7900: ['Radeon PRO W7900', 48],
  },
  intel: {
    'arc-a380': ['Arc A380', 6],
    'arc-a750': ['Arc A750', 8],
    'arc-a770': ['Arc A770 16 GB', 16],
    'arc-b570': ['Arc B570', 10],
    'arc-b580': ['Arc B580', 12],
    'arc-pro-b50': ['Arc Pro B50', 16],
    'arc-pro-b60': ['Arc Pro B60', 24],
  },
};

/** Memory in GB that each chip of Apple's is sold with, from the technical specifications of its Macs. */
const APPLE: Readonly<Record<string, readonly number[]>> = {
  m1: [8, 16],
  'm1-pro': [16, 32],
  'm1-max': [32, 64],
  'm1-ultra': [64, 128],
  m2: [8, 16, 24],
  'm2-pro': [16, 32],
  'm2-max': [32, 64, 96],
  'm2-ultra': [64, 128, 192],
  m3: [8, 16, 24],
  'm3-pro': [18, 36],
  'm3-max': [36, 48, 64, 96, 128],
  'm3-ultra': [96, 256, 512],
  m4: [16, 24, 32],
  'm4-pro': [24, 48, 64],
  'm4-max': [36, 48, 64, 128],
};

const MAKERS: Readonly<Record<Maker, string>> = { nvidia: 'NVIDIA', amd: 'AMD', intel: 'Intel', apple: 'Apple' };

/** Every card by its name. */
export const CARDS: ReadonlyMap<string, Card> = new Map(
  [
    ...(['nvidia', 'amd', 'intel'] as const).flatMap((maker) =>
      Object.entries(DISCRETE[maker]).map(([name, [title, gb]]) => card(name, `${MAKERS[maker]} ${title}`, maker, gb)),
    ),
    ...Object.entries(APPLE).flatMap(([chip, sizes]) =>
      sizes.map((gb) => {
        const [generation = '', grade] = chip.split('-');
        const named = [
          generation.toUpperCase(),
          ...(grade === undefined ? [] : [grade[0]?.toUpperCase() + grade.slice(1)]),
        ];
        return card(`${chip}-${gb}`, `Apple ${named.join(' ')} with ${gb} GB`, 'apple', gb);
      }),
    ),
  ].map((one) => [one.name, one] as const),
);

/** A card of a size in GB as on its box, with the limits of a maker. */
export function cardOfSize(gb: number, maker: Maker = 'nvidia'): Card {
  // an 8, an 11, an 18, an 80 GB card
  const article = /^(8|11|18)/.test(String(gb)) ? 'an' : 'a';
  return { ...card(String(gb), `${gb} GB`, maker, gb), spoken: `${article} ${gb} GB card` };
}

function card(name: string, title: string, maker: Maker, gb: number): Card {
  const share = maker === 'apple' ? (gb > METAL.largeAbove ? METAL.largeShare : METAL.share) : USABLE_SHARE;
  return { name, title, spoken: `an ${title}`, maker, bytes: gb * GIB, usableBytes: Math.floor(gb * GIB * share) };
}
