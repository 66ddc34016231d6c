import { defineConfig } from 'vitest/config';
import common from './vitest.config.ts';

/** Tests that download or compile for minutes: a stage of their own in CI. */
export default defineConfig({ test: { ...common.test, include: ['test/slow/**/*.test.ts'], exclude: [] } });
