/**
 * Who is answered what, on every route of a format: asked over HTTP of a server in which the format's own samples were
 * published. Made from the route table and its examples, so no route is left out.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Format, Intent, Route } from '../../src/core/format.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { startFakeUpstream } from '../support/fake-upstream.ts';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { type Answer, ask } from '../support/http.ts';
import type { ExampleRequest, intentOf, Samples } from './format.ts';

/** From nobody to everything. `limited` may read names that nothing here has. */
const personas = ['nobody', 'stranger', 'outsider', 'limited', 'reader', 'publisher', 'admin'] as const;
type Persona = (typeof personas)[number];

const users = { alice: {}, rita: {}, adam: {}, nobody: {}, lim: {} };
const access = [
  { who: ['user:alice'], may: ['read', 'publish'] },
  { who: ['user:rita'], may: ['read'] },
  { who: ['user:adam'], may: ['admin'] },
  { who: ['user:lim'], may: ['read'], names: ['zzz-nothing-*'] },
];

interface Case {
  readonly route: Route;
  readonly intent: Intent;
  readonly example: ExampleRequest;
}

function casesOf(format: Format, { examples }: Samples, reach: typeof intentOf): readonly Case[] {
  const router = compileRoutes(format.routes);
  return format.routes.flatMap((route) =>
    (examples[route.id] ?? []).flatMap((one): Case[] => {
      const example = typeof one === 'string' ? { path: one } : one;
      const found = reach(router, route.method, example);
      return found && found.route.id === route.id ? [{ route, intent: found.intent, example }] : [];
    }),
  );
}

function nameIn(intent: Intent): string | undefined {
  if (intent.kind === 'answer' || intent.kind === 'credentials') return undefined;
  return intent.kind === 'checksum' || intent.kind === 'excerpt' ? intent.of.name : intent.name;
}

const changes = (intent: Intent): boolean => intent.kind === 'change' || intent.kind === 'upload';

export function describeRights(format: Format, samples: Samples, reach: typeof intentOf): void {
  if (!samples.publish || samples.publish.length === 0) return;
  describe('rights', () => {
    const cases = casesOf(format, samples, reach);
    let server: HostedServer;
    let url: string;
    let names: readonly string[];
    const tokens = new Map<Persona, string>();

    function askAs(
      persona: Persona,
      { path, headers = {} }: ExampleRequest,
      method: string,
      body?: Uint8Array,
    ): Promise<Answer> {
      const token = tokens.get(persona);
      return ask(`${url}${path}`, {
        method,
        headers: {
          ...headers,
          'accept-encoding': 'identity',
          ...(token === undefined ? {} : { authorization: `Basic ${Buffer.from(`any:${token}`).toString('base64')}` }),
        },
        ...(body === undefined ? {} : { body: Buffer.from(body) }),
      });
    }

    beforeAll(async () => {
      server = await startHosted({ format: format.id, access, org: { users } });
      url = format.root === undefined ? server.url : `${server.root}/${format.root}/${server.repository}`;
      for (const [persona, user] of [
        ['stranger', 'nobody'],
        ['outsider', 'olga'],
        ['limited', 'lim'],
        ['reader', 'rita'],
        ['publisher', 'alice'],
        ['admin', 'adam'],
      ] as const) {
        tokens.set(persona, await server.token(user));
      }
      for (const { before = [], request } of samples.publish ?? []) {
        for (const { method = 'PUT', path, headers = {}, body } of [...before, request]) {
          const bytes = typeof body === 'string' ? Buffer.from(body) : body;
          const { status } = await askAs('admin', { path, headers }, method, bytes ?? new Uint8Array());
          expect([path, status < 300 || status === 409 || status === 400]).toEqual([path, true]);
        }
      }
      const list = await ask(`${server.root}/api/v1/orgs/acme/repositories/packages/packages?limit=1000`, {
        headers: { authorization: `Bearer ${tokens.get('admin')}` },
      });
      names = (list.json() as { items: { name: string }[] }).items.map(({ name }) => name);
      expect(names).not.toEqual([]);
    });
    afterAll(() => server?.close());

    it('has an example for every route', () => {
      const without = format.routes.filter(({ id }) => !cases.some(({ route }) => route.id === id));
      expect(without.map(({ id }) => id)).toEqual([]);
    });

    it('says who they have to be to whoever shows nothing, and to nobody else that there is anything', async () => {
      for (const { route, intent, example } of cases) {
        if (intent.kind === 'credentials') continue;
        const about = `${route.id} ${route.method} ${example.path}`;
        const nobody = await askAs('nobody', example, route.method, new Uint8Array());
        expect([about, nobody.status, typeof nobody.headers['www-authenticate']]).toEqual([about, 401, 'string']);
        for (const persona of ['stranger', 'outsider'] as const) {
          const answer = await askAs(persona, example, route.method, new Uint8Array());
          expect([about, persona, answer.status]).toEqual([about, persona, 404]);
          expectNoNames(answer, example, about);
        }
      }
    });

    it('tells whoever may read some names nothing of others', async () => {
      for (const { route, intent, example } of cases) {
        if (intent.kind === 'credentials' || intent.kind === 'answer') continue;
        const about = `${route.id} ${route.method} ${example.path}`;
        const answer = await askAs('limited', example, route.method, new Uint8Array());
        if (changes(intent)) expect([about, [400, 403, 404].includes(answer.status)]).toEqual([about, true]);
        else if (nameIn(intent) !== undefined) expect([about, answer.status]).toEqual([about, 404]);
        expectNoNames(answer, example, about);
      }
    });

    it('tells every reader the same, and lets none of them change anything', async () => {
      for (const { route, intent, example } of cases) {
        if (intent.kind === 'credentials') continue;
        const about = `${route.id} ${route.method} ${example.path}`;
        const reader = await askAs('reader', example, route.method, new Uint8Array());
        if (changes(intent)) {
          // What can't be meant is refused for what it is, before it is asked whether it may be.
          expect([about, [400, 403].includes(reader.status)]).toEqual([about, true]);
          continue;
        }
        expect([about, reader.status === 401 || reader.status === 403]).toEqual([about, false]);
        const admin = await askAs('admin', example, route.method, new Uint8Array());
        expect([about, reader.status]).toEqual([about, admin.status]);
        if (intent.kind !== 'answer') expect(reader.body.equals(admin.body), about).toBe(true);
        // What only some may read is in no shared cache.
        if (reader.status === 200) {
          expect([about, /public|s-maxage/.test(String(reader.headers['cache-control']))]).toEqual([about, false]);
        }
      }
    });

    it('lets publishers publish and not delete, and administrators do both', async () => {
      for (const { route, intent, example } of cases) {
        if (!changes(intent)) continue;
        const about = `${route.id} ${route.method} ${example.path}`;
        const action = intent.kind === 'change' ? intent.action : 'publish';
        const publisher = await askAs('publisher', example, route.method, new Uint8Array());
        expect([about, 'publisher', publisher.status === 403]).toEqual([about, 'publisher', action !== 'publish']);
        const admin = await askAs('admin', example, route.method, new Uint8Array());
        expect([about, 'admin', [401, 403].includes(admin.status)]).toEqual([about, 'admin', false]);
      }
    });

    it.each(['claimed', 'published'] as const)(
      'asks nobody outside for what is %s here, and counts it without its name',
      async (how) => {
        const upstream = await startFakeUpstream();
        const inner = await startHosted({
          format: format.id,
          access,
          org: { users },
          upstreams: { inner: { url: upstream.url } },
          sources: [{ hosted: true, ...(how === 'claimed' ? { claims: names } : {}) }, { remote: 'inner' }],
        });
        try {
          const token = await inner.token('adam');
          const at = format.root === undefined ? inner.url : `${inner.root}/${format.root}/${inner.repository}`;
          const send = ({ path, headers = {} }: ExampleRequest, method: string, body?: Uint8Array): Promise<Answer> =>
            ask(`${at}${path}`, {
              method,
              headers: { ...headers, authorization: `Basic ${Buffer.from(`any:${token}`).toString('base64')}` },
              ...(body === undefined ? {} : { body: Buffer.from(body) }),
            });
          const published = samples.publish ?? [];
          if (how === 'published') {
            for (const { before = [], request } of published) {
              for (const { method = 'PUT', path, headers = {}, body } of [...before, request]) {
                await send(
                  { path, headers },
                  method,
                  typeof body === 'string' ? Buffer.from(body) : (body ?? new Uint8Array()),
                );
              }
            }
          }
          for (const { files, documents, always = [] } of published) {
            for (const one of [...Object.keys(files), ...documents, ...always]) {
              const example = typeof one === 'string' ? { path: one } : one;
              for (const method of ['GET', 'HEAD']) await send(example, method);
            }
          }
          const told = upstream.requests.map(({ url: asked, headers, body }) =>
            plainly(`${asked}\n${JSON.stringify(headers)}\n${body.toString('latin1')}`),
          );
          expect(names.filter((name) => told.some((text) => hasWord(text, plainly(name))))).toEqual([]);
          const metrics = plainly((await ask(`${inner.root}/metrics`)).text());
          expect(names.filter((name) => name.length > 4 && hasWord(metrics, plainly(name)))).toEqual([]);
        } finally {
          await inner.close();
          await upstream.close();
        }
      },
    );

    /** Names that the request itself does not have: it may be answered with what it asked for. */
    function expectNoNames(answer: Answer, { path }: ExampleRequest, about: string): void {
      const text = plainly(`${JSON.stringify(answer.headers)}\n${answer.body.toString('latin1')}`);
      const asked = plainly(decodeURIComponent(path));
      const told = names.filter((name) => !asked.includes(plainly(name)) && hasWord(text, plainly(name)));
      expect([about, told]).toEqual([about, []]);
    }
  });
}

/** Paths and names write the same with different marks (`com.acme:lib`, `com/acme/lib`). */
const plainly = (text: string): string => text.toLowerCase().replaceAll(/[.:/]/g, '/');

function hasWord(text: string, word: string): boolean {
  const literal = word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![a-z0-9_-])${literal}(?![a-z0-9_-])`).test(text);
}
