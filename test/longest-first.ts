/** Order of the test files: the longest first, so that the last of them does not keep one worker busy while the other is done. */
import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files of 20 s and more on SwiftShader, the longest first: a clean clone has no durations of its own. `.ci/run` prints the ten slowest. */
export const LONGEST = [
  'fidelity/training',
  'e2e/architectures',
  'generate/greedy',
  'kernels/matmul',
  'node/resume',
  'estimate/estimate',
  'e2e/recipes',
  'fidelity/planted-bugs',
  'kernels/attention-decode',
  'kernels/attention',
  'train/architectures',
  'e2e/train',
  'e2e/faults',
  'node/samples',
  'train/matmul-tier',
  'bench/resume-suite',
  'e2e/streams',
  'model/adapted-linear',
  'node/finetune',
  'e2e/special-files',
  'eval/lm-eval',
  'train/steady',
  'tune/tune',
  'train/paging',
  'model/gradients',
  'train/peft-options',
  'slow/suite-kills',
  'slow/resume-kills',
  'slow/serve',
  'slow/architectures',
  'slow/greedy',
  'slow/kills',
].map((file) => path.join(import.meta.dirname, `${file}.test.ts`));

export default class LongestFirst extends BaseSequencer {
  /** Sorts those that are not listed as vitest does: by how long they last took, or by size. */
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.indexOf(path.normalize(moduleId));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
