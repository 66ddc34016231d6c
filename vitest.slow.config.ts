import { defineConfig } from 'vitest/config';
import common from './vitest.config.ts';

const { projects: _, ...settings } = common.test ?? {};

/** Tests that download or compile for minutes: a stage of their own in CI. */
export default defineConfig({ test: { ...settings, include: ['test/slow/**/*.test.ts'] } });
