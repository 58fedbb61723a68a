/** What every format has to fulfil, whatever its ecosystem. A format's test calls `conformance` with samples and adds what is peculiar to it. */
import { describe, expect, it } from 'vitest';
import type {
  Body,
  Call,
  Document,
  DocumentType,
  Format,
  Heard,
  Identity,
  Intent,
  Link,
  Origin,
  Route,
  Step,
} from '../../src/core/format.ts';
import { encodePath, isSafePath } from '../../src/core/path.ts';
import { type Code, Problem, problems } from '../../src/core/problem.ts';
import { compileRoutes, type Router } from '../../src/core/route.ts';
import { listFormats, loadFormat } from '../../src/formats/load.ts';
import { ask, type FakeView, fakeView, type HostedRequest, problemOf } from '../support/hosted-view.ts';
import { describeRights } from './rights.ts';

export interface ExampleRequest {
  /** Raw, as on the wire, below the repository. May have a query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface DocumentSample {
  /** The document type's id. */
  readonly type: string;
  /** The path that intents and origins have for it. */
  readonly path: string;
  /** Where it came from; its host must not be found in anything that is answered. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
  /** Projections that are documents of the same kind again. */
  readonly variants: readonly string[];
  /** Projections that are something else. */
  readonly projections?: readonly string[];
  /** It has to come out byte for byte. */
  readonly verbatim?: boolean;
  /** The same document from another source, for merging: with versions in common and of its own. */
  readonly other?: Uint8Array;
  /** Bytes that look right and are not. */
  readonly wrong?: Readonly<Record<string, Uint8Array>>;
  /** What upstream says to each step of a document that is obtained in steps; in the end it must be `bytes`. */
  readonly replies?: (step: Question) => Heard;
  /** It is about what is published here, and no upstream is asked for it. */
  readonly isHostedOnly?: boolean;
  /** An empty one: what takes the place of one that upstream does not have. Default: there is none. */
  readonly nothing?: Uint8Array;
}

/** A step that asks something. */
export type Question = Extract<Step, { ask: unknown }>;

/** Something is published, and read again. */
export interface PublishSample {
  readonly title: string;
  /** What has to be there first. */
  readonly before?: readonly HostedRequest[];
  readonly request: HostedRequest;
  /** The same under the same name and version, with other bytes: a conflict. Absent: it may be replaced. */
  readonly other?: HostedRequest;
  /** What the same request comes to a second time; default: nothing new, as what was said is true already. */
  readonly again?: 'conflict';
  /** Raw paths at which published bytes are read, and the bytes. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Raw paths of documents that are there afterwards and were not before; those that always are, in `always`. */
  readonly documents: readonly (string | ExampleRequest)[];
  readonly always?: readonly (string | ExampleRequest)[];
  /** Takes it away again, so that nothing of it is left. Absent: that can't be done with a request. */
  readonly undo?: readonly HostedRequest[];
}

export interface Samples {
  /** By route id: at least one for each. */
  readonly examples: Readonly<Record<string, readonly (string | ExampleRequest)[]>>;
  readonly documents: readonly DocumentSample[];
  /** At least one where the format has a route that changes something. */
  readonly publish?: readonly PublishSample[];
}

export const base = 'http://[2001:db8::1]:5273/tools/acme/repo';

interface Matched {
  readonly route: Route;
  readonly intent: Intent;
}

/** What a raw path (with query) comes to, as the pipeline would find it. */
export function intentOf(router: Router, method: string, request: string | ExampleRequest): Matched | undefined {
  const { path, headers = {} } = typeof request === 'string' ? { path: request } : request;
  const [raw = '', query = ''] = path.split('?');
  const found = router.find(method, raw, (route, params) => {
    const call: Call = { method, params, query: new URLSearchParams(query), headers, base };
    const intent = route.intent(call);
    return intent && { route, intent };
  });
  return found && 'intent' in found ? found : undefined;
}

/** What is answered to somebody without any look-up; `undefined` when the intent is of another kind. */
export function answered(intent: Intent | undefined, who: Identity = { kind: 'anonymous' }): Body | undefined {
  if (intent?.kind !== 'answer') return undefined;
  return typeof intent.body === 'function' ? intent.body(who) : intent.body;
}

/** Raw texts in place of a parameter, each of which once fooled a server somewhere. */
const hostile = [
  '..',
  '.',
  '%2e%2e',
  '.%2e',
  '%252e%252e',
  '%252f',
  '..%2f..%2fetc%2fpasswd',
  'a%2f..%2fb',
  '%2fetc%2fpasswd',
  'a%2f',
  '%2f',
  '%00',
  'a%00b',
  '%0d%0aset-cookie:x',
  '%5c..%5c',
  '..\\..',
  '..;',
  '',
  'a'.repeat(300),
  'a'.repeat(3000),
  '%',
  '%ff',
  '%c0%ae%c0%ae',
  '__proto__',
  'constructor',
  '-',
  '@',
  '@%2f',
  '@a%2fb%2fc',
  '%20',
  '%e2%80%ae',
  '~',
  '*',
  'x@',
  '@@',
  '%3f%23',
];

function pathsIn(intent: Intent): string[] {
  switch (intent.kind) {
    case 'artifact':
      return [
        intent.path,
        ...(intent.checksums?.files.map(({ path }) => path) ?? []),
        ...(intent.describedBy ? pathsIn(intent.describedBy) : []),
      ];
    case 'document':
      return [intent.path];
    case 'checksum':
    case 'excerpt':
      return pathsIn(intent.of);
    case 'forward':
      return [intent.path.split('?')[0] ?? ''];
    case 'upload':
      return intent.target ? [intent.target.path] : [];
    case 'change':
    case 'credentials':
    case 'answer':
      return [];
  }
}

/** The problem a path comes to when there is no intent for it; anything else that is thrown fails the test. */
function tryIntent(router: Router, method: string, path: string): Matched | undefined {
  try {
    return intentOf(router, method, path);
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw new Error(`${method} ${path} failed`, { cause: error });
  }
}

function expectSafe(path: string, intent: Intent): void {
  for (const found of pathsIn(intent)) {
    expect(isSafePath(found), `${path} leads to ${JSON.stringify(found)}`).toBe(true);
  }
}

function documentsIn(intent: Intent): DocumentType<unknown>[] {
  if (intent.kind === 'document') return [intent.type];
  if (intent.kind === 'artifact') {
    return [...(intent.describedBy ? [intent.describedBy.type] : []), ...(intent.reads ? [intent.reads] : [])];
  }
  if (intent.kind === 'checksum' || intent.kind === 'excerpt') return documentsIn(intent.of);
  return [];
}

function textOf(body: Body | undefined): string {
  if (!body) throw new Error('there is no such projection');
  return Buffer.from(body.bytes).toString('utf8');
}

/** The text with slashes that were escaped in any of the usual ways brought back. */
export function unescaped(text: string): string {
  return text
    .replace(/\\+\/|\\u002f|%2f/gi, '/')
    .replace(/\\u003a|%3a/gi, ':')
    .toLowerCase();
}

/** Functions made for one request are never those of the next. */
function withoutFunctions(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_key, inner) => (typeof inner === 'function' ? 'a function' : inner)));
}

function describeRoutes(format: Format, router: Router, samples: Samples): void {
  describe('its routes', () => {
    const requests = format.routes.flatMap((route) =>
      (samples.examples[route.id] ?? []).map((request) => ({ route, request })),
    );

    it('have ids of their own, fit for a metric label', () => {
      const ids = format.routes.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.filter((id) => !/^[a-z][a-z0-9-]*$/.test(id))).toEqual([]);
    });

    it('all have an example, and nothing else has', () => {
      expect(Object.keys(samples.examples).sort()).toEqual(format.routes.map(({ id }) => id).sort());
      expect(Object.values(samples.examples).filter((requests) => requests.length === 0)).toEqual([]);
    });

    it.each(
      requests.map(
        ({ route, request }) =>
          [route.method, typeof request === 'string' ? request : request.path, route.id, request] as const,
      ),
    )('take %s %s to %s', (method, _path, id, request) => {
      const found = intentOf(router, method, request);
      expect(found?.route.id).toBe(id);
      if (!found) return;
      expectSafe(String(_path), found.intent);
      const again = intentOf(router, method, request)?.intent;
      expect(withoutFunctions(again), 'the same request means the same').toEqual(withoutFunctions(found.intent));
      if (method === 'GET') {
        expect(withoutFunctions(intentOf(router, 'HEAD', request))).toEqual(withoutFunctions(found));
      }
      for (const type of documentsIn(found.intent)) expect(format.documents).toContain(type);
    });

    it('lead to safe paths whatever stands in place of their parameters', () => {
      let reached = 0;
      for (const route of format.routes) {
        const pieces = route.path.split(/\{[^}]+\}/);
        for (let at = 0; at < pieces.length - 1; at++) {
          for (const text of hostile) {
            for (const usual of ['a', '1.0.0', '@a/b', 'a-1.0.0']) {
              const path = pieces.reduce((before, piece, i) => before + (i - 1 === at ? text : usual) + piece);
              const found = tryIntent(router, route.method, path);
              if (!found) continue;
              reached++;
              expectSafe(path, found.intent);
            }
          }
        }
      }
      if (format.routes.some(({ path }) => path.includes('{'))) expect(reached).toBeGreaterThan(0);
    });

    it('lead to safe paths whatever a whole path is', () => {
      for (const first of hostile) {
        for (const second of hostile) {
          const path = `/${first}/${second}`;
          const found = tryIntent(router, 'GET', path);
          if (found) expectSafe(path, found.intent);
        }
      }
    });
  });
}

function describeProblems(format: Format): void {
  describe('its dialect', () => {
    it.each(Object.keys(problems) as Code[])('can say %s', (code) => {
      const message = 'Something that a person can read.';
      const body = format.problem(new Problem(code, message));
      // A refusal of upstream's may be told as one; everything else means the same in every dialect.
      if (code !== 'upstream_refused' || body.status !== 403) expect(body.status).toBe(problems[code].status);
      expect(body.headers?.['content-type']).toMatch(/^[a-z]+\/[a-z0-9.+-]+/);
      expect(textOf(body)).toContain(message);
    });

    it('has a challenge of one line', () => {
      expect(format.auth.challenge({ base, tokenUrl: 'https://example.com/token', action: 'read', name: 'a' })).toMatch(
        /^[\x20-\x7e]+$/,
      );
    });
  });
}

/** Nothing that is asked for is any of these. */
function garbageFor(bytes: Uint8Array): [string, Uint8Array][] {
  const end = Buffer.from(bytes).toString('latin1').trimEnd().length;
  const cuts = [1, 2, Math.floor(end / 4), Math.floor(end / 2), end - 1];
  return [
    ['nothing', Buffer.alloc(0)],
    ['a page', Buffer.from('<!doctype html><title>Sign in</title><p>Please sign in.')],
    ['a list', Buffer.from('[]')],
    ['null', Buffer.from('null')],
    ['a text', Buffer.from('"ok"')],
    ['a message', Buffer.from('{"error":"not_found"}')],
    ['zeroes', Buffer.alloc(100)],
    ['packed bytes', Buffer.from('1f8b0800000000000003ab0600', 'hex')],
    ['half a letter', Buffer.from([0xc3])],
    ...cuts.map((cut): [string, Uint8Array] => [`only ${cut} bytes of it`, bytes.subarray(0, cut)]),
  ];
}

function describeDocument(format: Format, router: Router, sample: DocumentSample): void {
  const type = format.documents.find(({ id }) => id === sample.type) as DocumentType<unknown>;
  const origin: Origin = { url: sample.url, path: sample.path, headers: sample.headers ?? {} };
  const { host } = new URL(sample.url);
  const read = (bytes: Uint8Array = sample.bytes): unknown => type.decode(bytes, origin);
  const linksOf = (doc: unknown): Link[] => [...(type.links?.(doc, origin) ?? [])];
  const all = [...sample.variants, ...(sample.projections ?? [])];

  describe(`${sample.type} ${sample.path}`, () => {
    it('is in the table, with a limit', () => {
      expect(type).toBeDefined();
      expect(type.limit).toBeGreaterThanOrEqual(sample.bytes.length);
      expect(Number.isSafeInteger(type.limit)).toBe(true);
    });

    it('says which forms of it upstream may have', () => {
      const forms = type.representations;
      if (!forms) return;
      for (const variant of [...all, 'no such variant']) expect(forms.all).toContain(forms.of(variant));
      for (const form of forms.all) {
        expect(forms.accept(form)).toMatch(/^[\x21-\x7e]+\/[\x20-\x7e]+$/);
        expect(forms.all).toEqual(expect.arrayContaining([...forms.coveredBy(form), forms.arrived(form, origin)]));
        expect(forms.coveredBy(form)).not.toContain(form);
      }
    });

    it.each(garbageFor(sample.bytes))('is not %s', (_name, bytes) => {
      if (sample.verbatim && _name === 'a message') return;
      if (sample.nothing && Buffer.compare(sample.nothing, bytes) === 0) return;
      expect(() => read(bytes)).toThrow(Error);
    });

    it.each(Object.entries(sample.wrong ?? {}))('is not %s', (_name, bytes) => {
      expect(() => read(bytes)).toThrow(Error);
    });

    it.each(all)('has a projection %j with a content type and no address of upstream', (variant) => {
      const doc = read();
      const body = type.encode(doc, variant, base);
      expect(body?.headers?.['content-type'] ?? type.contentType).toBeTypeOf('string');
      if (!sample.verbatim) expect(unescaped(textOf(body))).not.toContain(host.toLowerCase());
      expect(textOf(type.encode(doc, variant, base)), 'a second time').toBe(textOf(body));
    });

    if (sample.verbatim) {
      it('comes out as it went in', () => {
        for (const variant of all) {
          expect(Buffer.from(type.encode(read(), variant, base)?.bytes ?? []).equals(sample.bytes)).toBe(true);
        }
      });
    }

    it.each(sample.variants)('read back as %j and written again is the same', (variant) => {
      const once = textOf(type.encode(read(), variant, base));
      expect(textOf(type.encode(read(Buffer.from(once)), variant, base))).toBe(once);
    });

    if (type.obtain) describeSteps(type as SteppingType, sample, read);

    it('has all its links within reach', () => {
      for (const link of linksOf(read())) {
        const found = intentOf(router, 'GET', `/${encodePath(link.path)}`);
        expect(found?.intent.kind, link.path).toBe('artifact');
        if (found?.intent.kind !== 'artifact') continue;
        expect(found.intent.path).toBe(link.path);
        // What only names a version, or names bytes by their digest, is found without reading the document again.
        const isDescribed = link.url !== undefined || link.at !== undefined || link.digests !== undefined;
        if (isDescribed && found.intent.digest === undefined) {
          expect(found.intent.describedBy).toMatchObject({ path: sample.path });
          expect(found.intent.describedBy?.type).toBe(type);
        } else if (link.version !== undefined) expect(found.intent.version).toBe(link.version);
        if (link.url !== undefined) expect(new URL(link.url).protocol).toMatch(/^https?:$/);
      }
    });

    if (type.merge) describeMerge(type as MergingType, sample, read, linksOf);
    if (type.withhold) describeWithhold(type as WithholdingType, sample, read, linksOf);
  });
}

type SteppingType = DocumentType<unknown> & { obtain: NonNullable<DocumentType<unknown>['obtain']> };
type MergingType = DocumentType<unknown> & { merge: NonNullable<DocumentType<unknown>['merge']> };
type WithholdingType = DocumentType<unknown> & { withhold: NonNullable<DocumentType<unknown>['withhold']> };

/** What it comes to when upstream says this to each step; steps without end fail the test. */
function obtained(
  type: SteppingType,
  path: string,
  reply: (step: Question) => Heard,
): Exclude<Step, Question> | undefined {
  const want: Document = { kind: 'document', type, path };
  const heard: Heard[] = [];
  while (heard.length < 20) {
    const step = type.obtain(want, heard);
    expect(type.obtain(want, heard), 'a second time').toEqual(step);
    if (!('ask' in step)) return step;
    if ('path' in step.ask) expect(isSafePath(step.ask.path), step.ask.path).toBe(true);
    heard.push(reply(step));
  }
  throw new Error(`the steps to ${path} do not end`);
}

function describeSteps(type: SteppingType, sample: DocumentSample, read: (bytes?: Uint8Array) => unknown): void {
  it('is what upstream says to all the steps together', () => {
    if (sample.isHostedOnly) {
      expect(type.obtain({ kind: 'document', type, path: sample.path }, [])).toEqual({ absent: true });
      return;
    }
    if (!sample.replies) throw new Error('the sample has no replies');
    const step = obtained(type, sample.path, sample.replies);
    const bytes = step && 'bytes' in step ? step.bytes : Buffer.alloc(0);
    for (const variant of sample.variants) {
      expect(textOf(type.encode(read(bytes), variant, base))).toBe(textOf(type.encode(read(), variant, base)));
    }
  });

  it.each(garbageFor(sample.bytes))('is not made of an upstream that always says %s', (_name, bytes) => {
    const made = (): unknown => {
      const step = obtained(type, sample.path, ({ method }) => ({
        status: 200,
        headers: { 'content-type': 'text/html; charset=utf-8' },
        url: sample.url,
        bytes: method === 'HEAD' ? Buffer.alloc(0) : bytes,
      }));
      return step && 'bytes' in step ? read(step.bytes) : step;
    };
    let doc: unknown;
    try {
      doc = made();
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
      expect(String(error)).not.toContain('do not end');
      return;
    }
    expect(doc).toEqual(sample.nothing ? read(sample.nothing) : { absent: true });
  });
}

function describeMerge(
  type: MergingType,
  sample: DocumentSample,
  read: (bytes?: Uint8Array) => unknown,
  linksOf: (doc: unknown) => Link[],
): void {
  it.each([...sample.variants, ...(sample.projections ?? [])])(
    'merged with nothing or itself is itself, as %j',
    (variant) => {
      const alone = textOf(type.encode(read(), variant, base));
      expect(textOf(type.encode(type.merge([read()], sample.path), variant, base))).toBe(alone);
      expect(textOf(type.encode(type.merge([read(), read()], sample.path), variant, base))).toBe(alone);
    },
  );

  if (!sample.other) return;
  const { other } = sample;
  it('merged keeps what the earlier says, in its order, and adds what the later has', () => {
    const [earlier, later] = [linksOf(read()), linksOf(read(other))];
    const merged = linksOf(type.merge([read(), read(other)], sample.path));
    const known = new Set(earlier.map(({ path }) => path));
    const added = later.filter(({ path }) => !known.has(path));
    expect(added.length).toBeGreaterThan(0);
    expect(added.length).toBeLessThan(later.length);
    expect(merged).toEqual([...earlier, ...added]);
  });

  it('is left alone by merging', () => {
    const docs = [read(), read(other)];
    const before = JSON.stringify(docs);
    type.merge(docs, sample.path);
    expect(JSON.stringify(docs)).toBe(before);
  });
}

function describeWithhold(
  type: WithholdingType,
  sample: DocumentSample,
  read: (bytes?: Uint8Array) => unknown,
  linksOf: (doc: unknown) => Link[],
): void {
  const refusal = { rule: 'test', reason: 'It is refused here.' };
  const versions = [...new Set(linksOf(read()).flatMap(({ version }) => version ?? []))];

  it('holds back exactly the versions that are refused', () => {
    expect(versions.length).toBeGreaterThan(0);
    for (const refused of versions) {
      const doc = type.withhold(read(), (version) => (version === refused ? refusal : undefined));
      expect(linksOf(doc)).toEqual(linksOf(read()).filter(({ version }) => version !== refused));
    }
  });

  it('is the same when nothing is refused', () => {
    for (const variant of sample.variants) {
      const doc = type.withhold(read(), () => undefined);
      expect(textOf(type.encode(doc, variant, base))).toBe(textOf(type.encode(read(), variant, base)));
    }
  });

  it('can be answered when everything is refused', () => {
    const doc = type.withhold(read(), () => refusal);
    expect(linksOf(doc)).toEqual([]);
    for (const variant of sample.variants) expect(textOf(type.encode(doc, variant, base))).toBeTypeOf('string');
  });

  it('is left alone by holding back', () => {
    const doc = read();
    const before = JSON.stringify(doc);
    type.withhold(doc, () => refusal);
    expect(JSON.stringify(doc)).toBe(before);
  });
}

function asRequest(request: string | ExampleRequest): HostedRequest {
  return typeof request === 'string' ? { path: request } : request;
}

function describePublishing(format: Format, router: Router, sample: PublishSample): void {
  const { before = [], request, other, files, documents, always = [], undo } = sample;

  async function published(): Promise<FakeView> {
    const view = fakeView();
    for (const one of [...before, request]) await ask(format, view, one);
    return view;
  }

  async function textsOf(view: FakeView, requests = [...documents, ...always]): Promise<string[]> {
    const bodies = await Promise.all(requests.map((one) => ask(format, view, asRequest(one))));
    return bodies.map(({ body }) => textOf(body));
  }

  describe(`publishing ${sample.title}`, () => {
    it('is asked for the right to', async () => {
      const view = fakeView();
      for (const one of before) await ask(format, view, one);
      const { needed, change } = await ask(format, view, request);
      expect(needed).toContain('publish');
      for (const { path } of change?.put ?? []) expect(isSafePath(path), path).toBe(true);
    });

    it('makes its files readable, byte for byte', async () => {
      const view = await published();
      for (const [path, bytes] of Object.entries(files)) {
        const { body } = await ask(format, view, { path });
        expect(Buffer.from(body.bytes).equals(Buffer.from(bytes)), path).toBe(true);
      }
    });

    it.each([1, 7, 1000])('is the same in pieces of %d bytes', async (pieces) => {
      const view = fakeView();
      for (const one of before) await ask(format, view, one);
      await ask(format, view, { ...request, pieces });
      expect(await textsOf(view)).toEqual(await textsOf(await published()));
    });

    it('makes documents whose links are there, with the digests that they tell', async () => {
      const view = await published();
      for (const one of documents) {
        const { intent, body } = await ask(format, view, asRequest(one));
        expect(body.bytes.length).toBeGreaterThan(0);
        if (intent.kind !== 'document') continue;
        const { type, path } = intent;
        const rendered = type.render?.(intent, view);
        if (!rendered) throw new Error('it was there a moment ago');
        expect(rendered.bytes.length).toBeLessThanOrEqual(type.limit);
        expect(textOf(type.render?.(intent, view)), 'a second time').toBe(textOf(rendered));
        const origin: Origin = { url: `http://hosted.invalid/${path}`, path, headers: rendered.headers ?? {} };
        for (const link of type.links?.(type.decode(rendered.bytes, origin), origin) ?? []) {
          if (link.digests === undefined && link.url === undefined) continue;
          const found = intentOf(router, 'GET', `/${encodePath(link.path)}`);
          const entry = view.entry(link.at ?? (found?.intent.kind === 'artifact' ? found.intent.path : link.path));
          expect(entry, link.path).toBeDefined();
          expect(entry?.digests, link.path).toEqual(expect.arrayContaining([...(link.digests ?? [])]));
          if (link.size !== undefined) expect(entry?.size, link.path).toBe(link.size);
        }
      }
    });

    it('is all that its documents tell of', async () => {
      const view = fakeView();
      for (const one of documents) expect(await problemOf(ask(format, view, asRequest(one)))).toBe('not_found');
      for (const one of always) expect(await problemOf(ask(format, view, asRequest(one)))).toBe('');
    });

    it('a second time changes nothing', async () => {
      const view = await published();
      const texts = await textsOf(view);
      const problem = await problemOf(ask(format, view, request));
      expect(problem).toBe(sample.again ?? '');
      if (problem !== '') expect(await textsOf(view)).toEqual(texts);
      for (const [path, bytes] of Object.entries(files)) {
        expect(Buffer.from((await ask(format, view, { path })).body.bytes).equals(Buffer.from(bytes))).toBe(true);
      }
    });

    if (other) {
      it('with other bytes is a conflict', async () => {
        const view = await published();
        const texts = await textsOf(view);
        expect(await problemOf(ask(format, view, other))).toBe('conflict');
        expect(await textsOf(view)).toEqual(texts);
      });
    }

    it('is not half a request', async () => {
      const bytes = Buffer.from(request.body ?? '');
      for (const length of [0, 1, Math.floor(bytes.length / 2), bytes.length - 1]) {
        if (length < 0 || length >= bytes.length) continue;
        const view = fakeView();
        for (const one of before) await ask(format, view, one);
        const revision = view.changedAt;
        const problem = await problemOf(ask(format, view, { ...request, body: bytes.subarray(0, length) }));
        // Bytes without a frame can't be told from fewer of them.
        const isFrameless = Object.values(files).some((file) => bytes.equals(file));
        if (problem === '') expect(isFrameless, `${length} bytes`).toBe(true);
        else expect(view.changedAt).toBe(revision);
      }
    });

    if (undo) {
      it('can be undone, and then only be done again with the same bytes', async () => {
        const view = await published();
        for (const one of undo) expect((await ask(format, view, one)).needed).toContain('delete');
        for (const path of Object.keys(files)) expect(await problemOf(ask(format, view, { path }))).toBe('not_found');
        if (other) expect(await problemOf(ask(format, view, other))).toBe('conflict');
        expect(await problemOf(ask(format, view, request))).toBe('');
      });
    }
  });
}

export function conformance(format: Format, samples: Samples): void {
  const router = compileRoutes(format.routes);
  describe(`the format ${format.id}`, () => {
    it('is found by its name', async () => {
      expect(listFormats()).toContain(format.id);
      expect(await loadFormat(format.id)).toBe(format);
    });

    it('names each kind of document once', () => {
      const ids = format.documents.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect([...new Set(samples.documents.map(({ type }) => type))].sort()).toEqual(ids.sort());
    });

    it('refuses options it does not have', () => {
      if (!format.configure) return;
      expect(format.configure({}).id).toBe(format.id);
      expect(() => format.configure?.({ 'no such option': 1 })).toThrow('no such option');
    });

    describeRoutes(format, router, samples);
    describeProblems(format);
    for (const sample of samples.documents) describeDocument(format, router, sample);
    it('is tried for publishing where it takes anything', () => {
      const takes = format.routes.some((route) =>
        (samples.examples[route.id] ?? []).some((request) => {
          const kind = intentOf(router, route.method, request)?.intent.kind;
          return kind === 'change' || kind === 'upload';
        }),
      );
      expect((samples.publish ?? []).length > 0).toBe(takes);
    });
    for (const sample of samples.publish ?? []) describePublishing(format, router, sample);
    describeRights(format, samples, intentOf);
  });
}
