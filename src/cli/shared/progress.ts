/** Progress on stderr: bars that redraw on a terminal, a line now and then elsewhere. */
import pc from 'picocolors';
import { formatDuration } from './duration.ts';
import { canRedraw, type TerminalEnv, wantsColor } from './terminal.ts';

export type ProgressStream = {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
};

/** A piece of work that takes a while; tasks inside it are drawn below it, indented. */
export type ProgressTask = {
  start(label: string, total?: number): ProgressTask;
  /** Advances by `count`; `detail` replaces the text behind the bar ("loss 2.31"). */
  advance(count?: number, detail?: string): void;
  /** Puts the task where its work knows better than a count of advances: `leftMs` is its own guess of the time left. */
  advanceTo(done: number, total: number, detail: string, leftMs: number): void;
  /** Writes a row of the task's log, which scrolls by above the bars: not all of them where they come fast, the first and the last always. */
  row(text: string): void;
  /** Replaces the task and the tasks inside it on the screen by a line with its duration. */
  finish(detail?: string): void;
  /** Does the same for a task that failed. */
  fail(detail: string): void;
};

export type Progress = Pick<ProgressTask, 'start'> & {
  /** Writes a line that stays. */
  note(text: string): void;
  /** Clears the bars and stops redrawing; must be called on every way out. */
  stop(): void;
};

type Bar = {
  label: string;
  depth: number;
  total: number;
  done: number;
  detail: string;
  /** Time left, where the work has told it; else it follows from the share that is done. */
  leftMs: number | null;
  startMs: number;
  lastLineMs: number;
  lastLineDone: number;
  rowMs: number;
  /** A row that waits, since it came too soon after another; empty for none. */
  heldRow: string;
};

const REDRAW_MS = 100;
const TICK_MS = 500;
const LINE_MS = 2000;
const LINE_SHARE = 0.1;
/** The least time between two rows: on a terminal, where they scroll by, and in a file. */
const ROW_MS = { terminal: 500, file: 2000 } as const;
const BAR_CELLS = 24;
/** On a narrow terminal what stands behind the bar says more than the bar. */
const NARROW = { columns: 110, cells: 10 } as const;
const DEFAULT_COLUMNS = 80;

/** Makes a renderer on `stream`; `now`, a clock in milliseconds, is injected by tests. */
export function createProgress(stream: ProgressStream, env: TerminalEnv, now: () => number = Date.now): Progress {
  const renderer = new Renderer(stream, env, now);
  return {
    start: (label, total) => renderer.start(0, label, total),
    note: (text) => renderer.leave(text),
    stop: () => renderer.stop(),
  };
}

class Renderer {
  private readonly stream: ProgressStream;
  private readonly now: () => number;
  private readonly redraws: boolean;
  private readonly color: ReturnType<typeof pc.createColors>;
  private readonly timer: NodeJS.Timeout | undefined;
  private readonly bars: Bar[] = [];
  private drawnLines = 0;
  private drawnMs = Number.NEGATIVE_INFINITY;

  constructor(stream: ProgressStream, env: TerminalEnv, now: () => number) {
    this.stream = stream;
    this.now = now;
    this.redraws = canRedraw(stream, env);
    this.color = pc.createColors(wantsColor(stream, env));
    // redraws by a timer too, so that the clock of a slow step goes on
    this.timer = this.redraws ? setInterval(() => this.draw(), TICK_MS) : undefined;
    this.timer?.unref();
  }

  start(depth: number, label: string, total = 0): ProgressTask {
    const startMs = this.now();
    const noLine = { lastLineMs: startMs, lastLineDone: 0, rowMs: Number.NEGATIVE_INFINITY, heldRow: '' };
    const bar: Bar = { label, depth, total, done: 0, detail: '', leftMs: null, startMs, ...noLine };
    this.bars.push(bar);
    if (this.redraws) this.draw();
    else this.stream.write(`${indent(depth)}${label} …\n`);
    return {
      start: (inner, count) => this.start(depth + 1, inner, count),
      advance: (count = 1, detail = bar.detail) => this.advance(bar, count, detail),
      advanceTo: (done, count, detail, leftMs) => {
        bar.total = count;
        bar.leftMs = leftMs;
        this.advance(bar, done - bar.done, detail);
      },
      row: (text) => this.row(bar, text),
      finish: (detail = '') => this.finish(bar, detail, this.color.green('✓')),
      fail: (detail) => this.finish(bar, detail, this.color.red('✗')),
    };
  }

  /** Writes a line that stays above the bars. */
  leave(text: string): void {
    if (this.redraws) this.draw(`${text}\n`);
    else this.stream.write(`${text}\n`);
  }

  stop(): void {
    clearInterval(this.timer);
    this.bars.length = 0;
    if (this.drawnLines > 0) this.draw();
  }

  private advance(bar: Bar, count: number, detail: string): void {
    bar.done += count;
    bar.detail = detail;
    if (!this.redraws) this.writeLine(bar);
    else if (this.now() - this.drawnMs >= REDRAW_MS) this.draw();
  }

  private finish(bar: Bar, detail: string, mark: string): void {
    const at = this.bars.indexOf(bar);
    if (at < 0) return;
    const next = this.bars.findIndex((other, index) => index > at && other.depth <= bar.depth);
    this.bars.splice(at, next < 0 ? this.bars.length - at : next - at);
    if (bar.heldRow !== '') this.leave(indent(bar.depth + 1) + bar.heldRow);
    const took = formatDuration(this.now() - bar.startMs);
    this.leave(`${indent(bar.depth)}${mark} ${[bar.label, took, detail].filter(Boolean).join('  ')}`);
  }

  private row(bar: Bar, text: string): void {
    const isSoon = this.now() - bar.rowMs < (this.redraws ? ROW_MS.terminal : ROW_MS.file);
    bar.heldRow = isSoon ? text : '';
    if (isSoon) return;
    this.leave(indent(bar.depth + 1) + text);
    bar.rowMs = this.now();
    // the row counts as a line of the bar, whose text it repeats
    bar.lastLineMs = this.now();
    bar.lastLineDone = bar.done;
  }

  /** Off a terminal, writes a line per tenth of the work or of the task's age, at least 2 s apart. */
  private writeLine(bar: Bar): void {
    const quietMs = Math.max(LINE_MS, (this.now() - bar.startMs) * LINE_SHARE);
    const tenth = bar.total > 0 && bar.done - bar.lastLineDone >= bar.total * LINE_SHARE;
    const silentMs = this.now() - bar.lastLineMs;
    if (silentMs < LINE_MS || (!tenth && silentMs < quietMs)) return;
    bar.lastLineMs = this.now();
    bar.lastLineDone = bar.done;
    this.stream.write(`${this.lineOf(bar)}\n`);
  }

  private draw(permanent = ''): void {
    const erase = this.drawnLines > 0 ? `\x1b[${this.drawnLines}A\r\x1b[J` : '';
    const lines = this.bars.map((bar) => `${cut(this.lineOf(bar), this.stream.columns || DEFAULT_COLUMNS)}\n`);
    const text = erase + permanent + lines.join('');
    if (text !== '') this.stream.write(text);
    this.drawnLines = lines.length;
    this.drawnMs = this.now();
  }

  private lineOf(bar: Bar): string {
    const share = bar.total > 0 ? Math.min(1, bar.done / bar.total) : 0;
    const elapsedMs = this.now() - bar.startMs;
    const leftMs = bar.leftMs ?? (elapsedMs / share) * (1 - share);
    const time = share > 0 && share < 1 ? `${formatDuration(leftMs)} left` : formatDuration(elapsedMs);
    const count = bar.total > 0 ? `${bar.done}/${bar.total}` : bar.done > 0 ? `${bar.done}` : '';
    const cells = this.redraws && bar.total > 0 ? this.cells(share) : '';
    return [indent(bar.depth) + bar.label, cells, count, time, bar.detail].filter(Boolean).join('  ');
  }

  private cells(share: number): string {
    const cells = (this.stream.columns || DEFAULT_COLUMNS) < NARROW.columns ? NARROW.cells : BAR_CELLS;
    const filled = Math.round(share * cells);
    return this.color.cyan('█'.repeat(filled)) + this.color.dim('░'.repeat(cells - filled));
  }
}

const indent = (depth: number): string => '  '.repeat(depth);

/**
 * Cuts a line to the terminal's width: a wrapped one would spoil the count of lines to erase. Colours have no width.
 */
function cut(line: string, columns: number): string {
  let width = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC is what starts a colour
  return line.replaceAll(/\x1b\[\d+m|./gsu, (part) => (part.startsWith('\x1b') || ++width < columns ? part : ''));
}
