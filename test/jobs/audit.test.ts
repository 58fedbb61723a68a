import { describe, expect, it } from 'vitest';
import type { Repository } from '../../src/core/repository.ts';
import { createAudit } from '../../src/jobs/audit.ts';
import type { Hosting } from '../../src/store/hosting.ts';

const start = Date.parse('2026-01-01T00:00:00.000Z');
const timeOf = (number: number): string => new Date(start + number * 1000).toISOString();

/** A journal of one change each second; counts objects that are read. */
function journal(last: number) {
  let read = 0;
  const hosting = {
    ready: async () => {},
    async *history(before = last + 1) {
      for (let number = Math.min(before - 1, last); number >= 1; number--) {
        read++;
        const change = { action: 'publish', name: `p${number}` };
        yield { number, index: 0, at: timeOf(number), by: 'user:acme/ann', change };
      }
    },
  } as unknown as Hosting;
  const audit = createAudit({
    repositories: () => [{ id: 'acme/npm', org: 'acme', name: 'npm' } as Repository],
    hostingOf: () => hosting,
    async *orgHistory() {},
    async *webhookHistory() {
      yield { number: 1, index: 0, at: timeOf(5), by: 'user:acme/ann', change: { action: 'webhook', name: 'x' } };
    },
  });
  return { audit, read: () => read };
}

describe('the audit log', () => {
  it.each([
    [1, 1],
    [2, 1],
    [50_000, 49_998],
    [100_000, 99_998],
    [200_000, 99_998],
  ])('up to second %i is found without reading all that came later', async (second, oldest) => {
    const { audit, read } = journal(100_000);
    const names: (string | undefined)[] = [];
    for await (const { name } of audit.events('acme', { repository: 'npm', until: timeOf(second) })) {
      names.push(name);
      if (names.length === 3) break;
    }
    const newest = Math.min(second, 100_000);
    expect(names[0]).toBe(`p${newest}`);
    expect(names.at(-1)).toBe(`p${oldest}`);
    expect(read()).toBeLessThan(1000);
  });

  it('of an organisation tells of its webhooks, too', async () => {
    const { audit } = journal(2);
    const found: string[] = [];
    for await (const { journal: from, action } of audit.events('acme', {})) found.push(`${from} ${action}`);
    expect(found).toEqual(['acme/-webhooks webhook', 'acme/npm publish', 'acme/npm publish']);
  });
});
