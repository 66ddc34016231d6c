/** Figures of a server in Prometheus' text format, version 0.0.4. */
import type { BatcherState } from './batcher.ts';

type Labels = Readonly<Record<string, string>>;
type Sample = { readonly suffix: string; readonly labels: Labels; readonly value: number };
type Family = { readonly name: string; readonly type: 'counter' | 'gauge' | 'histogram'; readonly help: string };

/** Seconds from the first token of a short prompt to a long text; the same for both histograms. */
const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export class Counter {
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>();

  add(labels: Labels, value: number): void {
    const key = inBraces(labels);
    const found = this.#values.get(key);
    if (found === undefined) this.#values.set(key, { labels, value });
    else found.value += value;
  }

  get samples(): Sample[] {
    return [...this.#values.values()].map(({ labels, value }) => ({ suffix: '', labels, value }));
  }
}

export class Histogram {
  readonly #counts = BUCKETS.map(() => 0);
  #count = 0;
  #sum = 0;

  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    BUCKETS.forEach((bound, i) => {
      if (value <= bound) this.#counts[i] = (this.#counts[i] as number) + 1;
    });
  }

  get samples(): Sample[] {
    const bucket = (le: string, value: number): Sample => ({ suffix: '_bucket', labels: { le }, value });
    return [
      ...BUCKETS.map((bound, i) => bucket(String(bound), this.#counts[i] as number)),
      bucket('+Inf', this.#count),
      { suffix: '_sum', labels: {}, value: this.#sum },
      { suffix: '_count', labels: {}, value: this.#count },
    ];
  }
}

/** Memory that the platform tells of: the GPU's by category, and the process's. */
export type MemoryFigures = { readonly gpu: Readonly<Record<string, number>>; readonly residentBytes: number | null };

export class Metrics {
  readonly requests = new Counter();
  readonly promptTokens = new Counter();
  readonly generatedTokens = new Counter();
  readonly firstToken = new Histogram();
  readonly duration = new Histogram();

  /** Everything, as a scrape gets it. */
  text(state: BatcherState, { gpu, residentBytes }: MemoryFigures): string {
    const gauge = (name: string, help: string, value: number) =>
      family({ name, type: 'gauge', help }, [{ suffix: '', labels: {}, value }]);
    const bytes = Object.entries(gpu).map(([category, value]) => ({ suffix: '', labels: { category }, value }));
    const { requests, promptTokens, generatedTokens, firstToken, duration } = this;
    return [
      family(
        { name: 'nibble_requests_total', type: 'counter', help: 'Requests by path and status.' },
        requests.samples,
      ),
      counterOf('nibble_prompt_tokens_total', 'Tokens of prompts.', promptTokens),
      counterOf('nibble_generated_tokens_total', 'Tokens generated.', generatedTokens),
      family(
        { name: 'nibble_request_seconds', type: 'histogram', help: 'From a request to the end of its answer.' },
        duration.samples,
      ),
      family(
        { name: 'nibble_first_token_seconds', type: 'histogram', help: 'From a request to its first token.' },
        firstToken.samples,
      ),
      gauge('nibble_sequences_running', 'Sequences in the batch.', state.running),
      gauge('nibble_sequences_waiting', 'Sequences in the queue.', state.waiting),
      gauge('nibble_cache_pages', 'Pages of the cache of keys and values.', state.pages),
      gauge('nibble_cache_pages_used', 'Pages that sequences hold.', state.pagesUsed),
      family({ name: 'nibble_gpu_bytes', type: 'gauge', help: 'GPU memory by category.' }, bytes),
      residentBytes === null
        ? ''
        : gauge('process_resident_memory_bytes', 'Resident memory of the process.', residentBytes),
    ].join('');
  }
}

/** A counter that nothing has been added to yet is 0. */
function counterOf(name: string, help: string, { samples }: Counter): string {
  return family({ name, type: 'counter', help }, samples.length > 0 ? samples : [{ suffix: '', labels: {}, value: 0 }]);
}

function family({ name, type, help }: Family, samples: readonly Sample[]): string {
  const lines = samples.map(({ suffix, labels, value }) => `${name}${suffix}${inBraces(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function inBraces(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
