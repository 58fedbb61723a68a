/**
 * What is hosted, in memory: a `View` that change sets are applied to by the rules of core/hosting.ts, a `Desk` before it, and
 * a client that does to a format's routes what the pipeline does, without a server. For tests of the formats' pure parts.
 */
import { Digester } from '../../src/core/digest.ts';
import type {
  Algorithm,
  Artifact,
  Body,
  Call,
  Change,
  ChangeSet,
  Desk,
  Digest,
  Document,
  Entry,
  Format,
  Identity,
  Intent,
  Origin,
  PackageFacts,
  PackageRecord,
  Put,
  ReadableFile,
  StagedFile,
  Upload,
  View,
} from '../../src/core/format.ts';
import { isSafePath } from '../../src/core/path.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Action } from '../../src/core/repository.ts';
import { compileRoutes } from '../../src/core/route.ts';

export const hostedBase = 'http://127.0.0.1:5273/acme/repo';

/** The first moment of a fake view; every change comes a second later. */
export const firstMoment = '2026-03-04T05:06:07.000Z';

export interface ViewOptions {
  readonly overwrites?: boolean;
}

export interface FakeView extends View {
  /** By the rules of a repository; throws a Problem and changes nothing when they are not met. */
  apply(change: ChangeSet, at?: string): void;
  /** The bytes of a published file. */
  bytes(path: string): Buffer | undefined;
  /** The moment of the next change; the same until there was one. */
  readonly now: string;
}

interface FakePackage {
  readonly records: Map<string, PackageRecord>;
  readonly entries: Map<string, Entry>;
  about: PackageFacts;
}

const stagedBytes = new WeakMap<ReadableFile, Buffer>();

function readable(bytes: Buffer): ReadableFile {
  return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

/** A file as `Desk.add` makes it. */
export function stagedFile(bytes: Uint8Array, digests: readonly Algorithm[] = []): StagedFile {
  const kept = Buffer.from(bytes);
  const digester = new Digester(digests);
  digester.update(kept);
  const file = { ...readable(kept), digests: digester.digests() };
  stagedBytes.set(file, kept);
  return file;
}

export function fakeView(options: ViewOptions = {}): FakeView {
  const packages = new Map<string, FakePackage>();
  const paths = new Map<string, Entry>();
  const contents = new Map<Digest, Buffer>();
  /** Path to the digest that it had when it was taken away. */
  const tombstones = new Map<string, Digest>();
  const overwrites = options.overwrites ?? false;
  let changes = 0;
  let changedAt = '';

  const moment = (): string => new Date(Date.parse(firstMoment) + changes * 1000).toISOString();

  function entryFor(name: string, put: Put, at: string): Entry {
    const { file, path, contentType, mutable } = put;
    if (!isSafePath(path)) throw new Error(`A change set puts a file at an unsafe path: ${JSON.stringify(path)}`);
    const from = 'from' in file ? paths.get(file.from) : undefined;
    if ('from' in file && !from) throw new Problem('not_found', `There is no file at ${file.from}.`);
    const digests = from ? from.digests : (file as StagedFile).digests;
    const size = from ? from.size : (file as StagedFile).size;
    const [digest] = digests;
    if (digest === undefined) throw new Error('A staged file has no digest');
    if (!from) {
      const bytes = stagedBytes.get(file as StagedFile);
      if (!bytes) throw new Error('A file of a change set was not staged with this desk');
      contents.set(digest, bytes);
    }
    return {
      path,
      name,
      digest,
      digests,
      size,
      contentType,
      publishedAt: at,
      ...(mutable === undefined ? {} : { mutable }),
    };
  }

  /** The entries that come; throws when one of them may not. */
  function comingWith(change: ChangeSet, at: string): Entry[] {
    const coming: Entry[] = [];
    for (const put of change.put ?? []) {
      const entry = entryFor(change.name, put, at);
      const before = paths.get(put.path);
      if (before?.digest === entry.digest && before.name === entry.name) continue;
      if (before && !overwrites && !(before.mutable && put.mutable)) {
        throw new Problem('conflict', `${put.path} is published already, with other bytes.`);
      }
      const gone = tombstones.get(put.path);
      if (!before && gone !== undefined && gone !== entry.digest) {
        throw new Problem('conflict', `${put.path} was deleted, and can come back only with the same bytes.`);
      }
      coming.push(entry);
    }
    return coming;
  }

  function checkExpected(change: ChangeSet, coming: readonly Entry[]): void {
    for (const { path, digest } of change.expect ?? []) {
      const entry = coming.find((one) => one.path === path) ?? paths.get(path);
      if (!entry) throw new Problem('not_found', `There is no file at ${path}.`);
      if (!entry.digests.includes(digest)) throw new Problem('digest_mismatch', `${path} is not ${digest}.`);
    }
  }

  function drop(home: FakePackage, path: string): void {
    const entry = paths.get(path);
    if (!entry) return;
    if (!entry.mutable) tombstones.set(path, entry.digest);
    paths.delete(path);
    home.entries.delete(path);
    for (const [version, record] of home.records) {
      if (!record.files.some((file) => file.path === path)) continue;
      home.records.set(version, { ...record, files: record.files.filter((file) => file.path !== path) });
    }
  }

  function removeVersion(home: FakePackage, version: string): void {
    const record = home.records.get(version);
    home.records.delete(version);
    const others = new Set([...home.records.values()].flatMap(({ files }) => files.map(({ path }) => path)));
    for (const { path } of record?.files ?? []) if (!others.has(path)) drop(home, path);
  }

  function apply(change: ChangeSet, at = moment()): void {
    const coming = comingWith(change, at);
    checkExpected(change, coming);
    const arriving = new Set(coming.map(({ path }) => path));
    for (const record of change.records ?? []) {
      for (const path of record.files ?? []) {
        const entry = paths.get(path);
        if (!arriving.has(path) && entry?.name !== change.name) {
          throw new Error(`Version ${record.version} of ${change.name} names a file that is not there: ${path}`);
        }
      }
    }
    for (const path of change.drop ?? []) {
      if (paths.get(path)?.name !== change.name) throw new Problem('not_found', `There is no file at ${path}.`);
    }
    for (const version of change.removes ?? []) {
      if (!packages.get(change.name)?.records.has(version)) {
        throw new Problem('not_found', `There is no version ${version} of ${change.name}.`);
      }
    }

    changes++;
    changedAt = at;
    const home: FakePackage = packages.get(change.name) ?? {
      records: new Map(),
      entries: new Map(),
      about: { facts: {}, createdAt: at, changedAt: at, revision: '' },
    };
    packages.set(change.name, home);
    for (const entry of coming) {
      const before = paths.get(entry.path);
      if (before && before.name !== entry.name) packages.get(before.name)?.entries.delete(entry.path);
      paths.set(entry.path, entry);
      home.entries.set(entry.path, entry);
      for (const [version, record] of home.records) {
        const files = record.files.map((file) => (file.path === entry.path ? entry : file));
        home.records.set(version, { ...record, files });
      }
    }
    for (const { version, facts, files = [], yanked } of change.records ?? []) {
      const before = home.records.get(version);
      const added = files.flatMap((path) => {
        const known = before?.files.some((file) => file.path === path);
        const entry = paths.get(path);
        return known || !entry ? [] : [entry];
      });
      const isYanked = yanked ?? before?.yanked;
      home.records.set(version, {
        name: change.name,
        version,
        files: [...(before?.files ?? []), ...added],
        // As it would come back from the journal.
        facts: JSON.parse(JSON.stringify(facts)),
        publishedAt: before?.publishedAt ?? at,
        changedAt: at,
        ...(isYanked === undefined ? {} : { yanked: isYanked }),
      });
    }
    for (const version of change.removes ?? []) removeVersion(home, version);
    for (const path of change.drop ?? []) drop(home, path);
    home.about = {
      facts: change.about ? JSON.parse(JSON.stringify(change.about)) : home.about.facts,
      createdAt: home.about.createdAt,
      changedAt: at,
      revision: `r${changes}`,
    };
    if (home.records.size === 0 && home.entries.size === 0) packages.delete(change.name);
  }

  return {
    overwrites,
    get changedAt() {
      return changedAt;
    },
    get now() {
      return moment();
    },
    names: () => packages.keys(),
    records: (name) => [...(packages.get(name)?.records.values() ?? [])],
    record: (name, version) => packages.get(name)?.records.get(version),
    about: (name) => packages.get(name)?.about,
    entry: (path) => paths.get(path),
    *entries(name, prefix = '') {
      for (const [path, entry] of packages.get(name)?.entries ?? []) if (path.startsWith(prefix)) yield entry;
    },
    apply,
    bytes(path) {
      const entry = paths.get(path);
      return entry && contents.get(entry.digest);
    },
  };
}

export interface DeskOptions {
  readonly by?: Identity;
  /** Default: the view's next moment. */
  readonly now?: string;
  /** Bytes of the largest file. */
  readonly limit?: number;
  /** Those of the format. */
  readonly digests?: readonly Algorithm[];
}

/** Somebody who belongs to the organisation. */
export const alice: Identity = { kind: 'user', name: 'alice', org: 'acme', presented: true };

const usualLimit = 64 * 1024 * 1024;

export function fakeDesk(view: FakeView, options: DeskOptions = {}): Desk {
  const { by = alice, now = view.now, limit = usualLimit, digests = [] } = options;
  return {
    by,
    now,
    limit,
    hosted: view,
    async open(path) {
      const bytes = view.bytes(path);
      return bytes && readable(bytes);
    },
    async add(bytes, longest = limit) {
      const chunks: Uint8Array[] = [];
      let size = 0;
      for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
        size += chunk.length;
        if (size > longest) throw new Problem('too_large', `The file is longer than ${longest} bytes.`);
        // Writers may use their buffers again.
        chunks.push(Buffer.from(chunk));
      }
      return stagedFile(Buffer.concat(chunks), digests);
    },
  };
}

export interface HostedRequest {
  /** Default: `GET`, or `PUT` with a body. */
  readonly method?: string;
  /** Raw, as on the wire, below the repository. May have a query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly by?: Identity;
  /** Bytes of one piece of the body. Default: 65 536. */
  readonly pieces?: number;
}

export interface Performed {
  readonly intent: Intent;
  readonly body: Body;
  /** What a change came to; it has been applied. */
  readonly change?: ChangeSet;
  /** Rights that were needed beside reading. */
  readonly needed: readonly Action[];
}

async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function perform(change: Change, call: Call, format: Format, view: FakeView, request: HostedRequest) {
  const desk = fakeDesk(view, { digests: format.digests, ...(request.by ? { by: request.by } : {}) });
  const bytes = Buffer.from(request.body ?? '');
  const decide = await change.receive(call, inPieces(bytes, request.pieces ?? 65_536), desk);
  const set = decide(view);
  // It is asked again whenever somebody else's change comes first.
  if (JSON.stringify(decide(view)) !== JSON.stringify(set)) throw new Error('Asked again, it decides otherwise');
  view.apply(set, desk.now);
  const takesAway = (set.removes?.length ?? 0) + (set.drop?.length ?? 0) > 0;
  const needed = new Set<Action>([change.action, ...(takesAway ? ['delete' as const] : [])]);
  if (set.needs) needed.add(set.needs);
  return { body: set.reply, change: set, needed: [...needed] };
}

/** Of an upload only what is done in one go. */
async function upload(step: Upload, call: Call, format: Format, view: FakeView, request: HostedRequest) {
  const { target, name } = step;
  const state = { session: step.session ?? 'session', size: 0 };
  if (step.step === 'open' || !target) return { body: step.reply({ ...state, state: 'open' }), needed: [] };
  const file = stagedFile(Buffer.from(request.body ?? ''), format.digests);
  if (!file.digests.includes(target.digest)) {
    throw new Problem('digest_mismatch', `These bytes are not ${target.digest}.`);
  }
  const reply = step.reply({ ...state, size: file.size, state: 'done' });
  const { path, contentType } = target;
  const change: ChangeSet = { name, put: [{ path, file, contentType }], reply };
  view.apply(change);
  return { body: reply, change, needed: ['publish' as const], call };
}

function renderAndEncode(want: Document, view: View, base: string): Body {
  const rendered = want.type.render?.(want, view);
  if (!rendered) throw new Problem('not_found', `${want.path} is not hosted here.`);
  const origin: Origin = {
    url: `http://hosted.invalid/${want.path}`,
    path: want.path,
    headers: rendered.headers ?? {},
  };
  const doc = want.type.decode(rendered.bytes, origin);
  const body = want.type.encode(doc, want.variant ?? '', base);
  if (!body) throw new Problem('not_found', `There is no such form of ${want.path}.`);
  return want.headers ? { ...body, headers: { ...body.headers, ...want.headers } } : body;
}

function artifactBody(want: Artifact, format: Format, view: FakeView): Body {
  const entry = view.entry(want.path);
  const bytes = view.bytes(want.path);
  if (!entry || !bytes) throw new Problem('not_found', `${want.path} is not hosted here.`);
  const { digests, size } = entry;
  const contentType = want.contentType ?? entry.contentType;
  const headers = {
    'content-type': contentType,
    ...format.artifactHeaders?.(want, { digests, size, contentType }),
    ...want.headers,
  };
  return { headers, bytes };
}

/**
 * What a request comes to. A change is received, decided on and applied; a document rendered, decoded and encoded; an artifact
 * read. Throws the Problem that it comes to otherwise.
 */
export async function ask(format: Format, view: FakeView, request: HostedRequest): Promise<Performed> {
  const { path, headers = {} } = request;
  const method = request.method ?? (request.body === undefined ? 'GET' : 'PUT');
  const [raw = '', query = ''] = path.split('?');
  const found = compileRoutes(format.routes).find(method, raw, (route, params) => {
    const call: Call = { method, params, query: new URLSearchParams(query), headers, base: hostedBase };
    const intent = route.intent(call);
    return intent && { intent, call };
  });
  if (!found || !('intent' in found)) throw new Problem('not_found', `No route takes ${method} ${path}.`);
  const { intent, call } = found;
  switch (intent.kind) {
    case 'change':
      return { intent, ...(await perform(intent, call, format, view, request)) };
    case 'upload':
      return { intent, ...(await upload(intent, call, format, view, request)) };
    case 'document':
      return { intent, body: renderAndEncode(intent, view, hostedBase), needed: [] };
    case 'artifact':
      return { intent, body: artifactBody(intent, format, view), needed: [] };
    case 'checksum': {
      const { of, algorithm } = intent;
      const { bytes } = of.kind === 'artifact' ? artifactBody(of, format, view) : renderAndEncode(of, view, hostedBase);
      const [digest = ''] = stagedFile(bytes, [algorithm]).digests.filter((one) => one.startsWith(`${algorithm}:`));
      return { intent, body: { bytes: Buffer.from(digest.slice(algorithm.length + 1)) }, needed: [] };
    }
    case 'excerpt': {
      const body = await intent.take(readable(Buffer.from(artifactBody(intent.of, format, view).bytes)));
      if (!body) throw new Problem('not_found', `There is no such thing in ${intent.of.path}.`);
      return { intent, body, needed: [] };
    }
    case 'answer': {
      const { body } = intent;
      return { intent, body: typeof body === 'function' ? body(request.by ?? alice) : body, needed: [] };
    }
    case 'forward':
    case 'credentials':
      throw new Error(`${method} ${path} is a matter of the core: ${intent.kind}`);
  }
}

/** The code of the problem that it comes to; '' when it comes to none. Anything else that is thrown goes on. */
export async function problemOf(asked: Promise<unknown>): Promise<string> {
  try {
    await asked;
    return '';
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}
