import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Repository } from '../../src/core/repository.ts';
import { createWebhooks, type WebhookRequest } from '../../src/jobs/webhooks.ts';
import { admit } from '../../src/policy/admit.ts';
import type { Hosting } from '../../src/store/hosting.ts';
import { eventually } from '../support/wait.ts';

function factsInMemory() {
  const all = new Map<string, unknown>();
  return {
    get: async (key: string) => all.get(key),
    set: (key: string, value: unknown) => void all.set(key, value),
    delete: (key: string) => void all.delete(key),
    /** How often all of it was read. */
    scans: 0,
    async *entries(): AsyncIterable<[string, unknown]> {
      this.scans++;
      yield* all;
    },
  };
}

describe('webhooks', () => {
  it('tell of a version that policy holds back, once however often it is asked for', async () => {
    const sent: WebhookRequest[] = [];
    const repository = { id: 'acme/npm', org: 'acme', name: 'npm', format: { id: 'npm' } } as Repository;
    const webhooks = await createWebhooks({
      openJournal: async () => ({
        number: 0,
        isCurrent: () => true,
        catchUp: async () => {},
        append: async () => undefined,
        async *history() {},
      }),
      facts: factsInMemory(),
      key: randomBytes(32),
      check: () => {},
      fetch: async (_url, init) => {
        sent.push(init);
        return { status: 204 };
      },
      now: Date.now,
      orgs: () => ['acme'],
      configured: () => [
        { url: 'https://all.example/', secret: 'x'.repeat(20), events: [], repositories: [] },
        { url: 'https://publish.example/', secret: 'x'.repeat(20), events: ['publish'], repositories: [] },
        { url: 'https://other.example/', secret: 'x'.repeat(20), events: [], repositories: ['docker'] },
      ],
      repositories: () => [repository],
      hostingOf: () => undefined,
    });
    onTestFinished(() => webhooks.close());
    const policy = [{ rule: 'young', refuses: () => ({ rule: 'young', reason: 'it is two hours old' }) }];
    for (let nth = 0; nth < 3; nth++) {
      expect(() => admit({ id: 'acme/npm', policy }, { name: 'lib', version: '1.0.0' }, 0)).toThrow('two hours old');
    }
    await eventually('a delivery', () => sent.length > 0);
    await webhooks.pump();
    expect(sent.map(({ body }) => JSON.parse(body))).toEqual([
      expect.objectContaining({ event: 'block', package: 'lib', versions: ['1.0.0'], reason: 'it is two hours old' }),
    ]);
  });

  it('tell of everything that was published while nobody told, and of each once', async () => {
    const heard: string[] = [];
    const facts = factsInMemory();
    const repository = { id: 'acme/npm', org: 'acme', name: 'npm', format: { id: 'npm' } } as Repository;
    let last = 0;
    const hosting = {
      ready: async () => {},
      async *history(before = last + 1) {
        for (let number = Math.min(before - 1, last); number >= 1; number--) {
          const change = { action: 'publish', name: `p${number}` };
          yield { number, index: 0, at: '2026-01-01T00:00:00.000Z', by: 'user:acme/ann', change };
        }
      },
    } as unknown as Hosting;
    const webhooks = await createWebhooks({
      openJournal: async () => ({
        number: 0,
        isCurrent: () => true,
        catchUp: async () => {},
        append: async () => undefined,
        async *history() {},
      }),
      facts,
      key: randomBytes(32),
      check: () => {},
      fetch: async (_url, { body }) => {
        heard.push(JSON.parse(body).package);
        return { status: 204 };
      },
      now: Date.now,
      orgs: () => ['acme'],
      configured: () => [{ url: 'https://all.example/', secret: 'x'.repeat(20), events: [], repositories: [] }],
      repositories: () => [repository],
      hostingOf: () => hosting,
    });
    onTestFinished(() => webhooks.close());
    await webhooks.pump();
    last = 1234;
    await webhooks.pump();
    for (; last < 1300; last++) await webhooks.pump();
    await webhooks.pump();
    expect(facts.scans).toBe(1);
    expect(heard.toSorted()).toEqual(Array.from({ length: last }, (_, index) => `p${index + 1}`).toSorted());
  });
});
