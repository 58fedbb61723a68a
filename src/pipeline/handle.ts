/** The order of things: identify, match, authorise, run. Nothing else decides it. */
import { createHash } from 'node:crypto';
import type { Access, Reader } from '../core/access.ts';
import { hexOf } from '../core/digest.ts';
import type { Outcome } from '../core/events.ts';
import type { Artifact, Call, Identity, Intent, Route } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import { type About, type Action, type Repository, stampOf, within } from '../core/repository.ts';
import type { Asking, Use } from '../core/source.ts';
import { hostedId } from '../sources/hosted.ts';
import type { Hosting } from '../store/hosting.ts';
import type { Answer } from './answer.ts';
import { answerArtifact, findDigest } from './artifact.ts';
import { answerChange, answerOf, type ChangeContext } from './change.ts';
import type { Coding } from './derive.ts';
import { answerDocument, type DocumentContext, notHere } from './document.ts';
import { answerExcerpt } from './excerpt.ts';
import { answerForward } from './forward.ts';
import { identityOf } from './identity.ts';
import { overheard } from './overheard.ts';
import { readable } from './readable.ts';
import { type NoteUse, noteMissing, type Recording, record, recordingRefused } from './recording.ts';
import { answerUpload, type UploadContext } from './upload.ts';

export interface Request {
  readonly id: string;
  readonly method: string;
  /** Below the repository, still percent-encoded, starting with a slash, without query. */
  readonly rawPath: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Public URL of the repository, no trailing slash. */
  readonly base: string;
  /** Public URL of the server, no trailing slash. */
  readonly origin: string;
  /** Address of the client. */
  readonly remote?: string;
  /** Public URL at which registry tokens are handed out. */
  readonly tokenUrl: string;
  /** The address is that of all repositories of a kind (`/v2/`), and names none. */
  readonly isShared?: boolean;
  /** The registry that a mirror's client means. */
  readonly namespace?: string;
  /** What the client takes for documents. */
  readonly coding: Coding;
  /** Name of the set that what the answer is made of is added to. */
  readonly record?: string;
  /** The body, read to its end; throws `too_large` above the limit. */
  readonly body: () => Promise<Uint8Array>;
  /**
   * The body as it comes. One that says that it is longer is refused before it is asked for; throws `too_large` and
   * `request_timeout`.
   */
  readonly stream: (limitBytes: number) => AsyncIterable<Uint8Array>;
}

export interface Handled {
  readonly answer: Answer;
  readonly route: string;
  readonly name?: string;
  /** Whether the same request may be answered again without coming here. */
  readonly repeatable: boolean;
  /** Nobody is told that they are known by more than this: `anonymous` is all that an anonymous one says. */
  readonly identity: Identity;
  /**
   * Whether somebody else who is known would get this very answer: they may have it, and all that it was made to depend on about its
   * reader is the same for them. Only for as long as the answer's `keepWhile` holds.
   */
  readonly isFor: (other: Identity) => boolean;
}

export interface HandleContext extends DocumentContext, ChangeContext, UploadContext {
  readonly optionsOf: (repository: Repository) => Readonly<Record<string, unknown>>;
  /** What is published in a repository, if anything can be. */
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  readonly recording: Recording;
  readonly noteUse: NoteUse;
}

interface Matched {
  readonly route: Route;
  readonly intent: Intent;
  readonly call: Call;
}

/** Told as soon as it is known, so that a failure is counted as whose and under which route it was. */
export interface Noted {
  readonly identity: (identity: Identity) => void;
  readonly route: (id: string) => void;
  /** They may do it, and it is going to be done; throws to refuse it after all. */
  readonly admitted?: (identity: Identity) => void;
}

export async function handle(
  context: HandleContext,
  repository: Repository,
  request: Request,
  noted: Noted,
): Promise<Handled> {
  const { access } = context;
  // As of when the request came: whatever changes while it is answered, nobody gets the answer again.
  const version = access.version(repository.org);
  await makeReady(context, repository);
  const identity = await identityOf(access, repository, request.headers, request.remote);
  noted.identity(identity);
  const matched = match(repository, request);
  if (!isForAnybody(matched, request, identity)) refuseStrangers(context, repository, identity, request);
  if (matched instanceof Problem) throw matched;
  const { route, intent, call } = matched;
  const inside = narrowed(repository, request.namespace);
  noted.route(route.id);
  const about = aboutOf(intent);
  const { name } = about;
  if (intent.kind === 'change' || intent.kind === 'upload') hostingFor(context, repository);
  authorise(context, repository, identity, intent, name, request);
  const refused = recordingRefused(context.recording, repository, identity, request);
  if (refused) throw refused === 'unknown' ? unauthorized(repository, request, identity, 'read') : refused;
  // What answers anybody, or is how somebody shows who they are, is nothing that was let in.
  if (intent.kind !== 'answer' && intent.kind !== 'credentials') noted.admitted?.(identity);
  const uses: Use[] = [];
  const { reader, isSameFor, isTold, isUnchanged } = overheard(access, identity, repository.org);
  const asked = readable(inside, name, reader);
  const stamp = stampOf(repository.sources, about);
  const plain = await challenged(repository, request, identity, intent, () =>
    orNotStored(request, () =>
      run({ context, repository: asked, whole: repository, request, identity, reader, call, uses }, intent),
    ),
  ).catch((error: unknown) => {
    noteMissing(repository, request, intent, error);
    throw error;
  });
  context.noteUse(repository, request, intent);
  if (request.record !== undefined) await record(context.recording, request.record, uses, plain);
  const due = intent.kind === 'artifact' || intent.kind === 'document' ? intent.headers : undefined;
  const answer = {
    ...plain,
    headers: { ...repository.format.headers, ...plain.headers, ...due, ...cachingFor(repository, identity, plain) },
    ...(plain.keepUntil === undefined
      ? {}
      : {
          keepWhile: keepWhile(context, repository, about, { version, stamp }, () => {
            return (plain.keepWhile?.() ?? true) && isUnchanged();
          }),
        }),
  };
  return {
    answer,
    route: route.id,
    ...(name === undefined ? {} : { name }),
    repeatable: request.record === undefined && (identity.kind === 'anonymous' || isTold()),
    identity,
    isFor: (other) =>
      other.kind !== 'anonymous' &&
      access.mayKnow(repository, other) &&
      isAllowed(access, repository, other, intent, name) &&
      isSameFor(other),
  };
}

/**
 * Whoever wants to be known is asked nothing first; and who is known may ask whether anybody is there where the address names no
 * repository, or people of one organisation could not log in to a registry that another one's answers for.
 */
function isForAnybody(matched: Matched | Problem, { isShared }: Request, identity: Identity): boolean {
  if (matched instanceof Problem) return false;
  const { kind } = matched.intent;
  return kind === 'credentials' || (kind === 'answer' && isShared === true && identity.kind !== 'anonymous');
}

/** What was published, or said about rights, in another process is known from here on. */
async function makeReady({ access }: HandleContext, { org, sources }: Repository): Promise<void> {
  if (!access.isCurrent(org)) await access.ready(org);
  for (const { ready } of sources) if (ready) await ready();
}

/** How often answers of mirrors look for rights that were changed in another process. */
const lookEveryMs = 250;

/** What an answer was made of: rights and configuration of the organisation, and what is published. */
interface Basis {
  readonly version: number;
  readonly stamp: string | undefined;
}

/** A remembered answer is for everybody, as long as neither what is published nor who may read it has changed. */
function keepWhile(
  { access }: HandleContext,
  { org, sources }: Repository,
  about: About,
  { version, stamp }: Basis,
  own: () => boolean,
): () => boolean {
  if (stamp === '') {
    // Nothing is published here, so only rights can change; a look at the disk for each hit would cost as much as the hit.
    let lookedAt = performance.now();
    return () => {
      if (access.version(org) !== version) return false;
      const now = performance.now();
      if (now - lookedAt > lookEveryMs) {
        if (!access.isCurrent(org)) return false;
        lookedAt = now;
      }
      return own();
    };
  }
  return () =>
    stamp !== undefined &&
    own() &&
    access.isCurrent(org) &&
    access.version(org) === version &&
    stampOf(sources, about) === stamp;
}

/** What only some may read is in nobody's shared cache (RFC 9111, 3.5). */
function cachingFor(
  { sources }: Repository,
  identity: Identity,
  { headers, outcome }: Answer,
): Readonly<Record<string, string>> {
  const differs = sources.some(({ filters }) => filters);
  if (!differs && identity.kind === 'anonymous') return {};
  const caching = headers['cache-control'];
  const vary = headers.vary === undefined ? 'authorization' : `${headers.vary}, authorization`;
  if (caching === undefined || caching === 'no-store') return { vary };
  if (identity.kind === 'anonymous') {
    // What everybody may read today may be for some only tomorrow: shared caches are to ask each time.
    return outcome === 'hosted' && caching.includes('immutable')
      ? { vary, 'cache-control': 'public, no-cache' }
      : { vary };
  }
  return { vary, 'cache-control': `private, ${caching.replace(/^public, /, '')}` };
}

/** Whoever has shown nothing may be asked who they are, also when that is found out late. */
async function challenged<T>(
  repository: Repository,
  request: Request,
  identity: Identity,
  intent: Intent,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'unauthorized' || error.headers['www-authenticate']) throw error;
    throw unauthorized(repository, request, identity, actionOf(intent), aboutOf(intent).name, error.message);
  }
}

/** To the sources that hold what a mirror's client calls by that name; a name that is not known is nobody's. */
function narrowed(repository: Repository, namespace: string | undefined): Repository {
  if (namespace === undefined) return repository;
  const inner = within(repository, namespace);
  if (inner.sources.length > 0) return inner;
  throw new Problem(
    'not_found',
    `No upstream of ${repository.id} is known as "${namespace.slice(0, 100)}"; namespaces: of an upstream in the configuration would say so.`,
  );
}

function refuseStrangers(
  { access }: HandleContext,
  repository: Repository,
  identity: Identity,
  request: Request,
): void {
  if (identity.rejected !== undefined) throw unauthorized(repository, request, identity, 'read');
  if (access.mayKnow(repository, identity)) return;
  if (identity.kind === 'anonymous') throw unauthorized(repository, request, identity, 'read');
  throw new Problem('not_found', `There is no repository ${repository.id} here.`);
}

function unauthorized(
  repository: Repository,
  { base, tokenUrl }: Request,
  identity: Identity,
  action: Action,
  name?: string,
  message?: string,
): Problem {
  const challenge = repository.format.auth.challenge({
    base,
    tokenUrl,
    action,
    ...(name === undefined ? {} : { name }),
    ...(identity.presented ? { rejected: true } : {}),
  });
  const said =
    identity.rejected ??
    message ??
    `${repository.id} asks for credentials${identity.presented ? ', and those that were shown are not known here' : ''}: add a token for ${base}/ to your client's settings.`;
  return new Problem('unauthorized', said, { headers: { 'www-authenticate': challenge } });
}

/** The problem is returned: whether a stranger may hear of it is for others to say. */
function match(repository: Repository, request: Request): Matched | Problem {
  const reading = request.method === 'GET' || request.method === 'HEAD';
  const headers = reading ? { accept: request.headers.accept } : request.headers;
  const found = repository.router.find(request.method, request.rawPath, (route, params): Matched | undefined => {
    const call: Call = {
      method: request.method,
      params,
      query: request.query,
      headers,
      base: request.base,
    };
    const intent = route.intent(call);
    return intent && { route, intent, call };
  });
  if (!found) {
    return new Problem(
      'not_found',
      `${request.method} ${request.rawPath} is no address of ${repository.format.id} in ${repository.id}.`,
    );
  }
  if ('allow' in found) {
    return new Problem('method_not_allowed', `${request.method} is not possible here; ${found.allow.join(', ')} is.`, {
      headers: { allow: found.allow.join(', ') },
    });
  }
  return found;
}

function aboutOf(intent: Intent): About {
  if (intent.kind === 'answer' || intent.kind === 'credentials') return {};
  return intent.kind === 'checksum' || intent.kind === 'excerpt' ? intent.of : intent;
}

/** What may be done follows from the kind of intent, so no format can forget it. */
function actionOf(intent: Intent): Action {
  switch (intent.kind) {
    case 'artifact':
    case 'document':
    case 'checksum':
    case 'excerpt':
    case 'forward':
    case 'answer':
    case 'credentials':
      return 'read';
    case 'change':
      return intent.action;
    case 'upload':
      return 'publish';
  }
}

function isAllowed(
  access: Access,
  repository: Repository,
  identity: Identity,
  intent: Intent,
  name: string | undefined,
): boolean {
  const action = actionOf(intent);
  if (access.mayDo(repository, identity, action, name)) return true;
  // What the body or the answer names is judged one by one, once it is known.
  const later = intent.kind === 'change' || intent.kind === 'document' || intent.kind === 'forward';
  return name === undefined && later && access.mayDoSome(repository, identity, action);
}

function authorise(
  { access }: HandleContext,
  repository: Repository,
  identity: Identity,
  intent: Intent,
  name: string | undefined,
  request: Request,
): void {
  if (intent.kind === 'answer' || intent.kind === 'credentials') return;
  if (isAllowed(access, repository, identity, intent, name)) return;
  const action = actionOf(intent);
  if (identity.kind === 'anonymous') throw unauthorized(repository, request, identity, action, name);
  const mayRead =
    name === undefined
      ? access.mayDoSome(repository, identity, 'read')
      : access.mayDo(repository, identity, 'read', name);
  if (action !== 'read' && mayRead) {
    throw new Problem(
      'forbidden',
      `${identity.name ?? 'You'} may read ${name ?? 'this'} in ${repository.id}, but not ${action} it${identity.token ? ', at least not with this token' : ''}.`,
    );
  }
  throw new Problem('not_found', `${name ?? wanted(intent)} is not in ${repository.id}.`);
}

const wanted = (intent: Intent): string => ('path' in intent ? intent.path : 'This');

interface Run {
  readonly context: HandleContext;
  /** With the sources that may be asked. */
  readonly repository: Repository;
  /** With all of them. */
  readonly whole: Repository;
  readonly request: Request;
  readonly identity: Identity;
  readonly reader: Reader;
  readonly call: Call;
  /** What the answer turns out to be made of. */
  readonly uses: Use[];
}

async function run(about: Run, intent: Intent): Promise<Answer> {
  const { context, repository, request, identity, reader, call } = about;
  const head = request.method === 'HEAD';
  const { via } = request.headers;
  const plain = {
    requestId: request.id,
    org: about.whole.org,
    reader,
    ...(via === undefined ? {} : { via }),
    ...wishesOf(request),
    ...(request.record === undefined ? {} : { used: (use: Use) => void about.uses.push(use) }),
  };
  // Whoever repeats the build elsewhere finds there what was only looked at here.
  const asking = { ...plain, ...(head && request.record === undefined ? { head } : {}) };
  switch (intent.kind) {
    case 'artifact':
      return answerArtifact(head ? forSenders(about, intent) : repository, intent, asking, context.now);
    case 'document':
      return answerDocument(context, {
        repository,
        options: context.optionsOf(repository),
        want: intent,
        base: request.base,
        coding: request.coding,
        asking: plain,
      });
    case 'checksum':
      return answerChecksum(about, intent, asking);
    case 'excerpt':
      return answerExcerpt(repository, intent, asking, context.now);
    case 'forward':
      return answerForward(repository, intent, request, asking);
    case 'answer': {
      if (intent.challenges && !identity.presented) throw unauthorized(repository, request, identity, 'read');
      const body = typeof intent.body === 'function' ? intent.body(identity) : intent.body;
      return { ...answerOf(body), outcome: 'answered' };
    }
    case 'credentials': {
      const ask = intent.ask(call, request.method === 'GET' ? new Uint8Array() : await request.body());
      const outcome = await context.access.credentials(repository.org, identity, ask, request.origin, request.remote);
      return { ...answerOf(intent.reply(outcome, call)), outcome: 'answered' };
    }
    case 'change':
      return answerChange(
        context,
        about.whole,
        hostingFor(context, about.whole),
        intent,
        { ...request, call },
        identity,
      );
    case 'upload':
      return answerUpload(context, about.whole, hostingFor(context, about.whole), intent, request, identity);
  }
}

/** What whoever asks may say about how upstream is asked for it, if at all. */
function wishesOf({ headers }: Request): Pick<Asking, 'priority' | 'offline' | 'fresh'> {
  const isBackground = headers['x-larder-priority']?.trim().toLowerCase() === 'background';
  return {
    ...(isBackground ? { priority: 'background' } : {}),
    // Behind all clients, so that nobody hurries upstream with it.
    ...(isBackground && headers['x-larder-refresh'] !== undefined ? { fresh: 'revalidate' } : {}),
    ...(wantsOnlyStored(headers['cache-control']) ? { offline: true } : {}),
  };
}

/** RFC 9111, 5.2.1.7. */
const wantsOnlyStored = (caching: string | undefined): boolean =>
  caching !== undefined && /(?:^|,)\s*only-if-cached\s*(?:,|$)/i.test(caching);

/** Whoever wants nothing but what is stored is told so when it is not, and what they got is no answer to whoever wants more. */
async function orNotStored({ headers, method }: Request, work: () => Promise<Answer>): Promise<Answer> {
  if (!wantsOnlyStored(headers['cache-control']) || (method !== 'GET' && method !== 'HEAD')) return work();
  try {
    const { keepUntil: _, keepWhile: __, ...answer } = await work();
    return answer;
  } catch (error) {
    if (error instanceof Problem && error.code === 'offline') {
      throw new Problem('not_stored', error.message, { cause: error });
    }
    throw error;
  }
}

/** What a client that may publish is told of before it sends what is missing. */
function forSenders({ context, repository, whole, identity }: Run, { sentIfMissing, name }: Artifact): Repository {
  if (!sentIfMissing || !context.hostingOf(whole)) return repository;
  if (!context.access.mayDo(whole, identity, 'publish', name)) return repository;
  return { ...repository, sources: repository.sources.filter(({ id }) => id === hostedId) };
}

/** Nobody can publish where there is no place for it, whoever they are. */
function hostingFor(context: HandleContext, whole: Repository): Hosting {
  const hosting = context.hostingOf(whole);
  if (hosting) return hosting;
  throw new Problem(
    'method_not_allowed',
    `${whole.id} has no hosted source, so nothing can be published to it: publish to a repository that has one.`,
    { headers: { allow: 'GET, HEAD' } },
  );
}

/** The digest of whatever the other intent would answer, in hexadecimal. */
async function answerChecksum(
  about: Run,
  intent: Extract<Intent, { kind: 'checksum' }>,
  asking: Asking,
): Promise<Answer> {
  const { repository, request } = about;
  const { of, algorithm } = intent;
  if (of.kind === 'artifact' && of.checksums) {
    const digest = await findDigest(repository, of, algorithm, asking);
    if (!digest) throw notHere(repository, `${algorithm} of ${of.path}`);
    return checksumAnswer(hexOf(digest), 'hit');
  }
  const hash = createHash(intent.algorithm);
  const inner = await run({ ...about, request: { ...request, method: 'GET', coding: 'identity' } }, intent.of);
  if (inner.body.kind === 'bytes') hash.update(inner.body.bytes);
  else if (inner.body.kind === 'artifact') {
    try {
      for await (const chunk of inner.body.artifact.read()) hash.update(chunk);
    } finally {
      inner.body.artifact.close();
    }
  }
  return checksumAnswer(hash.digest('hex'), inner.outcome);
}

function checksumAnswer(hex: string, outcome: Outcome): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'text/plain', 'cache-control': 'no-cache' },
    outcome,
    body: { kind: 'bytes', bytes: Buffer.from(hex) },
    etag: `"${hex}"`,
  };
}
