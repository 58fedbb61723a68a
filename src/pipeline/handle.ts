/** The order of things: identify, match, authorise, run. Nothing else decides it. */
import { createHash } from 'node:crypto';
import { identify } from '../access/identify.ts';
import { mayDo, mayKnow } from '../access/rules.ts';
import { hexOf } from '../core/digest.ts';
import type { Outcome } from '../core/events.ts';
import type { Call, Identity, Intent, Route } from '../core/format.ts';
import { Problem } from '../core/problem.ts';
import { type Action, type Repository, within } from '../core/repository.ts';
import type { Asking } from '../core/source.ts';
import type { Answer } from './answer.ts';
import { answerArtifact, findDigest } from './artifact.ts';
import type { Coding } from './derive.ts';
import { answerDocument, type DocumentContext, notHere } from './document.ts';
import { answerExcerpt } from './excerpt.ts';
import { answerForward } from './forward.ts';

export interface Request {
  readonly id: string;
  readonly method: string;
  /** Below the repository, still percent-encoded, starting with a slash, without query. */
  readonly rawPath: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Public URL of the repository, no trailing slash. */
  readonly base: string;
  /** Public URL at which registry tokens are handed out. */
  readonly tokenUrl: string;
  /** The registry that a mirror's client means. */
  readonly namespace?: string;
  /** What the client takes for documents. */
  readonly coding: Coding;
  /** The body, read to its end; throws `too_large` above the limit. */
  readonly body: () => Promise<Uint8Array>;
}

export interface Handled {
  readonly answer: Answer;
  readonly route: string;
  readonly name?: string;
  /** Whether the same request may be answered again without coming here: it must have been anonymous. */
  readonly repeatable: boolean;
}

export interface HandleContext extends DocumentContext {
  readonly optionsOf: (repository: Repository) => Readonly<Record<string, unknown>>;
}

interface Matched {
  readonly route: Route;
  readonly intent: Intent;
}

/** Told as soon as it is known, so that a failure is counted under its route. */
export type Noted = (route: string) => void;

export async function handle(
  context: HandleContext,
  repository: Repository,
  request: Request,
  noted: Noted,
): Promise<Handled> {
  const identity = identify(repository.format, request.headers);
  refuseStrangers(repository, identity, request);
  const { route, intent } = match(repository, request);
  const asked = narrowed(repository, request.namespace);
  noted(route.id);
  const name = nameOf(intent);
  authorise(repository, identity, intent, name, request);
  const plain = await run(context, asked, request, identity, intent);
  const due = intent.kind === 'artifact' || intent.kind === 'document' ? intent.headers : undefined;
  const answer = { ...plain, headers: { ...repository.format.headers, ...plain.headers, ...due } };
  return {
    answer,
    route: route.id,
    ...(name === undefined ? {} : { name }),
    repeatable: identity.kind === 'anonymous',
  };
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

function refuseStrangers(repository: Repository, identity: Identity, request: Request): void {
  if (mayKnow(repository, identity)) return;
  if (identity.kind === 'anonymous') throw unauthorized(repository, request, identity, 'read');
  throw new Problem('not_found', `There is no repository ${repository.id} here.`);
}

function unauthorized(
  repository: Repository,
  { base, tokenUrl }: Request,
  identity: Identity,
  action: Action,
  name?: string,
): Problem {
  const challenge = repository.format.auth.challenge({
    base,
    tokenUrl,
    action,
    ...(name === undefined ? {} : { name }),
    ...(identity.presented ? { rejected: true } : {}),
  });
  return new Problem(
    'unauthorized',
    `${repository.id} asks for credentials: add a token for ${base}/ to your client's settings.`,
    { headers: { 'www-authenticate': challenge } },
  );
}

function match(repository: Repository, request: Request): Matched {
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
    return intent && { route, intent };
  });
  if (!found) {
    throw new Problem(
      'not_found',
      `${request.method} ${request.rawPath} is no address of ${repository.format.id} in ${repository.id}.`,
    );
  }
  if ('allow' in found) {
    throw new Problem('method_not_allowed', `${request.method} is not possible here; ${found.allow.join(', ')} is.`, {
      headers: { allow: found.allow.join(', ') },
    });
  }
  return found;
}

function nameOf(intent: Intent): string | undefined {
  if (intent.kind === 'answer') return undefined;
  return intent.kind === 'checksum' || intent.kind === 'excerpt' ? intent.of.name : intent.name;
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
      return 'read';
    case 'change':
      return intent.action;
    case 'upload':
      return 'publish';
  }
}

function authorise(
  repository: Repository,
  identity: Identity,
  intent: Intent,
  name: string | undefined,
  request: Request,
): void {
  const action = actionOf(intent);
  if (mayDo(repository, identity, action, name)) return;
  if (intent.kind === 'answer') return;
  if (identity.kind === 'anonymous') throw unauthorized(repository, request, identity, action, name);
  if (action !== 'read' && mayDo(repository, identity, 'read', name)) {
    throw new Problem(
      'forbidden',
      `${identity.name ?? 'You'} may read ${name ?? 'this'} in ${repository.id}, but not ${action} it.`,
    );
  }
  throw new Problem('not_found', `${name ?? wanted(intent)} is not in ${repository.id}.`);
}

const wanted = (intent: Intent): string => ('path' in intent ? intent.path : 'This');

async function run(
  context: HandleContext,
  repository: Repository,
  request: Request,
  identity: Identity,
  intent: Intent,
): Promise<Answer> {
  const head = request.method === 'HEAD';
  const { via } = request.headers;
  const plain = { requestId: request.id, ...(via === undefined ? {} : { via }) };
  const asking = { ...plain, ...(head ? { head } : {}) };
  switch (intent.kind) {
    case 'artifact':
      return answerArtifact(repository, intent, asking, context.now);
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
      return answerChecksum(context, repository, request, intent, asking);
    case 'excerpt':
      return answerExcerpt(repository, intent, asking, context.now);
    case 'forward':
      return answerForward(repository, intent, request, asking);
    case 'answer': {
      if (intent.challenges && !identity.presented) throw unauthorized(repository, request, identity, 'read');
      const body = typeof intent.body === 'function' ? intent.body(identity) : intent.body;
      return {
        status: body.status ?? 200,
        headers: { 'cache-control': 'no-store', ...body.headers },
        outcome: 'answered',
        body: { kind: 'bytes', bytes: body.bytes },
      };
    }
    case 'change':
    case 'upload':
      throw new Problem(
        'method_not_allowed',
        `${repository.id} has no hosted source, so nothing can be published to it.`,
        {
          headers: { allow: 'GET, HEAD' },
        },
      );
  }
}

/** The digest of whatever the other intent would answer, in hexadecimal. */
async function answerChecksum(
  context: HandleContext,
  repository: Repository,
  request: Request,
  intent: Extract<Intent, { kind: 'checksum' }>,
  asking: Asking,
): Promise<Answer> {
  const { of, algorithm } = intent;
  if (of.kind === 'artifact' && of.checksums) {
    const digest = await findDigest(repository, of, algorithm, asking);
    if (!digest) throw notHere(repository, `${algorithm} of ${of.path}`);
    return checksumAnswer(hexOf(digest), 'hit');
  }
  const hash = createHash(intent.algorithm);
  const inner = await run(
    context,
    repository,
    { ...request, method: 'GET', coding: 'identity' },
    { kind: 'anonymous' },
    intent.of,
  );
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
