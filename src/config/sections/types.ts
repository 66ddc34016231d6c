/** Types that several sections of the settings share. */
import { z } from 'zod';

export const text = z.string().min(1);
export const atLeastOne = z.int().min(1);
export const fraction = z.number().min(0).lt(1);
export const stepsOrShare = z.union([z.number().gt(0).lt(1), atLeastOne]);
export const computeDtype = z.enum(['float32', 'float16', 'bfloat16']);
