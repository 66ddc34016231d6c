/** The memory ledger: live GPU buffer bytes by category, with true peaks per phase (updated at every create and destroy). */
import { type Category, type CategoryBytes, emptyCategoryBytes, totalBytes } from './category.ts';

/** One live buffer: `bytes` that its contents need, and `alignmentBytes` that padding adds to them. */
export type LedgerEntry = {
  readonly label: string;
  readonly category: Category;
  readonly bytes: number;
  readonly alignmentBytes: number;
};

export type PhasePeak = { readonly phase: string; readonly peakBytes: number; readonly byCategory: CategoryBytes };

export class Ledger {
  readonly #live = new Set<LedgerEntry>();
  readonly #current = emptyCategoryBytes();
  readonly #phases = new Map<string, { peakBytes: number; byCategory: CategoryBytes }>();
  #phase = 'load';

  add(entry: LedgerEntry): void {
    this.#live.add(entry);
    this.#current[entry.category] += entry.bytes;
    this.#current.alignment += entry.alignmentBytes;
    this.#touch();
  }

  remove(entry: LedgerEntry): void {
    if (!this.#live.delete(entry)) throw new Error(`ledger: ${entry.label} is not live`);
    this.#current[entry.category] -= entry.bytes;
    this.#current.alignment -= entry.alignmentBytes;
  }

  /** Starts (or re-enters) a phase; its peak begins at what is live now. */
  enterPhase(phase: string): void {
    this.#phase = phase;
    this.#touch();
  }

  /** What is live now, by category. */
  get current(): CategoryBytes {
    return { ...this.#current };
  }

  get currentBytes(): number {
    return totalBytes(this.#current);
  }

  get liveCount(): number {
    return this.#live.size;
  }

  /** Live entries in the order they were made. */
  get entries(): readonly LedgerEntry[] {
    return [...this.#live];
  }

  /** Peaks by phase, in the order the phases were first entered. */
  get phasePeaks(): readonly PhasePeak[] {
    return [...this.#phases].map(([phase, p]) => ({ phase, peakBytes: p.peakBytes, byCategory: { ...p.byCategory } }));
  }

  /** The highest phase peak and what it was made of. */
  get peak(): PhasePeak {
    const none: PhasePeak = { phase: this.#phase, peakBytes: 0, byCategory: emptyCategoryBytes() };
    return this.phasePeaks.reduce((best, p) => (p.peakBytes > best.peakBytes ? p : best), none);
  }

  #touch(): void {
    const now = this.currentBytes;
    const seen = this.#phases.get(this.#phase);
    if (seen === undefined || now > seen.peakBytes) {
      this.#phases.set(this.#phase, { peakBytes: now, byCategory: { ...this.#current } });
    }
  }
}
