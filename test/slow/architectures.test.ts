/** `nibble train` on a model of every architecture in every form, of which test/e2e trains some. */
import { describe, test } from 'vitest';
import { expectFallingLoss, FORMS, NAMES } from '../e2e/architectures.ts';

describe.each(NAMES)('%s', (name) => {
  test.each(FORMS)('%s of the %s base: falling loss', (method, form) => expectFallingLoss(name, method, form));
});
