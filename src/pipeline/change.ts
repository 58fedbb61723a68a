/** Receives what is published, changed or taken away: rights first, then the body, then one commit. */
import { createHash } from 'node:crypto';
import type { Access } from '../core/access.ts';
import type { Algorithm, Digest } from '../core/digest.ts';
import { publish } from '../core/events.ts';
import type { Body, Call, Change, Desk, Identity, ReadableFile, StagedFile } from '../core/format.ts';
import { nameOfIdentity } from '../core/identity.ts';
import type { Signature } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import type { Action, Repository } from '../core/repository.ts';
import type { OpenStage, Stage } from '../core/staging.ts';
import type { Blobs, OpenBlob } from '../store/blobs.ts';
import type { Committed, Effect, Hosting } from '../store/hosting.ts';
import type { Answer } from './answer.ts';
import { refusedByStore } from './refused-by-store.ts';

export interface ChangeContext {
  readonly access: Access;
  readonly blobs: Pick<Blobs, 'open'>;
  readonly stage: OpenStage;
  /** Bytes that may still be published in the repository: what is left of its own and of its organisation's share. */
  readonly roomFor: (repository: Repository) => number;
  readonly now: () => number;
}

export interface ChangeRequest {
  readonly id: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly call: Call;
  /** Refuses a body that says that it is longer before it is asked for; throws `too_large` and `request_timeout`. */
  readonly stream: (limitBytes: number) => AsyncIterable<Uint8Array>;
}

/** Refuses before a byte of the body is read, so that nobody uploads for nothing. */
function refuseTooLarge(context: ChangeContext, repository: Repository, headers: ChangeRequest['headers']): void {
  const told = Number(headers['content-length'] ?? 0);
  const room = context.roomFor(repository);
  if (told > room) throw noRoom(repository, told, room);
}

function noRoom({ id, org }: Repository, bytes: number, room: number): Problem {
  return new Problem(
    'quota_exceeded',
    `${bytes} bytes do not fit: ${Math.max(0, room)} bytes are left for ${id}. Delete versions that nobody needs, or have maxSize raised for the repository or for ${org}.`,
  );
}

export async function answerChange(
  context: ChangeContext,
  repository: Repository,
  hosting: Hosting,
  intent: Change,
  request: ChangeRequest,
  identity: Identity,
): Promise<Answer> {
  refuseTooLarge(context, repository, request.headers);
  const desk = createDesk(context, repository, hosting, identity);
  try {
    const limit = Math.min(intent.limit ?? repository.maxFileBytes, bodyLimit(repository));
    const decide = await intent.receive(request.call, request.stream(limit), desk);
    const committed = await commitChange(context, repository, hosting, {
      decide,
      action: intent.action,
      identity,
      requestId: request.id,
      land: desk.land,
      ...(intent.name === undefined ? {} : { name: intent.name }),
    });
    return answerOf(committed.set.reply);
  } finally {
    await desk.clear();
  }
}

/** A body is a file and what is wrapped around it; in base64 it is a third longer. */
const bodyLimit = ({ maxFileBytes }: Repository): number => Math.ceil(maxFileBytes * 1.4) + 1024 * 1024;

export const answerOf = ({ status = 200, headers = {}, bytes }: Body): Answer => ({
  status,
  headers: { 'cache-control': 'no-store', ...headers },
  outcome: 'hosted',
  body: { kind: 'bytes', bytes },
});

export interface ChangeOrder {
  readonly decide: Parameters<Hosting['commit']>[0]['decide'];
  /** The right that the request as a whole needs. */
  readonly action: Action;
  /** What the journal calls it. Default: the right. */
  readonly called?: string;
  /** The name that was judged already: what is changed must have it. */
  readonly name?: string;
  readonly identity: Identity;
  readonly requestId?: string;
  readonly land: (file: StagedFile) => Promise<void>;
}

/** Commits with rights and room judged against what the change turns out to be. */
export async function commitChange(
  context: Pick<ChangeContext, 'access' | 'roomFor'>,
  repository: Repository,
  hosting: Hosting,
  order: ChangeOrder,
): Promise<Committed> {
  const { identity, action } = order;
  const signature: Signature = {
    by: nameOfIdentity(identity),
    ...(identity.token ? { token: identity.token.id } : {}),
    ...(order.requestId === undefined ? {} : { requestId: order.requestId }),
  };
  let effect: Effect | undefined;
  const committed = await hosting.commit({
    decide: order.decide,
    signature,
    action: order.called ?? action,
    land: order.land,
    // Whoever may neither read nor change a package hears the same whether it is there or not.
    sees: (name) =>
      context.access.mayDo(repository, identity, 'read', name) ||
      context.access.mayDo(repository, identity, action, name),
    admit(set) {
      if (order.name !== undefined && set.name !== order.name) {
        throw new Problem('bad_request', `The address is one of ${order.name}, but what was sent is ${set.name}.`);
      }
      refuseUnlessAllowed(context.access, repository, identity, action, set.name);
    },
    judge(set, would) {
      const takes = would.removed.length > 0 || would.dropped.length > 0 || would.replaced.length > 0;
      if (takes) refuseUnlessAllowed(context.access, repository, identity, 'delete', set.name);
      if (set.needs) refuseUnlessAllowed(context.access, repository, identity, set.needs, set.name);
      const room = context.roomFor(repository);
      if (would.addedBytes > room) throw noRoom(repository, would.addedBytes, room);
      effect = would;
    },
  });
  if (committed.changed && committed.number !== undefined) {
    publish('hosted.change', {
      repository: repository.id,
      format: repository.format.id,
      action: order.called ?? action,
      name: committed.set.name,
      versions: [...(committed.set.records ?? []).map(({ version }) => version), ...(effect?.removed ?? [])],
      number: committed.number,
      by: signature.by,
      bytes: effect?.addedBytes ?? 0,
    });
  }
  return committed;
}

/** In words for somebody who is known, or is asked to say who they are by whoever catches it. */
function refuseUnlessAllowed(
  access: Access,
  repository: Repository,
  identity: Identity,
  action: Action,
  name: string,
): void {
  if (access.mayDo(repository, identity, action, name)) return;
  throw new Problem(
    identity.kind === 'anonymous' ? 'unauthorized' : 'forbidden',
    `${identity.name ?? 'Nobody without credentials'} may not ${action} ${name} in ${repository.id}: no rule of ${repository.org} allows it${identity.token ? ', or the token is for something else' : ''}.`,
  );
}

interface OwnDesk extends Desk {
  /** Makes a staged file a blob that stays until `clear`. */
  land(file: StagedFile): Promise<void>;
  /** Throws away what was staged and not put anywhere. */
  clear(): Promise<void>;
}

interface Staged {
  readonly stage: Stage;
  readonly digest: Digest;
  blob?: OpenBlob;
}

export function createDesk(
  { blobs, stage: openStage, now }: Pick<ChangeContext, 'blobs' | 'stage' | 'now'>,
  repository: Repository,
  hosting: Hosting,
  identity: Identity,
): OwnDesk {
  const staged = new Map<StagedFile, Staged>();
  const opened: OpenBlob[] = [];
  const algorithms: readonly Algorithm[] = ['sha256', ...repository.format.digests.filter((one) => one !== 'sha256')];

  async function add(
    bytes: AsyncIterable<Uint8Array> | Uint8Array,
    limit = repository.maxFileBytes,
  ): Promise<StagedFile> {
    const stage = await openStage(bytes instanceof Uint8Array ? { expectedSize: bytes.byteLength } : {}).catch(
      refusedByStore,
    );
    const hashes = algorithms.map((algorithm) => ({ algorithm, hash: createHash(algorithm) }));
    let size = 0;
    try {
      for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
        size += chunk.byteLength;
        if (size > limit)
          throw new Problem('too_large', `A file is longer than the ${limit} bytes allowed in ${repository.id}.`);
        for (const { hash } of hashes) hash.update(chunk);
        await stage.write(chunk).catch(refusedByStore);
      }
    } catch (error) {
      await stage.discard();
      throw error;
    }
    const digests = hashes.map(({ algorithm, hash }): Digest => `${algorithm}:${hash.digest('hex')}`);
    const file: StagedFile = { size, digests, read: (offset, length) => stage.read(offset, length) };
    staged.set(file, { stage, digest: digests[0] as Digest });
    return file;
  }

  async function land(file: StagedFile): Promise<void> {
    const known = staged.get(file);
    if (!known) throw new Error('A file is to be put that was never staged.');
    if (known.blob) return;
    await known.stage.commit(known.digest).catch(refusedByStore);
    const blob = await blobs.open(known.digest);
    if (!blob)
      throw new Problem(
        'storage_unavailable',
        'What was sent could not be kept: it was gone right after it was written.',
      );
    known.blob = blob;
  }

  async function open(path: string): Promise<ReadableFile | undefined> {
    const entry = hosting.view().entry(path);
    if (!entry) return undefined;
    const blob = await blobs.open(entry.digest);
    if (!blob)
      throw new Problem('storage_unavailable', `${path} of ${repository.id} can't be read: run larder verify.`);
    opened.push(blob);
    return { size: blob.size, read: (offset, length) => blob.read(offset, length) };
  }

  return {
    add,
    land,
    open,
    hosted: hosting.view(),
    by: identity,
    now: new Date(now()).toISOString(),
    limit: repository.maxFileBytes,
    async clear() {
      for (const blob of opened) blob.close();
      for (const { stage, blob } of staged.values()) {
        blob?.close();
        await stage.discard();
      }
    },
  };
}
