/** What one side has and the other lacks, by upstream and path. */
import type { Digest } from '../core/digest.ts';
import { placeOf } from './format.ts';
import type { InventoryLine } from './inventory.ts';

/** What a side has, by place. */
export type Side = ReadonlyMap<string, Thing>;

export interface Thing {
  /** Name of an upstream, or `org/name` of a repository that packages are published in. */
  readonly upstream: string;
  readonly path: string;
  readonly document?: string;
  readonly representation?: string;
  readonly digest?: Digest;
  /** Bytes. */
  readonly size?: number;
  /** Of a journal. */
  readonly changes?: number;
}

export interface Difference extends Thing {
  /** `changed`: both have it, with other bytes; told as B has it. */
  readonly is: 'only-a' | 'only-b' | 'changed';
}

export async function sideOf(lines: AsyncIterable<InventoryLine>): Promise<Side> {
  const side = new Map<string, Thing>();
  for await (const line of lines) {
    if (line.is === 'entry') {
      const { upstream, path, document, representation, digest, size } = line;
      side.set(placeOf(line), {
        upstream,
        path,
        ...(document === undefined ? {} : { document }),
        ...(representation === undefined ? {} : { representation }),
        ...(digest === undefined ? {} : { digest }),
        ...(size === undefined ? {} : { size }),
      });
    } else if (line.is === 'journal') {
      const before = side.get(line.repository)?.changes ?? 0;
      side.set(line.repository, { upstream: line.repository, path: 'journal', changes: Math.max(before, line.number) });
    }
  }
  return side;
}

/** By upstream, then by path. */
export function differences(a: Side, b: Side): Difference[] {
  const found: Difference[] = [];
  for (const [place, thing] of a) {
    const other = b.get(place);
    if (!other) found.push({ is: 'only-a', ...thing });
    else if (other.digest !== thing.digest || other.changes !== thing.changes) found.push({ is: 'changed', ...other });
  }
  for (const [place, thing] of b) if (!a.has(place)) found.push({ is: 'only-b', ...thing });
  return found.sort((one, other) => order(one, other));
}

function order(one: Difference, other: Difference): number {
  const left = `${one.upstream}\n${one.path}\n${one.representation ?? ''}`;
  const right = `${other.upstream}\n${other.path}\n${other.representation ?? ''}`;
  return left < right ? -1 : left > right ? 1 : 0;
}
