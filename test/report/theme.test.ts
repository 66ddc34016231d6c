import { expect, test } from 'vitest';
import { categoryColors, THEME_CSS } from '../../src/report/charts/theme.ts';
import { MEMORY_CATEGORIES } from '../../src/results/run-schema.ts';

test('every category has a colour in light and in dark, and so has one that is added to the list', () => {
  for (const side of [0, 1] as const) {
    const colors = categoryColors([...MEMORY_CATEGORIES, 'drafts', 'more'], side);
    const all = Object.values(colors);
    expect(all.every((color) => /^#[0-9a-f]{6}$/.test(color))).toBe(true);
    expect(new Set(all).size).toBe(MEMORY_CATEGORIES.length + 2);
    // one more changes no other's
    expect(colors).toMatchObject(categoryColors(MEMORY_CATEGORIES, side));
    for (const [name, color] of Object.entries(categoryColors(MEMORY_CATEGORIES, side)))
      expect(THEME_CSS).toContain(`--${name}:${color}`);
  }
});
