/** What one line of the results is made of: the same thing done by Larder and by others, several times over. */

/**
 * Larder is `ours`; `straight` is asking the upstream without anything between. Behind a proxy that sends files, `nginx-file` is that proxy when it
 * asks nobody, and `larder-alone` is Larder without it. `larder-calm` is the same one before the crowd came.
 */
export type Contender =
  | 'larder'
  | 'nginx'
  | 'nginx-open'
  | 'verdaccio'
  | 'docker-registry'
  | 'registry-own'
  | 'straight'
  | 'nginx-file'
  | 'larder-alone'
  | 'larder-calm';

export type Unit = 'req/s' | 'MB/s' | 'ms' | 's' | 'MB';

/** Of Larder's value divided by the other's. */
export type Target = { readonly atLeast: number } | { readonly atMost: number };

export interface Contest {
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
  /** Without a target the comparison is only shown. */
  readonly against: readonly { readonly contender: Contender; readonly target?: Target }[];
  /** What Larder's own value must not exceed, whatever the others do; then there are no other targets. */
  readonly limit?: number;
}

export interface Turn {
  readonly value: number;
  /** Share of the server's core that was in use; near 1 means that the server, not the load, was the limit. */
  readonly busy?: number;
}

/** Per round, what each contender did. */
export type Round = ReadonlyMap<Contender, Turn>;

export type Outcome =
  | { readonly contest: Contest; readonly rounds: readonly Round[]; readonly note?: string }
  | { readonly contest: Contest; readonly failure: string };

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return undefined;
  const upper = sorted[Math.floor(sorted.length / 2)] ?? max;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? min;
  return { median: (lower + upper) / 2, min, max };
}

export function median(values: readonly number[]): number {
  return spread(values)?.median ?? Number.NaN;
}

/** Larder's value over the other's, round by round. */
export function ratios(rounds: readonly Round[], other: Contender): Spread | undefined {
  const found: number[] = [];
  for (const round of rounds) {
    const ours = round.get('larder');
    const theirs = round.get(other);
    if (ours && theirs) found.push(ours.value / theirs.value);
  }
  return spread(found);
}

export function reached(target: Target, ratio: number): boolean {
  return 'atLeast' in target ? ratio >= target.atLeast : ratio <= target.atMost;
}
