/** The page at /, in the Chromium that npm brings: it streams both models, keeps to its policy, and fits a phone. */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import chromium from '@sparticuz/chromium';
import { type Browser, type Page, chromium as playwright } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { start } from '../serve/app.ts';

const page = readFileSync(new URL('../../pages/chat.html', import.meta.url), 'utf8');
/** A folder to look at pictures in; none are kept without it. */
const PICTURES = process.env.NIBBLE_TEST_PICTURES;

let browser: Browser;
const servers: ReturnType<typeof createServer>[] = [];

beforeAll(async () => {
  browser = await playwright.launch({
    executablePath: await chromium.executablePath(),
    args: chromium.args,
    headless: true,
  });
});
afterAll(async () => {
  await browser?.close();
  for (const server of servers) server.close();
});

/** Opens the page of a server; what the browser complains of is collected. */
async function open(apiKey: string | null, view: { width: number; height: number; dark?: boolean }) {
  const slow = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
  const app = start({ page, access: { apiKey, allowedHosts: [], allowedOrigins: [] } }, { beforeStep: slow });
  const server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const context = await browser.newContext({
    viewport: { width: view.width, height: view.height },
    colorScheme: view.dark === true ? 'dark' : 'light',
  });
  const tab = await context.newPage();
  const complaints: string[] = [];
  tab.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  tab.on('pageerror', (error) => complaints.push(error.message));
  await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return { tab, app, complaints };
}

const answers = (tab: Page) => tab.locator('article');
const idle = async (tab: Page): Promise<void> => {
  await tab.locator('article[aria-busy=false]').last().waitFor();
  await expect.poll(() => tab.locator('article[aria-busy=true]').count(), { timeout: 60_000 }).toBe(0);
};
const picture = async (tab: Page, name: string): Promise<void> => {
  if (PICTURES !== undefined) await tab.screenshot({ path: `${PICTURES}/${name}.png` });
};

test.each([
  ['wide', { width: 1280, height: 800 }],
  ['phone', { width: 390, height: 844 }],
  ['dark', { width: 1280, height: 800, dark: true }],
  ['dark-phone', { width: 390, height: 844, dark: true }],
] as const)('%s: both answer, side by side where there is room, and nothing runs over the edge', async (name, view) => {
  const { tab, complaints } = await open(null, view);
  await tab.locator('#left option').first().waitFor({ state: 'attached' });
  expect(await tab.locator('#left').inputValue()).toBe('tiny');
  expect(await tab.locator('#right').inputValue()).toBe('law');
  await tab.locator('#tokens').fill('8');
  await tab.locator('#asked').fill('Who? <b>b</b>');
  await tab.locator('#asked').press('Enter');
  await idle(tab);
  const texts = await answers(tab).locator('p').allTextContents();
  expect(texts).toHaveLength(2);
  expect(texts.every((text) => text.length > 5)).toBe(true);
  expect(texts[0]).not.toBe(texts[1]);
  expect(await tab.locator('.asked').textContent()).toBe('Who? <b>b</b>');
  expect(await answers(tab).locator('.figures').allTextContents()).toEqual([
    expect.stringMatching(/^8 tokens, [\d.]+ a second, cut at the limit$/),
    expect.stringMatching(/^8 tokens/),
  ]);
  const boxes = await Promise.all([0, 1].map((i) => answers(tab).nth(i).boundingBox()));
  const [x = [], y = []] = [boxes.map((box) => box?.x ?? Number.NaN), boxes.map((box) => box?.y ?? Number.NaN)];
  const isAscending = ([first = Number.NaN, second = Number.NaN]: readonly number[]): boolean => first < second;
  expect([isAscending(x), isAscending(y)]).toEqual(view.width > 700 ? [true, false] : [false, true]);
  expect(await tab.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  await tab.locator('#asked').fill('And?');
  await tab.locator('#send').click();
  await idle(tab);
  await picture(tab, name);
  expect(complaints).toEqual([]);
});

test('a token is asked for, and what is wrong is said', async () => {
  const { tab } = await open('sesame', { width: 800, height: 600 });
  await tab.locator('#key-label').waitFor();
  expect(await tab.locator('#hint').textContent()).toContain('no token was given');
  await tab.locator('#key').fill('sesame');
  await tab.locator('#key').press('Enter');
  await tab.locator('#left option').first().waitFor({ state: 'attached' });
  await tab.locator('#tokens').fill('4000');
  await tab.locator('#asked').fill('So');
  await tab.locator('#send').click();
  await idle(tab);
  expect(await answers(tab).first().locator('p').textContent()).toContain('the context is 64 tokens');
  await picture(tab, 'token');
});

test('Stop ends both, and frees their places', async () => {
  const { tab, app } = await open(null, { width: 800, height: 600 });
  await tab.locator('#left option').first().waitFor({ state: 'attached' });
  await tab.locator('#tokens').fill('45');
  await tab.locator('#asked').fill('So');
  await tab.locator('#send').click();
  await tab.locator('#stop').click();
  await idle(tab);
  expect(await answers(tab).locator('.figures').allTextContents()).toEqual(['stopped', 'stopped']);
  await expect.poll(() => app.batcher.state.running + app.batcher.state.pagesUsed).toBe(0);
});
