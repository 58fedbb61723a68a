/** A bar for long work; only for people, so nothing unless standard error is a terminal. */

export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Progress {
  readonly show: (done: number, total: number) => void;
  /** Leaves the line empty. */
  end(): void;
}

const drawEveryMs = 100;

export function startProgress(
  label: string,
  terminal: Terminal = process.stderr,
  clock: () => number = () => performance.now(),
): Progress {
  if (!terminal.isTTY) return { show() {}, end() {} };
  let drawnAt = Number.NEGATIVE_INFINITY;
  return {
    show(done, total) {
      const now = clock();
      if (now - drawnAt < drawEveryMs && done < total) return;
      drawnAt = now;
      terminal.write(`\r\u001b[K${bar(label, done, total, terminal.columns ?? 80)}`);
    },
    end() {
      if (drawnAt > Number.NEGATIVE_INFINITY) terminal.write('\r\u001b[K');
    },
  };
}

export function bar(label: string, done: number, total: number, columns: number): string {
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const numbers = `${String(Math.floor(share * 100)).padStart(3)} % ${done} of ${total}`;
  const room = Math.min(40, columns - label.length - numbers.length - 5);
  if (room < 5) return `${label} ${numbers}`.slice(0, columns - 1);
  const filled = Math.round(share * room);
  return `${label} [${'#'.repeat(filled)}${'.'.repeat(room - filled)}] ${numbers}`;
}
